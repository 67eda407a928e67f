"""Runs a sigma-delta network up to a moment: all of a packet, layer by layer, in one call.

All events up to a moment act together. Where something leaks the moments are the beats of a grid, as long as what leaks
is not gone; without, there is one, the end of the call. A moment that brings nothing costs nothing.

A layer takes the changes in, or is rebuilt from what its sources now hold, z = bias + sum q / levels W, where fewer of
them hold anything than changed, after many increments, whose rounding it so forgets, and for the first time.
"""

from __future__ import annotations

import math

import numpy as np

from nets.kernels import continuous_layout as C
from nets.kernels import sigma_layout as L
from nets.kernels.jit import entry, op
from nets.kernels.sigma_deliver import deliver
from nets.kernels.sigma_quantise import faded_alike, quantise
from nets.kernels.sigma_show import show, tell
from nets.kernels.sigma_simd import gather, lanes
from nets.kernels.sigma_take import first_event, take

DONE, FULL = 0, 1


@entry
def run(  # type: ignore[no-untyped-def]
    table, ints, weights, coef, real, wide, dyn, di, marks, ev_t, ev_index, ev_value, out_t, out_port, out_index,
    out_value, watch, until,
):  # fmt: skip
    """Take all events up to `until`; return (DONE, outputs), or (FULL, outputs) to be called again after reading."""
    counters = table[C.H_COUNTERS]
    units = table[L.H_UNITS]
    outputs = 0
    while True:
        t = moment(table, dyn, ev_t, until)
        fresh = dyn[table[table[L.H_UNIT_AT] + L.U_FRESH]] != 0
        beat = dyn[table[L.H_AWAKE]] > 0 and (t - dyn[table[L.H_T0]]) % table[L.H_DT] == 0 and t > dyn[table[C.H_NOW]]
        if fresh or beat or first_event(table, dyn, ev_t) <= t:
            if outputs + table[L.H_WORST_OUT] > out_t.shape[0]:
                return FULL, outputs
            taken = take(table, ints, coef, wide, dyn, di, marks, ev_t, ev_index, ev_value, t)
            sent = 0
            for u in range(units):
                unit = table[L.H_UNIT_AT] + u * L.U_SIZE
                changes, everywhere = update(table, ints, weights, coef, real, wide, dyn, di, marks, unit, t)
                if changes > 0 and table[unit + L.U_REPORT] >= 0:
                    sent += changes
                    tell(table, ints, dyn, di, watch, unit, changes, t)
                if table[unit + L.U_OUT1] > table[unit + L.U_OUT0]:
                    outputs = show(
                        table, ints, coef, real, wide, di, unit, changes, everywhere, t, out_t, out_port, out_index,
                        out_value, outputs,
                    )  # fmt: skip
            dyn[counters + L.N_VERSION] += 1
            dyn[counters + L.N_PASSES] += taken > 0 or beat
            dyn[counters + L.N_SILENT] += sent == 0
        dyn[table[C.H_NOW]] = t
        if t == until:
            return DONE, outputs


