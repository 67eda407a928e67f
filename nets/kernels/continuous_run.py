"""Runs a continuous program: every moment at which anything happens, up to an end, in one call without Python.

At a moment: crossings due now, spikes that arrive now, input events of now; then unit by unit, in order of
computation, all of it together moves the potentials, and what fires is passed on within the same moment.
"""

from __future__ import annotations

import numpy as np

from nets.kernels import continuous_layout as L
from nets.kernels.continuous_flow import flow
from nets.kernels.continuous_queue import pop, schedule
from nets.kernels.continuous_scatter import deliver, send, send_late
from nets.kernels.continuous_site import earliest, solve, update
from nets.kernels.jit import entry, op

DONE, FULL, CROWDED = 0, 1, 2


@op
def solve_first(table, coef, real, dyn, marks, ints, horizon):  # type: ignore[no-untyped-def]
    """Replace the bound at the top of the heap: by its site's first crossing up to `horizon`, or one beyond that."""
    number = dyn[table[L.H_HEAP]]
    unit = table[L.H_POP_AT] + ints[table[L.H_SITE_POP] + number] * L.P_SIZE
    due, exact = solve(table, coef, real, dyn, unit, number - table[unit + L.P_SITE0], horizon)
    marks[table[L.H_EXACT] + number] = 1 if exact else 0
    schedule(table, dyn, number, due)
    dyn[table[L.H_COUNTERS] + L.N_SOLVED] += 1


@op
def next_moment(table, coef, real, dyn, marks, ints, ahead, ev_t, until):  # type: ignore[no-untyped-def]
    """The next moment at which anything happens, or `until`."""
    now = dyn[table[L.H_NOW]]
    bound = until
    for p in range(table[L.H_PORTS]):
        q = table[L.H_PORT_AT] + p * L.Q_SIZE
        if dyn[q + L.Q_HEAD] < dyn[q + L.Q_TAIL]:
            bound = min(bound, max(ev_t[dyn[q + L.Q_BASE] + dyn[q + L.Q_HEAD]], now))
    if dyn[table[L.H_AHEAD_N]] > 0:
        bound = min(bound, ahead[0, L.A_DUE])
    bound = min(bound, dyn[table[L.H_SAMPLE]])
    while dyn[table[L.H_HEAP_N]] > 0:
        number = dyn[table[L.H_HEAP]]
        due = dyn[table[L.H_DUE] + number]
        if due > bound or due >= until:
            break
        if marks[table[L.H_EXACT] + number] != 0:
            bound = min(bound, due)
            break
        solve_first(table, coef, real, dyn, marks, ints, bound)
    return bound


@op
def cross_all(table, coef, real, dyn, di, marks, ints, t):  # type: ignore[no-untyped-def]
    """List every site with a crossing stamped `t`."""
    while dyn[table[L.H_HEAP_N]] > 0:
        number = dyn[table[L.H_HEAP]]
        if dyn[table[L.H_DUE] + number] > t:
            break
        if marks[table[L.H_EXACT] + number] == 0:
            solve_first(table, coef, real, dyn, marks, ints, t)
            continue
        unit = table[L.H_POP_AT] + ints[table[L.H_SITE_POP] + number] * L.P_SIZE
        site = number - table[unit + L.P_SITE0]
        count = dyn[table[unit + L.P_COUNT]]
        di[table[unit + L.P_LIST] + count] = site
        marks[table[unit + L.P_MARK] + site] = L.LISTED | L.CROSSING
        dyn[table[unit + L.P_COUNT]] = count + 1
        schedule(table, dyn, number, L.FAR)


@op
def arriving(table, dyn, ev_t, t):  # type: ignore[no-untyped-def]
    """At most so many spikes may set out at `t`."""
    most = table[L.H_WORST_PUSH]
    for p in range(table[L.H_PORTS]):
        q = table[L.H_PORT_AT] + p * L.Q_SIZE
        at, end = dyn[q + L.Q_BASE] + dyn[q + L.Q_HEAD], dyn[q + L.Q_BASE] + dyn[q + L.Q_TAIL]
        while at < end and ev_t[at] <= t:
            most += dyn[q + L.Q_CONN1] - dyn[q + L.Q_CONN0]
            at += 1
    return most


