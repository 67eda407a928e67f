"""Looks at the touched neurons of a unit and lists what their rounded activations changed by.

    y = z where z > 0, else slope z;   e = levels y - q;   where |e| > 1/2 + hysteresis:  q' = rint(levels y)

A unit that leaks rounds levels (y - c) instead, c being the copy its receivers hold.
"""

from __future__ import annotations

import numpy as np

from nets.kernels import sigma_layout as L
from nets.kernels.jit import op
from nets.kernels.sigma_simd import CHANGED, CUT, HAD, HELD, LANES, WHOLE, requantise


@op
def rint(v):  # type: ignore[no-untyped-def]
    """Whole quanta, half to even, at most MOST either way."""
    return (min(max(v, -L.MOST), L.MOST) + WHOLE) - WHOLE


@op
def quantise(table, coef, real, wide, dyn, di, marks, unit, everywhere):  # type: ignore[no-untyped-def]
    """List the changes of the touched sites, or of all of them; return (changes, neurons looked at, saturated)."""
    sites = table[unit + L.U_SITES]
    block = table[unit + L.U_BLOCK]
    count = dyn[table[unit + L.U_COUNT]]
    if everywhere:  # the sites are one stretch
        for site in range(sites):
            marks[np.uint64(table[unit + L.U_MARK] + site)] = 0
        di[np.uint64(table[unit + L.U_LIST])] = 0
        block *= sites
        count = 1
    else:
        for k in range(count):
            marks[np.uint64(table[unit + L.U_MARK] + di[np.uint64(table[unit + L.U_LIST] + k)])] = 0
    saturated = 0
    if table[unit + L.U_KIND] == L.PLAIN:
        changes = revised(table, real, wide, di, unit, count, block)
    elif table[unit + L.U_LEAK] >= 0:
        changes, saturated = lacking(table, coef, real, wide, di, unit, count, block)
    elif table[unit + L.U_X] < 0 and table[unit + L.U_ZL] < 0 and table[unit + L.U_STEP] == 0:
        changes, saturated = moved_alike(table, coef, real, dyn, di, unit, count, block)
    else:
        changes, saturated = moved(table, coef, real, wide, dyn, di, unit, count, block)
    dyn[table[unit + L.U_COUNT]] = 0
    dyn[table[unit + L.U_CH_N]] = changes
    return changes, count * block, saturated


@op
def moved_alike(table, coef, real, dyn, di, unit, count, block):  # type: ignore[no-untyped-def]
    """`moved`, for a layer of one activation and sums that stay."""
    z_at = np.uint64(table[unit + L.U_Z])
    q_at = np.uint64(table[unit + L.U_Q])
    list_at = np.uint64(table[unit + L.U_LIST])
    index_at = np.uint64(table[unit + L.U_CH_I])
    change_at = np.uint64(table[unit + L.U_CH_D])
    rule = (
        coef[table[unit + L.U_LEVELS]],
        coef[table[unit + L.U_SLOPE]],
        0.5 + coef[table[unit + L.U_HYST]],
    )
    size = np.uint64(block)
    changes = np.uint64(0)
    nonzero = np.int64(0)
    saturated = 0
    for k in range(count):
        i = np.uint64(di[list_at + np.uint64(k)]) * size
        end = i + size
        while i + np.uint64(LANES) <= end:
            told = requantise(real, z_at + i, di, q_at + i, index_at + changes, change_at + changes, i, rule)
            if told != 0:
                changes += np.uint64((told >> CHANGED) & 255)
                nonzero += ((told >> HELD) & 255) - ((told >> HAD) & 255)
                saturated += told >> CUT
            i += np.uint64(LANES)
        while i < end:
            z = np.float64(real[z_at + i])
            v = rule[0] * (z if z > 0.0 else z * rule[1])
            old = di[q_at + i]
            if abs(v - old) >= rule[2]:
                new = np.int32(rint(v))
                saturated += abs(v) > L.MOST
                if new != old:
                    di[q_at + i] = new
                    nonzero += np.int64(new != 0) - np.int64(old != 0)
                    di[index_at + changes] = i
                    di[change_at + changes] = new - old
                    changes += np.uint64(1)
            i += np.uint64(1)
    dyn[table[unit + L.U_NONZERO]] += nonzero
    return np.int64(changes), saturated


