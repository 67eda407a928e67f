"""The row-add ceiling: the additions a run of the engine needs, and nothing else, on the same machine.

The same weights in the same memory, the same rows in the same sequence, float32, one thread: no events to sort, no
neurons to update, no spikes to find. Where every row covers its whole layer, eight rows a pass are tried as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets.engine import Engine
from nets.kernels import layout as L
from nets.kernels.jit import entry
from nets.kernels.simd import add_rows
from runtime.bench.workload import TICK_NS, Stream


@dataclass(frozen=True, eq=False)
class Rows:
    """x[to[k] + j] += w[start[k] + j] for j < run[k], in this order; `additions` in all."""

    to: NDArray[np.int32]
    start: NDArray[np.int32]
    run: NDArray[np.int32]
    weights: NDArray[np.float32]
    drive: NDArray[np.float32]
    additions: int


@entry
def add_each(x, weights, to, start, run):  # type: ignore[no-untyped-def]
    """Row by row."""
    one = weights.dtype.type(1)
    for k in range(to.shape[0]):
        add_rows(x, np.uint64(to[k]), weights, (np.uint64(start[k]),), (one,), np.uint64(run[k]))


@entry
def add_eight(x, weights, to, start, run):  # type: ignore[no-untyped-def]
    """Eight rows a pass where the next eight go to the same place."""
    one = weights.dtype.type(1)
    k = 0
    n = to.shape[0]
    while k < n:
        if k + 8 <= n and to[k + 7] == to[k] and run[k + 7] == run[k]:
            rows = (
                np.uint64(start[k]),
                np.uint64(start[k + 1]),
                np.uint64(start[k + 2]),
                np.uint64(start[k + 3]),
                np.uint64(start[k + 4]),
                np.uint64(start[k + 5]),
                np.uint64(start[k + 6]),
                np.uint64(start[k + 7]),
            )
            add_rows(x, np.uint64(to[k]), weights, rows, (one, one, one, one, one, one, one, one), np.uint64(run[k]))
            k += 8
        else:
            add_rows(x, np.uint64(to[k]), weights, (np.uint64(start[k]),), (one,), np.uint64(run[k]))
            k += 1


def record(engine: Engine, events: Stream) -> tuple[Rows, bool]:
    """Run the engine once and note every row it adds, in its order; whether all of them cover whole layers."""
    engine.watch(True)
    program = engine.program
    table = program.table
    by_population = {unit.report: unit for unit in program.units if unit.report >= 0}
    found: list[NDArray[Any]] = []
    whole = True
    for tick in range(events.ticks):
        cut = slice(events.cuts[tick], events.cuts[tick + 1])
        engine.feed("input", events.t[cut], events.index[cut], None)
        engine.advance((tick + 1) * TICK_NS)
        _, population, index, _ = engine.watched()
        fired = {unit.row: unit.layout.internal[index[population == report]] for report, unit in by_population.items()}
        for row in range(int(table[L.H_POPS])):
            pop = table[int(table[L.H_POP_AT]) + row * L.P_SIZE :][: L.P_SIZE]
            for k in range(int(pop[L.P_CONN0]), int(pop[L.P_CONN1])):
                conn = table[int(table[L.H_CONN_AT]) + k * L.C_SIZE :][: L.C_SIZE]
                sources = events.index[cut] if conn[L.C_KIND] == L.FROM_PORT else fired[int(conn[L.C_SRC])]
                whole = whole and bool(conn[L.C_WHOLE])
                found.append(_rows_of(program.ints, conn, int(pop[L.P_X]), sources))
    rows = np.concatenate(found)
    to, start, run = (np.ascontiguousarray(rows[:, c].astype(np.int32)) for c in range(3))
    additions = int(run.astype(np.int64).sum())
    return Rows(to, start, run, program.weights, np.zeros_like(program.initial.real), additions), whole


def _rows_of(ints: NDArray[np.int32], conn: Any, x: int, sources: NDArray[Any]) -> NDArray[np.int64]:
    """(to, start, run) of every row that events of these sources add."""
    pointer = ints[conn[L.C_PTR] :]
    first, end = pointer[sources].astype(np.int64), pointer[sources.astype(np.int64) + 1].astype(np.int64)
    stamps = _ranges(first, end - first)
    stamp = ints[conn[L.C_STAMP] :][stamps[:, None] * L.S_SIZE + np.arange(L.S_SIZE)].astype(np.int64)
    at = _ranges(np.zeros(len(stamp), np.int64), stamp[:, L.S_NY])
    stamp = np.repeat(stamp, stamp[:, L.S_NY], axis=0)
    to = x + stamp[:, L.S_N] + at * conn[L.C_NSTRIDE]
    return np.stack([to, stamp[:, L.S_W] + at * stamp[:, L.S_WSTRIDE], stamp[:, L.S_RUN]], axis=1)


def _ranges(first: NDArray[np.int64], count: NDArray[np.int64]) -> NDArray[np.int64]:
    """first[0], first[0] + 1, ... (count[0] of them), first[1], ..."""
    ends = np.cumsum(count)
    total = int(ends[-1]) if len(ends) else 0
    return np.asarray(np.arange(total) + np.repeat(first - (ends - count), count))
