"""Runs a program: every tick up to an end, every layer of it, in one call without Python."""

from __future__ import annotations

import numpy as np

from nets.kernels import layout as L
from nets.kernels.current import current, current_awake, current_catch_up
from nets.kernels.fire import fire, sample
from nets.kernels.integrate import integrate
from nets.kernels.jit import entry, op
from nets.kernels.leak import leak, leak_catch_up
from nets.kernels.scatter import deliver

DONE, FULL = 0, 1


@op
def gather(table, ints, weights, real, dyn, di, marks, ev_tick, ev_index, ev_value, pop, tick):  # type: ignore[no-untyped-def]
    """Deliver all of a tick's events to one population; return its site count and the synaptic operations."""
    conns = table[L.H_CONN_AT]
    pops = table[L.H_POP_AT]
    ports = table[L.H_PORT_AT]
    count = dyn[table[pop + L.P_COUNT]]
    synops = 0
    for k in range(table[pop + L.P_CONN0], table[pop + L.P_CONN1]):
        conn = conns + k * L.C_SIZE
        kind = table[conn + L.C_KIND]
        if kind == L.FROM_PORT:
            port = ports + table[conn + L.C_SRC] * L.Q_SIZE
            at = dyn[port + L.Q_BASE] + dyn[port + L.Q_HEAD]
            end = dyn[port + L.Q_BASE] + dyn[port + L.Q_TAIL]
            first = at
            while at < end and ev_tick[at] == tick:
                at += 1
            if at > first:
                count, done = deliver(
                    ints, weights, real, di, marks, table, conn, pop, count, ev_index, ev_value, first, at
                )
                synops += done
        else:
            source = pops + table[conn + L.C_SRC] * L.P_SIZE
            if kind == L.FROM_TICK:
                index_at = table[source + L.P_SPK_I]
                value_at = table[source + L.P_SPK_V]
                spikes = dyn[table[source + L.P_SPK_N]]
            else:
                slot = tick % table[source + L.P_DELAY]
                index_at = table[source + L.P_RING_I] + slot * table[source + L.P_N]
                value_at = table[source + L.P_RING_V] + slot * table[source + L.P_N]
                spikes = dyn[table[source + L.P_RING_N] + slot]
            if spikes > 0:
                index, value = di[index_at : index_at + spikes], real[value_at : value_at + spikes]
                count, done = deliver(ints, weights, real, di, marks, table, conn, pop, count, index, value, 0, spikes)
                synops += done
    return count, synops


@op
def update(table, weights, real, dyn, di, marks, pop, tick, count):  # type: ignore[no-untyped-def]
    """Advance every listed site by one tick and fire; return spikes, neurons touched and the sites that stay awake."""
    kind = table[pop + L.P_KIND]
    graded = table[pop + L.P_GRADED]
    n = table[pop + L.P_N]
    block = table[pop + L.P_BLOCK]
    v_at = table[pop + L.P_V]
    i_at = table[pop + L.P_I]
    x_at = table[pop + L.P_X]
    coef = table[pop + L.P_COEF]
    list_at = table[pop + L.P_LIST]
    mark_at = table[pop + L.P_MARK]
    last_at = table[pop + L.P_LAST]
    sleep = table[pop + L.P_SLEEP]
    decays = table[pop + L.P_DECAYS]
    uniform = table[pop + L.P_UNIFORM]
    fired_at = table[pop + L.P_FIRED]
    firing = 0
    for k in range(count):
        site = di[list_at + k]
        base = site * block
        v, x, c = v_at + base, x_at + base, coef + base
        if decays != 0:
            slept = tick - dyn[last_at + site]
            if slept > 0:
                if kind == L.KIND_LEAK:
                    leak_catch_up(weights, real, v, c, n, block, uniform, slept)
                else:
                    current_catch_up(weights, real, v, i_at + base, c, n, block, uniform, slept)
            dyn[last_at + site] = tick + 1
        if kind == L.KIND_INTEGRATE:
            fired = integrate(weights, real, v, x, c, n, block)
        elif kind == L.KIND_LEAK:
            fired = leak(weights, real, v, x, c, n, block)
        else:
            fired = current(weights, real, v, i_at + base, x, c, n, block)
        if fired > 0:
            di[fired_at + firing] = site
            firing += 1
    spikes = 0
    if graded != 0:
        spikes = sample(weights, real, di, marks, table, pop, count)
    elif firing > 0:
        spikes = fire(weights, real, di, marks, table, pop, firing)
    kept = 0
    for k in range(count):
        site = di[list_at + k]
        awake = marks[mark_at + site] == 2 or sleep == L.SLEEP_NEVER
        if sleep == L.SLEEP_BOUND and not awake:
            base = site * block
            awake = current_awake(weights, real, v_at + base, i_at + base, coef + base, n, block)
        if awake:
            di[list_at + kept] = site
            kept += 1
            marks[mark_at + site] = 1
        else:
            marks[mark_at + site] = 0
    return spikes, count * block, kept


@op
def next_event(table, dyn, ev_tick, end):  # type: ignore[no-untyped-def]
    """The tick of the oldest buffered event, or `end`."""
    ports = table[L.H_PORT_AT]
    for p in range(table[L.H_PORTS]):
        port = ports + p * L.Q_SIZE
        if dyn[port + L.Q_HEAD] < dyn[port + L.Q_TAIL]:
            end = min(end, ev_tick[dyn[port + L.Q_BASE] + dyn[port + L.Q_HEAD]])
    return end


