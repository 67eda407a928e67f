"""Compiles a graph and a dialect into flat arrays that `nets.kernels.run` runs; see `nets.kernels.layout`."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets import models as m
from nets import nodes as n
from nets.dialect import Dialect
from nets.errors import UnsupportedError
from nets.graph import Graph
from nets.kernels import layout as L
from nets.kernels.lanes import LANES
from nets.linear import constant_drive
from nets.lower import Layout, Stamps, layout_of, lower
from nets.model_rules import model_rule
from nets.neuron import Rule, check_fits, rule_of
from nets.relay import RELAYS, delay_ticks, relay_rule
from nets.thresholds import DEFAULT, Thresholds
from nets.units import Path, Wiring, wire
from nets.windows import lower_into_windows

FIRST_PORT_EVENTS = 4096


@dataclass(frozen=True, eq=False)
class State:
    """The arrays a run changes. `real[:hashed_real]` and so on are the network's state, the rest is scratch."""

    real: NDArray[Any]
    dyn: NDArray[np.int64]
    di: NDArray[np.int32]
    marks: NDArray[np.uint8]

    def copy(self) -> State:
        return State(self.real.copy(), self.dyn.copy(), self.di.copy(), self.marks.copy())


@dataclass(frozen=True, eq=False)
class Unit:
    """Where a unit's state lies, for whoever looks at it from outside."""

    name: str
    shape: tuple[int, ...]
    layout: Layout
    rule: Rule
    row: int
    report: int

    @property
    def inputs(self) -> int:
        """Places of drive a neuron listens at."""
        return 1 if self.rule.extra is None else self.rule.extra.inputs


@dataclass(frozen=True, eq=False)
class Program:
    """One network, compiled: constant arrays, the initial state and the sizes that go with them."""

    graph: Graph
    dialect: Dialect
    dtype: Any
    table: NDArray[np.int64]
    ints: NDArray[np.int32]
    weights: NDArray[Any]
    initial: State
    hashed_real: int
    hashed_dyn: int
    hashed_di: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    units: tuple[Unit, ...]
    wiring: Wiring
    dense_synops: int
    fan_out: tuple[int, ...]
    """The most synaptic operations one event of each port can cause at once."""
    port_synops: tuple[int, ...]
    """The synaptic operations of an event at every index of a port at once."""
    fingerprint: bytes
    thresholds: Thresholds


@dataclass
class _Pool:
    """Hands out consecutive offsets of one array."""

    used: int = 0

    def take(self, count: int) -> int:
        at = self.used
        self.used += count
        return at


class _Builder:
    def __init__(self) -> None:
        self.weights: list[NDArray[np.float64]] = [np.array([1.0, 0.0])]
        self.weight_count = 2
        self.ints: list[NDArray[np.int32]] = []
        self.int_count = 0

    def put_weights(self, values: NDArray[np.float64]) -> int:
        at = self.weight_count
        self.weights.append(np.ravel(values))
        self.weight_count += values.size
        return at

    def put_ints(self, values: NDArray[Any]) -> int:
        at = self.int_count
        if values.size and (values.max() > 2**31 - 1 or values.min() < -(2**31)):
            raise UnsupportedError("the network has more than 2**31 weights")
        self.ints.append(np.ravel(values).astype(np.int32))
        self.int_count += values.size
        return at


