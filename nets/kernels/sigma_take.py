"""Takes the buffered events of a moment in: measurements by their stamps, changes onto leaking surfaces.

measurement   x_i <- value, unless its stamp is older than that of the last one taken       (newest timestamp wins)
surface       x_i <- x_i exp(-leak (t - t_i)) + value exp(-leak (t - t_event))              t: the moment
"""

from __future__ import annotations

import math

import numpy as np

from nets.kernels import continuous_layout as C
from nets.kernels import sigma_layout as L
from nets.kernels.jit import op


@op
def take(table, ints, coef, wide, dyn, di, marks, ev_t, ev_index, ev_value, t):  # type: ignore[no-untyped-def]
    """Take every event up to `t`; return how many there were."""
    counters = table[C.H_COUNTERS]
    taken = 0
    for u in range(table[L.H_UNITS]):
        unit = table[L.H_UNIT_AT] + u * L.U_SIZE
        if table[unit + L.U_PORT] < 0:
            continue
        q = table[C.H_PORT_AT] + table[unit + L.U_PORT] * C.Q_SIZE
        base = dyn[q + C.Q_BASE]
        first = dyn[q + C.Q_HEAD]
        last = dyn[q + C.Q_TAIL]
        if first == last or ev_t[base + first] > t:
            continue
        x_at = np.uint64(table[unit + L.U_X])
        leaks = table[unit + L.U_LEAK] >= 0
        copy_at = np.uint64(table[unit + L.U_COPY]) if leaks else x_at
        stamp_at = np.uint64(table[unit + L.U_STAMP])
        mark_at = np.uint64(table[unit + L.U_MARK])
        inside = np.uint64(table[unit + L.U_INT])
        surface = table[unit + L.U_KIND] == L.SURFACE
        rate = coef[table[unit + L.U_LEAK]] if leaks else 0.0
        any_changed = False
        superseded = 0
        at = t
        fade = 1.0
        end = np.uint64(base + last)
        e = np.uint64(base + first)
        while e < end and ev_t[e] <= t:
            i = np.uint64(ints[inside + np.uint64(ev_index[e])])
            x = x_at + i
            stamp = stamp_at + i
            value = np.float64(ev_value[e])
            changed = True
            if surface:
                if rate > 0.0:
                    if dyn[stamp] != t:
                        a = math.exp(-rate * (t - dyn[stamp]))
                        wide[x] *= a
                        wide[copy_at + i] *= a
                    if ev_t[e] != at:
                        at = ev_t[e]
                        fade = math.exp(-rate * (t - at))
                    value *= fade
                wide[x] += value
                dyn[stamp] = t
            elif ev_t[e] < dyn[stamp]:
                superseded += 1
                changed = False
            else:
                dyn[stamp] = ev_t[e]
                changed = wide[x] != value
                wide[x] = value
            if changed:
                marks[mark_at + (i >> np.uint64(6))] |= np.uint64(1) << (i & np.uint64(63))
                any_changed = True
            e += np.uint64(1)
        if any_changed:
            dyn[table[unit + L.U_COUNT]] = 1
        dyn[q + C.Q_HEAD] = np.int64(e) - base
        dyn[counters + L.N_SUPERSEDED] += superseded
        taken += np.int64(e) - base - first
    return taken


@op
def first_event(table, dyn, ev_t):  # type: ignore[no-untyped-def]
    """The time of the oldest buffered event, or FAR."""
    first = L.FAR
    for port in range(table[L.H_PORTS]):
        q = table[C.H_PORT_AT] + port * C.Q_SIZE
        if dyn[q + C.Q_HEAD] < dyn[q + C.Q_TAIL]:
            first = min(first, ev_t[dyn[q + C.Q_BASE] + dyn[q + C.Q_HEAD]])
    return first
