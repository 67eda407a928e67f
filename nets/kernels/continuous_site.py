"""One site at one moment: forward to it, crossings, jumps, spikes, and when to look again.

A crossing takes place between two nanoseconds, is stamped with the later one, and its reset is carried from where it
took place: v <- v + (v_after - threshold) e^-a(stamp - crossing). So the state is that of the exact equations. A
refractory neuron holds v_after from its crossing on.
"""

from __future__ import annotations

import math

import numpy as np

from nets.kernels import continuous_layout as L
from nets.kernels.continuous_crossing import NEVER, with_current, with_current_earliest, without_current
from nets.kernels.continuous_flow import flow
from nets.kernels.continuous_hold import earliest_held, jump_held, reset_at_once
from nets.kernels.jit import op


@op
def stamp_after(t, ns):  # type: ignore[no-untyped-def]
    """The first nanosecond after `t`, and not before `ns` have passed since; or FAR."""
    if not ns < 4e18:
        return np.int64(L.FAR)
    return t + max(np.int64(math.ceil(ns)), np.int64(1))


@op
def solve(table, coef, real, dyn, pop, site, horizon):  # type: ignore[no-untyped-def]
    """Turn bounds into crossings for each neuron that may come first before `horizon`.

    Returns the first stamp and whether it is exact: else no neuron of the site crosses up to the horizon.
    """
    kind, n, block = table[pop + L.P_KIND], table[pop + L.P_N], table[pop + L.P_BLOCK]
    v_at, i_at, left_at = table[pop + L.P_V], table[pop + L.P_I], table[pop + L.P_LEFT]
    cross_at, coef_at = table[pop + L.P_CROSS], table[pop + L.P_COEF]
    last = dyn[table[L.H_LAST] + table[pop + L.P_SITE0] + site]
    first = max(horizon - last, 1)
    found = False
    others = NEVER
    for q in range(site * block, (site + 1) * block):
        t = real[cross_at + q]
        if t <= 0.0 and -t <= first:
            k = coef_at + q
            v, a, rest, threshold = real[v_at + q], coef[k + L.K_RATE * n], coef[k + L.K_REST * n], coef[k + L.K_TH * n]
            held = real[left_at + q] if left_at >= 0 else 0.0
            if v >= coef[k + L.K_CMP * n]:
                t = 0.0
            elif kind == L.KIND_CURRENT:
                b = coef[k + L.K_SYN * n]
                j = coef[k + L.K_R * n] * (real[i_at + q] - coef[k + L.K_IREST * n])
                if held > 0.0:
                    j *= math.exp(-b * held * L.SECOND)
                t = with_current(v - rest, j, threshold - rest, a, b)
            else:
                t = without_current(v, rest, threshold, a)
            t = max(held + t * 1e9, 1e-300)  # above 0: no bound any more
            real[cross_at + q] = t
        if t > 0.0 and t <= first:
            first = stamp_after(0, t)
            found = True
        else:
            others = min(others, abs(t))
    return (last + first, True) if found else (stamp_after(last, others), False)


@op
def earliest(table, coef, real, pop, site, t):  # type: ignore[no-untyped-def]
    """Write for each neuron of a site updated at `t` a bound, -ns, or NEVER; return the moment of the first.

    Without a current the rise towards rest is concave too: the same tangent with j = 0.
    """
    m = np.uint64(table[pop + L.P_N])
    block = np.uint64(table[pop + L.P_BLOCK])
    v = np.uint64(table[pop + L.P_V] + site * table[pop + L.P_BLOCK])
    c = np.uint64(table[pop + L.P_CROSS] + site * table[pop + L.P_BLOCK])
    k = np.uint64(table[pop + L.P_COEF] + site * table[pop + L.P_BLOCK])
    rest_at, th_at = k + np.uint64(L.K_REST) * m, k + np.uint64(L.K_TH) * m
    a_at = k + np.uint64(L.K_RATE) * m
    least = NEVER
    if table[pop + L.P_LEFT] >= 0:
        earliest_held(table, coef, real, pop, site)
    elif table[pop + L.P_KIND] == L.KIND_CURRENT:
        i = np.uint64(table[pop + L.P_I] + site * table[pop + L.P_BLOCK])
        r_at, still_at, peak_at = (
            k + np.uint64(L.K_R) * m,
            k + np.uint64(L.K_IREST) * m,
            k + np.uint64(L.K_PEAK) * m,
        )
        possible = 0
        for q in range(block):
            u, h = real[v + q] - coef[rest_at + q], coef[th_at + q] - coef[rest_at + q]
            j = coef[r_at + q] * (real[i + q] - coef[still_at + q])
            seconds = with_current_earliest(u, j, h, coef[a_at + q], coef[peak_at + q])
            real[c + q] = -seconds * 1e9 if seconds < NEVER else NEVER
            possible += 1 if seconds < NEVER else 0
        if possible == 0:
            return L.FAR
    elif table[pop + L.P_KIND] == L.KIND_LEAK:
        for q in range(block):
            rest, threshold = coef[rest_at + q], coef[th_at + q]
            seconds = with_current_earliest(real[v + q] - rest, 0.0, threshold - rest, coef[a_at + q], 0.0)
            real[c + q] = -seconds * 1e9 if rest > threshold or seconds == 0.0 else NEVER
    else:
        for q in range(block):
            room, slope = coef[th_at + q] - real[v + q], coef[rest_at + q]
            real[c + q] = -(max(room, 0.0) * ((1.0 - 1e-12) * 1e9) / slope) if slope > 0.0 else NEVER
            if room < 0.0:
                real[c + q] = -0.0
    for q in range(block):
        least = min(least, abs(real[c + q]))
    return stamp_after(t, least)


