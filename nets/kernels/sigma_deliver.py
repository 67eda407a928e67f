"""Delivers changes to a unit's sums: z[target] += d gain weight, rectangle by rectangle.

    z[n + r nstride + j] += d gain w[r wstride + j]      for r < ny, j < run

Changes of one place that reach the same rectangles, such as the channels of a pixel, are added in one pass over them:
each sum has the order of the changes either way, so their number in a pass changes no bit. Where the weights of a
place's sources also lie equally far apart, one row of stamps serves all of them: tables that stay in the cache.
"""

from __future__ import annotations

import numpy as np

from nets.kernels import sigma_layout as L
from nets.kernels.jit import op
from nets.kernels.simd import add_rows


@op
def deliver(table, ints, weights, real, di, conn, z_at, index_at, change_at, n):  # type: ignore[no-untyped-def]
    """Add n changes (index, d) of a source; return the synaptic operations, weighted and as single additions."""
    ptr_at = np.uint64(table[conn + L.C_PTR])
    stamp_at = np.uint64(table[conn + L.C_STAMP])
    gain_at = np.uint64(table[conn + L.C_GAIN])
    nstride = np.uint64(table[conn + L.C_NSTRIDE])
    alike = table[conn + L.C_ALIKE] != 0
    site = np.uint32(table[table[L.H_UNIT_AT] + table[conn + L.C_SRC] * L.U_SIZE + L.U_SITE])
    share = np.uint32(table[conn + L.C_SHARE])
    apart = np.uint64(table[conn + L.C_APART])
    z = np.uint64(z_at)
    synops = 0
    adds = 0
    e = 0
    while e < n:
        index = np.uint64(index_at + e)
        change = np.uint64(change_at + e)
        group = 1
        magnitude = abs(di[change])
        if alike:
            first = np.uint32(di[index]) // site * site
            while group < 4 and e + group < n:
                other = np.uint32(di[index + np.uint64(group)])
                if other < first or other - first >= site:
                    break
                group += 1
            group = 2 if group == 3 else group
            for more in range(1, group):
                magnitude += abs(di[change + np.uint64(more)])
        ptr = ptr_at + np.uint64(np.uint32(di[index]) // share)
        many = ints[ptr + np.uint64(1)] - ints[ptr]
        new = 0
        if group == 4:
            u0 = np.uint32(di[index + np.uint64(0)])
            i0 = np.uint64(ints[ptr_at + np.uint64(u0 // share)])
            a0 = np.uint64(u0 % share) * apart
            d0 = weights.dtype.type(di[change + np.uint64(0)])
            u1 = np.uint32(di[index + np.uint64(1)])
            i1 = np.uint64(ints[ptr_at + np.uint64(u1 // share)])
            a1 = np.uint64(u1 % share) * apart
            d1 = weights.dtype.type(di[change + np.uint64(1)])
            u2 = np.uint32(di[index + np.uint64(2)])
            i2 = np.uint64(ints[ptr_at + np.uint64(u2 // share)])
            a2 = np.uint64(u2 % share) * apart
            d2 = weights.dtype.type(di[change + np.uint64(2)])
            u3 = np.uint32(di[index + np.uint64(3)])
            i3 = np.uint64(ints[ptr_at + np.uint64(u3 // share)])
            a3 = np.uint64(u3 % share) * apart
            d3 = weights.dtype.type(di[change + np.uint64(3)])
            for s in range(many):
                k = np.uint64(s)
                at = stamp_at + (i0 + k) * np.uint64(L.S_SIZE)
                to = z + np.uint64(ints[at + np.uint64(L.S_N)])
                rows = ints[at + np.uint64(L.S_NY)]
                run = np.uint64(ints[at + np.uint64(L.S_RUN)])
                stride = np.uint64(ints[at + np.uint64(L.S_WSTRIDE)])
                new += ints[at + np.uint64(L.S_SYNOPS)]
                w0 = np.uint64(ints[stamp_at + (i0 + k) * np.uint64(L.S_SIZE)]) + a0
                f0 = d0 * weights[gain_at + i0 + k]
                w1 = np.uint64(ints[stamp_at + (i1 + k) * np.uint64(L.S_SIZE)]) + a1
                f1 = d1 * weights[gain_at + i1 + k]
                w2 = np.uint64(ints[stamp_at + (i2 + k) * np.uint64(L.S_SIZE)]) + a2
                f2 = d2 * weights[gain_at + i2 + k]
                w3 = np.uint64(ints[stamp_at + (i3 + k) * np.uint64(L.S_SIZE)]) + a3
                f3 = d3 * weights[gain_at + i3 + k]
                for _ in range(rows):
                    add_rows(real, to, weights, (w0, w1, w2, w3), (f0, f1, f2, f3), run)
                    to += nstride
                    w0 += stride
                    w1 += stride
                    w2 += stride
                    w3 += stride
        elif group == 2:
            u0 = np.uint32(di[index + np.uint64(0)])
            i0 = np.uint64(ints[ptr_at + np.uint64(u0 // share)])
            a0 = np.uint64(u0 % share) * apart
            d0 = weights.dtype.type(di[change + np.uint64(0)])
            u1 = np.uint32(di[index + np.uint64(1)])
            i1 = np.uint64(ints[ptr_at + np.uint64(u1 // share)])
            a1 = np.uint64(u1 % share) * apart
            d1 = weights.dtype.type(di[change + np.uint64(1)])
            for s in range(many):
                k = np.uint64(s)
                at = stamp_at + (i0 + k) * np.uint64(L.S_SIZE)
                to = z + np.uint64(ints[at + np.uint64(L.S_N)])
                rows = ints[at + np.uint64(L.S_NY)]
                run = np.uint64(ints[at + np.uint64(L.S_RUN)])
                stride = np.uint64(ints[at + np.uint64(L.S_WSTRIDE)])
                new += ints[at + np.uint64(L.S_SYNOPS)]
                w0 = np.uint64(ints[stamp_at + (i0 + k) * np.uint64(L.S_SIZE)]) + a0
                f0 = d0 * weights[gain_at + i0 + k]
                w1 = np.uint64(ints[stamp_at + (i1 + k) * np.uint64(L.S_SIZE)]) + a1
                f1 = d1 * weights[gain_at + i1 + k]
                for _ in range(rows):
                    add_rows(real, to, weights, (w0, w1), (f0, f1), run)
                    to += nstride
                    w0 += stride
                    w1 += stride
        else:
            u0 = np.uint32(di[index + np.uint64(0)])
            i0 = np.uint64(ints[ptr_at + np.uint64(u0 // share)])
            a0 = np.uint64(u0 % share) * apart
            d0 = weights.dtype.type(di[change + np.uint64(0)])
            for s in range(many):
                k = np.uint64(s)
                at = stamp_at + (i0 + k) * np.uint64(L.S_SIZE)
                to = z + np.uint64(ints[at + np.uint64(L.S_N)])
                rows = ints[at + np.uint64(L.S_NY)]
                run = np.uint64(ints[at + np.uint64(L.S_RUN)])
                stride = np.uint64(ints[at + np.uint64(L.S_WSTRIDE)])
                new += ints[at + np.uint64(L.S_SYNOPS)]
                w0 = np.uint64(ints[stamp_at + (i0 + k) * np.uint64(L.S_SIZE)]) + a0
                f0 = d0 * weights[gain_at + i0 + k]
                for _ in range(rows):
                    add_rows(real, to, weights, (w0,), (f0,), run)
                    to += nstride
                    w0 += stride
        synops += new * group
        adds += new * magnitude
        e += group
    return synops, adds


@op
def mark_reached(table, ints, di, marks, conn, unit, count, index_at, n):  # type: ignore[no-untyped-def]
    """Put the sites that n changes reach on the unit's list; return its new length."""
    sites = table[unit + L.U_SITES]
    if count == sites or n == 0:
        return count
    mark_at = np.uint64(table[unit + L.U_MARK])
    list_at = table[unit + L.U_LIST]
    if sites == 1:
        marks[mark_at] = 1
        di[np.uint64(list_at)] = 0
        return 1
    ptr_at = np.uint64(table[conn + L.C_PTR])
    stamp_at = np.uint64(table[conn + L.C_STAMP])
    sstride = table[conn + L.C_SSTRIDE]
    alike = table[conn + L.C_ALIKE] != 0
    block = np.int32(table[table[L.H_UNIT_AT] + table[conn + L.C_SRC] * L.U_SIZE + L.U_SITE])
    share = np.uint32(table[conn + L.C_SHARE])
    before = np.int32(-1)
    for e in range(n):
        i = di[np.uint64(index_at + e)]
        if alike:
            if before >= 0 and i // block == before:
                continue
            before = i // block
        ptr = ptr_at + np.uint64(np.uint32(i) // share)
        for s in range(ints[ptr], ints[ptr + np.uint64(1)]):
            at = stamp_at + np.uint64(s) * np.uint64(L.S_SIZE)
            site = ints[at + np.uint64(L.S_SITE)]
            many = ints[at + np.uint64(L.S_SITES)]
            for _ in range(ints[at + np.uint64(L.S_NY)]):
                for p in range(site, site + many):
                    if marks[mark_at + np.uint64(p)] == 0:
                        marks[mark_at + np.uint64(p)] = 1
                        di[np.uint64(list_at + count)] = p
                        count += 1
                site += sstride
    return count
