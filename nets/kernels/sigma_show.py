"""Tells what changed: counts and the ring of whoever watches, and the events that leave by an Output."""

from __future__ import annotations

import numpy as np

from nets.kernels import continuous_layout as C
from nets.kernels import sigma_layout as L
from nets.kernels.jit import op


@op
def tell(table, ints, dyn, di, watch, unit, changes, t):  # type: ignore[no-untyped-def]
    """Count a unit's changes, and put them on the ring as (t, population, index, quanta)."""
    counters = table[C.H_COUNTERS]
    report = table[unit + L.U_REPORT]
    dyn[table[L.H_SENT] + report] += changes
    if dyn[counters + L.N_WATCHING] == 0:
        return
    written = dyn[counters + L.N_WATCH]
    for k in range(changes):
        at = (written + k) % watch.shape[0]
        watch[at, 0] = t
        watch[at, 1] = report
        watch[at, 2] = ints[table[unit + L.U_EXT] + di[table[unit + L.U_CH_I] + k]]
        watch[at, 3] = di[table[unit + L.U_CH_D] + k]
    dyn[counters + L.N_WATCH] = written + changes


@op
def show(  # type: ignore[no-untyped-def]
    table, ints, coef, real, wide, di, unit, changes, everywhere, t, out_t, out_port, out_index, out_value, count
):
    """Events of the neurons that show something else than before; return how many events there are now.

    A unit that was looked at `everywhere` is compared whole: what leaks, or starts again, moves without a change sent.
    """
    for k in range(table[unit + L.U_N] if everywhere else changes):
        i = k if everywhere else np.int64(di[table[unit + L.U_CH_I] + k])
        value = np.float32(shown(table, coef, real, wide, di, unit, i))
        if value != wide[table[unit + L.U_SHOWN] + i]:
            wide[table[unit + L.U_SHOWN] + i] = value
            for o in range(table[unit + L.U_OUT0], table[unit + L.U_OUT1]):
                out_t[count] = t
                out_port[count] = table[table[L.H_OUT_AT] + o * L.O_SIZE + L.O_PORT]
                out_index[count] = ints[table[unit + L.U_EXT] + i]
                out_value[count] = value
                count += 1
    return count


@op
def shown(table, coef, real, wide, di, unit, i):  # type: ignore[no-untyped-def]
    """What neuron i gives away: its quantised activation, the copy of one that leaks, or a plain sum."""
    if table[unit + L.U_KIND] == L.PLAIN:
        z = np.float64(real[table[unit + L.U_Z] + i])
        if table[unit + L.U_ZL] >= 0:
            z += np.float64(real[table[unit + L.U_ZL] + i])
        return z
    if table[unit + L.U_LEAK] >= 0:
        return wide[table[unit + L.U_COPY] + i]
    return di[table[unit + L.U_Q] + i] / coef[table[unit + L.U_LEVELS] + i * table[unit + L.U_STEP]]
