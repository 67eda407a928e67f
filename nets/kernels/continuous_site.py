"""One site at one moment: forward to it, crossings, jumps, spikes, and when to look again.

A crossing takes place between two nanoseconds, is stamped with the later one, and its reset is carried from where it
took place: v <- v + (v_after - threshold) e^-a(stamp - crossing). So the state is that of the exact equations.
"""

from __future__ import annotations

import math

import numpy as np

from nets.kernels import continuous_layout as L
from nets.kernels.continuous_crossing import NEVER, with_current, with_current_earliest, without_current
from nets.kernels.continuous_flow import flow
from nets.kernels.jit import op


@op
def stamp_after(seconds):  # type: ignore[no-untyped-def]
    """Whole nanoseconds until the first at or after a crossing; at least one, or FAR."""
    ns = seconds * 1e9
    if not ns < 4e18:
        return np.int64(L.FAR)
    return np.int64(max(math.ceil(ns), 1.0))


@op
def solve(table, coef, real, dyn, pop, site):  # type: ignore[no-untyped-def]
    """Write each neuron's seconds to its crossing (NEVER if another one is stamped earlier); return the first stamp."""
    kind, n, block = table[pop + L.P_KIND], table[pop + L.P_N], table[pop + L.P_BLOCK]
    v_at, i_at, cross_at, coef_at = (
        table[pop + L.P_V],
        table[pop + L.P_I],
        table[pop + L.P_CROSS],
        table[pop + L.P_COEF],
    )
    first = np.int64(L.FAR)
    for q in range(site * block, (site + 1) * block):
        k = coef_at + q
        v, a, rest, threshold = real[v_at + q], coef[k + L.K_RATE * n], coef[k + L.K_REST * n], coef[k + L.K_TH * n]
        t = NEVER
        if v >= coef[k + L.K_CMP * n]:
            t = 0.0
        elif kind == L.KIND_CURRENT:
            u, h = v - rest, threshold - rest
            j = coef[k + L.K_R * n] * (real[i_at + q] - coef[k + L.K_IREST * n])
            earliest = with_current_earliest(u, j, h, a, coef[k + L.K_PEAK * n])
            if stamp_after(earliest * (1.0 - 1e-12)) <= first and earliest != NEVER:
                t = with_current(u, j, h, a, coef[k + L.K_SYN * n])
        else:
            t = without_current(v, rest, threshold, a)
        real[cross_at + q] = t
        first = min(first, stamp_after(t))
    last = dyn[table[L.H_LAST] + table[pop + L.P_SITE0] + site]
    return L.FAR if first == L.FAR else last + first


@op
def earliest(table, coef, real, pop, site, t):  # type: ignore[no-untyped-def]
    """A moment before which no neuron of a site updated at `t` can cross."""
    kind, n, block = table[pop + L.P_KIND], table[pop + L.P_N], table[pop + L.P_BLOCK]
    low = site * block
    least = NEVER
    if kind == L.KIND_CURRENT:
        v = np.uint64(table[pop + L.P_V] + low)
        i = np.uint64(table[pop + L.P_I] + low)
        k = np.uint64(table[pop + L.P_COEF] + low)
        m = np.uint64(n)
        open_ones = 0
        for q in range(np.uint64(block)):
            rest = coef[k + q + np.uint64(L.K_REST) * m]
            j = coef[k + q + np.uint64(L.K_R) * m] * (real[i + q] - coef[k + q + np.uint64(L.K_IREST) * m])
            bound = max(real[v + q] - rest, 0.0) + max(j, 0.0) * coef[k + q + np.uint64(L.K_PEAK) * m]
            open_ones += 0 if bound < coef[k + q + np.uint64(L.K_TH) * m] - rest else 1
        if open_ones == 0:
            return L.FAR
        for q in range(np.uint64(block)):
            rest = coef[k + q + np.uint64(L.K_REST) * m]
            j = coef[k + q + np.uint64(L.K_R) * m] * (real[i + q] - coef[k + q + np.uint64(L.K_IREST) * m])
            h = coef[k + q + np.uint64(L.K_TH) * m] - rest
            a, peak = coef[k + q + np.uint64(L.K_RATE) * m], coef[k + q + np.uint64(L.K_PEAK) * m]
            least = min(least, with_current_earliest(real[v + q] - rest, j, h, a, peak))
    else:
        v_at, coef_at = table[pop + L.P_V], table[pop + L.P_COEF]
        for q in range(low, low + block):
            k = coef_at + q
            a, rest, threshold = coef[k + L.K_RATE * n], coef[k + L.K_REST * n], coef[k + L.K_TH * n]
            least = min(least, without_current(real[v_at + q], rest, threshold, a))
    ns = least * 1e9 * (1.0 - 1e-12)
    if not ns < 4e18:
        return L.FAR
    return t + max(np.int64(math.floor(ns)), 1)


