"""Delivers events to a population: x[target] += value * gain * weight, rectangle by rectangle."""

from __future__ import annotations

import numpy as np

from nets.kernels import layout as L
from nets.kernels.jit import op
from nets.kernels.simd import add_rows


@op
def deliver(ints, weights, real, di, marks, table, conn, pop, count, index, value, first, end, everywhere):  # type: ignore[no-untyped-def]
    """Add the stamps of events first..end of (index, value); return the new site count and the synaptic operations.

    x[n + r * nstride + j] += value * gain * w[r * wstride + j]   for r < ny, j < run

    One call takes all events of a source: passing the arrays costs as much as a short row. Where this tick updates
    the population `everywhere`, no site is marked.
    """
    if table[conn + L.C_WHOLE] != 0:
        synops = deliver_whole(ints, weights, real, table, conn, pop, index, value, first, end)
        if everywhere == 0:
            count = mark(di, marks, table, pop, count, 0, table[pop + L.P_SITES])
        return count, synops
    ptr_at = table[conn + L.C_PTR]
    stamp_at = table[conn + L.C_STAMP]
    gain_at = table[conn + L.C_GAIN]
    nstride = np.uint64(table[conn + L.C_NSTRIDE])
    sstride = table[conn + L.C_SSTRIDE]
    x_at = np.uint64(table[pop + L.P_X])
    one = weights[0]
    synops = 0
    for event in range(first, end):
        ptr = ptr_at + index[event]
        size = value[event] * one
        for k in range(ints[np.uint64(ptr)], ints[np.uint64(ptr + 1)]):
            s = np.uint64(stamp_at + k * L.S_SIZE)
            x = x_at + np.uint64(ints[s + np.uint64(L.S_N)])
            w = np.uint64(ints[s + np.uint64(L.S_W)])
            wstride = np.uint64(ints[s + np.uint64(L.S_WSTRIDE)])
            run = np.uint64(ints[s + np.uint64(L.S_RUN)])
            rows = ints[s + np.uint64(L.S_NY)]
            f = size * weights[np.uint64(gain_at + k)]
            for _ in range(rows):
                add_rows(real, x, weights, (w,), (f,), run)
                x += nstride
                w += wstride
            synops += ints[s + np.uint64(L.S_SYNOPS)]
            if everywhere == 0:
                site = ints[s + np.uint64(L.S_SITE)]
                sites = ints[s + np.uint64(L.S_SITES)]
                for _ in range(rows):
                    count = mark(di, marks, table, pop, count, site, site + sites)
                    site += sstride
    return count, synops


@op
def mark(di, marks, table, pop, count, site, end):  # type: ignore[no-untyped-def]
    """Put sites site..end on the list if they are not; return the new count."""
    mark_at = table[pop + L.P_MARK]
    list_at = table[pop + L.P_LIST]
    for q in range(site, end):
        if marks[np.uint64(mark_at + q)] == 0:
            marks[np.uint64(mark_at + q)] = 1
            di[np.uint64(list_at + count)] = q
            count += 1
    return count


@op
def deliver_whole(ints, weights, real, table, conn, pop, index, value, first, end):  # type: ignore[no-untyped-def]
    """Add events of a source whose every stamp is one row over the whole population, eight rows a pass.

    Return the synaptic operations. Stamp k belongs to source k.
    """
    at = table[conn + L.C_STAMP] + L.S_W
    gain = table[conn + L.C_GAIN]
    x = np.uint64(table[pop + L.P_X])
    run = np.uint64(table[conn + L.C_WHOLE])
    e = first
    while e + 8 <= end:
        w0, f0 = row(ints, weights, at, gain, index, value, e)
        w1, f1 = row(ints, weights, at, gain, index, value, e + 1)
        w2, f2 = row(ints, weights, at, gain, index, value, e + 2)
        w3, f3 = row(ints, weights, at, gain, index, value, e + 3)
        w4, f4 = row(ints, weights, at, gain, index, value, e + 4)
        w5, f5 = row(ints, weights, at, gain, index, value, e + 5)
        w6, f6 = row(ints, weights, at, gain, index, value, e + 6)
        w7, f7 = row(ints, weights, at, gain, index, value, e + 7)
        rows = (w0, w1, w2, w3, w4, w5, w6, w7)
        factors = (f0, f1, f2, f3, f4, f5, f6, f7)
        add_rows(real, x, weights, rows, factors, run)
        e += 8
    while e + 3 <= end:
        w0, f0 = row(ints, weights, at, gain, index, value, e)
        w1, f1 = row(ints, weights, at, gain, index, value, e + 1)
        w2, f2 = row(ints, weights, at, gain, index, value, e + 2)
        add_rows(real, x, weights, (w0, w1, w2), (f0, f1, f2), run)
        e += 3
    while e < end:
        w0, f0 = row(ints, weights, at, gain, index, value, e)
        add_rows(real, x, weights, (w0,), (f0,), run)
        e += 1
    return (end - first) * table[conn + L.C_WHOLE]


@op
def row(ints, weights, at, gain, index, value, e):  # type: ignore[no-untyped-def]
    """Where the weights of event e stand, and what they are multiplied with."""
    k = np.uint64(index[np.uint64(e)])
    return (
        np.uint64(ints[np.uint64(at) + k * np.uint64(L.S_SIZE)]),
        value[np.uint64(e)] * weights[0] * weights[np.uint64(gain) + k],
    )
