"""Compiles a graph of sigma-delta units into the flat arrays of `nets.kernels.sigma_layout`."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets import nodes as n
from nets.errors import UnsupportedError
from nets.graph import Graph
from nets.kernels import continuous_layout as C
from nets.kernels import sigma_layout as L
from nets.linear import LINEAR, Real, constant_drive
from nets.lower import Layout, Stamps, layout_of, lower
from nets.sigma_delta.chunks import R_N, R_SITE, R_W, Strides, shape_of
from nets.sigma_delta.fixed import folded, fraction_bits, reach, rounded
from nets.sigma_delta.node import SigmaDelta, Surface
from nets.sigma_delta.thresholds import SigmaThresholds
from nets.units import Wiring, wire

FIRST_PORT_EVENTS = 4096
NS = 1e-9
LONGEST_LEAK_PER_S = 1e6
LINE = 16
"""At most so many numbers are in a cache line, or looked at in one instruction."""
MOST_PADDED = 1 << 22


@dataclass(frozen=True, eq=False)
class State:
    """The arrays a run changes; the first `hashed_*` of them are the network's state, the rest is scratch."""

    real: NDArray[Any]
    wide: NDArray[np.float64]
    dyn: NDArray[np.int64]
    di: NDArray[np.int32]
    marks: NDArray[np.uint64]

    def copy(self) -> State:
        return State(*(_aligned(array) for array in (self.real, self.wide, self.dyn, self.di, self.marks)))


@dataclass(frozen=True, eq=False)
class Unit:
    name: str
    shape: tuple[int, ...]
    layout: Layout
    node: SigmaDelta | n.Output
    port: int
    """The Input it quantises, by its place in `Program.inputs`, or -1."""
    row: int
    report: int
    bits: int
    """Binary places of its fixed-point sums."""

    @property
    def leak_per_s(self) -> float:
        return _leak(self.node)

    @property
    def kind(self) -> int:
        if not isinstance(self.node, SigmaDelta):
            return L.PLAIN
        if self.port < 0:
            return L.HIDDEN
        return L.SURFACE if isinstance(self.node, Surface) else L.MEASURED


@dataclass(frozen=True, eq=False)
class Program:
    """One network, compiled: constant arrays, the initial state and the sizes that go with them."""

    graph: Graph
    dtype: Any
    table: NDArray[np.int64]
    ints: NDArray[np.int32]
    weights: NDArray[Any]
    coef: NDArray[np.float64]
    initial: State
    hashed_real: int
    hashed_wide: int
    hashed_dyn: int
    hashed_di: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    units: tuple[Unit, ...]
    wiring: Wiring
    dense_synops: int
    fan_out: tuple[int, ...]
    """The most synaptic operations one event of each port can cause in the next layers."""
    port_synops: tuple[int, ...]
    """The synaptic operations in the next layers of an event at every index of a port at once."""
    fingerprint: bytes
    thresholds: SigmaThresholds

    def row(self, unit: Unit) -> NDArray[np.int64]:
        """The unit's row of the table."""
        at = int(self.table[L.H_UNIT_AT]) + unit.row * L.U_SIZE
        return self.table[at : at + L.U_SIZE]


@dataclass(eq=False)
class _Tables:
    """Grows the constant arrays; every `put` returns where the values stand."""

    weights: list[Real]
    ints: list[NDArray[np.int32]]
    coef: list[Real]
    weight_count: int = 2
    int_count: int = 0
    coef_count: int = 0

    def put_weights(self, values: Real) -> int:
        """From the beginning of a cache line on."""
        at = _up(self.weight_count)
        self.weights += [np.zeros(at - self.weight_count), np.ravel(values)]
        self.weight_count = at + values.size
        if self.weight_count > 2**31 - 1:
            raise UnsupportedError("the network has more than 2**31 weights")
        return at

    def put_ints(self, values: NDArray[Any]) -> int:
        at = self.int_count
        self.ints.append(np.ravel(values).astype(np.int32))
        self.int_count += values.size
        return at

    def put_coef(self, values: Real) -> int:
        at = self.coef_count
        self.coef.append(np.ravel(np.asarray(values, np.float64)))
        self.coef_count += values.size
        return at


