"""One tick of a layer: potentials move, spikes leave where a threshold was reached, samples where it is graded."""

from __future__ import annotations

import numpy as np

from nets.kernels import layout as L
from nets.kernels.current import current
from nets.kernels.integrate import integrate
from nets.kernels.jit import op
from nets.kernels.lanes import LANES, first_bit
from nets.kernels.leak import leak


@op
def advance(weights, real, di, marks, table, pop, count, everywhere):  # type: ignore[no-untyped-def]
    """Advance the listed sites, or all of them, by one tick; collect and reset the spikes of those that fire.

    Return how many, and whether a neuron is still at its threshold: its site, marked 2, fires again unprompted.

    k = floor(v / th), or the largest k < v / th where the rule is v > th, or 1
    v <- v - k th, or v_reset
    """
    kind = table[pop + L.P_KIND]
    n = table[pop + L.P_N]
    block = table[pop + L.P_BLOCK]
    same = table[pop + L.P_SAME]
    graded = table[pop + L.P_GRADED]
    v_at = np.uint64(table[pop + L.P_V])
    i_at = np.uint64(table[pop + L.P_I])
    x_at = np.uint64(table[pop + L.P_X])
    coef = table[pop + L.P_COEF]
    compare = np.uint64(coef + L.K_CMP * n)
    threshold = np.uint64(coef + L.K_TH * n)
    floor = np.uint64(coef + L.K_FLOOR * n)
    reset = np.uint64(coef + L.K_RESET * n)
    multi = table[pop + L.P_MULTI]
    strict = table[pop + L.P_STRICT]
    subtract = table[pop + L.P_SUBTRACT]
    list_at = table[pop + L.P_LIST]
    index_at = table[pop + L.P_SPK_I]
    value_at = table[pop + L.P_SPK_V]
    mark_at = table[pop + L.P_MARK]
    one = weights[0]
    spikes = 0
    again = 0
    for q in range(1 if everywhere != 0 else count):
        first = 0
        end = n
        if everywhere == 0:
            first = np.int64(di[np.uint64(list_at + q)]) * block
            end = first + block
        for at in range(first, end, LANES):
            group = np.uint64(at)
            v, x, left = v_at + group, x_at + group, end - at
            if kind == L.KIND_INTEGRATE:
                hits = integrate(weights, real, v, x, coef, n, group, same, left)
            elif kind == L.KIND_LEAK:
                hits = leak(weights, real, v, x, coef, n, group, same, left)
            else:
                hits = current(weights, real, v, i_at + group, x, coef, n, group, same, left)
            if graded != 0:
                continue
            while hits != 0:
                neuron = at + first_bit(hits)
                hits &= hits - 1
                j = np.uint64(neuron)
                u = real[v_at + j]
                k = one
                if multi != 0:
                    th = weights[threshold + j]
                    k = np.ceil(u / th) - one if strict != 0 else np.floor(u / th)
                    k = max(k, one)
                u = u - k * weights[threshold + j] if subtract != 0 else weights[reset + j]
                u = max(u, weights[floor + j])
                real[v_at + j] = u
                di[np.uint64(index_at + spikes)] = neuron
                real[np.uint64(value_at + spikes)] = k
                spikes += 1
                if u >= weights[compare + j]:
                    marks[mark_at + neuron // block] = 2
                    again += 1
    return spikes, again


@op
def sample(weights, real, di, marks, table, pop, sites, everywhere):  # type: ignore[no-untyped-def]
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
        site = np.int64(q) if everywhere != 0 else np.int64(di[list_at + q])
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
