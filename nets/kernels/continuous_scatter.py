"""Delivers an event to a population: x[target] += value * gain * weight, rectangle by rectangle."""

from __future__ import annotations

import math

import numpy as np

from nets.kernels import continuous_layout as L
from nets.kernels.continuous_crossing import response
from nets.kernels.continuous_queue import push
from nets.kernels.jit import op


@op
def deliver(table, ints, weights, real, dyn, di, marks, conn, index, size):  # type: ignore[no-untyped-def]
    """Add one event's stamps and list the sites they touch."""
    pop = table[L.H_POP_AT] + table[conn + L.C_POP] * L.P_SIZE
    nstride = np.uint64(table[conn + L.C_NSTRIDE])
    x_at = np.uint64(table[pop + L.P_X])
    mark_at, list_at = table[pop + L.P_MARK], table[pop + L.P_LIST]
    ptr = table[conn + L.C_PTR] + index
    count = dyn[table[pop + L.P_COUNT]]
    synops = 0
    for k in range(ints[ptr], ints[ptr + 1]):
        s = table[conn + L.C_STAMP] + k * L.S_SIZE
        x = x_at + np.uint64(ints[s + L.S_N])
        w = np.uint64(ints[s + L.S_W])
        wstride = np.uint64(ints[s + L.S_WSTRIDE])
        run = np.uint64(ints[s + L.S_RUN])
        rows = ints[s + L.S_NY]
        f = size * weights[table[conn + L.C_GAIN] + k]
        if f == 1.0:
            for _ in range(rows):
                for j in range(run):
                    real[x + j] += weights[w + j]
                x += nstride
                w += wstride
        else:
            for _ in range(rows):
                for j in range(run):
                    real[x + j] += f * weights[w + j]
                x += nstride
                w += wstride
        site = ints[s + L.S_SITE]
        for _ in range(rows):
            for q in range(site, site + ints[s + L.S_SITES]):
                if marks[mark_at + q] == 0:
                    marks[mark_at + q] = L.LISTED
                    di[list_at + count] = q
                    count += 1
            site += table[conn + L.C_SSTRIDE]
        synops += ints[s + L.S_SYNOPS]
    dyn[table[pop + L.P_COUNT]] = count
    dyn[table[L.H_COUNTERS] + L.N_SYNOPS] += synops


@op
def send(table, ints, weights, real, dyn, di, marks, ahead, ahead_value, first, end, index, size, t):  # type: ignore[no-untyped-def]
    """Pass an event on by the connections first..end: now, or after the delay of its index."""
    for c in range(first, end):
        conn = table[L.H_CONN_AT] + c * L.C_SIZE
        delay = np.int64(0)
        if table[conn + L.C_DELAY] >= 0:
            delay = table[table[conn + L.C_DELAY] + index]
        if delay == 0:
            deliver(table, ints, weights, real, dyn, di, marks, conn, index, size)
        else:
            push(table, dyn, ahead, ahead_value, t + delay, conn, index, size)


@op
def send_late(table, ints, weights, coef, real, dyn, di, marks, ahead, ahead_value, first, end, index, size, then, t):  # type: ignore[no-untyped-def]
    """Pass on an event of the past: what of it has not arrived yet travels on, the rest has decayed by its age.

    Returns whether it might have changed a spike: a neuron was touched after it, or could have reached its threshold.
    """
    risky = False
    for c in range(first, end):
        conn = table[L.H_CONN_AT] + c * L.C_SIZE
        arrival = then
        if table[conn + L.C_DELAY] >= 0:
            arrival += table[table[conn + L.C_DELAY] + index]
        if arrival > t:
            push(table, dyn, ahead, ahead_value, arrival, conn, index, size)
        elif arrival == t:
            deliver(table, ints, weights, real, dyn, di, marks, conn, index, size)
        elif deliver_late(table, ints, weights, coef, real, dyn, di, marks, conn, index, size, arrival, t):
            risky = True
    return risky


@op
def deliver_late(table, ints, weights, coef, real, dyn, di, marks, conn, index, size, then, t):  # type: ignore[no-untyped-def]
    """Add what an event that was due at `then` has come to by `t`; return whether it might have changed a spike."""
    pop = table[L.H_POP_AT] + table[conn + L.C_POP] * L.P_SIZE
    kind, n = table[pop + L.P_KIND], table[pop + L.P_N]
    v_at, i_at, left_at = table[pop + L.P_V], table[pop + L.P_I], table[pop + L.P_LEFT]
    late_v, late_i = table[pop + L.P_LATE_V], table[pop + L.P_LATE_I]
    mark_at, list_at = table[pop + L.P_MARK], table[pop + L.P_LIST]
    last_at = table[L.H_LAST] + table[pop + L.P_SITE0]
    ptr = table[conn + L.C_PTR] + index
    count = dyn[table[pop + L.P_COUNT]]
    age = (t - then) * L.SECOND
    risky = False
    dyn[table[pop + L.P_LATE]] = 1
    for stamp in range(ints[ptr], ints[ptr + 1]):
        s = table[conn + L.C_STAMP] + stamp * L.S_SIZE
        f = size * weights[table[conn + L.C_GAIN] + stamp]
        for row in range(ints[s + L.S_NY]):
            target = ints[s + L.S_N] + row * table[conn + L.C_NSTRIDE]
            w = ints[s + L.S_W] + row * ints[s + L.S_WSTRIDE]
            site = ints[s + L.S_SITE] + row * table[conn + L.C_SSTRIDE]
            for q in range(site, site + ints[s + L.S_SITES]):
                if marks[mark_at + q] == 0:
                    marks[mark_at + q] = L.LISTED
                    di[list_at + count] = q
                    count += 1
            for q in range(target, target + ints[s + L.S_RUN]):
                k = table[pop + L.P_COEF] + q
                x = coef[k + L.K_G * n] * f * weights[w + q - target]
                if kind == L.KIND_SUM:
                    real[table[pop + L.P_X] + q] += x
                    risky = risky or table[pop + L.P_GRADED] == 0
                    continue
                last = dyn[last_at + q // table[pop + L.P_BLOCK]]
                held = 0.0
                if left_at >= 0 and real[left_at + q] > 0.0:
                    held = max(real[left_at + q] + (last - then), 0.0) * L.SECOND
                rest = coef[k + L.K_REST * n]
                high = max(real[v_at + q], 0.0 if kind == L.KIND_FLAT else rest) + max(x, 0.0)
                if kind == L.KIND_CURRENT:
                    r, peak = coef[k + L.K_R * n], coef[k + L.K_PEAK * n]
                    j = r * (real[i_at + q] - coef[k + L.K_IREST * n])
                    high = max(real[v_at + q], rest) + (max(j, 0.0) + max(r * x, 0.0)) * peak
                    a, b = coef[k + L.K_RATE * n], coef[k + L.K_SYN * n]
                    real[late_v + q] += r * x * math.exp(-b * held) * response(max(age - held, 0.0), a, b)
                    real[late_i + q] += x * math.exp(-b * age)
                elif held == 0.0:
                    if kind == L.KIND_FLAT:
                        high += max(rest, 0.0) * ((t - last) * L.SECOND)
                    real[late_v + q] += x * math.exp(-coef[k + L.K_RATE * n] * age)
                elif last <= then:
                    continue
                if table[pop + L.P_GRADED] == 0 and (last > then or high >= coef[k + L.K_CMP * n]):
                    risky = True
        dyn[table[L.H_COUNTERS] + L.N_SYNOPS] += ints[s + L.S_SYNOPS]
    dyn[table[pop + L.P_COUNT]] = count
    return risky