@dataclass
class _Room:
    used: int = 0

    def take(self, count: int) -> int:
        at = self.used
        self.used += count
        return at

    def take_lines(self, count: int) -> int:
        """Whole cache lines."""
        at = self.used = _up(self.used)
        self.used = _up(at + count)
        return at


def compile_sigma_delta(graph: Graph, dtype: Any, dt_ns: int, thresholds: SigmaThresholds) -> Program:
    """Compile, or say which node cannot be run. `dtype` int64 means fixed-point weights."""
    kind = np.dtype(dtype)
    if kind not in (np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.int64)):
        raise UnsupportedError(f"dtype is {kind}, expected float32, float64 or int64 (fixed point)")
    _check_nodes(graph)
    wiring = wire(graph)
    inputs, outputs = graph.of_kind(n.Input), graph.of_kind(n.Output)
    ports = _quantisers(graph, wiring, inputs)
    _check_wiring(graph, wiring, ports)
    units = _units(graph, wiring, ports)
    by_name = {unit.name: unit for unit in units}
    put = _Tables([np.array([1.0, 0.0])], [], [])
    rows = np.full((len(units), L.U_SIZE), -1, np.int64)
    conns: list[list[int]] = []
    fan_out, port_synops, dense = [0] * len(inputs), [0] * len(inputs), 0
    for k, unit in enumerate(units):
        row = rows[k]
        row[L.U_CONN0] = len(conns)
        if unit.port < 0:
            paths, bias, unit = _into(graph, wiring, unit, by_name, kind)
            units[k] = unit
            for source, stamps in paths:
                conn, most, total = _connection(put, stamps, source, unit)
                conns.append(conn)
                dense += total
                if source.port >= 0:
                    fan_out[source.port] += most
                    port_synops[source.port] += total
            row[L.U_BIAS] = put.put_coef(bias[unit.layout.external])
        row[L.U_CONN1] = len(conns)
        _describe(row, unit, put, kind)

    real, wide, dyn, di, marks = (_Room() for _ in range(5))
    tapped = {tap.unit for tap in wiring.taps}
    for row, unit in zip(rows, units, strict=True):
        size = int(row[L.U_N])
        leaky = unit.kind != L.PLAIN and row[L.U_LEAK] >= 0
        if unit.port >= 0:
            row[L.U_X], row[L.U_STAMP] = wide.take_lines(size), dyn.take(size)
        else:
            row[L.U_Z] = real.take_lines(size)
            rates = {by_name[p.source].leak_per_s for p in wiring.paths if p.target == unit.name} - {0.0}
            if rates:
                row[L.U_ZL], row[L.U_DRIVE_LEAK] = real.take_lines(size), put.put_coef(np.array([rates.pop() * NS]))
        row[L.U_COPY] = wide.take_lines(size) if leaky else -1
        row[L.U_SHOWN] = wide.take_lines(size) if unit.name in tapped else -1
        row[L.U_Q] = di.take_lines(size) if unit.kind != L.PLAIN else -1
        for column in (L.U_LAST, L.U_AWAKE, L.U_FRESH, L.U_ADDED, L.U_NONZERO):
            row[column] = dyn.take(1)
    awake = dyn.take(1)
    hashed_real, hashed_wide, hashed_dyn, hashed_di = real.used, wide.used, dyn.used, di.used
    for row in rows:
        size, sites = int(row[L.U_N]), int(row[L.U_SITES])
        row[L.U_LIST], row[L.U_MARK], row[L.U_COUNT] = di.take(sites + 2), marks.take(-(-sites // 64) + 1), dyn.take(1)
        row[L.U_CH_I], row[L.U_CH_D], row[L.U_CH_N] = di.take(size + LINE), di.take(size + LINE), dyn.take(1)
    largest = int(rows[:, L.U_N].max())
    groups, group_w, group_f = di.take((largest + 1) * L.G_SIZE), dyn.take(largest), real.take(largest)

    taps = sorted(wiring.taps, key=lambda tap: by_name[tap.unit].row)
    outs = [[outputs.index(tap.output), by_name[tap.unit].row] for tap in taps]
    for row, unit in zip(rows, units, strict=True):
        of_unit = [k for k, out in enumerate(outs) if out[L.O_UNIT] == unit.row]
        row[L.U_OUT0], row[L.U_OUT1] = (of_unit[0], of_unit[-1] + 1) if of_unit else (0, 0)
    conn_at = L.H_SIZE + rows.size
    header = np.zeros(L.H_SIZE, np.int64)
    for column, value in {
        C.H_NOW: dyn.take(1), C.H_PORT_AT: dyn.take(len(inputs) * C.Q_SIZE), C.H_COUNTERS: dyn.take(L.N_SIZE),
        L.H_UNITS: len(units), L.H_CONNS: len(conns), L.H_OUTS: len(outs), L.H_PORTS: len(inputs),
        L.H_UNIT_AT: L.H_SIZE, L.H_CONN_AT: conn_at, L.H_OUT_AT: conn_at + len(conns) * L.C_SIZE,
        L.H_T0: dyn.take(1), L.H_DT: dt_ns, L.H_SENT: dyn.take(sum(unit.report >= 0 for unit in units)),
        L.H_WORST_OUT: sum(int(rows[out[L.O_UNIT], L.U_N]) for out in outs), L.H_AWAKE: awake,
        L.H_LEAKS: any(unit.leak_per_s > 0 for unit in units), L.H_SCRATCH_I: di.take(largest + LINE),
        L.H_SCRATCH_D: di.take(largest + LINE), L.H_DENSE: round(256 * thresholds.rebuild),
        L.H_REFRESH: L.FAR if kind == np.int64 else thresholds.refresh,
        L.H_GROUPS: groups, L.H_GROUP_W: group_w, L.H_GROUP_F: group_f,
    }.items():  # fmt: skip
        header[column] = value
    table = np.concatenate(
        [header, rows.ravel(), np.array(conns, np.int64).ravel(), np.array(outs, np.int64).ravel()]
    ).astype(np.int64)
    arithmetic = np.dtype(np.float64) if kind == np.int64 else kind
    weights = _aligned(np.concatenate([*put.weights, np.zeros(LINE)]).astype(arithmetic))
    ints, coef = np.concatenate(put.ints), _joined(put.coef)
    state = State(
        np.zeros(real.used + LINE, arithmetic), np.zeros(wide.used + LINE), np.zeros(dyn.used, np.int64),
        np.zeros(di.used + LINE, np.int32), np.zeros(marks.used, np.uint64),
    )  # fmt: skip
    for k, name in enumerate(inputs):
        q = int(header[C.H_PORT_AT]) + k * C.Q_SIZE
        state.dyn[q + C.Q_BASE], state.dyn[q + C.Q_CAP] = k * FIRST_PORT_EVENTS, FIRST_PORT_EVENTS
        state.dyn[q + C.Q_N] = math.prod(graph.shapes[name])
    for row in rows:
        state.dyn[row[L.U_FRESH]] = 1
    digest = hashlib.blake2b(digest_size=16)
    for array in (table, ints, weights, coef):
        digest.update(array.dtype.str.encode() + array.tobytes())
    digest.update(f"{kind} {thresholds!r}".encode())
    return Program(
        graph, kind, table, ints, weights, coef, state, hashed_real, hashed_wide, hashed_dyn, hashed_di, inputs,
        outputs, tuple(units), wiring, dense, tuple(fan_out), tuple(port_synops), digest.digest(), thresholds,
    )  # fmt: skip


def begin(program: Program, state: State, t: int) -> None:
    """Make a copy of the initial state begin at `t`."""
    table, dyn = program.table, state.dyn
    dyn[int(table[C.H_NOW])] = dyn[int(table[L.H_T0])] = t
    for unit in program.units:
        row = program.row(unit)
        dyn[row[L.U_LAST]] = t
        if unit.port >= 0:
            stamps = dyn[row[L.U_STAMP] : row[L.U_STAMP] + row[L.U_N]]
            stamps[:] = t if unit.kind == L.SURFACE else -L.FAR


def _leak(node: n.Node) -> float:
    return float(node.leak_per_s.item()) if isinstance(node, SigmaDelta) else 0.0


def _joined(parts: list[Real]) -> Real:
    return np.concatenate(parts) if parts else np.zeros(0)


def _check_nodes(graph: Graph) -> None:
    for name, node in graph.nodes.items():
        if not isinstance(node, (n.Input, SigmaDelta, *LINEAR)):
            raise UnsupportedError(f"{name}: {node.kind} does not run in a sigma-delta network")
        if isinstance(node, SigmaDelta) and _leak(node) > LONGEST_LEAK_PER_S:
            raise UnsupportedError(
                f"{name}: leak_per_s is {_leak(node):.3g}, expected at most {LONGEST_LEAK_PER_S:.0e}"
            )


def _quantisers(graph: Graph, wiring: Wiring, inputs: tuple[str, ...]) -> dict[str, int]:
    """Which unit quantises which Input."""
    found: dict[str, int] = {}
    for port, name in enumerate(inputs):
        paths = [path for path in wiring.paths if path.source == name]
        for path in paths:
            between = [node for node in path.nodes if not isinstance(graph.nodes[node], n.Flatten)]
            behind = between[0] if between else path.target
            if not isinstance(graph.nodes[behind], SigmaDelta):
                raise UnsupportedError(
                    f"{name}: {behind} ({graph.nodes[behind].kind}) reads this Input unquantised; expected a "
                    "SigmaDelta right behind it"
                )
            if sum(other.target == path.target for other in wiring.paths) > 1:
                raise UnsupportedError(f"{path.target}: quantises the Input {name}, so nothing else may lead into it")
        if len(paths) != 1:
            raise UnsupportedError(f"{name}: {len(paths)} nodes read this Input, expected one SigmaDelta")
        found[paths[0].target] = port
    return found


def _check_wiring(graph: Graph, wiring: Wiring, ports: dict[str, int]) -> None:
    for path in wiring.paths:
        if path.delayed:
            raise UnsupportedError(f"{path.target}: {path.source} depends on it; a sigma-delta network has no cycles")
    for name, node in graph.nodes.items():
        if isinstance(node, Surface) and name not in ports:
            raise UnsupportedError(f"{name}: a Surface quantises an Input, and none leads to it")
    for unit in wiring.units:
        leaks = {_leak(graph.nodes[path.source]) for path in wiring.paths if path.target == unit} - {0.0}
        if len(leaks) > 1:
            raise UnsupportedError(f"{unit}: what it receives leaks at {sorted(leaks)} per s, expected one rate")
    for name in graph.of_kind(n.Output):
        units = sorted(tap.unit for tap in wiring.taps if tap.output == name)
        if len(units) > 1:
            raise UnsupportedError(f"{name}: {', '.join(units)} lead to this Output, expected one")


def _units(graph: Graph, wiring: Wiring, ports: dict[str, int]) -> list[Unit]:
    units: list[Unit] = []
    report = 0
    for name in wiring.units:
        node, shape = graph.nodes[name], graph.shapes[name]
        assert isinstance(node, SigmaDelta | n.Output)
        layout = layout_of(graph, shape, [path.nodes for path in wiring.paths if path.target == name])
        sends = isinstance(node, SigmaDelta)
        units.append(Unit(name, shape, layout, node, ports.get(name, -1), len(units), report if sends else -1, 0))
        report += sends
    return units


def _into(
    graph: Graph, wiring: Wiring, unit: Unit, by_name: dict[str, Unit], kind: Any
) -> tuple[list[tuple[Unit, Stamps]], Real, Unit]:
    """The paths into a unit with what one quantum of each source adds, and its bias; in fixed point, rounded."""
    paths = [path for path in wiring.paths if path.target == unit.name]
    found: list[tuple[Unit, Stamps]] = []
    bias = constant_drive(graph, unit.name)
    bound = np.abs(bias).max(initial=0.0)
    fixed = kind == np.int64
    total = np.abs(bias[unit.layout.external]) / L.MOST
    largest = float(bound) / L.MOST
    for path in paths:
        source = by_name[path.source]
        assert isinstance(source.node, SigmaDelta)
        where = " -> ".join((path.source, *path.nodes, path.target))
        if fixed and source.leak_per_s > 0:
            raise UnsupportedError(f"{where}: what leaks has no fixed-point form; run it in float64")
        stamps = lower(graph, path.nodes, graph.shapes[path.source], unit.layout)
        levels = np.broadcast_to(source.node.levels.astype(np.float64), source.shape).ravel()
        stamps = replace(stamps, gain=stamps.gain / levels[stamps.source])
        sources = len(np.unique(stamps.source))
        bound = bound + _most(stamps) * sources * L.MOST
        if not bound < np.finfo(np.float64 if fixed else kind).max / 16:
            raise UnsupportedError(f"{where}: its weights add up beyond what {kind} holds")
        if fixed:
            stamps = folded(where, stamps)
            total = total + reach(stamps, len(total))
            largest = max(largest, float(np.abs(stamps.weights).max(initial=0.0)))
        found.append((source, stamps))
    if not fixed:
        return found, bias, unit
    bits = fraction_bits(unit.name, largest, float(total.max(initial=0.0)))
    exact = [(source, replace(stamps, weights=rounded(stamps.weights, bits))) for source, stamps in found]
    return exact, rounded(bias, bits), replace(unit, bits=bits)


def _most(stamps: Stamps) -> float:
    """The largest thing one quantum can add."""
    return float(np.abs(stamps.weights).max(initial=0.0) * np.abs(stamps.gain).max(initial=0.0))


def _describe(row: NDArray[np.int64], unit: Unit, put: _Tables, kind: Any) -> None:
    size, node = len(unit.layout.external), unit.node
    row[L.U_KIND], row[L.U_N], row[L.U_PORT] = unit.kind, size, unit.port
    # an event of a measurement names one neuron, not a place
    row[L.U_BLOCK] = 1 if unit.port >= 0 else unit.layout.block
    row[L.U_SITES], row[L.U_SITE] = size // row[L.U_BLOCK], unit.layout.block
    row[L.U_INVERSE], row[L.U_SHIFT] = inverse(int(row[L.U_BLOCK]), size)
    row[L.U_EXT], row[L.U_INT] = put.put_ints(unit.layout.external), put.put_ints(unit.layout.internal)
    row[L.U_REPORT] = unit.report
    if not isinstance(node, SigmaDelta):
        row[L.U_LEVELS], row[L.U_STEP] = put.put_coef(np.ones(1)), 0
        return
    columns = [
        np.broadcast_to(getattr(node, name).astype(np.float64), unit.shape).ravel()[unit.layout.external]
        for name in ("levels", "slope", "hysteresis")
    ]
    same = all(bool((values == values[0]).all()) for values in columns)
    row[L.U_STEP] = not same
    for column, values in zip((L.U_LEVELS, L.U_SLOPE, L.U_HYST), columns, strict=True):
        row[column] = put.put_coef(values[:1] if same else values)
    if _leak(node) > 0:
        row[L.U_LEAK] = put.put_coef(np.array([_leak(node) * NS]))


def _connection(put: _Tables, stamps: Stamps, source: Unit, unit: Unit) -> tuple[list[int], int, int]:
    """Write one path's tables; return its row, the most synops of one event and the synops of all sources at once."""
    internal, block = source.layout.internal, unit.layout.block
    keep = np.flatnonzero(stamps.gain != 0)
    number = internal[stamps.source[keep]]
    keep = keep[np.lexsort((stamps.first[keep], number))]
    number = internal[stamps.source[keep]]
    first, run, rows = stamps.first[keep], stamps.run[keep], stamps.rows[keep]
    synops = run * rows
    weight = stamps.weight[keep] + put.put_weights(stamps.weights)
    columns = (
        first, weight, rows, run, stamps.weight_stride[keep], first // block,
        (first + run - 1) // block - first // block + 1,
    )  # fmt: skip
    size = len(internal)
    each = np.bincount(number, minlength=size)
    table, gain = np.stack(columns, axis=1), stamps.gain[keep]
    row = [0] * L.C_SIZE
    row[L.C_SRC] = source.row
    row[L.C_SHARE], own = 1, each
    if (apart := _apart(each, table, gain, source.layout.block)) is not None:
        row[L.C_SHARE], row[L.C_APART] = source.layout.block, apart
        kept, own = np.flatnonzero(number % source.layout.block == 0), each[:: source.layout.block]
        table, gain = table[kept], gain[kept]
    row[L.C_INVERSE], row[L.C_SHIFT] = inverse(row[L.C_SHARE], size)
    strides = Strides(stamps.neuron_stride, stamps.neuron_stride // block)
    row[L.C_PLACE], row[L.C_EVEN] = _places(put, own, table, gain, strides)
    row[L.C_LEAKS] = source.leak_per_s > 0
    row[L.C_MEAN] = max(1, round(int(synops.sum()) / size))
    per_source = np.bincount(number, weights=synops, minlength=size)
    return row, int(per_source.max(initial=0)), int(synops.sum())


def _apart(each: NDArray[np.int64], table: NDArray[np.int64], gain: Real, site: int) -> int | None:
    """How far apart the weights of one place's sources lie, or None where their stamps differ in anything else."""
    if site == 1 or not len(table):
        return None
    by_site = each.reshape(-1, site)
    if not (by_site == by_site[:, :1]).all():
        return None
    start = np.concatenate([[0], np.cumsum(each)[:-1]]).reshape(-1, site)[:, 0]
    # for every stamp, that of the first source of its place which has the same number among those of its source
    first = np.repeat(start, by_site.sum(axis=1)) + _running(each)
    channel = np.repeat(np.arange(len(each)) % site, each)
    second = np.flatnonzero(channel == 1)[:1]
    apart = int((table[second, R_W] - table[first[second], R_W])[0])
    as_first = table[first]
    as_first[:, R_W] += channel * apart
    same = apart >= 0 and (table == as_first).all() and (gain == gain[first]).all()
    return apart if same else None


def inverse(divisor: int, below: int) -> tuple[int, int]:
    """(m, s) with i // divisor == i m >> s for all i below `below`, and no product beyond 63 bits."""
    shift = (divisor * below).bit_length()
    return (1 << shift) // divisor + 1, shift


def _places(
    put: _Tables, each: NDArray[np.int64], table: NDArray[np.int64], gain: Real, strides: Strides
) -> tuple[int, bool]:
    """Write the places and, each once, their shapes and gains; return where, and whether every place has one gain."""
    count = len(each)
    of, start = np.repeat(np.arange(count), each), np.cumsum(each) - each
    some = np.flatnonzero(each)
    places = np.zeros((count, L.P_SIZE), np.int64)
    seen = table.copy()
    if len(some):
        places[some, L.P_N] = table[start[some], R_N]
        places[some, L.P_W] = np.minimum.reduceat(table[:, R_W], start[some])
        seen[:, R_N] -= places[of, L.P_N]
        seen[:, R_W] -= places[of, L.P_W]
        seen[:, R_SITE] -= table[start[of], R_SITE]
    stamps, stamp = np.unique(seen, axis=0, return_inverse=True)
    at, shape = _distinct(each, stamp.reshape(-1))
    written = np.zeros(len(at), np.int64)
    for k, (begin, many) in enumerate(at):
        written[k] = put.put_ints(np.array(shape_of(stamps[stamp.reshape(-1)[begin : begin + many]], strides)))
    places[:, L.P_SHAPE] = written[shape]
    values, value = np.unique(gain, return_inverse=True)
    even = bool((gain == gain[start[of]]).all())
    if even:
        places[some, L.P_GAIN] = value.reshape(-1)[start[some]]
        places[:, L.P_GAIN] += put.put_weights(values)
    else:
        places[:, L.P_GAIN] = start + put.put_weights(gain)
    return put.put_ints(places), even


def _distinct(each: NDArray[np.int64], stamp: NDArray[np.int64]) -> tuple[list[tuple[int, int]], NDArray[np.int64]]:
    """(first stamp, number of stamps) of every sequence of stamps that occurs, and which of them each place has."""
    start, widest = np.cumsum(each) - each, int(each.max(initial=0))
    which = np.arange(len(each))
    if len(each) * widest <= MOST_PADDED:
        padded = np.full((len(each), widest + 1), -1, np.int64)
        padded[np.repeat(which, each), _running(each)] = stamp
        _, one, which = np.unique(padded, axis=0, return_index=True, return_inverse=True)
        start, each = start[one], each[one]
    return list(zip(start.tolist(), each.tolist(), strict=True)), which.reshape(-1)


def _running(each: NDArray[np.int64]) -> NDArray[np.int64]:
    """For every stamp, its number among those of its source."""
    return np.arange(int(each.sum())) - np.repeat(np.cumsum(each) - each, each)


def _up(count: int) -> int:
    return -(-count // LINE) * LINE


def _aligned(values: NDArray[Any]) -> NDArray[Any]:
    """A copy that begins with a cache line."""
    line = LINE * 4
    room = np.zeros(values.nbytes + line, np.uint8)
    start = -room.ctypes.data % line
    found = room[start : start + values.nbytes].view(values.dtype)
    found[:] = values
    return found
