"""Turns potentials into events: spikes where a threshold was reached, samples where a layer is graded."""

from __future__ import annotations

import numpy as np

from nets.kernels import layout as L
from nets.kernels.jit import op
from nets.kernels.simd import LANES, at_least


@op
def fire(weights, real, di, marks, table, pop, sites):  # type: ignore[no-untyped-def]
    """Collect and reset the spikes of the first `sites` fired sites, or of all where `sites` is below 0.

    Return how many, and whether a neuron is still at its threshold: its site, marked 2, fires again unprompted.

    k = floor(v / th), or the largest k < v / th where the rule is v > th, or 1
    v <- v - k th, or v_reset
    """
    if sites < 0:
        return fire_range(weights, real, di, marks, table, pop, 0, table[pop + L.P_N], 0)
    block = table[pop + L.P_BLOCK]
    fired_at = table[pop + L.P_FIRED]
    spikes = 0
    again = 0
    for q in range(sites):
        site = np.int64(di[fired_at + q])
        spikes, more = fire_range(weights, real, di, marks, table, pop, site * block, (site + 1) * block, spikes)
        again += more
    return spikes, again


@op
def fire_range(weights, real, di, marks, table, pop, first, end, spikes):  # type: ignore[no-untyped-def]
    """The same for neurons first..end; `spikes` were collected before."""
    n = table[pop + L.P_N]
    v_at = np.uint64(table[pop + L.P_V])
    compare = np.uint64(table[pop + L.P_COEF] + L.K_CMP * n)
    again = 0
    at = np.uint64(first)
    stop = np.uint64(end)
    lanes = np.uint64(LANES)
    while at + lanes <= stop:
        hits = at_least(real, v_at + at, weights, compare + at)
        j = at
        while hits != 0:
            if hits & 1:
                again += spike(weights, real, di, marks, table, pop, j, spikes)
                spikes += 1
            hits >>= 1
            j += np.uint64(1)
        at += lanes
    for q in range(at, stop):
        if real[v_at + q] >= weights[compare + q]:
            again += spike(weights, real, di, marks, table, pop, q, spikes)
            spikes += 1
    return spikes, again


@op
def spike(weights, real, di, marks, table, pop, neuron, spikes):  # type: ignore[no-untyped-def]
    """Reset one neuron and note its spikes; return 1 where it is still at its threshold."""
    j = np.int64(neuron)
    n = table[pop + L.P_N]
    v_at = table[pop + L.P_V]
    coef = table[pop + L.P_COEF]
    one = weights[0]
    v = real[v_at + j]
    th = weights[coef + L.K_TH * n + j]
    k = one
    if table[pop + L.P_MULTI] != 0:
        k = np.ceil(v / th) - one if table[pop + L.P_STRICT] != 0 else np.floor(v / th)
        k = max(k, one)
    v = v - k * th if table[pop + L.P_SUBTRACT] != 0 else weights[coef + L.K_RESET * n + j]
    v = max(v, weights[coef + L.K_FLOOR * n + j])
    real[v_at + j] = v
    di[table[pop + L.P_SPK_I] + spikes] = j
    real[table[pop + L.P_SPK_V] + spikes] = k
    if v >= weights[coef + L.K_CMP * n + j]:
        marks[table[pop + L.P_MARK] + j // table[pop + L.P_BLOCK]] = 2
        return 1
    return 0


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
