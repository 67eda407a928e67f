"""The beat: shared memory in which the control loop says when it last came round, for the parent to watch.

It is armed once the kernels are warm and the first turn is done; before that a long compilation is no stall.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from runtime.core.clock import machine_ns

_FORMAT = struct.Struct("<qq")


class Beat:
    """One 16-byte file: whether armed, and the machine's monotonic ns of the last turn."""

    def __init__(self, path: Path, create: bool = False) -> None:
        if create:
            path.write_bytes(bytes(_FORMAT.size))
            path.chmod(0o600)
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _FORMAT.size)

    def turn(self) -> None:
        """The loop came round."""
        _FORMAT.pack_into(self._memory, 0, 1, machine_ns())

    def age_s(self) -> float | None:
        """Since the last turn; None while not armed."""
        armed, at = _FORMAT.unpack_from(self._memory, 0)
        return (machine_ns() - at) / 1e9 if armed else None

    def disarm(self) -> None:
        """The loop ends on purpose."""
        _FORMAT.pack_into(self._memory, 0, 0, 0)

    def close(self) -> None:
        self._memory.close()
