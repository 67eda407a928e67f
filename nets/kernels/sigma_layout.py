"""Column numbers of a sigma-delta program's tables: what `nets.sigma_delta.program` writes and its kernels read.

    table    int64   const   header, then rows of units, connections and outputs
    ints     int32   const   row pointers, stamps, external and internal indices
    weights  real    const   weights[0] = 1, weights[1] = 0; then weights and gains
    coef     float64 const   biases, levels, slopes, hysteresis, leaks
    real     real    state   sums of what stays and of what leaks
    wide     float64 state   measurements, copies, what outputs last showed
    dyn      int64   state   stamps of measurements; per unit: last evaluation, awake, fresh, increments, non-zero | the
                             lists' lengths, ports, counters
    di       int32   state   quanta sent in all | lists of touched sites, of what changed
    marks    uint8   scratch 1 where a site is on its list

What stands before each `|` is what hash() reads. The ports, the time and the first counters stand in the columns of
`continuous_layout`, whose intake of packets serves here too.
"""

from __future__ import annotations

from nets.kernels import continuous_layout as C

FAR = 1 << 62
"""No such moment."""
MOST = float(1 << 20)
"""An activation saturates at so many quanta: no sum of the network can then overflow."""
GONE = 2.0**-40
"""What leaked to less than this part of a quantum is gone."""

# header of `table`
(
    H_UNITS, H_CONNS, H_OUTS, H_PORTS, H_UNIT_AT, H_CONN_AT, H_OUT_AT, H_T0, H_DT, H_SENT, H_WORST_OUT, H_AWAKE,
    H_LEAKS, H_SCRATCH_I, H_SCRATCH_D, H_DENSE, H_REFRESH,
) = range(C.H_SIZE, C.H_SIZE + 17)  # fmt: skip
"""H_AWAKE counts in `dyn` the units that a beat evaluates; H_DENSE in 1 / 256; H_REFRESH in increments."""
H_SIZE = C.H_SIZE + 17

# a unit
U_KIND, U_N, U_BLOCK, U_SITES, U_PORT = 0, 1, 2, 3, 4
U_Z, U_ZL, U_X, U_COPY, U_SHOWN, U_Q = 5, 6, 7, 8, 9, 10
U_BIAS, U_LEVELS, U_SLOPE, U_HYST, U_STEP = 11, 12, 13, 14, 15
"""U_STEP: 1 where levels, slope and hysteresis differ among the neurons, 0 where one of each stands for all."""
U_LEAK, U_DRIVE_LEAK = 16, 17
"""Where in `coef` the leak in 1 / ns stands of what it sends, of what it receives; -1: none."""
U_STAMP, U_LAST, U_AWAKE, U_FRESH, U_ADDED, U_NONZERO = 18, 19, 20, 21, 22, 23
U_MARK, U_LIST, U_COUNT = 24, 25, 26
U_CH_I, U_CH_D, U_CH_N = 27, 28, 29
U_CONN0, U_CONN1, U_OUT0, U_OUT1 = 30, 31, 32, 33
U_EXT, U_INT, U_REPORT, U_SITE = 34, 35, 36, 37
"""U_SITE: neurons of one place, which is U_BLOCK but for a measurement, whose neurons are listed one by one."""
U_SIZE = 38

MEASURED, SURFACE, HIDDEN, PLAIN = 0, 1, 2, 3
"""Kinds: an Input's quantiser, one that adds up changes, a layer, the sum in front of an Output."""
DRIVE_AWAKE, COPY_AWAKE = 1, 2

# a connection
C_SRC, C_PTR, C_STAMP, C_GAIN, C_NSTRIDE, C_SSTRIDE, C_ALIKE, C_LEAKS, C_MEAN, C_SHARE, C_APART = range(11)
"""C_ALIKE: all sources of one place reach the same rectangles; C_MEAN: mean synaptic operations of a source;
C_SHARE: so many sources in a row have their stamps in common, their weights C_APART after one another."""
C_SIZE = 11

# a stamp
S_W, S_N, S_NY, S_RUN, S_WSTRIDE, S_SITE, S_SITES, S_SYNOPS = 0, 1, 2, 3, 4, 5, 6, 7
S_SIZE = 8

# an output
O_PORT, O_UNIT = 0, 1
O_SIZE = 2

# counters in `dyn`, behind those of the intake
(
    N_OUT, N_SYNOPS, N_ADDS, N_TOUCHES, N_PASSES, N_SILENT, N_SUPERSEDED, N_REBUILT, N_SATURATED, N_VERSION, N_WATCH,
    N_WATCHING, N_DROPPED,
) = range(C.N_SIZE, C.N_SIZE + 13)  # fmt: skip
N_SIZE = C.N_SIZE + 13
