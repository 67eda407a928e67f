"""Runs a program: every tick up to an end, every layer of it, in one call without Python."""

from __future__ import annotations

import numpy as np

from nets.kernels import layout as L
from nets.kernels.current import current_awake, current_catch_up
from nets.kernels.feed import TAKEN, take
from nets.kernels.fire import advance, sample
from nets.kernels.jit import entry, op
from nets.kernels.lanes import first_bit
from nets.kernels.late import take_late, track
from nets.kernels.leak import leak_catch_up
from nets.kernels.models import update_model
from nets.kernels.scatter import deliver

DONE, FULL, PAST = TAKEN, 16, 17
"""What `run` returns beside what `take` does."""


@op
def open_tick(table, ints, real, dyn, di, ev_tick, ev_index, ev_value, tick):  # type: ignore[no-untyped-def]
    """Find each port's events of a tick; where there are many, merge those of one index into their sum.

    The merged ones stand in the port's own order, in which indices whose weights have one shape follow each other:
    loops of one length predict well, and neighbours in memory are read one after the other.
    """
    ports = table[L.H_PORT_AT]
    for p in range(table[L.H_PORTS]):
        port = ports + p * L.Q_SIZE
        base = dyn[port + L.Q_BASE]
        first = base + dyn[port + L.Q_HEAD]
        end = base + dyn[port + L.Q_TAIL]
        at = first
        while at < end and ev_tick[at] == tick:
            at += 1
        dyn[port + L.Q_NEXT] = at - base
        dyn[port + L.Q_MERGED] = 0
        if at - first >= dyn[port + L.Q_MERGE]:
            dyn[port + L.Q_MERGED] = merge(ints, real, dyn, di, ev_index, ev_value, port, first, at)


@op
def merge(ints, real, dyn, di, ev_index, ev_value, port, first, end):  # type: ignore[no-untyped-def]
    """Sum the events first..end of a port by index; return how many indices there are."""
    place_at = np.uint64(dyn[port + L.Q_PLACE])
    index_at = np.uint64(dyn[port + L.Q_ORDER])
    total = np.uint64(dyn[port + L.Q_TOTAL])
    bits = np.uint64(dyn[port + L.Q_BITS])
    seen = np.uint64(dyn[port + L.Q_SEEN])
    sums = np.uint64(dyn[port + L.Q_SUM])
    zero = real[total] * 0
    for k in range(np.uint64(first), np.uint64(end)):
        place = np.uint64(ints[place_at + np.uint64(ev_index[k])])
        real[total + place] += ev_value[k]
        dyn[bits + (place >> np.uint64(5))] |= np.int64(1) << np.int64(place & np.uint64(31))
    merged = np.uint64(0)
    for w in range(np.uint64((dyn[port + L.Q_N] + 31) >> 5)):
        word = dyn[bits + w]
        dyn[bits + w] = 0
        while word != 0:
            place = w * np.uint64(32) + np.uint64(first_bit(word))
            word &= word - 1
            di[seen + merged] = ints[index_at + place]
            real[sums + merged] = real[total + place]
            real[total + place] = zero
            merged += np.uint64(1)
    return np.int64(merged)


@op
def source_of(table, dyn, conn, tick):  # type: ignore[no-untyped-def]
    """(index offset, value offset, events) that a connection delivers in this tick; a port's are not merged here."""
    kind = table[conn + L.C_KIND]
    if kind == L.FROM_PORT:
        port = table[L.H_PORT_AT] + table[conn + L.C_SRC] * L.Q_SIZE
        if dyn[port + L.Q_MERGED] > 0:
            return dyn[port + L.Q_SEEN], dyn[port + L.Q_SUM], dyn[port + L.Q_MERGED]
        at = dyn[port + L.Q_BASE] + dyn[port + L.Q_HEAD]
        return at, at, dyn[port + L.Q_NEXT] - dyn[port + L.Q_HEAD]
    source = table[L.H_POP_AT] + table[conn + L.C_SRC] * L.P_SIZE
    if kind == L.FROM_TICK:
        return table[source + L.P_SPK_I], table[source + L.P_SPK_V], dyn[table[source + L.P_SPK_N]]
    slot = tick % table[source + L.P_DELAY]
    return (
        table[source + L.P_RING_I] + slot * table[source + L.P_N],
        table[source + L.P_RING_V] + slot * table[source + L.P_N],
        dyn[table[source + L.P_RING_N] + slot],
    )


