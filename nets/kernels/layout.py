"""Column numbers of a program's tables: what `nets.program` writes and the kernels read.

    table    int64 const   header, then one row a population, a connection, an output
    ints     int32 const   row pointers, stamps, external indices
    weights  real  const   weights[0] = 1, weights[1] = 0; then weights, gains, coefficients
    real     real  state   potentials, currents, ring values | drive x, spike values
    dyn      int64 state   ticks applied per site, ring counts, site counts | spike counts, ports, counters
    di       int32 state   lists of touched sites, ring indices | spike indices, sites that fired
    marks    uint8 state   1 where a site is on its list, 2 where it must stay there

What stands before each `|` is what hash() reads; all of it is what snapshot() stores.
A stamp is one rectangle of weights an event adds to its target: `ny` rows of `run` consecutive neurons.
"""

from __future__ import annotations

# header of `table`
H_POPS, H_CONNS, H_OUTS, H_PORTS = 0, 1, 2, 3
H_POP_AT, H_CONN_AT, H_OUT_AT = 4, 5, 6
H_TICK, H_PORT_AT, H_COUNTERS, H_SPIKES = 7, 8, 9, 10
H_T0, H_DT = 11, 12
H_WORST_OUT = 13
H_DENSE = 14
H_EVERYWHERE = 15
"""Update all sites of a population where events reach this share of them, in 1 / 256."""
H_SIZE = 16

# a population
P_KIND, P_GRADED, P_N, P_BLOCK, P_SITES = 0, 1, 2, 3, 4
P_V, P_I, P_X = 5, 6, 7
P_MARK, P_LIST, P_COUNT, P_LAST = 8, 9, 10, 11
P_COEF, P_UNIFORM, P_SLEEP, P_DECAYS = 12, 13, 14, 15
P_SPK_I, P_SPK_V, P_SPK_N = 16, 17, 18
P_RING_I, P_RING_V, P_RING_N, P_DELAY = 19, 20, 21, 22
P_CONN0, P_CONN1, P_OUT0, P_OUT1 = 23, 24, 25, 26
P_EXT, P_REPORT = 27, 28
P_MULTI, P_STRICT, P_SUBTRACT = 29, 30, 31
P_U, P_STEPS, P_WINNERS, P_INHIBIT = 33, 34, 35, 36
P_SAME, P_LATER = 37, 38
"""P_LATER: where in `ints` the ticks stand by which each neuron delays its events, or -1: all alike."""
P_TOUCHED, P_LAST_SPIKE, P_SPIKED, P_LATE = 39, 40, 41, 42
"""In `dyn`: the last tick that updated any site; of each spiking neuron the last tick in which it fired, and in how
many it did."""
P_HIGH, P_EPOCH = 43, 44
"""Where potentials are tracked for late events (else -1): in `real` their extremes, this epoch's and the last one's,
high and low; in `dyn` the epoch and the tick in which tracking began."""
P_SIZE = 45
LATE_LINEAR, LATE_GRADED, LATE_OPEN = 0, 1, 2
"""A late event is taken into the state; so, but others have read it since; it acts in the open tick."""
NEVER = -(1 << 62)

KIND_INTEGRATE, KIND_LEAK, KIND_CURRENT = 0, 1, 2
KIND_MODEL = 16
"""The first of those beyond NIR: `model_layout`."""
SLEEP_NEVER, SLEEP_BELOW, SLEEP_BOUND, SLEEP_ZERO = 0, 1, 2, 3

# a population's coefficients, each an array of P_N
K_G, K_CMP, K_TH, K_FLOOR, K_RESET = 0, 1, 2, 3, 4
K_A, K_C = 5, 6
K_S, K_ALPHA, K_H, K_E, K_VINF, K_IINF, K_KAPPA, K_ROOM, K_DROOM = 7, 8, 9, 10, 11, 12, 13, 14, 15
COEFFICIENTS = (5, 7, 16)
"""How many of them each kind has."""

# a connection
C_KIND, C_SRC, C_PTR, C_STAMP, C_GAIN, C_NSTRIDE, C_SSTRIDE = 0, 1, 2, 3, 4, 5, 6
C_WHOLE, C_REACH = 7, 8
"""Neurons of the target where every source has one row over all of them, else 0; mean sites an event reaches, x 16."""
C_SIZE = 9
FROM_PORT, FROM_TICK, FROM_RING = 0, 1, 2

# a stamp
S_W, S_N, S_NY, S_RUN, S_WSTRIDE, S_SITE, S_SITES, S_SYNOPS = 0, 1, 2, 3, 4, 5, 6, 7
S_SIZE = 8

# an output: which port, where its population's external indices stand in `ints`, and which population
O_PORT, O_EXT, O_POP = 0, 1, 2
O_SIZE = 3

# a port's row in `dyn`; from Q_NEXT on, scratch: the open tick's events are those before Q_NEXT, or where they were
# merged by index, Q_MERGED of them at Q_SEEN in `di` and at Q_SUM in `real`
Q_HEAD, Q_TAIL, Q_BASE, Q_CAP, Q_N = 0, 1, 2, 3, 4
Q_NEXT, Q_MERGE, Q_MERGED, Q_SEEN, Q_SUM, Q_TOTAL, Q_BITS, Q_PLACE, Q_ORDER = 5, 6, 7, 8, 9, 10, 11, 12, 13
"""Q_MERGE: the least events of a tick that are merged. Q_TOTAL in `real`, Q_BITS in `dyn`: sums by place, and which.
Q_PLACE, Q_ORDER in `ints`: the place of an index, and back."""
Q_SIZE = 14

# counters in `dyn`
(
    N_IN,
    N_LATE,
    N_OUT,
    N_SYNOPS,
    N_TOUCHES,
    N_TICKS,
    N_SILENT,
    N_VERSION,
    N_PENDING,
    N_WATCH,
    N_WATCHING,
    N_DROPPED,
    N_RISKY,
) = range(13)
N_SIZE = 16
