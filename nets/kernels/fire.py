"""Turns potentials into events: spikes where a threshold was reached, samples where a layer is graded."""

from __future__ import annotations

from typing import Any

import numpy as np

from nets.kernels import layout as L
from nets.kernels.jit import op
from nets.kernels.simd import LANES, at_least, first_bit


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
    block = table[pop + L.P_BLOCK]
    v_at = np.uint64(table[pop + L.P_V])
    coef = table[pop + L.P_COEF]
    compare = np.uint64(coef + L.K_CMP * n)
    threshold = np.uint64(coef + L.K_TH * n)
    floor = np.uint64(coef + L.K_FLOOR * n)
    reset = np.uint64(coef + L.K_RESET * n)
    multi = table[pop + L.P_MULTI]
    strict = table[pop + L.P_STRICT]
    subtract = table[pop + L.P_SUBTRACT]
    index_at = table[pop + L.P_SPK_I]
    value_at = table[pop + L.P_SPK_V]
    mark_at = table[pop + L.P_MARK]
    one = weights[0]
    again = 0
    for at in range(first, end, LANES):
        group = np.uint64(at)
        hits: Any = np.int64(0)
        if at + LANES <= end:
            hits = at_least(real, v_at + group, weights, compare + group)
        else:
            for q in range(end - at):
                j = group + np.uint64(q)
                hits |= np.int64(real[v_at + j] >= weights[compare + j]) << q
        while hits != 0:
            neuron = at + first_bit(hits)
            hits &= hits - 1
            j = np.uint64(neuron)
            v = real[v_at + j]
            k = one
            if multi != 0:
                th = weights[threshold + j]
                k = np.ceil(v / th) - one if strict != 0 else np.floor(v / th)
                k = max(k, one)
            v = v - k * weights[threshold + j] if subtract != 0 else weights[reset + j]
            v = max(v, weights[floor + j])
            real[v_at + j] = v
            di[np.uint64(index_at + spikes)] = neuron
            real[np.uint64(value_at + spikes)] = k
            spikes += 1
            if v >= weights[compare + j]:
                marks[mark_at + neuron // block] = 2
                again += 1
    return spikes, again


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
