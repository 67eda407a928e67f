"""Compiles a graph and a dialect into the flat arrays of `nets.kernels.continuous_layout`."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets import nodes as n
from nets.continuous.delays import parts, without_delays
from nets.continuous.neuron import Flow, flow_of
from nets.dialect import Dialect
from nets.errors import UnsupportedError
from nets.graph import Graph
from nets.kernels import continuous_layout as L
from nets.linear import constant_drive
from nets.lower import Layout, Stamps, layout_of, lower
from nets.units import Path, Wiring, wire

FIRST_PORT_EVENTS = 4096


@dataclass(frozen=True, eq=False)
class State:
    """The arrays a run changes; the first `hashed_*` of them are the network's state, the rest follows from it."""

    real: NDArray[np.float64]
    dyn: NDArray[np.int64]
    di: NDArray[np.int32]
    marks: NDArray[np.uint8]

    def copy(self) -> State:
        return State(self.real.copy(), self.dyn.copy(), self.di.copy(), self.marks.copy())


@dataclass(frozen=True, eq=False)
class Unit:
    name: str
    shape: tuple[int, ...]
    layout: Layout
    flow: Flow
    row: int
    report: int


@dataclass(frozen=True, eq=False)
class Program:
    """One network, compiled: constant arrays, the initial state and the sizes that go with them."""

    graph: Graph
    dialect: Dialect
    dtype: Any
    table: NDArray[np.int64]
    ints: NDArray[np.int32]
    weights: NDArray[Any]
    coef: NDArray[np.float64]
    initial: State
    hashed_real: int
    hashed_dyn: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    units: tuple[Unit, ...]
    wiring: Wiring
    dense_synops: int
    fan_out: tuple[int, ...]
    """The most synaptic operations one event of each port can cause at once."""
    port_synops: tuple[int, ...]
    fingerprint: bytes


@dataclass(eq=False)
class _Tables:
    """Grows the constant arrays; every `put` returns where the values stand."""

    weights: list[NDArray[np.float64]]
    ints: list[NDArray[np.int32]]
    weight_count: int = 2
    int_count: int = 0

    def put_weights(self, values: NDArray[np.float64]) -> int:
        at = self.weight_count
        self.weights.append(np.ravel(values))
        self.weight_count += values.size
        if self.weight_count > 2**31 - 1:
            raise UnsupportedError("the network has more than 2**31 weights")
        return at

    def put_ints(self, values: NDArray[Any]) -> int:
        at = self.int_count
        self.ints.append(np.ravel(values).astype(np.int32))
        self.int_count += values.size
        return at


@dataclass(frozen=True, eq=False)
class _Connection:
    source: int
    """The port's number, or the number of ports and the source unit's row."""
    row: list[int]
    delays: NDArray[np.int64] | None
    most: int
    total: int


@dataclass
class _Room:
    used: int = 0

    def take(self, count: int) -> int:
        at = self.used
        self.used += count
        return at