@np.errstate(over="ignore", invalid="ignore")  # `check_fits` names what grew beyond all bounds
def compile_program(
    graph: Graph, dialect: Dialect, dtype: Any = np.float32, thresholds: Thresholds = DEFAULT
) -> Program:
    """Compile, or say which node cannot be run."""
    kind = np.dtype(dtype)
    if kind not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise UnsupportedError(f"dtype is {kind}, expected float32 or float64")
    wiring = wire(graph)
    inputs, outputs = graph.of_kind(n.Input), graph.of_kind(n.Output)
    build = _Builder()
    units = _units(graph, dialect, wiring, kind.type)
    by_name = {unit.name: unit for unit in units}
    pops = np.full((len(units), L.P_SIZE), -1, np.int64)
    conns: list[list[int]] = []
    fan_out, port_synops, dense = [0] * len(inputs), [0] * len(inputs), 0
    stamped: list[tuple[int, Stamps]] = []
    for k, unit in enumerate(units):
        pops[k, L.P_CONN0] = len(conns)
        for path in (p for p in wiring.paths if p.target == unit.name):
            if isinstance(graph.nodes[unit.name], m.MaxPool2d):
                stamps = lower_into_windows(graph, path.nodes, graph.shapes[path.source], unit.name, unit.layout)
            else:
                stamps = lower(graph, path.nodes, graph.shapes[path.source], unit.layout)
            where = " -> ".join((path.source, *path.nodes, path.target))
            check_fits(where, stamps.weights, kind)
            check_fits(where, stamps.gain, kind)
            conn, most, total = _connection(build, path, stamps, unit, by_name, inputs, graph)
            conns.append(conn)
            dense += total
            if path.source in inputs:
                port = inputs.index(path.source)
                fan_out[port] += most
                port_synops[port] += total
                stamped.append((port, stamps))
        pops[k, L.P_CONN1] = len(conns)
        _describe_unit(pops[k], unit, build)

    real, dyn, di, marks = _Pool(), _Pool(), _Pool(), _Pool()
    delayed = {p.source for p in wiring.paths if p.delayed}
    for row, unit in zip(pops, units, strict=True):
        size, sites = int(row[L.P_N]), int(row[L.P_SITES])
        row[L.P_V] = real.take(size)
        row[L.P_I] = real.take(size) if unit.rule.kind == L.KIND_CURRENT else -1
        row[L.P_U] = real.take(0 if unit.rule.extra is None else unit.rule.extra.initial.size)
        row[L.P_LAST], row[L.P_COUNT] = dyn.take(sites), dyn.take(1)
        row[L.P_LIST], row[L.P_MARK] = di.take(sites), marks.take(sites)
        row[L.P_DELAY] = dialect.recurrent_delay
        node = graph.nodes[unit.name]
        if unit.name in delayed or isinstance(node, n.Delay):
            slots = dialect.recurrent_delay
            if isinstance(node, n.Delay):
                ticks = delay_ticks(unit.name, node, size, dialect)[unit.layout.external]
                if unit.name in delayed and not ticks.all():
                    raise UnsupportedError(f"{unit.name}: a Delay that closes a cycle is under half a tick")
                slots = int(ticks.max()) + 1
                row[L.P_LATER], row[L.P_DELAY] = build.put_ints(ticks), slots
            row[L.P_RING_V], row[L.P_RING_I], row[L.P_RING_N] = (
                real.take(slots * size),
                di.take(slots * size),
                dyn.take(slots),
            )
    hashed_real, hashed_dyn, hashed_di = real.used, dyn.used, di.used
    for row, unit in zip(pops, units, strict=True):
        size = int(row[L.P_N])
        row[L.P_X], row[L.P_SPK_V] = real.take(size * unit.inputs), real.take(size)
        row[L.P_SPK_I], row[L.P_SPK_N] = di.take(size), dyn.take(1)
        spiking = size if unit.report >= 0 else 0
        row[L.P_TOUCHED], row[L.P_LAST_SPIKE], row[L.P_SPIKED] = dyn.take(1), dyn.take(spiking), dyn.take(spiking)
        read = any(path.source == unit.name for path in wiring.paths)
        row[L.P_LATE] = _late_rule(graph.nodes[unit.name], unit.rule, read)
        fed = any(path.target == unit.name and path.source in inputs for path in wiring.paths)
        if fed and not unit.rule.graded and row[L.P_LATE] == L.LATE_LINEAR:
            row[L.P_HIGH], row[L.P_EPOCH] = real.take(4 * size), dyn.take(2)
    merging = []
    for number, name in enumerate(inputs):
        size = math.prod(graph.shapes[name])
        order, mixed = _by_shape(size, [stamps for port, stamps in stamped if port == number])
        merging.append(
            {
                L.Q_SEEN: di.take(size),
                L.Q_SUM: real.take(size),
                L.Q_TOTAL: real.take(size),
                L.Q_BITS: dyn.take(-(-size // 32)),
                L.Q_PLACE: build.put_ints(np.argsort(order)),
                L.Q_ORDER: build.put_ints(order),
                L.Q_MERGE: thresholds.merged_events(size, port_synops[number], mixed),
            }
        )

    outs, worst = _outputs(graph, wiring, outputs, by_name, build, pops)
    header = np.zeros(L.H_SIZE, np.int64)
    header[L.H_POPS], header[L.H_CONNS], header[L.H_OUTS], header[L.H_PORTS] = (
        len(pops),
        len(conns),
        len(outs),
        len(inputs),
    )
    header[L.H_POP_AT] = L.H_SIZE
    header[L.H_CONN_AT] = L.H_SIZE + pops.size
    header[L.H_OUT_AT] = header[L.H_CONN_AT] + len(conns) * L.C_SIZE
    header[L.H_TICK], header[L.H_T0] = dyn.take(1), dyn.take(1)
    header[L.H_DT] = dialect.dt_ns
    header[L.H_PORT_AT] = dyn.take(len(inputs) * L.Q_SIZE)
    header[L.H_COUNTERS] = dyn.take(L.N_SIZE)
    header[L.H_SPIKES] = dyn.take(sum(unit.report >= 0 for unit in units))
    header[L.H_WORST_OUT], header[L.H_DENSE] = worst, dense
    header[L.H_EVERYWHERE] = round(256 * thresholds.everywhere)

    table = np.concatenate([header, pops.ravel(), np.array(conns, np.int64).ravel(), np.array(outs, np.int64).ravel()])
    weights = np.concatenate([*build.weights, np.zeros(LANES)]).astype(kind)
    ints = np.concatenate(build.ints) if build.ints else np.zeros(0, np.int32)
    state = State(
        np.zeros(real.used + LANES, kind),
        np.zeros(dyn.used, np.int64),
        np.zeros(di.used, np.int32),
        np.zeros(marks.used, np.uint8),
    )
    _fill_initial(state, header, pops, units, graph, inputs)
    for k, places in enumerate(merging):
        port = int(header[L.H_PORT_AT]) + k * L.Q_SIZE
        for column, value in places.items():
            state.dyn[port + column] = value
    digest = hashlib.blake2b(digest_size=16)
    for array in (table, ints, weights):
        digest.update(array.dtype.str.encode() + array.tobytes())
    digest.update(repr(thresholds).encode())
    return Program(
        graph, dialect, kind, table, ints, weights, state, hashed_real, hashed_dyn, hashed_di, inputs, outputs, units,
        wiring, dense, tuple(fan_out), tuple(port_synops), digest.digest(), thresholds,
    )  # fmt: skip


def _units(graph: Graph, dialect: Dialect, wiring: Wiring, real: type) -> tuple[Unit, ...]:
    units: list[Unit] = []
    report = 0
    for name in wiring.units:
        node, shape = graph.nodes[name], graph.shapes[name]
        paths = [path.nodes for path in wiring.paths if path.target == name]
        layout = layout_of(graph, shape, paths)
        make: Any = model_rule if isinstance(node, n.SpikingModel | n.Pooling) else rule_of
        if isinstance(node, RELAYS):
            make = relay_rule
        rule: Rule = make(name, node, math.prod(shape), constant_drive(graph, name), dialect, real)
        if rule.extra is not None:
            rule = replace(rule, extra=replace(rule.extra, initial=rule.extra.initial[:, layout.external]))
        rule = replace(rule, coefficients=rule.coefficients[:, layout.external], start=rule.start[layout.external])
        spiking = isinstance(node, (*n.SPIKING, n.Threshold))
        units.append(Unit(name, shape, layout, rule, len(units), report if spiking else -1))
        report += spiking
    return tuple(units)


def _late_rule(node: n.Node, rule: Rule, read: bool) -> int:
    """What a late event does to a unit; `read`: other units take its samples."""
    if rule.kind >= L.KIND_MODEL or isinstance(node, (*RELAYS, n.Output)):
        return L.LATE_OPEN
    return L.LATE_GRADED if rule.graded and read else L.LATE_LINEAR


def _describe_unit(row: NDArray[np.int64], unit: Unit, build: _Builder) -> None:
    rule, size = unit.rule, len(unit.layout.external)
    row[L.P_KIND], row[L.P_GRADED] = rule.kind, rule.graded
    row[L.P_N], row[L.P_BLOCK], row[L.P_SITES] = size, unit.layout.block, size // unit.layout.block
    row[L.P_COEF] = build.put_weights(rule.coefficients)
    row[L.P_UNIFORM] = bool((rule.coefficients[L.K_A :] == rule.coefficients[L.K_A :, :1]).all())
    row[L.P_SAME] = bool((rule.coefficients == rule.coefficients[:, :1]).all())
    row[L.P_SLEEP] = rule.sleep
    row[L.P_DECAYS] = rule.kind != L.KIND_INTEGRATE
    row[L.P_MULTI], row[L.P_STRICT], row[L.P_SUBTRACT] = rule.multi, rule.strict, rule.subtract
    row[L.P_EXT] = build.put_ints(unit.layout.external)
    row[L.P_REPORT] = unit.report
    if (extra := rule.extra) is not None:
        row[L.P_STEPS] = extra.steps
        if extra.winners is not None:
            row[L.P_WINNERS], row[L.P_INHIBIT] = extra.winners, build.put_weights(np.array([extra.inhibition]))


def _connection(
    build: _Builder,
    path: Path,
    stamps: Stamps,
    unit: Unit,
    by_name: dict[str, Unit],
    inputs: tuple[str, ...],
    graph: Graph,
) -> tuple[list[int], int, int]:
    """Write one path's tables; return its row, the most synops of one event and the synops of all sources at once."""
    size, neurons = math.prod(graph.shapes[path.source]), len(unit.layout.external)
    source = stamps.source if path.source in inputs else by_name[path.source].layout.internal[stamps.source]
    order = np.lexsort((stamps.first, source))
    weight_at = build.put_weights(stamps.weights)
    block = unit.layout.block * unit.inputs
    first, run, rows = stamps.first[order], stamps.run[order], stamps.rows[order]
    synops = run * rows
    table = np.stack(
        [
            stamps.weight[order] + weight_at,
            first,
            rows,
            run,
            stamps.weight_stride[order],
            first // block,
            (first + run - 1) // block - first // block + 1,
            synops,
        ],
        axis=1,
    )
    each = np.bincount(source[order], minlength=size)
    pointer = np.concatenate([[0], np.cumsum(each)])
    per_source = np.bincount(source[order], weights=synops, minlength=size)
    late = path.delayed or isinstance(graph.nodes[path.source], n.Delay)
    kind = L.FROM_PORT if path.source in inputs else L.FROM_RING if late else L.FROM_TICK
    number = inputs.index(path.source) if path.source in inputs else by_name[path.source].row
    row = [0] * L.C_SIZE
    row[L.C_KIND], row[L.C_SRC] = kind, number
    row[L.C_PTR], row[L.C_STAMP] = build.put_ints(pointer), build.put_ints(table)
    row[L.C_GAIN] = build.put_weights(stamps.gain[order])
    row[L.C_NSTRIDE], row[L.C_SSTRIDE] = stamps.neuron_stride, stamps.neuron_stride // block
    whole = unit.inputs == 1 and len(order) == size and bool((each == 1).all() and (rows == 1).all())
    row[L.C_WHOLE] = int(neurons) if whole and bool((first == 0).all() and (run == neurons).all()) else 0
    row[L.C_REACH] = -(-16 * int((table[:, L.S_SITES] * rows).sum()) // max(size, 1))
    return row, int(per_source.max(initial=0)), int(synops.sum())


def _by_shape(size: int, paths: list[Stamps]) -> tuple[NDArray[np.int64], bool]:
    """A port's indices, those whose weights have one shape next to each other, and whether there are several shapes."""
    shape = np.zeros(size, np.int64)
    for stamps in paths:
        np.add.at(shape, stamps.source, (stamps.rows * 65_537 + stamps.run) * 8191 + 1)
    return np.lexsort((np.arange(size), shape)), bool((shape != shape[:1]).any())


def _outputs(
    graph: Graph,
    wiring: Wiring,
    outputs: tuple[str, ...],
    by_name: dict[str, Unit],
    build: _Builder,
    pops: NDArray[np.int64],
) -> tuple[list[list[int]], int]:
    rows, worst = [], 0
    for tap in sorted(wiring.taps, key=lambda tap: (outputs.index(tap.output), by_name[tap.unit].row)):
        unit = by_name[tap.unit]
        row = [0] * L.O_SIZE
        row[L.O_PORT], row[L.O_EXT], row[L.O_POP] = outputs.index(tap.output), int(pops[unit.row, L.P_EXT]), unit.row
        rows.append(row)
        worst += len(unit.layout.external)
    return rows, worst


def _fill_initial(
    state: State,
    header: NDArray[np.int64],
    pops: NDArray[np.int64],
    units: tuple[Unit, ...],
    graph: Graph,
    inputs: tuple[str, ...],
) -> None:
    for row, unit in zip(pops, units, strict=True):
        size, sites = int(row[L.P_N]), int(row[L.P_SITES])
        state.real[row[L.P_V] : row[L.P_V] + size] = unit.rule.start
        state.dyn[row[L.P_TOUCHED]] = L.NEVER
        if row[L.P_EPOCH] >= 0:
            state.dyn[row[L.P_EPOCH] : row[L.P_EPOCH] + 2] = L.NEVER
        if unit.report >= 0:
            state.dyn[row[L.P_LAST_SPIKE] : row[L.P_LAST_SPIKE] + size] = L.NEVER
        if (extra := unit.rule.extra) is not None:
            state.real[row[L.P_U] : row[L.P_U] + extra.initial.size] = extra.initial.ravel()
        if unit.rule.kind != L.KIND_INTEGRATE or unit.rule.sleep == L.SLEEP_NEVER:
            # every site proves in its first tick that it may sleep
            state.dyn[row[L.P_COUNT]] = sites
            state.di[row[L.P_LIST] : row[L.P_LIST] + sites] = np.arange(sites)
            state.marks[row[L.P_MARK] : row[L.P_MARK] + sites] = 1
    for k, name in enumerate(inputs):
        port = int(header[L.H_PORT_AT]) + k * L.Q_SIZE
        state.dyn[port + L.Q_BASE], state.dyn[port + L.Q_CAP] = k * FIRST_PORT_EVENTS, FIRST_PORT_EVENTS
        state.dyn[port + L.Q_N] = math.prod(graph.shapes[name])
