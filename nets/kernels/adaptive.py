"""The membrane with a moving threshold and a refractory time, one tick.

    held:   left <- left - 1, v stays                          free:  v <- max(a v + g x + c, floor)
    fires   where free and v >= th + beta b  (or >)            b <- rho b + (1 - rho) z

Here b only decays; what a spike adds is `settle.spike`'s part.
"""

from __future__ import annotations

import numpy as np

from nets.kernels import layout as L
from nets.kernels import model_layout as M
from nets.kernels.jit import op
from nets.kernels.leak import leak_power


@op
def adaptive(weights, real, di, table, pop, site, found):  # type: ignore[no-untyped-def]
    """Update one site, clear its drive, append who reached its threshold (with that threshold); return how many."""
    n = table[pop + L.P_N]
    block = table[pop + L.P_BLOCK]
    strict = table[pop + L.P_STRICT]
    v_at = table[pop + L.P_V]
    x_at = table[pop + L.P_X]
    b_at = table[pop + L.P_U]
    left_at = b_at + n
    index_at = table[pop + L.P_SPK_I]
    value_at = table[pop + L.P_SPK_V]
    coef = table[pop + L.P_COEF]
    zero = weights[1]
    for j in range(site * block, (site + 1) * block):
        p = coef + j
        drive = real[x_at + j]
        real[x_at + j] = zero
        b = real[b_at + j]
        real[b_at + j] = weights[p + M.A_RHO * n] * b
        if real[left_at + j] > zero:
            real[left_at + j] -= weights[0]
            continue
        v = weights[p + L.K_A * n] * real[v_at + j] + weights[p + L.K_G * n] * drive + weights[p + L.K_C * n]
        v = max(v, weights[p + L.K_FLOOR * n])
        real[v_at + j] = v
        level = weights[p + L.K_TH * n] + weights[p + M.A_BETA * n] * b
        if v > level or (strict == 0 and v == level):
            di[index_at + found] = j
            real[value_at + found] = level
            found += 1
    return found


@op
def adaptive_catch_up(weights, real, table, pop, site, ticks):  # type: ignore[no-untyped-def]
    """Bring a site that slept through `ticks` ticks up to date: first held, then moving one way towards its rest."""
    n = table[pop + L.P_N]
    block = table[pop + L.P_BLOCK]
    v_at = table[pop + L.P_V]
    b_at = table[pop + L.P_U]
    left_at = b_at + n
    coef = table[pop + L.P_COEF]
    uniform = table[pop + L.P_UNIFORM]
    zero = weights[1]
    p = coef + site * block
    ra, rc = leak_power(weights, weights[p + L.K_A * n], weights[p + L.K_C * n], ticks)
    rho, _ = leak_power(weights, weights[p + M.A_RHO * n], zero, ticks)
    for j in range(site * block, (site + 1) * block):
        p = coef + j
        if uniform == 0:
            rho, _ = leak_power(weights, weights[p + M.A_RHO * n], zero, ticks)
        real[b_at + j] *= rho
        left = real[left_at + j]
        if left > zero or uniform == 0:
            held = min(np.int64(left), ticks)
            real[left_at + j] -= held
            pa, pc = leak_power(weights, weights[p + L.K_A * n], weights[p + L.K_C * n], ticks - held)
        else:
            pa, pc = ra, rc
        real[v_at + j] = max(pa * real[v_at + j] + pc, weights[p + L.K_FLOOR * n])


@op
def adaptive_awake(weights, real, table, pop, site):  # type: ignore[no-untyped-def]
    """Whether any neuron is at its base threshold: below it, v never meets th + beta b >= th without input."""
    n = table[pop + L.P_N]
    block = table[pop + L.P_BLOCK]
    v_at = table[pop + L.P_V]
    compare = table[pop + L.P_COEF] + L.K_CMP * n
    at_threshold = 0
    for j in range(site * block, (site + 1) * block):
        at_threshold += 1 if real[v_at + j] >= weights[compare + j] else 0
    return at_threshold > 0
