"""A clock-driven loop as a contestant: one call a tick on the counts of its events, state kept, output read."""

from __future__ import annotations

import numpy as np

from runtime.bench.rivals import Loop
from runtime.bench.usage import cpu_s
from runtime.bench.workload import Stream


class Streamed:
    def __init__(self, loop: Loop, events: Stream, size: int) -> None:
        self._loop = loop
        self._index, self._cuts = events.index, events.cuts.tolist()
        self._size = size

    def spikes(self) -> list[int]:
        self._loop.reset()
        found: list[int] = []
        for k in range(len(self._cuts) - 1):
            layers = self._loop.step(self._counts(k))
            found = found or [0] * len(layers)
            found = [n + int(layer.sum()) for n, layer in zip(found, layers, strict=True)]
        return found

    def measure(self) -> float:
        self._loop.reset()
        before = cpu_s()
        for k in range(len(self._cuts) - 1):
            self._loop.step(self._counts(k))
        return cpu_s() - before

    def _counts(self, k: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        events = self._index[self._cuts[k] : self._cuts[k + 1]]
        return np.bincount(events, minlength=self._size).astype(np.float32)
