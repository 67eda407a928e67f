"""Looks at the touched neurons of a unit and lists what their rounded activations changed by.

    y = z where z > 0, else slope z;   e = levels y - q;   where |e| > 1/2 + hysteresis:  q' = rint(levels y)

A unit that leaks rounds levels (y - c) instead, c being the copy its receivers hold. Where one activation stands for
all neurons this is done in the precision of their sums, or measurements; elsewhere in float64.
"""

from __future__ import annotations

import numpy as np

from nets.kernels import sigma_layout as L
from nets.kernels.jit import op
from nets.kernels.sigma_reach import clear, stretches
from nets.kernels.sigma_simd import (
    ALIVE,
    CHANGED,
    CUT,
    HAD,
    HELD,
    WHOLE,
    differing,
    lanes,
    requantise,
    requantise_faded,
)

ROUND = WHOLE[64]
EAGER = 32
"""Vector instructions list without asking where more than one neuron in so many changed at the last moment."""


@op
def quantise(table, coef, real, wide, dyn, di, marks, unit, everywhere):  # type: ignore[no-untyped-def]
    """List the changes of the touched sites, or of all of them; return (changes, neurons looked at, saturated, alive).

    `alive`: of a layer of one activation that receives what leaks, whether any of that is left; else False.
    """
    sites = table[unit + L.U_SITES]
    block = table[unit + L.U_BLOCK]
    mark_at = np.uint64(table[unit + L.U_MARK])
    list_at = np.uint64(table[unit + L.U_LIST])
    if everywhere:
        if dyn[table[unit + L.U_COUNT]] != 0:
            clear(marks, mark_at, sites)
        di[list_at] = 0
        di[list_at + np.uint64(1)] = sites
        count = 1
        looked = sites
    else:
        count, looked = stretches(di, marks, mark_at, sites, list_at)
    saturated = 0
    alive = False
    if table[unit + L.U_KIND] == L.PLAIN:
        changes = revised(table, real, wide, di, unit, count, block)
    elif table[unit + L.U_LEAK] >= 0:
        changes, saturated = lacking(table, coef, real, wide, di, unit, count, block)
    elif faded_alike(table, unit):
        changes, saturated, alive = moved_faded(table, coef, real, dyn, di, unit, count, block, looked * block)
    elif table[unit + L.U_STEP] != 0:
        changes, saturated = moved(table, coef, real, wide, dyn, di, unit, count, block)
    elif table[unit + L.U_X] >= 0:
        changes, saturated = moved_alike(
            table, coef, wide, table[unit + L.U_X], dyn, di, unit, count, block, looked * block
        )
    else:
        changes, saturated = moved_alike(
            table, coef, real, table[unit + L.U_Z], dyn, di, unit, count, block, looked * block
        )
    dyn[table[unit + L.U_COUNT]] = 0
    dyn[table[unit + L.U_CH_N]] = changes
    return changes, looked * block, saturated, alive


@op
def faded_alike(table, unit):  # type: ignore[no-untyped-def]
    """Whether a unit holds what it sent, receives what leaks, and has one activation for all of its neurons."""
    kind = table[unit + L.U_KIND]
    return kind != L.PLAIN and table[unit + L.U_ZL] >= 0 and table[unit + L.U_LEAK] < 0 and table[unit + L.U_STEP] == 0


@op
def moved_alike(table, coef, sums, z_at, dyn, di, unit, count, block, looked):  # type: ignore[no-untyped-def]
    """`moved`, for one activation of all neurons, whose sums or measurements stand in `sums` from `z_at` on."""
    z = np.uint64(z_at)
    q = np.uint64(table[unit + L.U_Q])
    list_at = np.uint64(table[unit + L.U_LIST])
    index_at = np.uint64(table[unit + L.U_CH_I])
    change_at = np.uint64(table[unit + L.U_CH_D])
    kind = sums.dtype.type
    rule = (
        kind(coef[table[unit + L.U_LEVELS]]),
        kind(coef[table[unit + L.U_SLOPE]]),
        kind(0.5 + coef[table[unit + L.U_HYST]]),
    )
    step = lanes(sums)
    eager = dyn[table[unit + L.U_CH_N]] * EAGER > looked
    changes = np.uint64(0)
    nonzero = np.int64(0)
    saturated = 0
    for k in range(count):
        i = np.uint64(di[list_at + np.uint64(2 * k)]) * np.uint64(block)
        end = i + np.uint64(di[list_at + np.uint64(2 * k + 1)]) * np.uint64(block)
        while i < end:
            told = requantise(sums, z + i, di, q + i, index_at + changes, change_at + changes, i, end - i, eager, rule)
            changes += np.uint64((told >> CHANGED) & 255)
            nonzero += ((told >> HELD) & 255) - ((told >> HAD) & 255)
            saturated += told >> CUT
            i += step
    dyn[table[unit + L.U_NONZERO]] += nonzero
    return np.int64(changes), saturated