@op
def moment(table, dyn, ev_t, until):  # type: ignore[no-untyped-def]
    """The next time at which something is to be done, at most `until`."""
    if table[L.H_LEAKS] == 0:
        return until
    now = dyn[table[C.H_NOW]]
    t0 = dyn[table[L.H_T0]]
    dt = table[L.H_DT]
    if dyn[table[L.H_AWAKE]] > 0:
        return min(until, t0 + ((now - t0) // dt + 1) * dt)
    first = first_event(table, dyn, ev_t)
    if first >= until:
        return until
    return min(until, t0 - (t0 - max(first, now)) // dt * dt)


@op
def update(table, ints, weights, coef, real, wide, dyn, di, marks, unit, t):  # type: ignore[no-untyped-def]
    """One unit at moment t; return its changes, and whether all of it was looked at."""
    counters = table[C.H_COUNTERS]
    everywhere = forget(table, coef, real, wide, dyn, unit, t)
    if dyn[table[unit + L.U_FRESH]] != 0:
        everywhere = True
    if table[unit + L.U_CONN1] > table[unit + L.U_CONN0]:
        rebuilt = receive(table, ints, weights, coef, real, dyn, di, marks, unit, everywhere)
        everywhere = everywhere or rebuilt
    dyn[table[unit + L.U_FRESH]] = 0
    if not everywhere and dyn[table[unit + L.U_COUNT]] == 0:
        dyn[table[unit + L.U_CH_N]] = 0
        return 0, False
    changes, looked, saturated, alive = quantise(table, coef, real, wide, dyn, di, marks, unit, everywhere)
    dyn[counters + L.N_TOUCHES] += looked
    dyn[counters + L.N_SATURATED] += saturated
    rest(table, coef, real, wide, dyn, unit, alive)
    return changes, everywhere


@op
def receive(table, ints, weights, coef, real, dyn, di, marks, unit, everywhere):  # type: ignore[no-untyped-def]
    """Take the changes of the unit's sources in, or rebuild its sums and return True.

    What is reached is marked, but for a unit that is looked at everywhere.
    """
    counters = table[C.H_COUNTERS]
    changed = 0
    lasting = 0
    held = 0
    most = 0
    for c in range(table[unit + L.U_CONN0], table[unit + L.U_CONN1]):
        conn = table[L.H_CONN_AT] + c * L.C_SIZE
        source = table[L.H_UNIT_AT] + table[conn + L.C_SRC] * L.U_SIZE
        n = dyn[table[source + L.U_CH_N]]
        changed += n
        if table[conn + L.C_LEAKS] == 0:
            lasting += n
            most += n * table[conn + L.C_MEAN]
            held += dyn[table[source + L.U_NONZERO]] * table[conn + L.C_MEAN]
    fresh = dyn[table[unit + L.U_FRESH]] != 0
    if changed == 0 and not fresh:
        return False
    added = dyn[table[unit + L.U_ADDED]] + lasting
    rebuilt = fresh or added >= table[L.H_REFRESH] or most * 256 > table[L.H_DENSE] * (held + table[unit + L.U_N])
    dyn[table[unit + L.U_ADDED]] = 0 if rebuilt else added
    if rebuilt:
        dyn[counters + L.N_REBUILT] += 1
        z = np.uint64(table[unit + L.U_Z])
        bias = np.uint64(table[unit + L.U_BIAS])
        for i in range(table[unit + L.U_N]):
            real[z + np.uint64(i)] = coef[bias + np.uint64(i)]
    marking = not (rebuilt or everywhere)
    for c in range(table[unit + L.U_CONN0], table[unit + L.U_CONN1]):
        conn = table[L.H_CONN_AT] + c * L.C_SIZE
        source = table[L.H_UNIT_AT] + table[conn + L.C_SRC] * L.U_SIZE
        index_at = table[source + L.U_CH_I]
        change_at = table[source + L.U_CH_D]
        n = dyn[table[source + L.U_CH_N]]
        z_at = table[unit + L.U_Z] if table[conn + L.C_LEAKS] == 0 else table[unit + L.U_ZL]
        if rebuilt and table[conn + L.C_LEAKS] == 0:
            index_at = table[L.H_SCRATCH_I]
            change_at = table[L.H_SCRATCH_D]
            n = holding(table, di, source, index_at, change_at)
        if n > 0:
            synops, adds = deliver(
                table, ints, weights, real, dyn, di, marks, conn, unit, z_at, index_at, change_at, n, marking
            )
            dyn[counters + L.N_SYNOPS] += synops
            dyn[counters + L.N_ADDS] += adds
            if marking:
                dyn[table[unit + L.U_COUNT]] = 1
    return rebuilt


@op
def holding(table, di, source, index_at, change_at):  # type: ignore[no-untyped-def]
    """List the neurons of a source whose receivers hold anything of them; return how many."""
    q_at = np.uint64(table[source + L.U_Q])
    size = np.uint64(table[source + L.U_N])
    n = np.uint64(0)
    i = np.uint64(0)
    while i < size:
        n += np.uint64(gather(di, q_at + i, np.uint64(index_at) + n, np.uint64(change_at) + n, i, size - i))
        i += lanes(di)
    return np.int64(n)


@op
def forget(table, coef, real, wide, dyn, unit, t):  # type: ignore[no-untyped-def]
    """Bring what leaks in a unit to moment t; return whether any of it did."""
    passed = t - dyn[table[unit + L.U_LAST]]
    dyn[table[unit + L.U_LAST]] = t
    awake = dyn[table[unit + L.U_AWAKE]]
    if awake == 0 or passed == 0:
        return False
    if awake & L.DRIVE_AWAKE:
        a = real.dtype.type(math.exp(-coef[table[unit + L.U_DRIVE_LEAK]] * passed))
        zl = np.uint64(table[unit + L.U_ZL])
        for i in range(table[unit + L.U_N]):
            real[zl + np.uint64(i)] *= a
    if awake & L.COPY_AWAKE:
        a = math.exp(-coef[table[unit + L.U_LEAK]] * passed)
        copy = np.uint64(table[unit + L.U_COPY])
        for i in range(table[unit + L.U_N]):
            wide[copy + np.uint64(i)] *= a
    return True


@op
def rest(table, coef, real, wide, dyn, unit, alive):  # type: ignore[no-untyped-def]
    """Note whether anything is left that leaks; what is not worth a quantum's 2**-40 is set to nothing.

    `alive` is what `quantise` found of what the unit received, where one activation stands for all of its neurons.
    """
    awake = 0
    step = table[unit + L.U_STEP]
    levels = table[unit + L.U_LEVELS]
    if table[unit + L.U_DRIVE_LEAK] >= 0:
        zl = np.uint64(table[unit + L.U_ZL])
        if not faded_alike(table, unit):
            alive = False
            for i in range(table[unit + L.U_N]):
                if abs(real[zl + np.uint64(i)]) * coef[np.uint64(levels + i * step)] > L.GONE:
                    alive = True
                    break
        if alive:
            awake = L.DRIVE_AWAKE
        else:
            for i in range(table[unit + L.U_N]):
                real[zl + np.uint64(i)] = 0.0
    if table[unit + L.U_LEAK] >= 0 and table[unit + L.U_KIND] != L.SURFACE:
        left = 0
        for i in range(table[unit + L.U_N]):
            if abs(wide[np.uint64(table[unit + L.U_COPY] + i)]) * coef[np.uint64(levels + i * step)] > L.GONE:
                left = L.COPY_AWAKE
                break
        if left == 0:
            for i in range(table[unit + L.U_N]):
                wide[np.uint64(table[unit + L.U_COPY] + i)] = 0.0
        awake |= left
    dyn[table[L.H_AWAKE]] += np.int64(awake != 0) - np.int64(dyn[table[unit + L.U_AWAKE]] != 0)
    dyn[table[unit + L.U_AWAKE]] = awake
