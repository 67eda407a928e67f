"""Takes a packet of events into a port's buffer, in tick order, or refuses it whole."""

from __future__ import annotations

import math

from nets.kernels import layout as L
from nets.kernels.jit import entry, op

TAKEN, ROOM, INDEX, ORDER, VALUE = 0, 1, 2, 3, 4


@op
def take(table, dyn, ev_tick, ev_index, ev_value, port, t, index, value, has_value):  # type: ignore[no-untyped-def]
    """Return (status, position or late events). Nothing is stored unless the status is TAKEN.

    The buffer stays sorted by tick, in order of arrival within one: appended, or two sorted runs merged from the back.
    An event before the open tick counts as late. What happened before the network's time began, at its last reset, is
    forgotten by now: it is dropped and counted.
    """
    q = table[L.H_PORT_AT] + port * L.Q_SIZE
    counters = table[L.H_COUNTERS]
    t0 = dyn[table[L.H_T0]]
    dt = table[L.H_DT]
    open_tick = dyn[table[L.H_TICK]]
    open_at = t0 + open_tick * dt
    n = t.shape[0]
    size = dyn[q + L.Q_N]
    late = 0
    old = 0
    for k in range(n):
        if index[k] < 0 or index[k] >= size:
            return INDEX, k
        if k > 0 and t[k] < t[k - 1]:
            return ORDER, k
        if has_value and not math.isfinite(value[k]):
            return VALUE, k
        if t[k] < open_at:
            late += 1
            old += 1 if t[k] < t0 else 0
    base = dyn[q + L.Q_BASE]
    head = dyn[q + L.Q_HEAD]
    tail = dyn[q + L.Q_TAIL]
    kept = n - old
    if tail + kept > dyn[q + L.Q_CAP]:
        if head > 0:
            for k in range(head, tail):
                ev_tick[base + k - head] = ev_tick[base + k]
                ev_index[base + k - head] = ev_index[base + k]
                ev_value[base + k - head] = ev_value[base + k]
            tail -= head
            head = 0
            dyn[q + L.Q_HEAD] = head
            dyn[q + L.Q_TAIL] = tail
        if tail + kept > dyn[q + L.Q_CAP]:
            return ROOM, tail + kept
    if kept > 0 and (tail == head or ev_tick[base + tail - 1] <= (t[old] - t0) // dt):
        # nothing buffered is later: append, and divide only where ticks are skipped
        tick = (t[old] - t0) // dt
        after = t0 + (tick + 1) * dt
        at = base + tail - old
        for k in range(old, n):
            if t[k] >= after:
                tick = (t[k] - t0) // dt
                after = t0 + (tick + 1) * dt
            ev_tick[at + k] = tick
            ev_index[at + k] = index[k]
            ev_value[at + k] = value[k] if has_value else 1.0
    else:
        before = tail - 1
        to = tail + kept - 1
        new = n - 1
        while new >= old:
            tick = (t[new] - t0) // dt
            if before >= head and ev_tick[base + before] > tick:
                ev_tick[base + to] = ev_tick[base + before]
                ev_index[base + to] = ev_index[base + before]
                ev_value[base + to] = ev_value[base + before]
                before -= 1
            else:
                ev_tick[base + to] = tick
                ev_index[base + to] = index[new]
                ev_value[base + to] = value[new] if has_value else 1.0
                new -= 1
            to -= 1
    dyn[q + L.Q_TAIL] = tail + kept
    dyn[counters + L.N_IN] += n
    dyn[counters + L.N_LATE] += late
    dyn[counters + L.N_DROPPED] += old
    return TAKEN, late


@entry
def feed(table, dyn, ev_tick, ev_index, ev_value, port, t, index, value, has_value):  # type: ignore[no-untyped-def]
    """`take`, called from Python."""
    return take(table, dyn, ev_tick, ev_index, ev_value, port, t, index, value, has_value)