@op
def revised(table, real, wide, di, unit, count, block):  # type: ignore[no-untyped-def]
    """A plain sum: list the neurons that would show something else; return their number."""
    changes = 0
    for k in range(count):
        first = di[np.uint64(table[unit + L.U_LIST] + k)] * block
        for i in range(first, first + block):
            if np.float32(drive(table, real, wide, unit, i)) != wide[np.uint64(table[unit + L.U_SHOWN] + i)]:
                di[np.uint64(table[unit + L.U_CH_I] + changes)] = i
                changes += 1
    return changes


@op
def drive(table, real, wide, unit, i):  # type: ignore[no-untyped-def]
    """The sum that neuron i receives, or its measurement."""
    if table[unit + L.U_X] >= 0:
        return wide[np.uint64(table[unit + L.U_X] + i)]
    z = np.float64(real[np.uint64(table[unit + L.U_Z] + i)])
    if table[unit + L.U_ZL] >= 0:
        z += np.float64(real[np.uint64(table[unit + L.U_ZL] + i)])
    return z


@op
def moved(table, coef, real, wide, dyn, di, unit, count, block):  # type: ignore[no-untyped-def]
    """A unit that holds what it sent; return (changes, saturated)."""
    q_at = table[unit + L.U_Q]
    step = table[unit + L.U_STEP]
    index_at = table[unit + L.U_CH_I]
    change_at = table[unit + L.U_CH_D]
    nonzero = np.int64(0)
    saturated = 0
    changes = 0
    for k in range(count):
        first = di[np.uint64(table[unit + L.U_LIST] + k)] * block
        for i in range(first, first + block):
            z = drive(table, real, wide, unit, i)
            p = np.uint64(i * step)
            y = z if z > 0.0 else z * coef[np.uint64(table[unit + L.U_SLOPE]) + p]
            v = coef[np.uint64(table[unit + L.U_LEVELS]) + p] * y
            at = np.uint64(q_at + i)
            old = di[at]
            if abs(v - old) < 0.5 + coef[np.uint64(table[unit + L.U_HYST]) + p]:
                continue
            new = np.int32(rint(v))
            saturated += abs(v) > L.MOST
            if new != old:
                di[at] = new
                nonzero += np.int64(new != 0) - np.int64(old != 0)
                di[np.uint64(index_at + changes)] = i
                di[np.uint64(change_at + changes)] = new - old
                changes += 1
    dyn[table[unit + L.U_NONZERO]] += nonzero
    return changes, saturated


@op
def lacking(table, coef, real, wide, di, unit, count, block):  # type: ignore[no-untyped-def]
    """A unit whose receivers forget; return (changes, saturated)."""
    copy_at = table[unit + L.U_COPY]
    step = table[unit + L.U_STEP]
    index_at = table[unit + L.U_CH_I]
    change_at = table[unit + L.U_CH_D]
    saturated = 0
    changes = 0
    for k in range(count):
        first = di[np.uint64(table[unit + L.U_LIST] + k)] * block
        for i in range(first, first + block):
            z = drive(table, real, wide, unit, i)
            p = np.uint64(i * step)
            y = z if z > 0.0 else z * coef[np.uint64(table[unit + L.U_SLOPE]) + p]
            levels = coef[np.uint64(table[unit + L.U_LEVELS]) + p]
            at = np.uint64(copy_at + i)
            v = levels * (y - wide[at])
            if abs(v) < 0.5 + coef[np.uint64(table[unit + L.U_HYST]) + p]:
                continue
            s = np.int32(rint(v))
            saturated += abs(v) > L.MOST
            if s != 0:
                wide[at] += s / levels
                di[np.uint64(index_at + changes)] = i
                di[np.uint64(change_at + changes)] = s
                changes += 1
    return changes, saturated
