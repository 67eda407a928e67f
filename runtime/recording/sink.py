"""The file under a recording: every write reaches the kernel or raises, and a failed one can be taken back."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


class Sink:
    """An unbuffered file that is only appended to. Refuses a path that exists."""

    def __init__(self, path: Path, sync: Callable[[int], None] = os.fsync) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        self._sync = sync
        self._position = 0
        self._safe = 0
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)  # or the file's name may not survive a power cut
        finally:
            os.close(folder)

    def write(self, data: bytes) -> int:
        left = memoryview(data)
        while left:
            written = os.write(self._fd, left)
            left = left[written:]
            self._position += written
        return len(data)

    def tell(self) -> int:
        return self._position

    def flush(self) -> None:
        """Nothing is held back; `commit` is what reaches the disk."""

    def commit(self) -> None:
        """Bring what was written to the disk; from here on it is never taken back."""
        self._sync(self._fd)
        self._safe = self._position

    def mark(self) -> None:
        """What is written so far ends at a whole record."""
        self._safe = self._position

    def take_back(self) -> None:
        """Cut off what was written after the last whole record."""
        os.ftruncate(self._fd, self._safe)
        os.lseek(self._fd, self._safe, os.SEEK_SET)
        self._position = self._safe

    def close(self) -> None:
        os.close(self._fd)
