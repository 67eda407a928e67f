"""Reads a continuous state as if every site had just been brought up to date, changing nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nets.continuous.program import Program, State, Unit, row_of
from nets.kernels import continuous_layout as L

Real = NDArray[np.float64]


def potentials(program: Program, state: State, now: int) -> dict[str, tuple[Real, Real | None]]:
    """(v, i or None) of every unit at `now`, in NIR's order and shape."""
    return {unit.name: _unit(program, state, unit, now) for unit in program.units}


def _unit(program: Program, state: State, unit: Unit, now: int) -> tuple[Real, Real | None]:
    row, k = row_of(program, unit), unit.flow.coefficients
    size, sites, first = int(row[L.P_N]), int(row[L.P_SITES]), int(program.table[L.H_LAST] + row[L.P_SITE0])
    d = np.repeat(now - state.dyn[first : first + sites], int(row[L.P_BLOCK])) * L.SECOND
    v = state.real[row[L.P_V] : row[L.P_V] + size]
    rest, a, i = k[L.K_REST], k[L.K_RATE], None
    if unit.flow.kind == L.KIND_FLAT:
        v = np.maximum(v + rest * d, k[L.K_FLOOR])
    elif unit.flow.kind == L.KIND_LEAK:
        v = np.maximum(rest + (v - rest) * np.exp(-a * d), k[L.K_FLOOR])
    elif unit.flow.kind == L.KIND_CURRENT:
        b, still = k[L.K_SYN], k[L.K_IREST]
        excess = state.real[row[L.P_I] : row[L.P_I] + size] - still
        x = np.abs(b - a) * d
        shape = np.where(x > 0, -np.expm1(-x) / np.where(x > 0, x, 1.0), 1.0)
        p = np.exp(-np.minimum(a, b) * d) * a * d * shape
        v = rest + (v - rest) * np.exp(-a * d) + k[L.K_R] * excess * p
        i = still + excess * np.exp(-b * d)
    inverse = unit.layout.internal
    return v[inverse].reshape(unit.shape), None if i is None else i[inverse].reshape(unit.shape)
