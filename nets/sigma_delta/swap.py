"""Hands a running sigma-delta network's readings, and what its outputs showed, over to another program.

All else follows from the readings: the other network's layers are rebuilt from them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from nets.kernels import sigma_layout as L
from nets.sigma_delta.program import Program, State, Unit

Shown = Mapping[tuple[str, int], NDArray[np.float64]]
"""What each Output last showed, in NIR's order, by its name and size."""


def carry(old: Program, before: State, new: Program, after: State) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Write what lasts of `old` into the initial state of `new`; return the units that go on and those that start."""
    known = {unit.name: unit for unit in old.units}
    carried, fresh = [], []
    for unit in new.units:
        match = known.get(unit.name)
        if match is None or not _alike(old, match, new, unit):
            fresh.append(unit.name)
            continue
        carried.append(unit.name)
        if unit.port >= 0:
            a, b = old.row(match), new.row(unit)
            order = match.layout.internal[unit.layout.external]
            after.wide[b[L.U_X] : b[L.U_X] + b[L.U_N]] = before.wide[a[L.U_X] : a[L.U_X] + a[L.U_N]][order]
            after.dyn[b[L.U_STAMP] : b[L.U_STAMP] + b[L.U_N]] = before.dyn[a[L.U_STAMP] : a[L.U_STAMP] + a[L.U_N]][
                order
            ]
    put_shown(new, after, shown(old, before))
    return tuple(carried), tuple(fresh)


def shown(program: Program, state: State) -> Shown:
    found = {}
    for output, unit in _tapped(program):
        row = program.row(unit)
        values = state.wide[row[L.U_SHOWN] : row[L.U_SHOWN] + row[L.U_N]]
        found[output, len(values)] = values[unit.layout.internal]
    return found


def put_shown(program: Program, state: State, values: Shown) -> None:
    for output, unit in _tapped(program):
        row = program.row(unit)
        if (known := values.get((output, int(row[L.U_N])))) is not None:
            state.wide[row[L.U_SHOWN] : row[L.U_SHOWN] + row[L.U_N]] = known[unit.layout.external]


def _tapped(program: Program) -> list[tuple[str, Unit]]:
    units = {unit.name: unit for unit in program.units}
    return [(tap.output, units[tap.unit]) for tap in program.wiring.taps]


def _alike(old: Program, a: Unit, new: Program, b: Unit) -> bool:
    ports = [program.inputs[unit.port] if unit.port >= 0 else "" for program, unit in ((old, a), (new, b))]
    return (
        (a.shape, a.kind) == (b.shape, b.kind)
        and ports[0] == ports[1]
        and (b.kind != L.SURFACE or a.leak_per_s == b.leak_per_s)
    )
