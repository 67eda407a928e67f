"""Reads a state as if no site had slept: closed form in float64, from outside, changing nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nets.kernels import layout as L
from nets.program import Program, State, Unit

Real = NDArray[np.float64]


def potentials(program: Program, state: State, tick: int) -> dict[str, tuple[Real, Real | None]]:
    """(v, i or None) of every unit after `tick` ticks, in NIR's order and shape."""
    return {unit.name: _unit(program, state, unit, tick) for unit in program.units}


def _unit(program: Program, state: State, unit: Unit, tick: int) -> tuple[Real, Real | None]:
    at = int(program.table[L.H_POP_AT]) + unit.row * L.P_SIZE
    row = program.table[at : at + L.P_SIZE]
    size, k = int(row[L.P_N]), unit.rule.coefficients
    v = state.real[row[L.P_V] : row[L.P_V] + size].astype(np.float64)
    i = state.real[row[L.P_I] : row[L.P_I] + size].astype(np.float64) if row[L.P_I] >= 0 else None
    if row[L.P_DECAYS]:
        last = state.dyn[row[L.P_LAST] : row[L.P_LAST] + row[L.P_SITES]]
        slept = np.repeat(tick - last, row[L.P_BLOCK])
        for behind in np.unique(slept[slept > 0]):
            m = slept == behind
            zero = np.zeros(int(m.sum()))
            s, alpha, e = (k[c, m] if i is not None else zero for c in (L.K_S, L.K_ALPHA, L.K_E))
            old = zero if i is None else i[m]
            new_v, new_i = _silent(k[L.K_A, m], s, k[L.K_C, m], alpha, e, v[m], old, int(behind))
            v[m] = np.maximum(new_v, k[L.K_FLOOR, m])
            if i is not None:
                i[m] = new_i
    inverse = unit.layout.internal
    return v[inverse].reshape(unit.shape), None if i is None else i[inverse].reshape(unit.shape)


def _silent(a: Real, s: Real, c: Real, alpha: Real, e: Real, v: Real, i: Real, ticks: int) -> tuple[Real, Real]:
    """(v, i) after silent ticks, by matrix powers of the augmented one-tick map."""
    step = np.zeros((len(v), 3, 3))
    step[:, 0, 0], step[:, 0, 1], step[:, 0, 2] = a, s, c
    step[:, 1, 1], step[:, 1, 2], step[:, 2, 2] = alpha, e, 1.0
    after = np.linalg.matrix_power(step, ticks) @ np.stack([v, i, np.ones_like(v)], axis=1)[:, :, None]
    return after[:, 0, 0], after[:, 1, 0]
