"""The recorder: starts and stops recordings of a running service, each complete enough to be replayed by itself.

A recording holds the robot as it was configured, the network file and its dialect, every sensor packet, every command
and read-back, and the journal from its first row on, which begins with a snapshot of the state it began in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from runtime.bus import Bus, Delivery
from runtime.core.clock import Clock
from runtime.core.errors import RecordingError
from runtime.core.packet import Packet
from runtime.journal import CHANNEL, pack_rows
from runtime.recording.writer import RecordingStats, RecordingWriter

SLUG = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}")
SUFFIX = ".mcap"


class Recorder:
    """At most one recording at a time."""

    def __init__(
        self,
        folder: Path,
        bus: Bus,
        clock: Clock,
        header: Callable[[], Mapping[str, Any]],
        attachments: Callable[[], Mapping[str, bytes]],
        queue_bytes: int = 64 << 20,
    ) -> None:
        self._folder = folder
        self._bus = bus
        self._clock = clock
        self._header = header
        self._attachments = attachments
        self._queue_bytes = queue_bytes
        self._writer: RecordingWriter | None = None
        self._untap: Callable[[], None] = lambda: None
        self.name: str | None = None

    @property
    def active(self) -> bool:
        return self._writer is not None

    def start(self, name: str | None, path: Path | None = None, waiting: Sequence[Delivery] = ()) -> Path:
        """Begin; `waiting` and the packets from now on are recorded. Raises RecordingError for a bad or taken name."""
        if self._writer is not None:
            raise RecordingError(f"recording {self.name!r} is already running: stop it first")
        if path is None:
            name = self._free_name() if name is None else name
            if not SLUG.fullmatch(name) or ".." in name:
                raise RecordingError(f"recording name {name!r}: expected lower-case letters, digits, '-', '_' or '.'")
            path = self._folder / (name if name.endswith(SUFFIX) else name + SUFFIX)
        if path.exists():
            raise RecordingError(f"recording {path.name!r} exists already: choose another name")
        path.parent.mkdir(parents=True, exist_ok=True)
        writer = RecordingWriter(
            path, header=self._header(), attachments=self._attachments(), queue_bytes=self._queue_bytes
        )
        self._writer = writer
        self.name = path.name

        def tap(arrived: int, packet: Packet) -> None:
            writer.packet(arrived, packet)

        for arrived, packet in waiting:
            writer.packet(arrived, packet)
        self._untap = self._bus.tap(tap)
        return path

    def rows(self, rows: list[list[Any]]) -> None:
        """Journal rows, in their order."""
        if self._writer is not None:
            now = self._clock.now()
            self._writer.write(CHANNEL, now, now, pack_rows(rows))

    def stats(self) -> RecordingStats | None:
        return None if self._writer is None else self._writer.stats()

    def detach(self) -> RecordingWriter | None:
        """Stop taking packets; the caller closes the writer, off the loop: it waits for the disk."""
        writer, self._writer = self._writer, None
        self._untap()
        return writer

    def listing(self) -> list[dict[str, Any]]:
        """Recordings in the folder, by name."""
        if not self._folder.is_dir():
            return []
        return [
            {"name": path.name, "bytes": path.stat().st_size, "active": path.name == self.name and self.active}
            for path in sorted(self._folder.glob(f"*{SUFFIX}"))
        ]

    def _free_name(self) -> str:
        taken = {path.stem for path in self._folder.glob(f"*{SUFFIX}")}
        number = 1
        while f"run-{number:04d}" in taken:
            number += 1
        return f"run-{number:04d}"
