"""Takes late events in as if they had come in time: into the state between two ticks, decayed by their age.

A drive x that should have entered m ticks ago would by now have left

    v: a^m g x        with a current:  v: S g-and-h path of (g x, h x) over m ticks        i: alpha^m h x

so adding that is exact, unless the neuron fired, met its floor, or would have crossed a bound in between. Where that
cannot be excluded the event is risky: the neuron fired since, or its potential together with the event may have come
to a bound. How far potentials came is known where nothing else touched the layer since, by following the corrected
potential back; else from the extremes that are noted from the first late event on, for the last two epochs.
"""

from __future__ import annotations

import numpy as np

from nets.kernels import layout as L
from nets.kernels.current import current_catch_up, current_power
from nets.kernels.jit import op
from nets.kernels.leak import leak_catch_up, leak_power
from nets.kernels.scatter import deliver

EPOCH = 64
"""Ticks."""
MARGIN = 1e-5
"""Relative distance from a bound that counts as reaching it: above the rounding of float32."""


@op
def take_late(table, ints, weights, real, dyn, di, marks, ev_tick, ev_index, ev_value, tick):  # type: ignore[no-untyped-def]
    """Take in all buffered events of ticks before `tick`, the open one, and drop them from the buffers."""
    ports = table[L.H_PORT_AT]
    pops = table[L.H_POP_AT]
    conns = table[L.H_CONN_AT]
    counters = table[L.H_COUNTERS]
    for number in range(table[L.H_PORTS]):
        port = ports + number * L.Q_SIZE
        at = dyn[port + L.Q_BASE] + dyn[port + L.Q_HEAD]
        end = dyn[port + L.Q_BASE] + dyn[port + L.Q_TAIL]
        while at < end and ev_tick[at] < tick:
            risky = 0
            for p in range(table[L.H_POPS]):
                pop = pops + p * L.P_SIZE
                for k in range(table[pop + L.P_CONN0], table[pop + L.P_CONN1]):
                    conn = conns + k * L.C_SIZE
                    if table[conn + L.C_KIND] != L.FROM_PORT or table[conn + L.C_SRC] != number:
                        continue
                    count, synops = deliver(
                        ints, weights, real, di, marks, table, conn, pop, dyn[table[pop + L.P_COUNT]], ev_index,
                        ev_value, at, at + 1, 0,
                    )  # fmt: skip
                    dyn[table[pop + L.P_COUNT]] = count
                    dyn[counters + L.N_SYNOPS] += synops
                    how = table[pop + L.P_LATE]
                    if how != L.LATE_OPEN:
                        risky |= correct(table, weights, real, dyn, di, pop, tick, ev_tick[at], count)
                    if how != L.LATE_LINEAR:
                        risky = 1
            dyn[counters + L.N_RISKY] += risky
            at += 1
        dyn[port + L.Q_HEAD] = at - dyn[port + L.Q_BASE]


