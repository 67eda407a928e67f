"""The refractory time: from its spike on a neuron holds v_after and takes nothing in, while its current goes on.

    v(t) = v_after                                         t <= t_spike + hold
    i(t) = i_inf + (i - i_inf) e^-bt, jumps included       always

What is left of the time is kept in nanoseconds, whole ones after a jump: an event at the moment it ends is taken in.
"""

from __future__ import annotations

import math

from nets.kernels import continuous_layout as L
from nets.kernels.continuous_crossing import NEVER, with_current_earliest
from nets.kernels.jit import op


@op
def reset_at_once(table, coef, real, pop, site, passed):  # type: ignore[no-untyped-def]
    """Reset, before it is brought forward, each crossing neuron that will hold, or that stood above its threshold."""
    n, block = table[pop + L.P_N], table[pop + L.P_BLOCK]
    v_at, left_at, coef_at = table[pop + L.P_V], table[pop + L.P_LEFT], table[pop + L.P_COEF]
    cross_at, fire_at = table[pop + L.P_CROSS], table[pop + L.P_FIRE]
    for q in range(site * block, (site + 1) * block):
        ns = real[cross_at + q]
        if ns <= 0.0 or ns > passed:
            continue
        k = coef_at + q
        v, hold = real[v_at + q], coef[k + L.K_HOLD * n]
        above = v >= coef[k + L.K_CMP * n]
        if hold == 0.0 and not above:
            continue
        if table[pop + L.P_SUBTRACT] != 0:
            after = v - coef[k + L.K_TH * n] if above else 0.0
        else:
            after = coef[k + L.K_RESET * n]
        real[v_at + q] = max(after, coef[k + L.K_FLOOR * n])
        if hold > 0.0:
            real[left_at + q] = ns + hold
        real[cross_at + q] = NEVER
        real[fire_at + q] += 1.0


@op
def earliest_held(table, coef, real, pop, site):  # type: ignore[no-untyped-def]
    """Write for each neuron of a site a bound on its next crossing, -ns, or NEVER."""
    kind, n, block = table[pop + L.P_KIND], table[pop + L.P_N], table[pop + L.P_BLOCK]
    v_at, i_at, left_at = table[pop + L.P_V], table[pop + L.P_I], table[pop + L.P_LEFT]
    coef_at, cross_at = table[pop + L.P_COEF], table[pop + L.P_CROSS]
    for q in range(site * block, (site + 1) * block):
        k = coef_at + q
        v, rest, threshold = real[v_at + q], coef[k + L.K_REST * n], coef[k + L.K_TH * n]
        held, seconds = real[left_at + q], NEVER
        if v >= coef[k + L.K_CMP * n]:
            seconds = 0.0
        elif kind == L.KIND_CURRENT:
            j = coef[k + L.K_R * n] * (real[i_at + q] - coef[k + L.K_IREST * n])
            if held > 0.0:
                j *= math.exp(-coef[k + L.K_SYN * n] * held * L.SECOND)
            u, h = v - rest, threshold - rest
            seconds = with_current_earliest(u, j, h, coef[k + L.K_RATE * n], coef[k + L.K_PEAK * n])
        elif kind == L.KIND_LEAK:
            if rest > threshold:
                seconds = with_current_earliest(v - rest, 0.0, threshold - rest, coef[k + L.K_RATE * n], 0.0)
        elif rest > 0.0:
            seconds = max(threshold - v, 0.0) / rest
        real[cross_at + q] = -(held + seconds * 1e9) * (1.0 - 1e-12) if seconds < NEVER else NEVER


@op
def jump_held(table, coef, real, pop, base):  # type: ignore[no-untyped-def]
    """Add the drive of the moment to currents, and to the potentials that do not hold; how many are at threshold."""
    kind, n = table[pop + L.P_KIND], table[pop + L.P_N]
    v_at, i_at, left_at = table[pop + L.P_V], table[pop + L.P_I], table[pop + L.P_LEFT]
    coef_at, x_at = table[pop + L.P_COEF], table[pop + L.P_X]
    hot = 0
    for q in range(base, base + table[pop + L.P_BLOCK]):
        k = coef_at + q
        x, free = coef[k + L.K_G * n] * real[x_at + q], real[left_at + q] <= 0.0
        real[x_at + q] = 0.0
        if kind == L.KIND_CURRENT:
            real[i_at + q] += x
        elif free:
            real[v_at + q] = max(real[v_at + q] + x, coef[k + L.K_FLOOR * n])
        hot += 1 if free and real[v_at + q] >= coef[k + L.K_CMP * n] else 0
    return hot
