"""The spike response model, one tick: kernels kept as traces.

v <- a v + s i + g x + c        i <- alpha i + h x + e        q <- rho (q - eta z)
fires where v + q >= th (or >); v is never reset
"""

from __future__ import annotations

from nets.kernels import layout as L
from nets.kernels import model_layout as M
from nets.kernels.current import current_catch_up
from nets.kernels.jit import op
from nets.kernels.leak import leak_power


@op
def srm(weights, real, di, table, pop, site, found):  # type: ignore[no-untyped-def]
    """Update one site, clear its drive, append who reached its threshold (as what v had to reach); return how many."""
    n = table[pop + L.P_N]
    block = table[pop + L.P_BLOCK]
    strict = table[pop + L.P_STRICT]
    v_at = table[pop + L.P_V]
    x_at = table[pop + L.P_X]
    i_at = table[pop + L.P_U]
    q_at = i_at + n
    index_at = table[pop + L.P_SPK_I]
    value_at = table[pop + L.P_SPK_V]
    coef = table[pop + L.P_COEF]
    for j in range(site * block, (site + 1) * block):
        p = coef + j
        drive = real[x_at + j]
        real[x_at + j] = weights[1]
        i = real[i_at + j]
        real[i_at + j] = weights[p + L.K_ALPHA * n] * i + weights[p + L.K_H * n] * drive + weights[p + L.K_E * n]
        v = weights[p + L.K_A * n] * real[v_at + j] + weights[p + L.K_S * n] * i
        v = v + weights[p + L.K_G * n] * drive + weights[p + L.K_C * n]
        real[v_at + j] = v
        q = real[q_at + j]
        real[q_at + j] = weights[p + M.S_RHO * n] * q
        level = weights[p + L.K_TH * n] - q
        if v > level or (strict == 0 and v == level):
            di[index_at + found] = j
            real[value_at + found] = level
            found += 1
    return found


@op
def srm_catch_up(weights, real, table, pop, site, ticks):  # type: ignore[no-untyped-def]
    """Bring a site that slept through `ticks` ticks up to date; q <= 0, so who sleeps by v alone sleeps."""
    n = table[pop + L.P_N]
    block = table[pop + L.P_BLOCK]
    base = site * block
    coef = table[pop + L.P_COEF] + base
    i_at = table[pop + L.P_U]
    uniform = table[pop + L.P_UNIFORM]
    current_catch_up(weights, real, table[pop + L.P_V] + base, i_at + base, coef, n, block, uniform, ticks)
    for j in range(block):
        rho, _ = leak_power(weights, weights[coef + j + M.S_RHO * n], weights[1], ticks)
        real[i_at + n + base + j] *= rho
