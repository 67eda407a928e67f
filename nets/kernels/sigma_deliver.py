"""Delivers changes to a unit's sums: z[target] += d gain weight, rectangle by rectangle.

    z[n + r nstride + j] += d gain w[r wstride + j]      for r < rows, j < run

A place of the source (the channels of a pixel, or one neuron) says where its rectangles begin, among the sums and among
the weights; what they look like from there, its shape, it has in common with most others: tables that stay in the
cache. A shape is cut into pieces as wide as vectors. Changes whose rectangles are the same, one behind the other, are a
group: its sums are read and written once. Every sum has the order of the changes, so that groups change no bit.
"""

from __future__ import annotations

import numpy as np

from nets.kernels import sigma_layout as L
from nets.kernels.jit import op
from nets.kernels.sigma_add import add_chunk
from nets.kernels.sigma_reach import reach


@op
def deliver(  # type: ignore[no-untyped-def]
    table, ints, weights, real, dyn, di, marks, conn, unit, z_at, index_at, change_at, n, marking
):
    """Add n changes (index, d), by rising index; return the synaptic operations, weighted and as single additions."""
    groups, synops, adds = grouped(table, ints, weights, real, dyn, di, conn, index_at, change_at, n)
    z = np.uint64(z_at)
    offsets = np.uint64(table[L.H_GROUP_W])
    factors = np.uint64(table[L.H_GROUP_F])
    group = np.uint64(table[L.H_GROUPS])
    even = table[conn + L.C_EVEN] != 0
    for _ in range(groups):
        at = np.uint64(di[group + np.uint64(L.G_SHAPE)])
        to = z + np.uint64(di[group + np.uint64(L.G_N)])
        first = np.uint64(di[group + np.uint64(L.G_FIRST)])
        group += np.uint64(L.G_SIZE)
        many = np.uint64(di[group + np.uint64(L.G_FIRST)]) - first
        chunks = ints[at + np.uint64(L.S_CHUNKS)]
        at += np.uint64(L.S_HEAD)
        for _ in range(chunks):
            if not even:
                index, change = np.uint64(index_at) + first, np.uint64(change_at) + first
                regain(table, ints, weights, real, di, conn, index, change, at, factors + first)
            add_chunk(real, to, weights, dyn, offsets + first, factors + first, many, ints, at)
            at += np.uint64(L.K_HEAD) + np.uint64(L.K_SIZE) * np.uint64(ints[at + np.uint64(L.K_ROWS)])
    if marking:
        mark(table, ints, di, marks, unit, groups)
    return synops, adds


@op
def grouped(table, ints, weights, real, dyn, di, conn, index_at, change_at, n):  # type: ignore[no-untyped-def]
    """List the groups of n changes, and for each change where its weights begin and what they are multiplied with.

    Returns the number of groups, and the synaptic operations.
    """
    places = np.uint64(table[conn + L.C_PLACE])
    inverse = table[conn + L.C_INVERSE]
    shift = table[conn + L.C_SHIFT]
    share = table[conn + L.C_SHARE]
    apart = table[conn + L.C_APART]
    uneven = table[conn + L.C_EVEN] == 0
    index = np.uint64(index_at)
    change = np.uint64(change_at)
    offset = np.uint64(table[L.H_GROUP_W])
    factor = np.uint64(table[L.H_GROUP_F])
    group = np.uint64(table[L.H_GROUPS])
    groups = 0
    synops = np.int64(0)
    adds = np.int64(0)
    shape = np.int32(-1)
    target = np.int32(-1)
    work = np.int64(0)
    e = np.uint64(0)
    last = np.uint64(n)
    while e < last:
        i = np.int64(di[index + e])
        own = (i * inverse) >> shift
        place = places + np.uint64(own * L.P_SIZE)
        first = own * share
        end = first + share
        w = ints[place + np.uint64(L.P_W)] - first * apart
        gain = weights[np.uint64(ints[place + np.uint64(L.P_GAIN)])]
        if ints[place + np.uint64(L.P_SHAPE)] != shape or ints[place + np.uint64(L.P_N)] != target or uneven:
            shape = ints[place + np.uint64(L.P_SHAPE)]
            target = ints[place + np.uint64(L.P_N)]
            work = np.int64(ints[np.uint64(shape) + np.uint64(L.S_SYNOPS)])
            di[group + np.uint64(L.G_SHAPE)] = shape
            di[group + np.uint64(L.G_N)] = target
            di[group + np.uint64(L.G_FIRST)] = e
            group += np.uint64(L.G_SIZE)
            groups += 1
        before = e
        quanta = np.int64(0)
        while True:
            d = di[change + e]
            dyn[offset + e] = w + i * apart
            real[factor + e] = weights.dtype.type(d) * gain
            quanta += abs(np.int64(d))
            e += np.uint64(1)
            i = np.int64(di[index + e])
            if e == last or i >= end or uneven:
                break
        synops += work * np.int64(e - before)
        adds += work * quanta
    di[group + np.uint64(L.G_FIRST)] = n
    return groups, synops, adds


@op
def regain(table, ints, weights, real, di, conn, index, change, chunk, to):  # type: ignore[no-untyped-def]
    """What the one change of a group is multiplied with, where a source has several gains: that of a chunk."""
    own = (np.int64(di[index]) * table[conn + L.C_INVERSE]) >> table[conn + L.C_SHIFT]
    gains = ints[np.uint64(table[conn + L.C_PLACE] + own * L.P_SIZE + L.P_GAIN)]
    gain = weights[np.uint64(gains + ints[chunk + np.uint64(L.K_GAIN)])]
    real[to] = weights.dtype.type(di[change]) * gain


@op
def mark(table, ints, di, marks, unit, groups):  # type: ignore[no-untyped-def]
    """Mark the sites that the groups reach."""
    mark_at = np.uint64(table[unit + L.U_MARK])
    if table[unit + L.U_SITES] == 1:
        marks[mark_at] = np.uint64(1)
        return
    inverse = table[unit + L.U_INVERSE]
    shift = table[unit + L.U_SHIFT]
    group = np.uint64(table[L.H_GROUPS])
    for _ in range(groups):
        at = np.uint64(di[group + np.uint64(L.G_SHAPE)])
        site = np.uint64((np.int64(di[group + np.uint64(L.G_N)]) * inverse) >> shift)
        group += np.uint64(L.G_SIZE)
        rows = ints[at + np.uint64(L.S_ROWS)]
        at += np.uint64(ints[at + np.uint64(L.S_ROWS_AT)])
        for _ in range(rows):
            reach(marks, mark_at, site + np.uint64(ints[at]), np.uint64(ints[at + np.uint64(1)]))
            at += np.uint64(2)
