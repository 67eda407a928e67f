"""Put streams that a file interleaves out of order into one order of time, holding back no more than `slack` of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensors.formats.reader import Chunk, TimeOrder, Times, together

WINDOW = 10_000_000
MOST_BYTES = 64 << 20


class TimeMerge:
    """Items go in as the file has them, windows of all streams come out. What is too late is moved up and counted."""

    def __init__(self, slack: int) -> None:
        self._slack = slack
        self._orders: dict[str, TimeOrder] = {}
        self._waiting: dict[str, list[tuple[Times, NDArray[Any]]]] = {}
        self._bytes = 0
        self._latest = -(2**62)
        self._floor = -(2**62)

    @property
    def unordered(self) -> int:
        return sum(order.unordered for order in self._orders.values())

    def push(self, stream: str, t: Times, data: NDArray[Any]) -> Iterator[Chunk]:
        """Take items of one stream; give what can no longer be preceded."""
        if not len(t):
            return
        order = self._orders.setdefault(stream, TimeOrder())
        order.last = max(order.last, self._floor)
        t, data = order.mend(t, data)
        self._waiting.setdefault(stream, []).append((t, data))
        self._bytes += t.nbytes + data.nbytes
        self._latest = max(self._latest, int(t[-1]))
        if self._bytes > MOST_BYTES:
            yield from self._emit(self._latest)
        elif self._latest - self._slack >= self._floor + WINDOW:
            yield from self._emit(self._latest - self._slack)

    def finish(self) -> Iterator[Chunk]:
        """The rest."""
        yield from self._emit(self._latest + 1)

    def _emit(self, until: int) -> Iterator[Chunk]:
        ready: dict[str, tuple[Times, NDArray[Any]]] = {}
        for stream, parts in self._waiting.items():
            if not parts:
                continue
            t = np.concatenate([part[0] for part in parts])
            data = np.concatenate([part[1] for part in parts]) if len(parts) > 1 else parts[0][1]
            n = int(np.searchsorted(t, until))
            ready[stream] = (t[:n], data[:n])
            parts[:] = [(t[n:], data[n:])] if n < len(t) else []
        self._bytes = sum(t.nbytes + data.nbytes for parts in self._waiting.values() for t, data in parts)
        self._floor = until
        yield from together(ready, until)
