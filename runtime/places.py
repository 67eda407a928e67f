"""Places: where a running robot keeps its sockets, and how another command finds it."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from runtime.core.clock import SECOND, MonotonicClock
from runtime.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Places:
    """The private (0700) runtime directory of one robot."""

    folder: Path

    @property
    def bus(self) -> Path:
        """The control process's local link."""
        return self.folder / "bus.sock"

    @property
    def parent(self) -> Path:
        """The parent's own socket: e-stop and status, whatever the others do."""
        return self.folder / "parent.sock"

    @property
    def beat(self) -> Path:
        return self.folder / "beat"

    def device(self, name: str) -> Path:
        """The socket of a simulated device."""
        return self.folder / f"{name}.sock"

    def make(self) -> None:
        """Create the directory, private. Raises ConfigError where the path is too long for a socket, or not ours."""
        if len(str(self.folder)) > 80:
            raise ConfigError(f"runtime directory {self.folder}: longer than the 80 characters that a socket allows")
        self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        if self.folder.stat().st_uid != os.getuid():
            raise ConfigError(f"runtime directory {self.folder}: belongs to another user")
        self.folder.chmod(0o700)

    def own(self) -> IO[str]:
        """Hold the robot's lock until closed. Raises ConfigError where another run holds it."""
        file = (self.folder / "lock").open("a+")
        if not _locked(file):
            file.seek(0)
            pid = file.read().strip()
            file.close()
            raise ConfigError(f"robot {self.folder.name!r} is already running (process {pid}, in {self.folder})")
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        return file

    def running(self) -> bool:
        """Whether a parent holds the lock."""
        try:
            file = (self.folder / "lock").open("r")
        except OSError:
            return False
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False


def _locked(file: IO[str]) -> bool:
    """Lock it; tries for a little while, since `running` holds the lock for an instant to look."""
    clock, never = MonotonicClock(), threading.Event()
    for _ in range(10):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            clock.wait_until(clock.now() + SECOND // 100, never)
    return False


def root(environment: Mapping[str, str]) -> Path:
    """The folder of every robot's runtime directory."""
    if "TECTUM_RUNTIME_DIR" in environment:
        return Path(environment["TECTUM_RUNTIME_DIR"])
    if "XDG_RUNTIME_DIR" in environment:
        return Path(environment["XDG_RUNTIME_DIR"]) / "tectum"
    return Path(f"/tmp/tectum-{os.getuid()}")


def places(robot: str, environment: Mapping[str, str]) -> Places:
    return Places(root(environment) / robot)


def find(robot: str | None, environment: Mapping[str, str]) -> Places:
    """The named robot, or the one that runs. Raises ConfigError where there is none, or more than one."""
    if robot is not None:
        return places(robot, environment)
    base = root(environment)
    running = [Places(p) for p in sorted(base.iterdir()) if Places(p).running()] if base.is_dir() else []
    if len(running) == 1:
        return running[0]
    if not running:
        raise ConfigError(f"no robot is running (looked in {base}); start one with `tectum run`")
    raise ConfigError(f"several robots are running: say --robot {' or '.join(p.folder.name for p in running)}")
