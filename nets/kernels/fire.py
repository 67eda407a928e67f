"""Turns potentials into events: spikes where a threshold was reached, samples where a layer is graded."""

from __future__ import annotations

import numpy as np

from nets.kernels import layout as L
from nets.kernels.jit import op


@op
def fire(weights, real, di, marks, table, pop, sites):  # type: ignore[no-untyped-def]
    """Collect and reset the spikes of the first `sites` fired sites; return how many.

    k = floor(v / th), or the largest k < v / th where the rule is v > th, or 1
    v <- v - k th, or v_reset

    A site where a neuron is still at its threshold is marked 2: it fires again unprompted.
    """
    n = table[pop + L.P_N]
    block = table[pop + L.P_BLOCK]
    v_at = table[pop + L.P_V]
    coef = table[pop + L.P_COEF]
    multi = table[pop + L.P_MULTI]
    strict = table[pop + L.P_STRICT]
    subtract = table[pop + L.P_SUBTRACT]
    index_at = table[pop + L.P_SPK_I]
    value_at = table[pop + L.P_SPK_V]
    fired_at = table[pop + L.P_FIRED]
    mark_at = table[pop + L.P_MARK]
    compare = coef + L.K_CMP * n
    one = weights[0]
    spikes = 0
    for q in range(sites):
        site = di[fired_at + q]
        for j in range(site * block, (site + 1) * block):
            v = real[v_at + j]
            if v >= weights[compare + j]:
                th = weights[coef + L.K_TH * n + j]
                k = one
                if multi != 0:
                    k = np.ceil(v / th) - one if strict != 0 else np.floor(v / th)
                    k = max(k, one)
                v = v - k * th if subtract != 0 else weights[coef + L.K_RESET * n + j]
                v = max(v, weights[coef + L.K_FLOOR * n + j])
                real[v_at + j] = v
                if v >= weights[compare + j]:
                    marks[mark_at + site] = 2
                di[index_at + spikes] = j
                real[value_at + spikes] = k
                spikes += 1
    return spikes


@op
def sample(weights, real, di, marks, table, pop, sites):  # type: ignore[no-untyped-def]
    """Collect the potentials of listed graded sites that are not zero; return how many.

    A site where anything is left to decay is marked 2.
    """
    block = table[pop + L.P_BLOCK]
    v_at = table[pop + L.P_V]
    i_at = table[pop + L.P_I]
    index_at = table[pop + L.P_SPK_I]
    value_at = table[pop + L.P_SPK_V]
    list_at = table[pop + L.P_LIST]
    mark_at = table[pop + L.P_MARK]
    zero = weights[1]
    spikes = 0
    for q in range(sites):
        site = di[list_at + q]
        for j in range(site * block, (site + 1) * block):
            v = real[v_at + j]
            if v != zero:
                di[index_at + spikes] = j
                real[value_at + spikes] = v
                spikes += 1
                marks[mark_at + site] = 2
            elif i_at >= 0 and real[i_at + j] != zero:
                marks[mark_at + site] = 2
    return spikes
