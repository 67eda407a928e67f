"""The current-based membrane with a refractory time, one tick.

i <- alpha i + h x + e    always        held:  left <- left - 1, v stays
free:  v <- max(a v + s i + g x + c, floor), fires where v >= th (or >)
"""

from __future__ import annotations

import numpy as np

from nets.kernels import layout as L
from nets.kernels.current import current_power
from nets.kernels.jit import op
from nets.kernels.leak import leak_power


@op
def refractory(weights, real, di, table, pop, site, found):  # type: ignore[no-untyped-def]
    """Update one site, clear its drive, append who reached its threshold (with that threshold); return how many."""
    n = table[pop + L.P_N]
    block = table[pop + L.P_BLOCK]
    strict = table[pop + L.P_STRICT]
    v_at = table[pop + L.P_V]
    x_at = table[pop + L.P_X]
    i_at = table[pop + L.P_U]
    left_at = i_at + n
    index_at = table[pop + L.P_SPK_I]
    value_at = table[pop + L.P_SPK_V]
    coef = table[pop + L.P_COEF]
    zero = weights[1]
    for j in range(site * block, (site + 1) * block):
        p = coef + j
        drive = real[x_at + j]
        real[x_at + j] = zero
        i = real[i_at + j]
        real[i_at + j] = weights[p + L.K_ALPHA * n] * i + weights[p + L.K_H * n] * drive + weights[p + L.K_E * n]
        if real[left_at + j] > zero:
            real[left_at + j] -= weights[0]
            continue
        v = weights[p + L.K_A * n] * real[v_at + j] + weights[p + L.K_S * n] * i
        v = v + weights[p + L.K_G * n] * drive + weights[p + L.K_C * n]
        v = max(v, weights[p + L.K_FLOOR * n])
        real[v_at + j] = v
        level = weights[p + L.K_TH * n]
        if v > level or (strict == 0 and v == level):
            di[index_at + found] = j
            real[value_at + found] = level
            found += 1
    return found


@op
def refractory_catch_up(weights, real, table, pop, site, ticks):  # type: ignore[no-untyped-def]
    """Bring a site that slept through `ticks` ticks up to date: the current alone while held, then both."""
    n = table[pop + L.P_N]
    block = table[pop + L.P_BLOCK]
    v_at = table[pop + L.P_V]
    i_at = table[pop + L.P_U]
    left_at = i_at + n
    coef = table[pop + L.P_COEF]
    for j in range(site * block, (site + 1) * block):
        p = coef + j
        alpha, e = weights[p + L.K_ALPHA * n], weights[p + L.K_E * n]
        held = min(np.int64(real[left_at + j]), ticks)
        real[left_at + j] -= held
        ralpha, re = leak_power(weights, alpha, e, held)
        i = ralpha * real[i_at + j] + re
        a, s, c = weights[p + L.K_A * n], weights[p + L.K_S * n], weights[p + L.K_C * n]
        ra, rs, rc, ralpha, re = current_power(weights, a, s, c, alpha, e, ticks - held)
        real[v_at + j] = ra * real[v_at + j] + rs * i + rc
        real[i_at + j] = ralpha * i + re
