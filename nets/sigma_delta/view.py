"""Reads a sigma-delta state as it is at a moment, changing nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nets.kernels import sigma_layout as L
from nets.sigma_delta.program import Program, State, Unit

Real = NDArray[np.float64]


def sums(program: Program, state: State, now: int) -> dict[str, tuple[Real, Real | None]]:
    """(what a unit receives in all, or measures; what of it leaks, or None) at `now`, in NIR's order and shape."""
    found: dict[str, tuple[Real, Real | None]] = {}
    for unit in program.units:
        row = program.row(unit)
        size, leaking = int(row[L.U_N]), None
        if unit.port >= 0:
            z = state.wide[row[L.U_X] : row[L.U_X] + size].copy()
            if unit.kind == L.SURFACE and row[L.U_LEAK] >= 0:
                z *= _faded(program, state, row, now)
        else:
            z = state.real[row[L.U_Z] : row[L.U_Z] + size].astype(np.float64)
            if state.dyn[row[L.U_FRESH]]:
                z = program.coef[row[L.U_BIAS] : row[L.U_BIAS] + size].copy()
            if row[L.U_ZL] >= 0:
                passed = now - int(state.dyn[row[L.U_LAST]])
                leaking = state.real[row[L.U_ZL] : row[L.U_ZL] + size].astype(np.float64)
                leaking *= np.exp(-program.coef[row[L.U_DRIVE_LEAK]] * passed)
                z = z + leaking
        found[unit.name] = _shaped(unit, z), None if leaking is None else _shaped(unit, leaking)
    return found


def activations(program: Program, state: State, now: int) -> dict[str, Real]:
    """What the receivers of each unit hold of it at `now`, in NIR's order and shape."""
    found: dict[str, Real] = {}
    for unit in program.units:
        row = program.row(unit)
        size = int(row[L.U_N])
        if unit.kind == L.PLAIN:
            continue
        if row[L.U_LEAK] < 0:
            levels = program.coef[int(row[L.U_LEVELS]) + np.arange(size) * row[L.U_STEP]]
            y = state.di[row[L.U_Q] : row[L.U_Q] + size] / levels
        else:
            y = state.wide[row[L.U_COPY] : row[L.U_COPY] + size].copy()
            if unit.kind == L.SURFACE:
                y *= _faded(program, state, row, now)
            else:
                y *= np.exp(-program.coef[row[L.U_LEAK]] * (now - int(state.dyn[row[L.U_LAST]])))
        found[unit.name] = _shaped(unit, y)
    return found


def _faded(program: Program, state: State, row: NDArray[np.int64], now: int) -> Real:
    stamps = state.dyn[row[L.U_STAMP] : row[L.U_STAMP] + row[L.U_N]]
    return np.asarray(np.exp(-program.coef[row[L.U_LEAK]] * (now - stamps)))


def _shaped(unit: Unit, values: Real) -> Real:
    return values[unit.layout.internal].reshape(unit.shape)
