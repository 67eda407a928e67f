"""Reads a state as if no site had slept: closed form in float64, from outside, changing nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nets.closed_form import silent
from nets.kernels import layout as L
from nets.lazy_models import bring_up_to_date
from nets.program import Program, State, Unit

Real = NDArray[np.float64]


def potentials(program: Program, state: State, tick: int) -> dict[str, tuple[Real, Real | None]]:
    """(v, i or None) of every unit after `tick` ticks, in NIR's order and shape."""
    return {unit.name: _unit(program, state, unit, tick) for unit in program.units}


def variables(program: Program, state: State, tick: int) -> dict[str, dict[str, Real]]:
    """All state of every unit after `tick` ticks by name: v, i, and what a model has beyond them."""
    found: dict[str, dict[str, Real]] = {}
    for unit in program.units:
        if unit.rule.extra is None:
            v, i = _unit(program, state, unit, tick)
            found[unit.name] = {"v": v} if i is None else {"v": v, "i": i}
        else:
            found[unit.name] = _model(program, state, unit, tick)
    return found


def _model(program: Program, state: State, unit: Unit, tick: int) -> dict[str, Real]:
    extra = unit.rule.extra
    assert extra is not None
    at = int(program.table[L.H_POP_AT]) + unit.row * L.P_SIZE
    row = program.table[at : at + L.P_SIZE]
    size = int(row[L.P_N])
    v = state.real[row[L.P_V] : row[L.P_V] + size].astype(np.float64)
    stored = state.real[row[L.P_U] : row[L.P_U] + len(extra.names) * size].astype(np.float64)
    further = dict(zip(extra.names, stored.reshape(-1, size), strict=True))
    slept = np.repeat(tick - state.dyn[row[L.P_LAST] : row[L.P_LAST] + row[L.P_SITES]], row[L.P_BLOCK])
    bring_up_to_date(unit.rule, v, further, slept)
    inverse = unit.layout.internal
    return {name: values[inverse].reshape(unit.shape) for name, values in {"v": v, **further}.items()}


def _unit(program: Program, state: State, unit: Unit, tick: int) -> tuple[Real, Real | None]:
    if unit.rule.extra is not None:
        model = _model(program, state, unit, tick)
        return model["v"], model.get("i")
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
            new_v, new_i = silent(k[L.K_A, m], s, k[L.K_C, m], alpha, e, v[m], old, int(behind))
            v[m] = np.maximum(new_v, k[L.K_FLOOR, m])
            if i is not None:
                i[m] = new_i
    inverse = unit.layout.internal
    return v[inverse].reshape(unit.shape), None if i is None else i[inverse].reshape(unit.shape)
