"""The e-stop latch: one small file that outlives the process, and that means "stopped" whenever in doubt.

No file: never latched. A file that cannot be read, parsed or believed: stopped, with that as the reason. A write is
complete or did not happen (temporary file, fsync, rename, fsync of the folder). It blocks for as long as the disk
takes: stop the actuators first, write afterwards, and off the event loop.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

FILE_NAME = "estop.json"
VERSION = 1
LARGEST = 65536


@dataclass(frozen=True, slots=True)
class Latch:
    """Whether the robot is stopped, why, who said so and when (ns since the epoch)."""

    latched: bool
    reason: str = ""
    source: str = ""
    wall_ns: int = 0


class LatchFile:
    """The latch in `state_dir/estop.json`."""

    def __init__(self, state_dir: Path | str) -> None:
        self.path = Path(state_dir) / FILE_NAME

    def read(self) -> Latch:
        """The latch as it stands. Never raises: what cannot be read is stopped."""
        try:
            with self.path.open("rb") as file:
                content = file.read(LARGEST + 1)
        except FileNotFoundError:
            return Latch(False)
        except OSError as error:
            return Latch(True, f"{self.path} cannot be read: {error.strerror or error}", "latch")
        try:
            return _parse(content)
        except ValueError as error:
            return Latch(True, f"{self.path} is not to be believed: {error}", "latch")

    def latch(self, reason: str, source: str, wall_ns: int) -> Latch:
        """Stop, durably. What stopped the robot first stays the reason until it is released."""
        before = self.read()
        if before.latched and before.source != "latch":
            return before
        after = Latch(True, reason, source, wall_ns)
        self._write(after)
        return after

    def release(self, source: str, wall_ns: int = 0) -> Latch:
        """Let the robot move again, durably."""
        after = Latch(False, "released", source, wall_ns)
        self._write(after)
        return after

    def _write(self, latch: Latch) -> None:
        folder = self.path.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        content = json.dumps({"version": VERSION, **asdict(latch)}, indent=2).encode() + b"\n"
        handle, name = tempfile.mkstemp(prefix=f".{FILE_NAME}.", dir=folder)  # private (0600) as made
        try:
            with open(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, self.path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
            raise
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _parse(content: bytes) -> Latch:
    if len(content) > LARGEST:
        raise ValueError(f"over {LARGEST} bytes")
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise ValueError(f"holds {type(fields).__name__}, expected an object")
    if fields.get("version") != VERSION:
        raise ValueError(f"version is {fields.get('version')!r}, expected {VERSION}")
    latched, reason = fields.get("latched"), fields.get("reason")
    source, wall_ns = fields.get("source"), fields.get("wall_ns")
    if not isinstance(latched, bool):
        raise ValueError(f"latched is {latched!r}, expected true or false")
    if not (isinstance(reason, str) and isinstance(source, str)):
        raise ValueError(f"reason is {reason!r} and source {source!r}, expected text")
    if isinstance(wall_ns, bool) or not isinstance(wall_ns, int):
        raise ValueError(f"wall_ns is {wall_ns!r}, expected whole nanoseconds")
    return Latch(latched, reason, source, wall_ns)