@op
def correct(table, weights, real, dyn, di, pop, tick, event_tick, count):  # type: ignore[no-untyped-def]
    """Move what stands in the drive of the listed sites into their state; return 1 where that might not be exact."""
    kind = table[pop + L.P_KIND]
    n = table[pop + L.P_N]
    block = table[pop + L.P_BLOCK]
    coef = table[pop + L.P_COEF]
    uniform = table[pop + L.P_UNIFORM]
    sleep = table[pop + L.P_SLEEP]
    v_at, i_at, x_at = table[pop + L.P_V], table[pop + L.P_I], table[pop + L.P_X]
    high, low = table[pop + L.P_HIGH], table[pop + L.P_HIGH] + 2 * n
    list_at, last_at = table[pop + L.P_LIST], table[pop + L.P_LAST]
    fired_at = table[pop + L.P_LAST_SPIKE]
    judged = table[pop + L.P_GRADED] == 0
    touched = judged and dyn[table[pop + L.P_TOUCHED]] >= event_tick
    tracked = judged and event_tick >= tracked_since(table, dyn, pop)
    age = tick - event_tick - 1
    zero = weights[1]
    risky = 0
    for q in range(count):
        site = np.int64(di[list_at + q])
        base = site * block
        reached = False
        for j in range(base, base + block):
            reached |= real[x_at + j] != zero
        if not reached:
            continue
        if table[pop + L.P_DECAYS] != 0:
            slept = tick - dyn[last_at + site]
            if slept > 0 and kind == L.KIND_LEAK:
                leak_catch_up(weights, real, v_at + base, coef + base, n, block, uniform, slept)
            elif slept > 0:
                current_catch_up(weights, real, v_at + base, i_at + base, coef + base, n, block, uniform, slept)
            dyn[last_at + site] = tick
        for j in range(base, base + block):
            x = real[x_at + j]
            if x == zero:
                continue
            real[x_at + j] = zero
            p = coef + j
            known = True
            old = real[v_at + j]
            push = weights[p + L.K_G * n] * x
            up, down = max(push, zero), min(push, zero)
            v = old + push
            top, bottom = v, v
            if kind == L.KIND_LEAK:
                a, c = leak_power(weights, weights[p + L.K_A * n], weights[p + L.K_C * n], age)
                v = old + a * push
                known = weights[p + L.K_A * n] > zero and a > zero  # else its way is not monotonic, or lost
                if known:
                    then = (v - c) / a
                    top, bottom = max(v, then), min(v, then)
            elif kind == L.KIND_CURRENT:
                a, s, c, alpha, e = current_power(
                    weights, weights[p + L.K_A * n], weights[p + L.K_S * n], weights[p + L.K_C * n],
                    weights[p + L.K_ALPHA * n], weights[p + L.K_E * n], age,
                )  # fmt: skip
                jump = weights[p + L.K_H * n] * x
                i = real[i_at + j] + alpha * jump
                v = old + a * push + s * jump
                real[i_at + j] = i
                known = sleep == L.SLEEP_BOUND and a > zero and alpha > zero
                if known:
                    kappa = weights[p + L.K_KAPPA * n]
                    up, down = up + max(jump, zero) * kappa, down + min(jump, zero) * kappa
                    i = (i - e) / alpha
                    top, bottom = bounds(weights, coef, n, j, (v - s * i - c) / a, i)
            floor = weights[p + L.K_FLOOR * n]
            real[v_at + j] = max(v, floor)
            if not judged:
                continue
            if touched:
                known &= tracked
                if known:
                    top = max(max(real[high + j], real[high + n + j]), old) + up
                    bottom = min(min(real[low + j], real[low + n + j]), old) + down
                    real[high + j], real[low + j] = top, bottom
            margin = (abs(top) + abs(bottom)) * np.float32(MARGIN)
            within = top + margin < weights[p + L.K_CMP * n] and bottom - margin > floor
            if not (known and within) or dyn[fired_at + j] >= event_tick:
                risky = 1
    return risky


@op
def tracked_since(table, dyn, pop):  # type: ignore[no-untyped-def]
    """From which tick on the extremes of a population's potentials are known."""
    at = table[pop + L.P_EPOCH]
    if dyn[at + 1] == L.NEVER:
        return -L.NEVER
    return max(dyn[at + 1], (dyn[at] - 1) * EPOCH)


@op
def track(table, weights, real, dyn, di, pop, tick, count, everywhere):  # type: ignore[no-untyped-def]
    """Note how high and how low the updated neurons stand, or may yet come unprompted, in this epoch.

    Two epochs are kept. Only populations that ports feed are tracked, and only once an event was late.
    """
    n = table[pop + L.P_N]
    block = table[pop + L.P_BLOCK]
    coef = table[pop + L.P_COEF]
    v_at, i_at = table[pop + L.P_V], table[pop + L.P_I]
    list_at = table[pop + L.P_LIST]
    high, low = table[pop + L.P_HIGH], table[pop + L.P_HIGH] + 2 * n
    bounded = table[pop + L.P_KIND] == L.KIND_CURRENT and table[pop + L.P_SLEEP] == L.SLEEP_BOUND
    at = table[pop + L.P_EPOCH]
    epoch = tick // EPOCH
    if dyn[at] != epoch:
        follows = dyn[at + 1] != L.NEVER and dyn[at] == epoch - 1
        for j in range(n):
            real[high + n + j] = real[high + j] if follows else -np.inf
            real[low + n + j] = real[low + j] if follows else np.inf
            real[high + j], real[low + j] = -np.inf, np.inf
        if dyn[at + 1] == L.NEVER:
            dyn[at + 1] = tick
        dyn[at] = epoch
    for q in range(count):
        site = np.int64(q) if everywhere != 0 else np.int64(di[np.uint64(list_at + q)])
        for j in range(site * block, (site + 1) * block):
            top = real[v_at + j]
            bottom = top
            if bounded:
                top, bottom = bounds(weights, coef, n, j, top, real[i_at + j])
            real[high + j], real[low + j] = max(real[high + j], top), min(real[low + j], bottom)


@op
def bounds(weights, coef, n, j, v, i):  # type: ignore[no-untyped-def]
    """How high and how low a current-based neuron left alone may come from (v, i): see `current_awake`."""
    zero = weights[1]
    p = coef + j
    rest, kappa = weights[p + L.K_VINF * n], weights[p + L.K_KAPPA * n]
    di = i - weights[p + L.K_IINF * n]
    return rest + max(v - rest, zero) + max(di, zero) * kappa, rest + min(v - rest, zero) + min(di, zero) * kappa
