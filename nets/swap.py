"""Carries the state of a running network over to another program, unit by unit.

A unit of the same name, size, order of neurons and coefficients goes on bit for bit, spikes on their way included.
Where only the coefficients differ, or the order, potential and current are brought up to date under the old ones and
taken on. Everything else starts fresh. Weights alone may differ freely: no state depends on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nets.kernels import layout as L
from nets.lazy import potentials
from nets.program import Program, State, Unit


@dataclass(frozen=True)
class Swap:
    """What became of the state: names of units that went on exactly, that kept their values, that started fresh."""

    exact: tuple[str, ...]
    carried: tuple[str, ...]
    fresh: tuple[str, ...]
    events_dropped: int
    """Buffered events of ports that are gone."""
    spikes_dropped: int
    """Spikes on their way along delays that could not be kept."""


def carry(old: Program, before: State, new: Program, after: State, tick: int) -> Swap:
    """Write the state of `old` into the initial state of `new`, both at tick `tick`; ports are left alone."""
    units = {unit.name: unit for unit in old.units}
    values = potentials(old, before, tick)
    exact, carried, fresh = [], [], []
    spikes = int(before.dyn[old.table[L.H_COUNTERS] + L.N_PENDING])
    for unit in new.units:
        row = _row(new, unit)
        known = units.get(unit.name)
        if known is not None and _same(old, known, new, unit):
            _copy(_row(old, known), before, row, after, _extra_size(unit))
            exact.append(unit.name)
            continue
        sites = int(row[L.P_SITES])
        after.dyn[row[L.P_LAST] : row[L.P_LAST] + sites] = tick
        if known is not None and known.shape == unit.shape and known.rule.extra is None and unit.rule.extra is None:
            v, i = values[unit.name]
            size = int(row[L.P_N])
            after.real[row[L.P_V] : row[L.P_V] + size] = v.ravel()[unit.layout.external]
            if i is not None and row[L.P_I] >= 0:
                after.real[row[L.P_I] : row[L.P_I] + size] = i.ravel()[unit.layout.external]
            # whether they may sleep is for their first tick to prove
            after.dyn[row[L.P_COUNT]] = sites
            after.di[row[L.P_LIST] : row[L.P_LIST] + sites] = np.arange(sites)
            after.marks[row[L.P_MARK] : row[L.P_MARK] + sites] = 1
            carried.append(unit.name)
        else:
            fresh.append(unit.name)
    pending = sum(
        int(after.dyn[row[L.P_RING_N] : row[L.P_RING_N] + row[L.P_DELAY]].sum())
        for row in (_row(new, unit) for unit in new.units)
        if row[L.P_RING_N] >= 0
    )
    after.dyn[new.table[L.H_COUNTERS] + L.N_PENDING] = pending
    return Swap(tuple(exact), tuple(carried), tuple(fresh), 0, spikes - pending)


def _row(program: Program, unit: Unit) -> Any:
    at = int(program.table[L.H_POP_AT]) + unit.row * L.P_SIZE
    return program.table[at : at + L.P_SIZE]


def _same(old: Program, known: Unit, new: Program, unit: Unit) -> bool:
    a, b = _row(old, known), _row(new, unit)
    columns = [L.P_KIND, L.P_GRADED, L.P_N, L.P_BLOCK, L.P_SLEEP, L.P_STEPS, L.P_DELAY]
    return (
        known.shape == unit.shape
        and bool((a[columns] == b[columns]).all())
        and bool(((a[[L.P_I, L.P_RING_N]] >= 0) == (b[[L.P_I, L.P_RING_N]] >= 0)).all())
        and np.array_equal(known.layout.external, unit.layout.external)
        and np.array_equal(known.rule.coefficients, unit.rule.coefficients)
        and _extra_size(known) == _extra_size(unit)
        and np.array_equal(_later(old, a), _later(new, b))
    )


def _later(program: Program, row: Any) -> Any:
    return program.ints[row[L.P_LATER] : row[L.P_LATER] + row[L.P_N]] if row[L.P_LATER] >= 0 else np.zeros(0, np.int32)


def _extra_size(unit: Unit) -> int:
    return 0 if unit.rule.extra is None else int(unit.rule.extra.initial.size)


def _copy(a: Any, before: State, b: Any, after: State, extra: int) -> None:
    size, sites, ring = int(a[L.P_N]), int(a[L.P_SITES]), int(a[L.P_N] * a[L.P_DELAY])
    _move(before.real, a[L.P_V], after.real, b[L.P_V], size)
    _move(before.real, a[L.P_I], after.real, b[L.P_I], size)
    _move(before.dyn, a[L.P_LAST], after.dyn, b[L.P_LAST], sites)
    _move(before.dyn, a[L.P_COUNT], after.dyn, b[L.P_COUNT], 1)
    _move(before.di, a[L.P_LIST], after.di, b[L.P_LIST], sites)
    _move(before.marks, a[L.P_MARK], after.marks, b[L.P_MARK], sites)
    _move(before.real, a[L.P_RING_V], after.real, b[L.P_RING_V], ring)
    _move(before.di, a[L.P_RING_I], after.di, b[L.P_RING_I], ring)
    _move(before.dyn, a[L.P_RING_N], after.dyn, b[L.P_RING_N], int(a[L.P_DELAY]))
    _move(before.real, a[L.P_U], after.real, b[L.P_U], extra)


def _move(source: Any, at: Any, target: Any, to: Any, count: int) -> None:
    if at >= 0:
        target[to : to + count] = source[at : at + count]