@op
def gather(table, ints, weights, real, dyn, di, marks, ev_index, ev_value, pop, tick):  # type: ignore[no-untyped-def]
    """Deliver all of a tick's events to one population.

    Return its site count, whether that is everywhere, and the synaptic operations. All sites are updated where events
    reach, by their number and mean reach, at least the frozen share of them; then none is put on the list.
    """
    conns = table[L.H_CONN_AT]
    count = dyn[table[pop + L.P_COUNT]]
    sites = table[pop + L.P_SITES]
    reach = 0
    for k in range(table[pop + L.P_CONN0], table[pop + L.P_CONN1]):
        conn = conns + k * L.C_SIZE
        reach += source_of(table, dyn, conn, tick)[2] * table[conn + L.C_REACH]
    if reach == 0 and count == 0:
        return 0, 0, 0
    everywhere = 1 if 16 * reach >= table[L.H_EVERYWHERE] * sites else 0
    synops = 0
    for k in range(table[pop + L.P_CONN0], table[pop + L.P_CONN1]):
        conn = conns + k * L.C_SIZE
        index, value, events = source_of(table, dyn, conn, tick)
        if events == 0:
            continue
        port = table[L.H_PORT_AT] + table[conn + L.C_SRC] * L.Q_SIZE
        if table[conn + L.C_KIND] == L.FROM_PORT and dyn[port + L.Q_MERGED] == 0:
            count, done = deliver(
                ints, weights, real, di, marks, table, conn, pop, count, ev_index, ev_value, index, index + events,
                everywhere,
            )  # fmt: skip
        else:
            count, done = deliver(
                ints, weights, real, di, marks, table, conn, pop, count, di[index : index + events],
                real[value : value + events], 0, events, everywhere,
            )  # fmt: skip
        synops += done
    return count, everywhere, synops


@op
def list_all(table, di, marks, pop):  # type: ignore[no-untyped-def]
    """Put every site on the list, in order; return how many there are."""
    sites = table[pop + L.P_SITES]
    list_at = np.uint64(table[pop + L.P_LIST])
    mark_at = np.uint64(table[pop + L.P_MARK])
    for q in range(np.uint64(sites)):
        di[list_at + q] = q
        marks[mark_at + q] = 1
    return sites


@op
def update(table, weights, real, dyn, di, marks, pop, tick, listed, everywhere):  # type: ignore[no-untyped-def]
    """Advance every listed site, or all, by one tick and fire.

    Return spikes, neurons touched and the sites that stay awake: those are listed.
    """
    kind = table[pop + L.P_KIND]
    if kind >= L.KIND_MODEL:
        if everywhere != 0:
            listed = list_all(table, di, marks, pop)
        return update_model(table, weights, real, dyn, di, marks, pop, tick, listed)
    n = table[pop + L.P_N]
    block = table[pop + L.P_BLOCK]
    coef = table[pop + L.P_COEF]
    list_at = table[pop + L.P_LIST]
    mark_at = table[pop + L.P_MARK]
    v_at = table[pop + L.P_V]
    i_at = table[pop + L.P_I]
    sleep = table[pop + L.P_SLEEP]
    graded = table[pop + L.P_GRADED]
    count = table[pop + L.P_SITES] if everywhere != 0 else listed
    if table[pop + L.P_DECAYS] != 0:
        last_at = table[pop + L.P_LAST]
        uniform = table[pop + L.P_UNIFORM]
        for k in range(count):
            site = np.int64(k) if everywhere != 0 else np.int64(di[np.uint64(list_at + k)])
            slept = tick - dyn[np.uint64(last_at + site)]
            if slept > 0:
                base = site * block
                wake(weights, real, kind, v_at + base, i_at + base, coef + base, n, block, uniform, slept)
            dyn[np.uint64(last_at + site)] = tick + 1
    spikes, again = advance(weights, real, di, marks, table, pop, count, everywhere)
    if table[pop + L.P_HIGH] >= 0 and dyn[table[L.H_COUNTERS] + L.N_LATE] > 0:
        track(table, weights, real, dyn, di, pop, tick, count, everywhere)
    if graded != 0:
        spikes = sample(weights, real, di, marks, table, pop, count, everywhere)
    if sleep == L.SLEEP_BELOW and again == 0 and graded == 0:
        for k in range(listed):
            marks[np.uint64(mark_at + di[np.uint64(list_at + k)])] = 0
        return spikes, count * block, 0
    kept = 0
    for k in range(count):
        site = np.int64(k) if everywhere != 0 else np.int64(di[np.uint64(list_at + k)])
        awake = marks[np.uint64(mark_at + site)] == 2 or sleep == L.SLEEP_NEVER
        if sleep == L.SLEEP_BOUND and not awake:
            base = site * block
            awake = current_awake(weights, real, v_at + base, i_at + base, coef + base, n, block)
        if awake:
            di[np.uint64(list_at + kept)] = site
            kept += 1
        marks[np.uint64(mark_at + site)] = awake
    return spikes, count * block, kept


@op
def wake(weights, real, kind, v, i, coef, n, block, uniform, slept):  # type: ignore[no-untyped-def]
    """Bring a site that slept up to date."""
    if kind == L.KIND_LEAK:
        leak_catch_up(weights, real, v, coef, n, block, uniform, slept)
    else:
        current_catch_up(weights, real, v, i, coef, n, block, uniform, slept)


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
def drop_delivered(table, dyn):  # type: ignore[no-untyped-def]
    """Take the open tick's events out of the port buffers."""
    ports = table[L.H_PORT_AT]
    for p in range(table[L.H_PORTS]):
        port = ports + p * L.Q_SIZE
        head = dyn[port + L.Q_NEXT]
        if head == dyn[port + L.Q_TAIL]:
            head = 0
            dyn[port + L.Q_TAIL] = 0
        dyn[port + L.Q_HEAD] = head


