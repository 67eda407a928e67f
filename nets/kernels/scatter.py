"""Delivers events to a population: x[target] += value * gain * weight, rectangle by rectangle."""

from __future__ import annotations

import numpy as np

from nets.kernels import layout as L
from nets.kernels.jit import op


@op
def deliver(ints, weights, real, di, marks, table, conn, pop, count, index, value, first, end):  # type: ignore[no-untyped-def]
    """Add the stamps of events first..end of (index, value); return the new site count and the synaptic operations.

    x[n + r * nstride + j] += value * gain * w[r * wstride + j]   for r < ny, j < run

    One call takes all events of a source: passing the arrays costs as much as a short row.
    """
    ptr_at = table[conn + L.C_PTR]
    stamp_at = table[conn + L.C_STAMP]
    gain_at = table[conn + L.C_GAIN]
    nstride = np.uint64(table[conn + L.C_NSTRIDE])
    sstride = table[conn + L.C_SSTRIDE]
    x_at = np.uint64(table[pop + L.P_X])
    mark_at = table[pop + L.P_MARK]
    list_at = table[pop + L.P_LIST]
    one = weights[0]
    synops = 0
    for event in range(first, end):
        ptr = ptr_at + index[event]
        size = value[event] * one
        for k in range(ints[ptr], ints[ptr + 1]):
            s = stamp_at + k * L.S_SIZE
            x = x_at + np.uint64(ints[s + L.S_N])
            w = np.uint64(ints[s + L.S_W])
            wstride = np.uint64(ints[s + L.S_WSTRIDE])
            run = np.uint64(ints[s + L.S_RUN])
            rows = ints[s + L.S_NY]
            f = size * weights[gain_at + k]
            if f == one:
                for _ in range(rows):
                    for j in range(run):
                        real[x + j] += weights[w + j]
                    x += nstride
                    w += wstride
            else:
                for _ in range(rows):
                    for j in range(run):
                        real[x + j] += f * weights[w + j]
                    x += nstride
                    w += wstride
            site = ints[s + L.S_SITE]
            for _ in range(rows):
                for q in range(site, site + ints[s + L.S_SITES]):
                    if marks[mark_at + q] == 0:
                        marks[mark_at + q] = 1
                        di[list_at + count] = q
                        count += 1
                site += sstride
            synops += ints[s + L.S_SYNOPS]
    return count, synops