@op
def drop_delivered(table, dyn, ev_tick, tick):  # type: ignore[no-untyped-def]
    """Take a tick's events out of the port buffers."""
    ports = table[L.H_PORT_AT]
    for p in range(table[L.H_PORTS]):
        port = ports + p * L.Q_SIZE
        head, tail, base = dyn[port + L.Q_HEAD], dyn[port + L.Q_TAIL], dyn[port + L.Q_BASE]
        while head < tail and ev_tick[base + head] == tick:
            head += 1
        if head == tail:
            head = 0
            dyn[port + L.Q_TAIL] = 0
        dyn[port + L.Q_HEAD] = head


@op
def keep_for_later(table, real, dyn, di, pop, tick, spikes):  # type: ignore[no-untyped-def]
    """Store a tick's spikes in the slot that comes round after the recurrent delay; return the change in pending."""
    n = table[pop + L.P_N]
    slot = tick % table[pop + L.P_DELAY]
    index_at = table[pop + L.P_RING_I] + slot * n
    value_at = table[pop + L.P_RING_V] + slot * n
    count_at = table[pop + L.P_RING_N] + slot
    for s in range(spikes):
        di[index_at + s] = di[table[pop + L.P_SPK_I] + s]
        real[value_at + s] = real[table[pop + L.P_SPK_V] + s]
    change = spikes - dyn[count_at]
    dyn[count_at] = spikes
    return change


@entry
def run(table, ints, weights, real, dyn, di, marks, ev_tick, ev_index, ev_value, out_t, out_id, out_value, watch, end):  # type: ignore[no-untyped-def]
    """Close the ticks before `end`; return (status, output events). FULL: take the outputs and call again.

    Stops only between ticks: before one whose outputs might not fit.
    """
    counters = table[L.H_COUNTERS]
    pops = table[L.H_POP_AT]
    outs = table[L.H_OUT_AT]
    t0 = dyn[table[L.H_T0]]
    dt = table[L.H_DT]
    tick_at = table[L.H_TICK]
    written = 0
    tick = dyn[tick_at]
    while tick < end:
        awake = dyn[counters + L.N_PENDING]
        for p in range(table[L.H_POPS]):
            awake += dyn[table[pops + p * L.P_SIZE + L.P_COUNT]]
        if awake == 0:
            first = next_event(table, dyn, ev_tick, end)
            if first > tick:
                dyn[counters + L.N_TICKS] += first - tick
                dyn[counters + L.N_SILENT] += first - tick
                tick = first
                continue
        if written + table[L.H_WORST_OUT] > out_t.shape[0]:
            dyn[tick_at] = tick
            return FULL, written
        t = t0 + (tick + 1) * dt
        for p in range(table[L.H_POPS]):
            pop = pops + p * L.P_SIZE
            count, synops = gather(table, ints, weights, real, dyn, di, marks, ev_tick, ev_index, ev_value, pop, tick)
            spikes = 0
            if count > 0:
                spikes, touches, count = update(table, weights, real, dyn, di, marks, pop, tick, count)
                dyn[table[pop + L.P_COUNT]] = count
                dyn[counters + L.N_SYNOPS] += synops
                dyn[counters + L.N_TOUCHES] += touches
            dyn[table[pop + L.P_SPK_N]] = spikes
            if table[pop + L.P_RING_N] >= 0:
                dyn[counters + L.N_PENDING] += keep_for_later(table, real, dyn, di, pop, tick, spikes)
            if spikes > 0:
                index_at, value_at = table[pop + L.P_SPK_I], table[pop + L.P_SPK_V]
                report = table[pop + L.P_REPORT]
                if report >= 0:
                    total = np.int64(0)
                    for s in range(spikes):
                        total += np.int64(real[value_at + s])
                    dyn[table[L.H_SPIKES] + report] += total
                    if dyn[counters + L.N_WATCHING] != 0:
                        at = dyn[counters + L.N_WATCH]
                        for s in range(spikes):
                            slot = at % watch.shape[0]
                            watch[slot, 0] = t
                            watch[slot, 1] = report
                            watch[slot, 2] = ints[table[pop + L.P_EXT] + di[index_at + s]]
                            watch[slot, 3] = np.int64(real[value_at + s])
                            at += 1
                        dyn[counters + L.N_WATCH] = at
        for o in range(table[L.H_OUTS]):
            out = outs + o * L.O_SIZE
            pop = pops + table[out + L.O_POP] * L.P_SIZE
            for s in range(dyn[table[pop + L.P_SPK_N]]):
                out_t[written] = t
                out_id[written, 0] = table[out + L.O_PORT]
                out_id[written, 1] = ints[table[out + L.O_EXT] + di[table[pop + L.P_SPK_I] + s]]
                out_value[written] = real[table[pop + L.P_SPK_V] + s]
                written += 1
        drop_delivered(table, dyn, ev_tick, tick)
        dyn[counters + L.N_TICKS] += 1
        dyn[counters + L.N_VERSION] += 1
        tick += 1
    dyn[tick_at] = tick
    return DONE, written