@op
def keep_for_later(table, ints, real, dyn, di, pop, tick, spikes):  # type: ignore[no-untyped-def]
    """Store a tick's spikes in the slot that comes round after the recurrent delay; return the change in pending."""
    n = table[pop + L.P_N]
    if table[pop + L.P_LATER] >= 0:
        return delay_each(table, ints, real, dyn, di, pop, tick, spikes)
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


@op
def delay_each(table, ints, real, dyn, di, pop, tick, spikes):  # type: ignore[no-untyped-def]
    """Store each of a tick's events in the slot of the tick in which it arrives; return the change in pending.

    There is one slot more than the longest delay, so the slot that was read in the last tick is free.
    """
    n = table[pop + L.P_N]
    slots = table[pop + L.P_DELAY]
    later = table[pop + L.P_LATER]
    count_at = table[pop + L.P_RING_N]
    past = count_at + (tick - 1) % slots
    change = spikes - dyn[past]
    dyn[past] = 0
    for s in range(spikes):
        j = di[table[pop + L.P_SPK_I] + s]
        slot = (tick + ints[later + j]) % slots
        at = slot * n + dyn[count_at + slot]
        di[table[pop + L.P_RING_I] + at] = j
        real[table[pop + L.P_RING_V] + at] = real[table[pop + L.P_SPK_V] + s]
        dyn[count_at + slot] += 1
    return change


@entry
def run(  # type: ignore[no-untyped-def]
    table, ints, weights, real, dyn, di, marks, ev_tick, ev_index, ev_value, out_t, out_port, out_index, out_value,
    watch, port, t, index, value, has_value, until,
):  # fmt: skip
    """Take a packet into a port's buffer (none where the port is below 0), then close the ticks that end by `until`.

    Return (status, position, output events). FULL: take the outputs and call again without the packet. Stops only
    between ticks: before one whose outputs might not fit. What `take` refuses, and an end in the PAST, change nothing.
    """
    dt = table[L.H_DT]
    t0 = dyn[table[L.H_T0]]
    if until < t0 + dyn[table[L.H_TICK]] * dt:
        return PAST, 0, 0
    if port >= 0:
        status, position = take(table, dyn, ev_tick, ev_index, ev_value, port, t, index, value, has_value)
        if status != TAKEN:
            return status, position, 0
    status, written = close(
        table, ints, weights, real, dyn, di, marks, ev_tick, ev_index, ev_value, out_t, out_port, out_index, out_value,
        watch, (until - t0) // dt,
    )  # fmt: skip
    dyn[table[L.H_COUNTERS] + L.N_OUT] += written
    return status, 0, written


@op
def close(  # type: ignore[no-untyped-def]
    table, ints, weights, real, dyn, di, marks, ev_tick, ev_index, ev_value, out_t, out_port, out_index, out_value,
    watch, end,
):  # fmt: skip
    """Close the ticks before `end`; return (status, output events)."""
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
        if next_event(table, dyn, ev_tick, tick) < tick:
            take_late(table, ints, weights, real, dyn, di, marks, ev_tick, ev_index, ev_value, tick)
        open_tick(table, ints, real, dyn, di, ev_tick, ev_index, ev_value, tick)
        for p in range(table[L.H_POPS]):
            pop = pops + p * L.P_SIZE
            count, everywhere, synops = gather(
                table, ints, weights, real, dyn, di, marks, ev_index, ev_value, pop, tick
            )
            spikes = 0
            if count > 0 or everywhere != 0:
                spikes, touches, count = update(table, weights, real, dyn, di, marks, pop, tick, count, everywhere)
                dyn[table[pop + L.P_COUNT]] = count
                dyn[table[pop + L.P_TOUCHED]] = tick
                dyn[counters + L.N_SYNOPS] += synops
                dyn[counters + L.N_TOUCHES] += touches
            dyn[table[pop + L.P_SPK_N]] = spikes
            if table[pop + L.P_RING_N] >= 0:
                dyn[counters + L.N_PENDING] += keep_for_later(table, ints, real, dyn, di, pop, tick, spikes)
            if spikes > 0:
                index_at, value_at = table[pop + L.P_SPK_I], table[pop + L.P_SPK_V]
                report = table[pop + L.P_REPORT]
                if report >= 0:
                    total = np.int64(0)
                    fired, spiked = table[pop + L.P_LAST_SPIKE], table[pop + L.P_SPIKED]
                    for s in range(spikes):
                        total += np.int64(real[value_at + s])
                        dyn[fired + di[index_at + s]] = tick
                        dyn[spiked + di[index_at + s]] += 1
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
                out_port[written] = table[out + L.O_PORT]
                out_index[written] = ints[table[out + L.O_EXT] + di[table[pop + L.P_SPK_I] + s]]
                out_value[written] = real[table[pop + L.P_SPK_V] + s]
                written += 1
        drop_delivered(table, dyn)
        dyn[counters + L.N_TICKS] += 1
        dyn[counters + L.N_VERSION] += 1
        tick += 1
    dyn[tick_at] = tick
    return DONE, written
