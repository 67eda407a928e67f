"""tectum, as `tectum bench engine` runs it: one call a tick, state kept, output read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from nets.kernels.build import warm
from runtime.bench.engine import make, streamed
from runtime.bench.usage import cpu_s
from runtime.bench.workload import Stream, stream, w1, w2
from tests.comparison.speed.cell import Cell, Contestant

LIBRARIES = ("numba", "numpy")
ADDRESSES = 2312


class Ours:
    def __init__(self, cell: Cell, events: Callable[[Stream], Stream]) -> None:
        warm()
        workload = w1(cell.rate_hz) if cell.workload == "W1" else w2(cell.rate_hz, Path(cell.network))
        self._engine = make(workload)
        self._events = events(stream(cell.rate_hz, cell.ticks))

    def spikes(self) -> list[int]:
        before = self._engine.counters.spikes
        streamed(self._engine, self._events)
        return [now - before[name] for name, now in self._engine.counters.spikes.items()]

    def measure(self) -> float:
        before = cpu_s()
        streamed(self._engine, self._events)
        return cpu_s() - before


def contestant(cell: Cell) -> Contestant:
    return Ours(cell, lambda events: events)
