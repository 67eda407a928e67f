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
        x_at = table[unit + L.U_X]
        copy_at = table[unit + L.U_COPY]
        stamp_at = table[unit + L.U_STAMP]
        mark_at = table[unit + L.U_MARK]
        list_at = table[unit + L.U_LIST]
        inside = table[unit + L.U_INT]
        surface = table[unit + L.U_KIND] == L.SURFACE
        rate = coef[table[unit + L.U_LEAK]] if table[unit + L.U_LEAK] >= 0 else 0.0
        count = dyn[table[unit + L.U_COUNT]]
        superseded = 0
        k = first
        while k < last and ev_t[base + k] <= t:
            i = np.uint64(ints[np.uint64(inside + ev_index[base + k])])
            x = np.uint64(x_at) + i
            stamp = np.uint64(stamp_at) + i
            value = np.float64(ev_value[base + k])
            changed = True
            if surface:
                if rate > 0.0:
                    if dyn[stamp] != t:
                        a = math.exp(-rate * (t - dyn[stamp]))
                        wide[x] *= a
                        wide[np.uint64(copy_at) + i] *= a
                    value *= math.exp(-rate * (t - ev_t[base + k]))
                wide[x] += value
                dyn[stamp] = t
            elif ev_t[base + k] < dyn[stamp]:
                superseded += 1
                changed = False
            else:
                dyn[stamp] = ev_t[base + k]
                changed = wide[x] != value
                wide[x] = value
            if changed and marks[np.uint64(mark_at) + i] == 0:
                marks[np.uint64(mark_at) + i] = 1
                di[np.uint64(list_at + count)] = i
                count += 1
            k += 1
        dyn[table[unit + L.U_COUNT]] = count
        dyn[q + C.Q_HEAD] = k
        dyn[counters + L.N_SUPERSEDED] += superseded
        taken += k - first
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
