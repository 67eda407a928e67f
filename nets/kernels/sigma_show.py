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
    if table[unit + L.U_KIND] == L.PLAIN and table[unit + L.U_ZL] < 0 and not everywhere:
        return show_sums(table, ints, real, wide, di, unit, changes, t, out_t, out_port, out_index, out_value, count)
    before = np.uint64(table[unit + L.U_SHOWN])
    external = np.uint64(table[unit + L.U_EXT])
    list_at = np.uint64(table[unit + L.U_CH_I])
    first = table[L.H_OUT_AT] + table[unit + L.U_OUT0] * L.O_SIZE + L.O_PORT
    outputs = table[unit + L.U_OUT1] - table[unit + L.U_OUT0]
    at = np.uint64(count)
    for k in range(table[unit + L.U_N] if everywhere else changes):
        i = np.uint64(k) if everywhere else np.uint64(di[list_at + np.uint64(k)])
        value = np.float32(shown(table, coef, real, wide, di, unit, i))
        if value != wide[before + i]:
            wide[before + i] = value
            for o in range(outputs):
                out_t[at] = t
                out_port[at] = table[np.uint64(first + o * L.O_SIZE)]
                out_index[at] = ints[external + i]
                out_value[at] = value
                at += np.uint64(1)
    return np.int64(at)


@op
def show_sums(  # type: ignore[no-untyped-def]
    table, ints, real, wide, di, unit, changes, t, out_t, out_port, out_index, out_value, count
):
    """`show`, for plain sums that stay: what `quantise` lists of them differs from what they showed."""
    z = np.uint64(table[unit + L.U_Z])
    before = np.uint64(table[unit + L.U_SHOWN])
    external = np.uint64(table[unit + L.U_EXT])
    list_at = np.uint64(table[unit + L.U_CH_I])
    at = np.uint64(count)
    for o in range(table[unit + L.U_OUT0], table[unit + L.U_OUT1]):
        port = table[np.uint64(table[L.H_OUT_AT] + o * L.O_SIZE + L.O_PORT)]
        for k in range(changes):
            i = np.uint64(di[list_at + np.uint64(k)])
            value = np.float32(real[z + i])
            wide[before + i] = value
            out_t[at] = t
            out_port[at] = port
            out_index[at] = ints[external + i]
            out_value[at] = value
            at += np.uint64(1)
    return np.int64(at)


@op
def shown(table, coef, real, wide, di, unit, i):  # type: ignore[no-untyped-def]
    """What neuron i gives away: its quantised activation, the copy of one that leaks, or a plain sum."""
    if table[unit + L.U_KIND] == L.PLAIN:
        z = np.float64(real[np.uint64(table[unit + L.U_Z]) + i])
        if table[unit + L.U_ZL] >= 0:
            z += np.float64(real[np.uint64(table[unit + L.U_ZL]) + i])
        return z
    if table[unit + L.U_LEAK] >= 0:
        return wide[np.uint64(table[unit + L.U_COPY]) + i]
    levels = np.uint64(table[unit + L.U_LEVELS]) + i * np.uint64(table[unit + L.U_STEP])
    return di[np.uint64(table[unit + L.U_Q]) + i] / coef[levels]
