"""Reads a continuous state as if every site had just been brought up to date, changing nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nets.continuous.program import Program, State, Unit, row_of
from nets.kernels import continuous_layout as L

Real = NDArray[np.float64]


def potentials(program: Program, state: State, now: int) -> dict[str, tuple[Real, Real | None]]:
    """(v, i or None) of every unit at `now`, in NIR's order and shape."""
    return {name: (values["v"], values.get("i")) for name, values in variables(program, state, now).items()}


def variables(program: Program, state: State, now: int) -> dict[str, dict[str, Real]]:
    """All state of every unit at `now` by name: v, i, and the seconds for which a refractory neuron still holds."""
    return {
        unit.name: {
            name: values[unit.layout.internal].reshape(unit.shape)
            for name, values in _unit(program, state, unit, now).items()
        }
        for unit in program.units
    }


def _unit(program: Program, state: State, unit: Unit, now: int) -> dict[str, Real]:
    row, k = row_of(program, unit), unit.flow.coefficients
    sites, first = int(row[L.P_SITES]), int(program.table[L.H_LAST] + row[L.P_SITE0])

    def stored(column: int) -> Real:
        return state.real[row[column] : row[column] + row[L.P_N]]

    ns = np.repeat(now - state.dyn[first : first + sites], int(row[L.P_BLOCK]))
    left = stored(L.P_LEFT) if unit.flow.holds else np.zeros(len(ns))
    held = np.minimum(left, ns)
    d = (ns - held) * L.SECOND
    found = {"v": stored(L.P_V)}
    rest, a = k[L.K_REST], k[L.K_RATE]
    if unit.flow.kind == L.KIND_FLAT:
        found["v"] = np.maximum(found["v"] + rest * d, k[L.K_FLOOR])
    elif unit.flow.kind == L.KIND_LEAK:
        found["v"] = np.maximum(rest + (found["v"] - rest) * np.exp(-a * d), k[L.K_FLOOR])
    elif unit.flow.kind == L.KIND_CURRENT:
        b, still = k[L.K_SYN], k[L.K_IREST]
        excess = (stored(L.P_I) - still) * np.exp(-b * held * L.SECOND)
        x = np.abs(b - a) * d
        shape = np.where(x > 0, -np.expm1(-x) / np.where(x > 0, x, 1.0), 1.0)
        p = np.exp(-np.minimum(a, b) * d) * a * d * shape
        found["v"] = rest + (found["v"] - rest) * np.exp(-a * d) + k[L.K_R] * excess * p
        found["i"] = still + excess * np.exp(-b * d)
    if unit.flow.holds:
        found["refractory"] = (left - held) * L.SECOND
    return found