@op
def take_in(table, ints, weights, coef, real, dyn, di, marks, ahead, ahead_value, ev_t, ev_index, ev_value, t):  # type: ignore[no-untyped-def]
    """Deliver what arrives at `t`: what came too late, what was under way, what enters."""
    counters = table[L.H_COUNTERS]
    for p in range(table[L.H_PORTS]):
        q = table[L.H_PORT_AT] + p * L.Q_SIZE
        at, end = dyn[q + L.Q_BASE] + dyn[q + L.Q_HEAD], dyn[q + L.Q_BASE] + dyn[q + L.Q_TAIL]
        while at < end and ev_t[at] < t:
            if send_late(
                table, ints, weights, coef, real, dyn, di, marks, ahead, ahead_value,
                dyn[q + L.Q_CONN0], dyn[q + L.Q_CONN1], ev_index[at], np.float64(ev_value[at]), ev_t[at], t,
            ):  # fmt: skip
                dyn[counters + L.N_RISKY] += 1
            at += 1
        dyn[q + L.Q_HEAD] = at - dyn[q + L.Q_BASE]
    while dyn[table[L.H_AHEAD_N]] > 0 and ahead[0, L.A_DUE] <= t:
        conn, index, size = pop(table, dyn, ahead, ahead_value)
        deliver(table, ints, weights, real, dyn, di, marks, conn, index, size)
    for p in range(table[L.H_PORTS]):
        q = table[L.H_PORT_AT] + p * L.Q_SIZE
        at, end = dyn[q + L.Q_BASE] + dyn[q + L.Q_HEAD], dyn[q + L.Q_BASE] + dyn[q + L.Q_TAIL]
        while at < end and ev_t[at] == t:
            send(
                table, ints, weights, real, dyn, di, marks, ahead, ahead_value,
                dyn[q + L.Q_CONN0], dyn[q + L.Q_CONN1], ev_index[at], np.float64(ev_value[at]), t,
            )  # fmt: skip
            at += 1
        dyn[q + L.Q_HEAD] = at - dyn[q + L.Q_BASE]
        if at == end:
            dyn[q + L.Q_HEAD], dyn[q + L.Q_TAIL] = 0, 0


@op
def sample(table, coef, real, dyn, di, unit, t):  # type: ignore[no-untyped-def]
    """Bring a graded population to `t` and collect the potentials that are not zero in float32; return how many.

    Where nothing is left to decay it is asleep until touched.
    """
    block = table[unit + L.P_BLOCK]
    v_at, i_at, index_at, value_at = (
        table[unit + L.P_V],
        table[unit + L.P_I],
        table[unit + L.P_SPK_I],
        table[unit + L.P_SPK_V],
    )
    rest_at = table[unit + L.P_COEF] + L.K_REST * table[unit + L.P_N]
    spikes, awake = 0, 0
    for site in range(table[unit + L.P_SITES]):
        last_at = table[L.H_LAST] + table[unit + L.P_SITE0] + site
        if t > dyn[last_at]:
            flow(table, coef, real, unit, site * block, t - dyn[last_at])
            dyn[last_at] = t
        for q in range(site * block, (site + 1) * block):
            if np.float32(real[v_at + q]) != np.float32(0.0):
                di[index_at + spikes] = q
                real[value_at + spikes] = real[v_at + q]
                spikes += 1
                awake = 1
            elif coef[rest_at + q] != 0.0 or (i_at >= 0 and np.float32(real[i_at + q]) != np.float32(0.0)):
                awake = 1
    dyn[table[unit + L.P_AWAKE]] = awake
    return spikes


@op
def collect_sums(table, coef, real, dyn, di, marks, unit):  # type: ignore[no-untyped-def]
    """Clear the sums of the moment; pass on an Output's that are not zero, or a spike where a Threshold is met."""
    block, x_at = table[unit + L.P_BLOCK], table[unit + L.P_X]
    compare_at, graded = table[unit + L.P_COEF] + L.K_CMP * table[unit + L.P_N], table[unit + L.P_GRADED]
    spikes = 0
    for k in range(dyn[table[unit + L.P_COUNT]]):
        site = di[table[unit + L.P_LIST] + k]
        marks[table[unit + L.P_MARK] + site] = 0
        for q in range(site * block, (site + 1) * block):
            x = real[x_at + q]
            real[x_at + q] = 0.0
            if x != 0.0 and (graded != 0 or x >= coef[compare_at + q]):
                di[table[unit + L.P_SPK_I] + spikes] = q
                real[table[unit + L.P_SPK_V] + spikes] = x if graded != 0 else 1.0
                spikes += 1
    return spikes


