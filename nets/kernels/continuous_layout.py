"""Column numbers of a continuous program's tables: what `nets.continuous.program` writes and its kernels read.

    table    int64   const   header, then rows of populations, connections and outputs, then delays in ns
    ints     int32   const   row pointers, stamps, external indices, the population of each site
    weights  real    const   weights[0] = 1, weights[1] = 0; then weights and gains
    coef     float64 const   coefficients of the neurons
    real     float64 state   potentials, currents, ns left to hold | drive, late drive, crossings, spike counts, values
    dyn      int64   state   when each site was last brought up to date, the next sample | dues, heap, ports, counters
    di       int32   state   lists of touched sites, spike indices
    marks    uint8   state   per population's site: bits LISTED and CROSSING; then per site whether its due is exact
    ahead    int64   state   spikes under way, a heap of (due, order, connection, source index)

What stands before each `|` is what hash() reads, with the spikes under way. State is float64 whatever the weights are:
a crossing predicted in float32 would be late by microseconds.
"""

from __future__ import annotations

FAR = 1 << 62
"""No such moment."""
SECOND = 1e-9
"""A nanosecond."""
LISTED, CROSSING = 1, 2

# header of `table`
H_POPS, H_CONNS, H_OUTS, H_PORTS = 0, 1, 2, 3
H_POP_AT, H_CONN_AT, H_OUT_AT = 4, 5, 6
H_NOW, H_T0, H_DT, H_SAMPLE = 7, 8, 9, 10
H_PORT_AT, H_COUNTERS, H_SPIKES = 11, 12, 13
H_SITES, H_LAST, H_DUE, H_HEAP, H_PLACE, H_HEAP_N, H_EXACT, H_SITE_POP = 14, 15, 16, 17, 18, 19, 20, 21
H_AHEAD_N, H_ORDER = 22, 23
H_WORST_OUT, H_WORST_PUSH = 24, 25
H_SIZE = 26

# a population
P_KIND, P_GRADED, P_N, P_BLOCK, P_SITES, P_SITE0 = 0, 1, 2, 3, 4, 5
P_V, P_I, P_X, P_LATE_V, P_LATE_I, P_CROSS, P_FIRE = 6, 7, 8, 9, 10, 11, 12
P_MARK, P_LIST, P_COUNT, P_LATE, P_AWAKE = 13, 14, 15, 16, 17
P_COEF, P_UNIFORM, P_DRIVEN = 18, 19, 20
P_SPK_I, P_SPK_V, P_SPK_N = 21, 22, 23
P_CONN0, P_CONN1 = 24, 25
P_EXT, P_REPORT = 26, 27
P_MULTI, P_STRICT, P_SUBTRACT = 28, 29, 30
P_LEFT = 31
"""Where the ns stand for which each neuron still holds its potential, or -1 where none ever does."""
P_SIZE = 32

KIND_SUM, KIND_FLAT, KIND_LEAK, KIND_CURRENT = 0, 1, 2, 3
"""A sum has no memory: an Output hands it on, a Threshold fires where it is reached."""

# a population's coefficients, each an array of P_N
K_G, K_CMP, K_TH, K_FLOOR, K_RESET, K_REST, K_RATE = 0, 1, 2, 3, 4, 5, 6
"""Jump of one unit of drive; K_REST is v_inf, or the slope of a neuron that does not leak; K_RATE is 1 / tau_mem."""
K_SYN, K_IREST, K_R, K_PEAK = 7, 8, 9, 10
"""1 / tau_syn, i_inf, the gain from current to potential, the peak of the response to one unit of current."""
K_HOLD = 11
"""The refractory time in ns."""
COEFFICIENTS = 12

# a connection, stored with its source
C_POP, C_PTR, C_STAMP, C_GAIN, C_NSTRIDE, C_SSTRIDE, C_DELAY = 0, 1, 2, 3, 4, 5, 6
"""C_DELAY: where the delays of the sources stand in the table, or -1 where none has any."""
C_SIZE = 7

# a stamp
S_W, S_N, S_NY, S_RUN, S_WSTRIDE, S_SITE, S_SITES, S_SYNOPS = 0, 1, 2, 3, 4, 5, 6, 7
S_SIZE = 8

# an output
O_PORT, O_EXT, O_POP = 0, 1, 2
O_SIZE = 3

# a port: its queue's row in `dyn`; its connections stand in the table behind the outputs, two columns a port
Q_HEAD, Q_TAIL, Q_BASE, Q_CAP, Q_N, Q_CONN0, Q_CONN1 = 0, 1, 2, 3, 4, 5, 6
Q_SIZE = 7

# counters in `dyn`
(N_IN, N_LATE, N_RISKY, N_OUT, N_SYNOPS, N_TOUCHES, N_INSTANTS, N_SOLVED, N_VERSION, N_WATCH, N_WATCHING, N_DROPPED) = (
    range(12)
)
N_SIZE = 12

# a spike under way
A_DUE, A_ORDER, A_CONN, A_INDEX = 0, 1, 2, 3
