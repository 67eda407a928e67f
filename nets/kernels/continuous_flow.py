"""Brings a site up to a later moment, in closed form.

    no leak     v <- max(v + slope d, floor)                           d: the time passed
    leak        v <- max(v_inf + (v - v_inf) e^-ad, floor)             a = 1 / tau_mem
    current     v <- v_inf + (v - v_inf) e^-ad + r (i - i_inf) e^-ad p(d)
                i <- i_inf + (i - i_inf) e^-bd                         b = 1 / tau_syn

The floor commutes with the first two: they move one way only. With a current there is none. A refractory neuron holds
its potential for what is left of its time, while its current goes on; what remains of d is as above.
"""

from __future__ import annotations

import math

import numpy as np

from nets.kernels import continuous_layout as L
from nets.kernels.continuous_crossing import response
from nets.kernels.jit import op


@op
def flow_flat(coef, real, v_at, k_at, n, block, d):  # type: ignore[no-untyped-def]
    v = np.uint64(v_at)
    k = np.uint64(k_at)
    m = np.uint64(n)
    for q in range(np.uint64(block)):
        u = real[v + q] + coef[k + q + np.uint64(L.K_REST) * m] * d
        real[v + q] = max(u, coef[k + q + np.uint64(L.K_FLOOR) * m])


@op
def flow_leak(coef, real, v_at, k_at, n, block, uniform, d):  # type: ignore[no-untyped-def]
    v = np.uint64(v_at)
    k = np.uint64(k_at)
    m = np.uint64(n)
    if uniform != 0:
        x = math.exp(-coef[k + np.uint64(L.K_RATE) * m] * d)
        for q in range(np.uint64(block)):
            rest = coef[k + q + np.uint64(L.K_REST) * m]
            real[v + q] = max(rest + (real[v + q] - rest) * x, coef[k + q + np.uint64(L.K_FLOOR) * m])
    else:
        for q in range(np.uint64(block)):
            x = math.exp(-coef[k + q + np.uint64(L.K_RATE) * m] * d)
            rest = coef[k + q + np.uint64(L.K_REST) * m]
            real[v + q] = max(rest + (real[v + q] - rest) * x, coef[k + q + np.uint64(L.K_FLOOR) * m])


@op
def flow_current(coef, real, v_at, i_at, k_at, n, block, uniform, d):  # type: ignore[no-untyped-def]
    v = np.uint64(v_at)
    i = np.uint64(i_at)
    k = np.uint64(k_at)
    m = np.uint64(n)
    a, b = coef[k + np.uint64(L.K_RATE) * m], coef[k + np.uint64(L.K_SYN) * m]
    x, y, p = math.exp(-a * d), math.exp(-b * d), response(d, a, b)
    for q in range(np.uint64(block)):
        if uniform == 0:
            a, b = coef[k + q + np.uint64(L.K_RATE) * m], coef[k + q + np.uint64(L.K_SYN) * m]
            x, y, p = math.exp(-a * d), math.exp(-b * d), response(d, a, b)
        rest = coef[k + q + np.uint64(L.K_REST) * m]
        still = coef[k + q + np.uint64(L.K_IREST) * m]
        excess = real[i + q] - still
        real[v + q] = rest + (real[v + q] - rest) * x + coef[k + q + np.uint64(L.K_R) * m] * excess * p
        real[i + q] = still + excess * y


@op
def flow_held(table, coef, real, pop, base, ns):  # type: ignore[no-untyped-def]
    kind, n = table[pop + L.P_KIND], table[pop + L.P_N]
    v_at, i_at, left_at = table[pop + L.P_V], table[pop + L.P_I], table[pop + L.P_LEFT]
    for q in range(base, base + table[pop + L.P_BLOCK]):
        k = table[pop + L.P_COEF] + q
        held = min(real[left_at + q], ns)
        real[left_at + q] -= held
        d = (ns - held) * L.SECOND
        rest, a = coef[k + L.K_REST * n], coef[k + L.K_RATE * n]
        v = real[v_at + q]
        if kind == L.KIND_CURRENT:
            b, still = coef[k + L.K_SYN * n], coef[k + L.K_IREST * n]
            excess = (real[i_at + q] - still) * math.exp(-b * held * L.SECOND)
            if d > 0.0:
                v = rest + (v - rest) * math.exp(-a * d) + coef[k + L.K_R * n] * excess * response(d, a, b)
            real[i_at + q] = still + excess * math.exp(-b * d)
        elif d > 0.0:
            v = v + rest * d if kind == L.KIND_FLAT else rest + (v - rest) * math.exp(-a * d)
        real[v_at + q] = max(v, coef[k + L.K_FLOOR * n])


@op
def flow(table, coef, real, pop, base, ns):  # type: ignore[no-untyped-def]
    """Bring the site whose first neuron is `base` forward by so many nanoseconds."""
    kind = table[pop + L.P_KIND]
    n, block, uniform = table[pop + L.P_N], table[pop + L.P_BLOCK], table[pop + L.P_UNIFORM]
    v, k = table[pop + L.P_V] + base, table[pop + L.P_COEF] + base
    d = ns * L.SECOND
    if table[pop + L.P_LEFT] >= 0:
        flow_held(table, coef, real, pop, base, np.float64(ns))
    elif kind == L.KIND_FLAT:
        flow_flat(coef, real, v, k, n, block, d)
    elif kind == L.KIND_LEAK:
        flow_leak(coef, real, v, k, n, block, uniform, d)
    elif kind == L.KIND_CURRENT:
        flow_current(coef, real, v, table[pop + L.P_I] + base, k, n, block, uniform, d)
