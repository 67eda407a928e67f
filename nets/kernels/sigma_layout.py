"""Column numbers of a sigma-delta program's tables: what `nets.sigma_delta.program` writes and its kernels read.

    table    int64   const   header, then rows of units, connections and outputs
    ints     int32   const   places, shapes, external and internal indices
    weights  real    const   weights[0] = 1, weights[1] = 0; then weights and gains
    coef     float64 const   biases, levels, slopes, hysteresis, leaks
    real     real    state   sums of what stays and of what leaks
    wide     float64 state   measurements, copies, what outputs last showed
    dyn      int64   state   stamps of measurements; per unit: last evaluation, awake, fresh, increments, non-zero | the
                             lists' lengths, ports, counters, where the weights of changes begin
    di       int32   state   quanta sent in all | stretches of touched sites, lists of what changed, groups
    marks    uint64  scratch a bit for each site, set where anything reached it

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
    H_LEAKS, H_SCRATCH_I, H_SCRATCH_D, H_DENSE, H_REFRESH, H_GROUPS, H_GROUP_W, H_GROUP_F,
) = range(C.H_SIZE, C.H_SIZE + 20)  # fmt: skip
"""H_AWAKE counts in `dyn` the units that a beat evaluates; H_DENSE in 1 / 256; H_REFRESH in increments; H_GROUPS:
where in `di` groups are listed, H_GROUP_W: in `dyn` where the weights of their changes begin, H_GROUP_F: in `real` what
they are multiplied with."""
H_SIZE = C.H_SIZE + 20

# a unit
U_KIND, U_N, U_BLOCK, U_SITES, U_PORT = 0, 1, 2, 3, 4
U_Z, U_ZL, U_X, U_COPY, U_SHOWN, U_Q = 5, 6, 7, 8, 9, 10
U_BIAS, U_LEVELS, U_SLOPE, U_HYST, U_STEP = 11, 12, 13, 14, 15
"""U_STEP: 1 where levels, slope and hysteresis differ among the neurons, 0 where one of each stands for all."""
U_LEAK, U_DRIVE_LEAK = 16, 17
"""Where in `coef` the leak in 1 / ns stands of what it sends, of what it receives; -1: none."""
U_STAMP, U_LAST, U_AWAKE, U_FRESH, U_ADDED, U_NONZERO = 18, 19, 20, 21, 22, 23
U_MARK, U_LIST, U_COUNT = 24, 25, 26
"""Words of marks, stretches listed from them, and whether there are any marks."""
U_CH_I, U_CH_D, U_CH_N = 27, 28, 29
U_CONN0, U_CONN1, U_OUT0, U_OUT1 = 30, 31, 32, 33
U_EXT, U_INT, U_REPORT, U_SITE = 34, 35, 36, 37
"""U_SITE: neurons of one place, which is U_BLOCK but for a measurement, whose neurons are listed one by one."""
U_INVERSE, U_SHIFT = 38, 39
"""Neuron i is of site i U_INVERSE >> U_SHIFT."""
U_SIZE = 40

MEASURED, SURFACE, HIDDEN, PLAIN = 0, 1, 2, 3
"""Kinds: an Input's quantiser, one that adds up changes, a layer, the sum in front of an Output."""
DRIVE_AWAKE, COPY_AWAKE = 1, 2

# a connection
C_SRC, C_PLACE, C_LEAKS, C_MEAN, C_SHARE, C_INVERSE, C_SHIFT, C_APART, C_EVEN = range(9)
"""C_MEAN: mean synaptic operations of a source; C_SHARE: so many sources in a row are one place, their weights C_APART
after one another; source i is of place i C_INVERSE >> C_SHIFT; C_EVEN: a source has one gain for all rectangles."""
C_SIZE = 9

# a place
P_SHAPE, P_N, P_W, P_GAIN = 0, 1, 2, 3
"""Where in `ints` its shape stands, in the target's sums its first rectangle, in `weights` its weights and its gain."""
P_SIZE = 4

# a group: changes whose rectangles are the same, from the first on, up to that of the next
G_SHAPE, G_N, G_FIRST = 0, 1, 2
G_SIZE = 3

# a shape: the synaptic operations of all its rectangles, how many chunks of sums and how many rows of sites they are,
# and how far behind stand the rows, (first site, how many) from the first site of the place on; behind this the chunks
S_SYNOPS, S_CHUNKS, S_ROWS, S_ROWS_AT = 0, 1, 2, 3
S_HEAD = 4
MOST_SITES = 64
"""Sites of a row; longer ones are cut."""

# a chunk: its number of rows, the code of its form, which of the place's gains it has, then its rows
K_ROWS, K_FORM, K_GAIN = 0, 1, 2
K_HEAD = 3
K_Z, K_W = 0, 1
"""A row: where it begins, from the place's first sum and from its weights on."""
K_SIZE = 2
WIDTHS = {16: 12, 8: 1, 4: 1, 1: 3}
"""Numbers in a piece, and at most how many pieces of them are side by side."""
PIECES, ROWS = 12, 6
"""At most so many pieces are a chunk, and so many rows of them."""
FORMS = tuple(
    (width, rows, pieces)
    for width, most in WIDTHS.items()
    for rows in range(1, ROWS + 1)
    for pieces in range(1, most + 1)
    if rows * pieces <= PIECES
)

# an output
O_PORT, O_UNIT = 0, 1
O_SIZE = 2

# counters in `dyn`, behind those of the intake
(
    N_OUT, N_SYNOPS, N_ADDS, N_TOUCHES, N_PASSES, N_SILENT, N_SUPERSEDED, N_REBUILT, N_SATURATED, N_VERSION, N_WATCH,
    N_WATCHING, N_DROPPED,
) = range(C.N_SIZE, C.N_SIZE + 13)  # fmt: skip
N_SIZE = C.N_SIZE + 13