def compile_continuous(graph: Graph, dialect: Dialect, dtype: Any = np.float32) -> Program:
    """Compile, or say which node cannot be run."""
    kind = np.dtype(dtype)
    if kind not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise UnsupportedError(f"dtype is {kind}, expected float32 or float64")
    plain = without_delays(graph)
    wiring = wire(plain)
    inputs, outputs = graph.of_kind(n.Input), graph.of_kind(n.Output)
    units = _units(plain, dialect, wiring)
    by_name = {unit.name: unit for unit in units}
    put = _Tables([np.array([1.0, 0.0])], [])
    found = [
        connection
        for path in wiring.paths
        for connection in _connections(graph, plain, path, by_name, inputs, dialect, put)
    ]
    found.sort(key=lambda c: c.source)
    pops, coef = _populations(units, put)
    real, dyn, di, marks = _Room(), _Room(), _Room(), _Room()
    sites = int(pops[:, L.P_SITES].sum())
    pops[:, L.P_SITE0] = np.concatenate([[0], np.cumsum(pops[:, L.P_SITES])[:-1]])
    for row in pops:
        size = int(row[L.P_N])
        row[L.P_V] = real.take(size)
        row[L.P_I] = real.take(size) if row[L.P_KIND] == L.KIND_CURRENT else -1
    last = dyn.take(sites)
    sample = dyn.take(1)
    hashed_real, hashed_dyn = real.used, dyn.used
    for row in pops:
        size, many = int(row[L.P_N]), int(row[L.P_SITES])
        for column in (L.P_X, L.P_LATE_V, L.P_LATE_I, L.P_CROSS, L.P_FIRE, L.P_SPK_V):
            row[column] = real.take(size)
        row[L.P_SPK_I], row[L.P_LIST] = di.take(size), di.take(many)
        row[L.P_MARK] = marks.take(many)
        for column in (L.P_COUNT, L.P_LATE, L.P_AWAKE, L.P_SPK_N):
            row[column] = dyn.take(1)
    starts = np.searchsorted([c.source for c in found], np.arange(len(inputs) + len(units) + 1))
    pops[:, L.P_CONN0], pops[:, L.P_CONN1] = starts[len(inputs) : -1], starts[len(inputs) + 1 :]

    outs = [
        [outputs.index(tap.output), int(pops[by_name[tap.unit].row, L.P_EXT]), by_name[tap.unit].row]
        for tap in sorted(wiring.taps, key=lambda tap: (outputs.index(tap.output), by_name[tap.unit].row))
    ]
    conn_at = L.H_SIZE + pops.size
    out_at = conn_at + len(found) * L.C_SIZE
    delay_at = out_at + len(outs) * L.O_SIZE
    delays: list[NDArray[np.int64]] = []
    worst_push = 0
    for connection in found:
        if connection.delays is not None:
            connection.row[L.C_DELAY] = delay_at + sum(len(d) for d in delays)
            delays.append(connection.delays)
            worst_push += len(connection.delays) if connection.source >= len(inputs) else 0
    header = np.zeros(L.H_SIZE, np.int64)
    for column, value in {
        L.H_POPS: len(pops), L.H_CONNS: len(found), L.H_OUTS: len(outs), L.H_PORTS: len(inputs),
        L.H_POP_AT: L.H_SIZE, L.H_CONN_AT: conn_at, L.H_OUT_AT: out_at,
        L.H_SAMPLE: sample, L.H_SITES: sites, L.H_LAST: last, L.H_DUE: dyn.take(sites), L.H_HEAP: dyn.take(sites),
        L.H_PLACE: dyn.take(sites), L.H_HEAP_N: dyn.take(1), L.H_AHEAD_N: dyn.take(1), L.H_ORDER: dyn.take(1),
        L.H_NOW: dyn.take(1), L.H_T0: dyn.take(1), L.H_DT: dialect.dt_ns,
        L.H_PORT_AT: dyn.take(len(inputs) * L.Q_SIZE), L.H_COUNTERS: dyn.take(L.N_SIZE),
        L.H_SPIKES: dyn.take(sum(unit.report >= 0 for unit in units)),
        L.H_EXACT: marks.take(sites), L.H_SITE_POP: put.put_ints(np.repeat(np.arange(len(pops)), pops[:, L.P_SITES])),
        L.H_WORST_OUT: sum(int(pops[row[L.O_POP], L.P_N]) for row in outs), L.H_WORST_PUSH: worst_push,
    }.items():  # fmt: skip
        header[column] = value
    table = np.concatenate(
        [header, pops.ravel(), *(np.array(c.row, np.int64) for c in found), np.array(outs, np.int64).ravel(), *delays]
    ).astype(np.int64)
    weights, ints = np.concatenate(put.weights).astype(kind), np.concatenate(put.ints)
    state = State(
        np.zeros(real.used), np.zeros(dyn.used, np.int64), np.zeros(di.used, np.int32), np.zeros(marks.used, np.uint8)
    )
    for k, name in enumerate(inputs):
        q = int(header[L.H_PORT_AT]) + k * L.Q_SIZE
        state.dyn[q + L.Q_BASE], state.dyn[q + L.Q_CAP] = k * FIRST_PORT_EVENTS, FIRST_PORT_EVENTS
        state.dyn[q + L.Q_N] = math.prod(graph.shapes[name])
        state.dyn[q + L.Q_CONN0], state.dyn[q + L.Q_CONN1] = starts[k], starts[k + 1]
    for row, unit in zip(pops, units, strict=True):
        state.real[row[L.P_V] : row[L.P_V] + row[L.P_N]] = unit.flow.start
    digest = hashlib.blake2b(digest_size=16)
    for array in (table, ints, weights, coef):
        digest.update(array.dtype.str.encode() + array.tobytes())
        array.flags.writeable = False
    fan_out, port_synops = ([0] * len(inputs) for _ in range(2))
    for c in found:
        if c.source < len(inputs):
            fan_out[c.source] += c.most
            port_synops[c.source] += c.total
    return Program(
        graph, dialect, kind, table, ints, weights, coef, state, hashed_real, hashed_dyn, inputs, outputs, units,
        wiring, sum(c.total for c in found), tuple(fan_out), tuple(port_synops), digest.digest(),
    )  # fmt: skip


