"""Takes a packet of events into a port's queue, in order of time, or refuses it whole."""

from __future__ import annotations

import math

from nets.kernels import continuous_layout as L
from nets.kernels.feed import INDEX, ORDER, ROOM, TAKEN, VALUE
from nets.kernels.jit import entry


@entry
def feed(table, dyn, ev_t, ev_index, ev_value, port, t, index, value, has_value):  # type: ignore[no-untyped-def]
    """Return (status, position or late events). Nothing is stored unless the status is TAKEN.

    The queue stays sorted by time, in order of arrival within a nanosecond: two sorted runs merged from the back.
    An event before network time keeps its own time and counts as late.
    """
    q = table[L.H_PORT_AT] + port * L.Q_SIZE
    counters = table[L.H_COUNTERS]
    now = dyn[table[L.H_NOW]]
    n = t.shape[0]
    size = dyn[q + L.Q_N]
    late = 0
    for k in range(n):
        if index[k] < 0 or index[k] >= size:
            return INDEX, k
        if k > 0 and t[k] < t[k - 1]:
            return ORDER, k
        if has_value and not math.isfinite(value[k]):
            return VALUE, k
        if t[k] < now:
            late += 1
    base, head, tail = dyn[q + L.Q_BASE], dyn[q + L.Q_HEAD], dyn[q + L.Q_TAIL]
    if tail + n > dyn[q + L.Q_CAP]:
        for k in range(head, tail):
            ev_t[base + k - head] = ev_t[base + k]
            ev_index[base + k - head] = ev_index[base + k]
            ev_value[base + k - head] = ev_value[base + k]
        tail -= head
        head = 0
        dyn[q + L.Q_HEAD], dyn[q + L.Q_TAIL] = head, tail
        if tail + n > dyn[q + L.Q_CAP]:
            return ROOM, tail + n
    old = tail - 1
    to = tail + n - 1
    new = n - 1
    while new >= 0:
        if old >= head and ev_t[base + old] > t[new]:
            ev_t[base + to] = ev_t[base + old]
            ev_index[base + to] = ev_index[base + old]
            ev_value[base + to] = ev_value[base + old]
            old -= 1
        else:
            ev_t[base + to] = t[new]
            ev_index[base + to] = index[new]
            ev_value[base + to] = value[new] if has_value else 1.0
            new -= 1
        to -= 1
    dyn[q + L.Q_TAIL] = tail + n
    dyn[counters + L.N_IN] += n
    dyn[counters + L.N_LATE] += late
    return TAKEN, late
