"""Delivers events to a population: x[target] += value * gain * weight, rectangle by rectangle."""

from __future__ import annotations

import numpy as np

from nets.kernels import layout as L
from nets.kernels.jit import op


@op
def mark(marks, di, mark_at, list_at, count, site):  # type: ignore[no-untyped-def]
    """Put a site on its population's list, once."""
    if marks[mark_at + site] == 0:
        marks[mark_at + site] = 1
        di[list_at + count] = site
        count += 1
    return count


@op
def deliver(ints, weights, real, di, marks, table, conn, pop, count, index, value):  # type: ignore[no-untyped-def]
    """Add one event's stamps to the drive; return the new site count and the synaptic operations done.

    x[n + r * nstride + j] += value * gain * w[r * wstride + j]   for r < ny, j < run
    """
    ptr = table[conn + L.C_PTR] + index
    stamp_at = table[conn + L.C_STAMP]
    gain_at = table[conn + L.C_GAIN]
    nstride = np.uint64(table[conn + L.C_NSTRIDE])
    sstride = table[conn + L.C_SSTRIDE]
    x_at = np.uint64(table[pop + L.P_X])
    mark_at = table[pop + L.P_MARK]
    list_at = table[pop + L.P_LIST]
    synops = 0
    for k in range(ints[ptr], ints[ptr + 1]):
        s = stamp_at + k * L.S_SIZE
        x = x_at + np.uint64(ints[s + L.S_N])
        w = np.uint64(ints[s + L.S_W])
        wstride = np.uint64(ints[s + L.S_WSTRIDE])
        run = np.uint64(ints[s + L.S_RUN])
        rows = ints[s + L.S_NY]
        f = value * weights[gain_at + k]
        if f == weights[0]:
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
            for q in range(ints[s + L.S_SITES]):
                count = mark(marks, di, mark_at, list_at, count, site + q)
            site += sstride
        synops += ints[s + L.S_SYNOPS]
    return count, synops
