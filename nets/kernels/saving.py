"""Lets one process at a time save what it has compiled.

numba keeps one index for all specialisations of a function and rewrites it whole: of two processes that compile
float32 and float64 and end together, one would lose its entry, or name the other's machine code. A function is saved
right after its compilation ends, before the next one starts: between the two, the folder is locked.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from numba.core.event import Listener, install_listener

LOCK = "saving"
"""The locked file, in the cache folder."""


@contextmanager
def saving(folder: Path, saved: Collection[Any], compiled: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Work that may compile and save those functions into `folder`; `compiled()` follows each of all functions.

    A folder that cannot be written needs no lock: nothing will be saved there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("w")
    except OSError:
        with install_listener("numba:compile", _Saving(None, (), compiled)):
            yield
        return
    with file, install_listener("numba:compile", _Saving(file, saved, compiled)):
        yield


class _Saving(Listener):  # type: ignore[misc]  # numba has no types
    """Holds the lock from the end of a compilation to the start of the next."""

    def __init__(self, file: IO[str] | None, saved: Collection[Any], compiled: Callable[[], None]) -> None:
        self._file = file
        self._saved = saved
        self._compiled = compiled

    def on_start(self, event: Any) -> None:
        if self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def on_end(self, event: Any) -> None:
        if self._file is not None and event.data["dispatcher"] in self._saved:
            fcntl.flock(self._file, fcntl.LOCK_EX)
        self._compiled()