@op
def cross(table, coef, real, dyn, pop, site, t):  # type: ignore[no-untyped-def]
    """Reset the neurons of a site, already at `t`, whose crossing is stamped `t`."""
    n, block = table[pop + L.P_N], table[pop + L.P_BLOCK]
    v_at, cross_at, fire_at, coef_at = (
        table[pop + L.P_V],
        table[pop + L.P_CROSS],
        table[pop + L.P_FIRE],
        table[pop + L.P_COEF],
    )
    passed = t - dyn[table[L.H_LAST] + table[pop + L.P_SITE0] + site]
    for q in range(site * block, (site + 1) * block):
        seconds = real[cross_at + q]
        if stamp_after(seconds) == passed:
            k = coef_at + q
            since = max(passed * L.SECOND - seconds, 0.0)
            threshold = coef[k + L.K_TH * n]
            after = max(0.0, coef[k + L.K_FLOOR * n]) if table[pop + L.P_SUBTRACT] != 0 else coef[k + L.K_RESET * n]
            real[v_at + q] += (after - threshold) * math.exp(-coef[k + L.K_RATE * n] * since)
            real[fire_at + q] += 1.0


@op
def jump(table, coef, real, pop, base):  # type: ignore[no-untyped-def]
    """Add the drive of the moment and clear it; return how many neurons stand at their threshold."""
    n = np.uint64(table[pop + L.P_N])
    v = np.uint64(table[pop + L.P_V] + base)
    x = np.uint64(table[pop + L.P_X] + base)
    k = np.uint64(table[pop + L.P_COEF] + base)
    hot = 0
    if table[pop + L.P_KIND] == L.KIND_CURRENT:
        i = np.uint64(table[pop + L.P_I] + base)
        for q in range(np.uint64(table[pop + L.P_BLOCK])):
            real[i + q] += coef[k + q + np.uint64(L.K_G) * n] * real[x + q]
            real[x + q] = 0.0
            hot += 1 if real[v + q] >= coef[k + q + np.uint64(L.K_CMP) * n] else 0
    else:
        for q in range(np.uint64(table[pop + L.P_BLOCK])):
            u = real[v + q] + coef[k + q + np.uint64(L.K_G) * n] * real[x + q]
            u = max(u, coef[k + q + np.uint64(L.K_FLOOR) * n])
            real[v + q] = u
            real[x + q] = 0.0
            hot += 1 if u >= coef[k + q + np.uint64(L.K_CMP) * n] else 0
    return hot


@op
def late(table, coef, real, pop, base):  # type: ignore[no-untyped-def]
    """Add what late events have come to by now, and clear it."""
    v_at, late_v = table[pop + L.P_V] + base, table[pop + L.P_LATE_V] + base
    for q in range(table[pop + L.P_BLOCK]):
        real[v_at + q] += real[late_v + q]
        real[late_v + q] = 0.0
    if table[pop + L.P_KIND] == L.KIND_CURRENT:
        i_at, late_i = table[pop + L.P_I] + base, table[pop + L.P_LATE_I] + base
        for q in range(table[pop + L.P_BLOCK]):
            real[i_at + q] += real[late_i + q]
            real[late_i + q] = 0.0


@op
def fire(table, coef, real, di, pop, site, spikes):  # type: ignore[no-untyped-def]
    """Fire and reset what stands at its threshold, collect with what crossed it; return the spikes so far.

    k = floor(v / th), or the largest k < v / th where the rule is v > th, if several are allowed or v <- v - k th;
    else 1 and v <- v_reset
    """
    n, block = table[pop + L.P_N], table[pop + L.P_BLOCK]
    v_at, fire_at, coef_at = table[pop + L.P_V], table[pop + L.P_FIRE], table[pop + L.P_COEF]
    index_at, value_at = table[pop + L.P_SPK_I], table[pop + L.P_SPK_V]
    subtract, strict = table[pop + L.P_SUBTRACT], table[pop + L.P_STRICT]
    several = subtract != 0 or table[pop + L.P_MULTI] != 0
    for q in range(site * block, (site + 1) * block):
        k = real[fire_at + q]
        real[fire_at + q] = 0.0
        v = real[v_at + q]
        compare = coef[coef_at + L.K_CMP * n + q]
        while v >= compare:
            threshold = coef[coef_at + L.K_TH * n + q]
            times = 1.0
            if several:
                times = max(math.ceil(v / threshold) - 1.0 if strict != 0 else math.floor(v / threshold), 1.0)
            k += times
            v = v - times * threshold if subtract != 0 else coef[coef_at + L.K_RESET * n + q]
            v = max(v, coef[coef_at + L.K_FLOOR * n + q])
        if k > 0.0:
            real[v_at + q] = v
            di[index_at + spikes] = q
            real[value_at + spikes] = k
            spikes += 1
    return spikes


@op
def update(table, coef, real, dyn, di, marks, pop, site, t, spikes):  # type: ignore[no-untyped-def]
    """Bring a site to `t` with all that happens there; return the spikes of its population so far."""
    block = table[pop + L.P_BLOCK]
    base = site * block
    number = table[pop + L.P_SITE0] + site
    last_at = table[L.H_LAST] + number
    mark = table[pop + L.P_MARK] + site
    d = t - dyn[last_at]
    if d > 0:
        flow(table, coef, real, pop, base, d * L.SECOND)
    crossed = marks[mark] & L.CROSSING
    if crossed != 0:
        cross(table, coef, real, dyn, pop, site, t)
    dyn[last_at] = t
    marks[mark] = 0
    if dyn[table[pop + L.P_LATE]] != 0:
        late(table, coef, real, pop, base)
    hot = jump(table, coef, real, pop, base)
    if table[pop + L.P_GRADED] == 0 and (hot > 0 or crossed != 0):
        spikes = fire(table, coef, real, di, pop, site, spikes)
    return spikes