@op
def cross(table, coef, real, pop, site, passed):  # type: ignore[no-untyped-def]
    """Reset the neurons of a site, already brought forward by `passed` ns, that crossed in the last of these."""
    n, block = table[pop + L.P_N], table[pop + L.P_BLOCK]
    v_at, coef_at, cross_at, fire_at = (
        table[pop + L.P_V],
        table[pop + L.P_COEF],
        table[pop + L.P_CROSS],
        table[pop + L.P_FIRE],
    )
    for q in range(site * block, (site + 1) * block):
        ns = real[cross_at + q]
        if ns > 0.0 and ns <= passed:
            k = coef_at + q
            since = max(passed - ns, 0.0) * L.SECOND
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
    if table[pop + L.P_LEFT] >= 0:
        hot = jump_held(table, coef, real, pop, base)
    elif table[pop + L.P_KIND] == L.KIND_CURRENT:
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
    v_at, late_v, left_at = table[pop + L.P_V] + base, table[pop + L.P_LATE_V] + base, table[pop + L.P_LEFT]
    for q in range(table[pop + L.P_BLOCK]):
        if left_at < 0 or real[left_at + base + q] <= 0.0:
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

    k = floor(v / th), or the largest k < v / th where the rule is v > th, if several are allowed, or v <- v - k th
    and nothing holds it; else 1
    """
    n, block = table[pop + L.P_N], table[pop + L.P_BLOCK]
    v_at, fire_at, coef_at = table[pop + L.P_V], table[pop + L.P_FIRE], table[pop + L.P_COEF]
    index_at, value_at = table[pop + L.P_SPK_I], table[pop + L.P_SPK_V]
    subtract, strict = table[pop + L.P_SUBTRACT], table[pop + L.P_STRICT]
    multi, left_at = table[pop + L.P_MULTI], table[pop + L.P_LEFT]
    for q in range(site * block, (site + 1) * block):
        k, v, compare = real[fire_at + q], real[v_at + q], coef[coef_at + L.K_CMP * n + q]
        free = left_at < 0 or real[left_at + q] <= 0.0
        if k == 0.0 and (v < compare or not free):
            continue
        real[fire_at + q] = 0.0
        hold = coef[coef_at + L.K_HOLD * n + q]
        while v >= compare and free:
            threshold = coef[coef_at + L.K_TH * n + q]
            times = 1.0
            if multi != 0 or (subtract != 0 and hold == 0.0):
                times = max(math.ceil(v / threshold) - 1.0 if strict != 0 else math.floor(v / threshold), 1.0)
            k += times
            v = v - times * threshold if subtract != 0 else coef[coef_at + L.K_RESET * n + q]
            v = max(v, coef[coef_at + L.K_FLOOR * n + q])
            if hold > 0.0:
                real[left_at + q] = hold
                free = False
        real[v_at + q] = v
        di[index_at + spikes] = q
        real[value_at + spikes] = k
        spikes += 1
    return spikes


@op
def update(table, coef, real, dyn, di, marks, pop, site, t, spikes):  # type: ignore[no-untyped-def]
    """Bring a site to `t` with all that happens there; return the spikes of its population so far."""
    base = site * table[pop + L.P_BLOCK]
    last_at = table[L.H_LAST] + table[pop + L.P_SITE0] + site
    mark = table[pop + L.P_MARK] + site
    passed = t - dyn[last_at]
    crossed = marks[mark] & L.CROSSING
    if crossed != 0:
        reset_at_once(table, coef, real, pop, site, passed)
    if passed > 0:
        flow(table, coef, real, pop, base, passed)
    if crossed != 0:
        cross(table, coef, real, pop, site, passed)
    dyn[last_at] = t
    marks[mark] = 0
    if dyn[table[pop + L.P_LATE]] != 0:
        late(table, coef, real, pop, base)
    hot = jump(table, coef, real, pop, base)
    if table[pop + L.P_GRADED] == 0 and (hot > 0 or crossed != 0):
        spikes = fire(table, coef, real, di, pop, site, spikes)
    return spikes
