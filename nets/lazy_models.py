"""Brings the state of a model beyond NIR up to date as if no site had slept, in float64, outside the kernels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nets.closed_form import silent
from nets.kernels import layout as L
from nets.kernels import model_layout as M
from nets.neuron import Rule

Real = NDArray[np.float64]


def bring_up_to_date(rule: Rule, v: Real, further: dict[str, Real], slept: NDArray[np.int64]) -> None:
    """Advance (v, further state) of every neuron in place by the ticks it slept: held first, then free."""
    k = rule.coefficients
    if rule.kind not in (M.KIND_ADAPTIVE, M.KIND_REFRACTORY, M.KIND_SRM):
        return
    zero = np.zeros(len(v))
    current = "i" in further
    i = further["i"] if current else zero
    s, alpha, e = (k[row] if current else zero for row in (L.K_S, L.K_ALPHA, L.K_E))
    held = np.zeros(len(v), np.int64)
    if "refractory" in further:
        held = np.minimum(further["refractory"].astype(np.int64), slept)
        further["refractory"] -= held
    if "b" in further:
        further["b"] *= k[M.A_RHO] ** slept
    if "q" in further:
        further["q"] *= k[M.S_RHO] ** slept
    for ticks in np.unique(held[held > 0]):
        m = held == ticks
        i[m] = silent(zero[m], zero[m], zero[m], alpha[m], e[m], v[m], i[m], int(ticks))[1]
    free = slept - held
    for ticks in np.unique(free[free > 0]):
        m = free == ticks
        v[m], i[m] = silent(k[L.K_A, m], s[m], k[L.K_C, m], alpha[m], e[m], v[m], i[m], int(ticks))
        v[m] = np.maximum(v[m], k[L.K_FLOOR, m])