@op
def step(table, coef, real, dyn, di, marks, unit, t):  # type: ignore[no-untyped-def]
    """All that happens to one population at `t`; return its spikes, or samples."""
    count = dyn[table[unit + L.P_COUNT]]
    spikes = 0
    if table[unit + L.P_KIND] == L.KIND_SUM:
        return collect_sums(table, coef, real, dyn, di, marks, unit)
    for k in range(count):
        site = di[table[unit + L.P_LIST] + k]
        spikes = update(table, coef, real, dyn, di, marks, unit, site, t, spikes)
        if table[unit + L.P_DRIVEN] != 0:
            number = table[unit + L.P_SITE0] + site
            due = earliest(table, coef, real, unit, site, t)
            marks[table[L.H_EXACT] + number] = 0
            if due != L.FAR or dyn[table[L.H_PLACE] + number] >= 0:
                schedule(table, dyn, number, due)
    if table[unit + L.P_GRADED] != 0:
        if count > 0:
            dyn[table[unit + L.P_AWAKE]] = 1
            if dyn[table[L.H_SAMPLE]] == L.FAR:
                t0, dt = dyn[table[L.H_T0]], table[L.H_DT]
                dyn[table[L.H_SAMPLE]] = t0 + ((t - t0) // dt + 1) * dt - 1
        if dyn[table[L.H_SAMPLE]] == t and dyn[table[unit + L.P_AWAKE]] != 0:
            spikes = sample(table, coef, real, dyn, di, unit, t)
    return spikes


@op
def count_spikes(table, ints, real, dyn, di, unit, spikes, t, watch):  # type: ignore[no-untyped-def]
    """Add spikes to their population's total, and to the watch ring while somebody watches."""
    counters = table[L.H_COUNTERS]
    index_at, value_at = table[unit + L.P_SPK_I], table[unit + L.P_SPK_V]
    total = np.int64(0)
    for s in range(spikes):
        total += np.int64(real[value_at + s])
        if dyn[counters + L.N_WATCHING] != 0:
            slot = dyn[counters + L.N_WATCH] % watch.shape[0]
            watch[slot, 0] = t + 1
            watch[slot, 1] = table[unit + L.P_REPORT]
            watch[slot, 2] = ints[table[unit + L.P_EXT] + di[index_at + s]]
            watch[slot, 3] = np.int64(real[value_at + s])
            dyn[counters + L.N_WATCH] += 1
    dyn[table[L.H_SPIKES] + table[unit + L.P_REPORT]] += total


@op
def put_out(table, ints, real, dyn, di, out_t, out_port, out_index, out_value, written, t):  # type: ignore[no-untyped-def]
    """Copy the spikes of the moment that leave the network; return how many are out."""
    for o in range(table[L.H_OUTS]):
        out = table[L.H_OUT_AT] + o * L.O_SIZE
        unit = table[L.H_POP_AT] + table[out + L.O_POP] * L.P_SIZE
        for s in range(dyn[table[unit + L.P_SPK_N]]):
            out_t[written] = t + 1
            out_port[written] = table[out + L.O_PORT]
            out_index[written] = ints[table[out + L.O_EXT] + di[table[unit + L.P_SPK_I] + s]]
            out_value[written] = real[table[unit + L.P_SPK_V] + s]
            written += 1
    return written


@entry
def run(  # type: ignore[no-untyped-def]
    table, ints, weights, coef, real, dyn, di, marks, ahead, ahead_value, ev_t, ev_index, ev_value,
    out_t, out_port, out_index, out_value, watch, until,
):  # fmt: skip
    """Take all moments before `until`; return (status, output events).

    FULL: take the outputs and call again. CROWDED: make room for more spikes under way, and call again.
    Stops only between moments.
    """
    counters = table[L.H_COUNTERS]
    written = 0
    while True:
        t = next_moment(table, coef, real, dyn, marks, ints, ahead, ev_t, until)
        dyn[table[L.H_NOW]] = max(t, dyn[table[L.H_NOW]])
        if t >= until:
            return DONE, written
        if written + table[L.H_WORST_OUT] > out_t.shape[0]:
            return FULL, written
        if dyn[table[L.H_AHEAD_N]] + arriving(table, dyn, ev_t, t) > ahead.shape[0]:
            return CROWDED, written
        cross_all(table, coef, real, dyn, di, marks, ints, t)
        take_in(
            table, ints, weights, coef, real, dyn, di, marks, ahead, ahead_value, ev_t, ev_index, ev_value, t
        )  # fmt: skip
        for p in range(table[L.H_POPS]):
            unit = table[L.H_POP_AT] + p * L.P_SIZE
            spikes = 0
            count = dyn[table[unit + L.P_COUNT]]
            if count > 0 or (dyn[table[L.H_SAMPLE]] == t and table[unit + L.P_GRADED] != 0):
                spikes = step(table, coef, real, dyn, di, marks, unit, t)
                dyn[table[unit + L.P_COUNT]] = 0
                dyn[table[unit + L.P_LATE]] = 0
                dyn[counters + L.N_TOUCHES] += count * table[unit + L.P_BLOCK]
            dyn[table[unit + L.P_SPK_N]] = spikes
            if spikes > 0:
                if table[unit + L.P_REPORT] >= 0:
                    count_spikes(table, ints, real, dyn, di, unit, spikes, t, watch)
                for s in range(spikes):
                    send(
                        table, ints, weights, real, dyn, di, marks, ahead, ahead_value,
                        table[unit + L.P_CONN0], table[unit + L.P_CONN1],
                        di[table[unit + L.P_SPK_I] + s], real[table[unit + L.P_SPK_V] + s], t,
                    )  # fmt: skip
        if dyn[table[L.H_SAMPLE]] == t:
            awake = np.int64(0)
            for p in range(table[L.H_POPS]):
                awake += dyn[table[table[L.H_POP_AT] + p * L.P_SIZE + L.P_AWAKE]]
            dyn[table[L.H_SAMPLE]] = t + table[L.H_DT] if awake > 0 else L.FAR
        written = put_out(table, ints, real, dyn, di, out_t, out_port, out_index, out_value, written, t)
        dyn[counters + L.N_INSTANTS] += 1
        dyn[counters + L.N_VERSION] += 1