def wake(program: Program, state: State) -> None:
    """Set what follows from the state proper: every site is looked at again before the next moment."""
    table, dyn = program.table, state.dyn
    sites = int(table[L.H_SITES])
    due, heap, place = (dyn[int(table[h]) : int(table[h]) + sites] for h in (L.H_DUE, L.H_HEAP, L.H_PLACE))
    due[:], place[:] = L.FAR, -1
    last = dyn[int(table[L.H_LAST]) : int(table[L.H_LAST]) + sites]
    exact = int(table[L.H_EXACT])
    state.marks[exact : exact + sites] = 0
    driven = np.flatnonzero(
        np.concatenate([np.full(len(u.layout.external) // u.layout.block, u.flow.driven) for u in program.units])
    )
    order = driven[np.argsort(last[driven], kind="stable")]  # a sorted list is a heap
    due[order] = last[order]
    heap[: len(order)] = order
    place[order] = np.arange(len(order))
    dyn[int(table[L.H_HEAP_N])] = len(order)
    for unit in program.units:
        dyn[row_of(program, unit)[L.P_AWAKE]] = unit.flow.graded and unit.flow.kind != L.KIND_SUM


def begin(program: Program, state: State, t: int) -> None:
    """Make a copy of the initial state begin at `t`."""
    table, dyn = program.table, state.dyn
    dyn[int(table[L.H_NOW])] = dyn[int(table[L.H_T0])] = t
    dyn[int(table[L.H_LAST]) : int(table[L.H_LAST]) + int(table[L.H_SITES])] = t
    graded = any(unit.flow.graded and unit.flow.kind != L.KIND_SUM for unit in program.units)
    dyn[int(table[L.H_SAMPLE])] = t + program.dialect.dt_ns - 1 if graded else L.FAR
    wake(program, state)


def row_of(program: Program, unit: Unit) -> NDArray[np.int64]:
    """The unit's row of the table."""
    at = int(program.table[L.H_POP_AT]) + unit.row * L.P_SIZE
    return program.table[at : at + L.P_SIZE]


def _units(graph: Graph, dialect: Dialect, wiring: Wiring) -> tuple[Unit, ...]:
    units: list[Unit] = []
    report = 0
    for name in wiring.units:
        node, shape = graph.nodes[name], graph.shapes[name]
        layout = layout_of(graph, shape, [path.nodes for path in wiring.paths if path.target == name])
        flow = flow_of(name, node, math.prod(shape), constant_drive(graph, name), dialect)
        flow = replace(flow, coefficients=flow.coefficients[:, layout.external], start=flow.start[layout.external])
        spiking = isinstance(node, n.SPIKING)
        units.append(Unit(name, shape, layout, flow, len(units), report if spiking else -1))
        report += spiking
    return tuple(units)


def _populations(units: tuple[Unit, ...], put: _Tables) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    pops = np.full((len(units), L.P_SIZE), -1, np.int64)
    used = 0
    for row, unit in zip(pops, units, strict=True):
        flow, size, block = unit.flow, len(unit.layout.external), unit.layout.block
        row[L.P_KIND], row[L.P_GRADED], row[L.P_DRIVEN] = flow.kind, flow.graded, flow.driven
        row[L.P_N], row[L.P_BLOCK], row[L.P_SITES] = size, block, size // block
        row[L.P_COEF] = used
        rates = flow.coefficients[[L.K_RATE, L.K_SYN]]
        row[L.P_UNIFORM] = bool((rates == rates[:, :1]).all())
        row[L.P_MULTI], row[L.P_STRICT], row[L.P_SUBTRACT] = flow.several, flow.strict, flow.subtract
        row[L.P_EXT], row[L.P_REPORT] = put.put_ints(unit.layout.external), unit.report
        used += flow.coefficients.size
    return pops, np.concatenate([unit.flow.coefficients.ravel() for unit in units])


def _connections(
    graph: Graph,
    plain: Graph,
    path: Path,
    by_name: dict[str, Unit],
    inputs: tuple[str, ...],
    dialect: Dialect,
    put: _Tables,
) -> list[_Connection]:
    shape, target = plain.shapes[path.source], by_name[path.target]
    found = []
    for part, delays in parts(graph, plain, path.nodes, math.prod(shape)):
        stamps = lower(part, path.nodes, shape, target.layout)
        if path.delayed:
            delays = np.where(delays > 0, delays, dialect.recurrent_delay * dialect.dt_ns)
        if path.source in inputs:
            number, internal = inputs.index(path.source), np.arange(math.prod(shape))
        else:
            source = by_name[path.source]
            number, internal = len(inputs) + source.row, source.layout.internal
            delays = delays[source.layout.external]
        row, most, total = _stamps(put, stamps, internal, target)
        found.append(_Connection(number, row, delays if delays.any() else None, most, total))
    return found


def _stamps(put: _Tables, stamps: Stamps, internal: NDArray[np.int64], target: Unit) -> tuple[list[int], int, int]:
    """Write one connection's tables; return its row, the most synops of one event and the synops of all sources."""
    keep = np.flatnonzero(stamps.gain != 0)
    source = internal[stamps.source[keep]]
    keep = keep[np.lexsort((stamps.first[keep], source))]
    source = internal[stamps.source[keep]]
    first, run, rows, block = stamps.first[keep], stamps.run[keep], stamps.rows[keep], target.layout.block
    synops = run * rows
    at = put.put_weights(stamps.weights)
    columns = (
        stamps.weight[keep] + at, first, rows, run, stamps.weight_stride[keep], first // block,
        (first + run - 1) // block - first // block + 1, synops,
    )  # fmt: skip
    each = np.bincount(source, minlength=len(internal))
    row = [0] * L.C_SIZE
    row[L.C_POP], row[L.C_DELAY] = target.row, -1
    row[L.C_PTR] = put.put_ints(np.concatenate([[0], np.cumsum(each)]))
    row[L.C_STAMP] = put.put_ints(np.stack(columns, axis=1))
    row[L.C_GAIN] = put.put_weights(stamps.gain[keep])
    row[L.C_NSTRIDE], row[L.C_SSTRIDE] = stamps.neuron_stride, stamps.neuron_stride // block
    per_source = np.bincount(source, weights=synops, minlength=len(internal))
    return row, int(per_source.max(initial=0)), int(synops.sum())