@op
def moved_faded(table, coef, real, dyn, di, unit, count, block, looked):  # type: ignore[no-untyped-def]
    """`moved_alike`, for sums of what stays and of what leaks; also returns whether of that any is left."""
    z = np.uint64(table[unit + L.U_Z])
    zl = np.uint64(table[unit + L.U_ZL])
    q = np.uint64(table[unit + L.U_Q])
    list_at = np.uint64(table[unit + L.U_LIST])
    index_at = np.uint64(table[unit + L.U_CH_I])
    change_at = np.uint64(table[unit + L.U_CH_D])
    kind = real.dtype.type
    rule = (
        kind(coef[table[unit + L.U_LEVELS]]),
        kind(coef[table[unit + L.U_SLOPE]]),
        kind(0.5 + coef[table[unit + L.U_HYST]]),
    )
    step = lanes(real)
    eager = dyn[table[unit + L.U_CH_N]] * EAGER > looked
    changes = np.uint64(0)
    nonzero = np.int64(0)
    saturated = 0
    alive = np.int64(0)
    for k in range(count):
        i = np.uint64(di[list_at + np.uint64(2 * k)]) * np.uint64(block)
        end = i + np.uint64(di[list_at + np.uint64(2 * k + 1)]) * np.uint64(block)
        while i < end:
            told = requantise_faded(
                real, z + i, zl + i, di, q + i, index_at + changes, change_at + changes, i, end - i, eager, rule
            )
            alive |= told >> ALIVE
            changes += np.uint64((told >> CHANGED) & 255)
            nonzero += ((told >> HELD) & 255) - ((told >> HAD) & 255)
            saturated += (told >> CUT) & 255
            i += step
    dyn[table[unit + L.U_NONZERO]] += nonzero
    return np.int64(changes), saturated, alive != 0


@op
def revised(table, real, wide, di, unit, count, block):  # type: ignore[no-untyped-def]
    """A plain sum: list the neurons that would show something else; return their number."""
    z = np.uint64(table[unit + L.U_Z])
    shown = np.uint64(table[unit + L.U_SHOWN])
    list_at = np.uint64(table[unit + L.U_LIST])
    index_at = np.uint64(table[unit + L.U_CH_I])
    step = lanes(wide)
    changes = np.uint64(0)
    for k in range(count):
        i = np.uint64(di[list_at + np.uint64(2 * k)]) * np.uint64(block)
        end = i + np.uint64(di[list_at + np.uint64(2 * k + 1)]) * np.uint64(block)
        if table[unit + L.U_ZL] < 0:
            while i < end:
                changes += np.uint64(differing(real, z + i, wide, shown + i, di, index_at + changes, i, end - i))
                i += step
        while i < end:
            if np.float32(drive(table, real, wide, unit, np.int64(i))) != wide[shown + i]:
                di[index_at + changes] = i
                changes += np.uint64(1)
            i += np.uint64(1)
    return np.int64(changes)


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
        first = di[np.uint64(table[unit + L.U_LIST] + 2 * k)] * block
        for i in range(first, first + di[np.uint64(table[unit + L.U_LIST] + 2 * k + 1)] * block):
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
        first = di[np.uint64(table[unit + L.U_LIST] + 2 * k)] * block
        for i in range(first, first + di[np.uint64(table[unit + L.U_LIST] + 2 * k + 1)] * block):
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


@op
def rint(v):  # type: ignore[no-untyped-def]
    """Whole quanta, half to even, at most MOST either way."""
    return (min(max(v, -L.MOST), L.MOST) + ROUND) - ROUND
