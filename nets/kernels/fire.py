"""Fires the neurons of a site that reached their threshold, or reports the potentials of graded ones."""

from __future__ import annotations

import numpy as np

from nets.kernels import layout as L
from nets.kernels.jit import op


@op
def fire(weights, real, di, table, pop, base, spikes):  # type: ignore[no-untyped-def]
    """Append a site's spikes and reset them; return the new spike count and whether one could fire again unprompted.

    k = floor(v / th), or the largest k < v / th where the rule is v > th, or 1
    v <- v - k th, or v_reset
    """
    n = table[pop + L.P_N]
    block = table[pop + L.P_BLOCK]
    v_at = table[pop + L.P_V] + base
    coef = table[pop + L.P_COEF] + base
    multi = table[pop + L.P_MULTI]
    strict = table[pop + L.P_STRICT]
    subtract = table[pop + L.P_SUBTRACT]
    index_at = table[pop + L.P_SPK_I]
    value_at = table[pop + L.P_SPK_V]
    one = weights[0]
    again = False
    for j in range(block):
        v = real[v_at + j]
        if v >= weights[coef + L.K_CMP * n + j]:
            th = weights[coef + L.K_TH * n + j]
            k = one
            if multi != 0:
                k = np.ceil(v / th) - one if strict != 0 else np.floor(v / th)
                k = max(k, one)
            v = v - k * th if subtract != 0 else weights[coef + L.K_RESET * n + j]
            v = max(v, weights[coef + L.K_FLOOR * n + j])
            real[v_at + j] = v
            if v >= weights[coef + L.K_CMP * n + j]:
                again = True
            di[index_at + spikes] = base + j
            real[value_at + spikes] = k
            spikes += 1
    return spikes, again


@op
def sample(weights, real, di, table, pop, base, spikes):  # type: ignore[no-untyped-def]
    """Append a graded site's potentials that are not zero; return the count and whether anything is left to decay."""
    block = table[pop + L.P_BLOCK]
    v_at = table[pop + L.P_V] + base
    i_at = table[pop + L.P_I]
    index_at = table[pop + L.P_SPK_I]
    value_at = table[pop + L.P_SPK_V]
    zero = weights[1]
    left = False
    for j in range(block):
        v = real[v_at + j]
        if v != zero:
            di[index_at + spikes] = base + j
            real[value_at + spikes] = v
            spikes += 1
            left = True
        if i_at >= 0 and real[i_at + base + j] != zero:
            left = True
    return spikes, left
