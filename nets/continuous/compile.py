"""Compiles a graph and a dialect into a continuous program, or says which node cannot be run."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets import nodes as n
from nets.continuous.delays import parts, without_delays
from nets.continuous.neuron import flow_of
from nets.continuous.program import Program, State, Unit
from nets.dialect import Dialect
from nets.errors import UnsupportedError
from nets.graph import Graph
from nets.kernels import continuous_layout as L
from nets.linear import constant_drive
from nets.lower import Stamps, layout_of, lower
from nets.neuron import check_fits
from nets.units import Path, Wiring, wire

FIRST_PORT_EVENTS = 4096


@np.errstate(over="ignore", invalid="ignore")  # `check_fits` names what grew beyond all bounds
def compile_continuous(graph: Graph, dialect: Dialect, dtype: Any = np.float32) -> Program:
    """Compile, or raise an `UnsupportedError`."""
    kind = np.dtype(dtype)
    if kind not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise UnsupportedError(f"dtype is {kind}, expected float32 or float64")
    plain = without_delays(graph)
    wiring = wire(plain)
    inputs, outputs = graph.of_kind(n.Input), graph.of_kind(n.Output)
    units = _units(plain, dialect, wiring)
    by_name = {unit.name: unit for unit in units}
    numbers = {name: k for k, name in enumerate([*inputs, *(unit.name for unit in units)])}
    tables = _Tables()
    connections = [
        connection
        for path in wiring.paths
        for connection in _connections(graph, plain, path, by_name, numbers, dialect, tables, kind)
    ]
    connections.sort(key=lambda c: c.source)
    starts = np.searchsorted([c.source for c in connections], np.arange(len(numbers) + 1))
    pops, coef = _populations(units, tables)
    pops[:, L.P_CONN0], pops[:, L.P_CONN1] = starts[len(inputs) : -1], starts[len(inputs) + 1 :]
    outs = [
        [outputs.index(tap.output), int(pops[by_name[tap.unit].row, L.P_EXT]), by_name[tap.unit].row]
        for tap in sorted(wiring.taps, key=lambda tap: (outputs.index(tap.output), by_name[tap.unit].row))
    ]
    conn_at = L.H_SIZE + pops.size
    out_at = conn_at + len(connections) * L.C_SIZE
    delays = _place_delays(connections, out_at + len(outs) * L.O_SIZE)

    place = _Places()
    last, sample = _place_state(pops, units, place)
    hashed_real, hashed_dyn = place.real, place.dyn
    _place_scratch(pops, place)
    sites = int(pops[:, L.P_SITES].sum())
    header = np.zeros(L.H_SIZE, np.int64)
    for column, value in {
        L.H_POPS: len(pops), L.H_CONNS: len(connections), L.H_OUTS: len(outs), L.H_PORTS: len(inputs),
        L.H_POP_AT: L.H_SIZE, L.H_CONN_AT: conn_at, L.H_OUT_AT: out_at, L.H_SAMPLE: sample, L.H_SITES: sites,
        L.H_LAST: last, L.H_DUE: place.take_dyn(sites), L.H_HEAP: place.take_dyn(sites),
        L.H_PLACE: place.take_dyn(sites), L.H_HEAP_N: place.take_dyn(1), L.H_AHEAD_N: place.take_dyn(1),
        L.H_ORDER: place.take_dyn(1), L.H_NOW: place.take_dyn(1), L.H_T0: place.take_dyn(1), L.H_DT: dialect.dt_ns,
        L.H_PORT_AT: place.take_dyn(len(inputs) * L.Q_SIZE), L.H_COUNTERS: place.take_dyn(L.N_SIZE),
        L.H_SPIKES: place.take_dyn(sum(unit.report >= 0 for unit in units)), L.H_EXACT: place.take_marks(sites),
        L.H_SITE_POP: tables.put_ints(np.repeat(np.arange(len(pops)), pops[:, L.P_SITES])),
        L.H_WORST_OUT: sum(int(pops[row[L.O_POP], L.P_N]) for row in outs),
        L.H_WORST_PUSH: sum(len(c.delays) for c in connections if c.delays is not None and c.source >= len(inputs)),
    }.items():  # fmt: skip
        header[column] = value
    rows = [np.array(row, np.int64) for row in (*(c.row for c in connections), *outs)]
    table = np.concatenate([header, pops.ravel(), *rows, *delays]).astype(np.int64)
    weights, ints = np.concatenate(tables.weights).astype(kind), np.concatenate(tables.ints)
    state = place.state()
    for row, unit in zip(pops, units, strict=True):
        state.real[row[L.P_V] : row[L.P_V] + row[L.P_N]] = unit.flow.start
    queues = state.dyn[header[L.H_PORT_AT] :][: len(inputs) * L.Q_SIZE].reshape(-1, L.Q_SIZE)
    queues[:, L.Q_CAP] = FIRST_PORT_EVENTS
    queues[:, L.Q_N] = [math.prod(graph.shapes[name]) for name in inputs]
    queues[:, L.Q_CONN0], queues[:, L.Q_CONN1] = starts[: len(inputs)], starts[1 : len(inputs) + 1]
    digest = hashlib.blake2b(digest_size=16)
    for array in (table, ints, weights, coef):
        digest.update(array.dtype.str.encode() + array.tobytes())
        array.flags.writeable = False
    return Program(
        graph, dialect, kind, table, ints, weights, coef, state, hashed_real, hashed_dyn, units, wiring,
        dense_synops=sum(c.total for c in connections),
        fan_out=tuple(sum(c.most for c in connections if c.source == k) for k in range(len(inputs))),
        port_synops=tuple(sum(c.total for c in connections if c.source == k) for k in range(len(inputs))),
        fingerprint=digest.digest(),
    )  # fmt: skip


@dataclass(eq=False)
class _Tables:
    """Grows the constant arrays; every `put` returns where the values stand."""

    weights: list[NDArray[np.float64]] = field(default_factory=lambda: [np.array([1.0, 0.0])])
    ints: list[NDArray[np.int32]] = field(default_factory=list)
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


@dataclass
class _Places:
    """Hands out consecutive places in the arrays of a state."""

    real: int = 0
    dyn: int = 0
    di: int = 0
    marks: int = 0

    def take_real(self, count: int) -> int:
        self.real += count
        return self.real - count

    def take_dyn(self, count: int) -> int:
        self.dyn += count
        return self.dyn - count

    def take_di(self, count: int) -> int:
        self.di += count
        return self.di - count

    def take_marks(self, count: int) -> int:
        self.marks += count
        return self.marks - count

    def state(self) -> State:
        return State(
            np.zeros(self.real), np.zeros(self.dyn, np.int64), np.zeros(self.di, np.int32),
            np.zeros(self.marks, np.uint8),
        )  # fmt: skip


def _units(graph: Graph, dialect: Dialect, wiring: Wiring) -> tuple[Unit, ...]:
    units: list[Unit] = []
    report = 0
    for name in wiring.units:
        node, shape = graph.nodes[name], graph.shapes[name]
        layout = layout_of(graph, shape, [path.nodes for path in wiring.paths if path.target == name])
        flow = flow_of(name, node, math.prod(shape), constant_drive(graph, name), dialect)
        check_fits(name, np.delete(flow.coefficients, [L.K_CMP, L.K_TH, L.K_FLOOR], axis=0), np.float64)
        flow = replace(flow, coefficients=flow.coefficients[:, layout.external], start=flow.start[layout.external])
        units.append(Unit(name, shape, layout, flow, len(units), -1 if flow.graded else report))
        report += not flow.graded
    return tuple(units)


def _populations(units: tuple[Unit, ...], tables: _Tables) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """A row of the table for each unit, and the coefficients of all."""
    pops = np.full((len(units), L.P_SIZE), -1, np.int64)
    coef, site = 0, 0
    for row, unit in zip(pops, units, strict=True):
        flow, size, block = unit.flow, len(unit.layout.external), unit.layout.block
        row[L.P_KIND], row[L.P_GRADED], row[L.P_DRIVEN] = flow.kind, flow.graded, flow.driven
        row[L.P_N], row[L.P_BLOCK], row[L.P_SITES], row[L.P_SITE0] = size, block, size // block, site
        rates = flow.coefficients[[L.K_RATE, L.K_SYN]]
        row[L.P_COEF], row[L.P_UNIFORM] = coef, bool((rates == rates[:, :1]).all())
        row[L.P_MULTI], row[L.P_STRICT], row[L.P_SUBTRACT] = flow.several, flow.strict, flow.subtract
        row[L.P_EXT], row[L.P_REPORT] = tables.put_ints(unit.layout.external), unit.report
        coef += flow.coefficients.size
        site += size // block
    return pops, np.concatenate([unit.flow.coefficients.ravel() for unit in units])


def _place_state(pops: NDArray[np.int64], units: tuple[Unit, ...], place: _Places) -> tuple[int, int]:
    """What hash() reads; returns where the moments of the sites and of the next sample stand."""
    for row, unit in zip(pops, units, strict=True):
        size = int(row[L.P_N])
        row[L.P_V] = place.take_real(size)
        row[L.P_I] = place.take_real(size) if unit.flow.kind == L.KIND_CURRENT else -1
        row[L.P_LEFT] = place.take_real(size) if unit.flow.holds else -1
    return place.take_dyn(int(pops[:, L.P_SITES].sum())), place.take_dyn(1)


def _place_scratch(pops: NDArray[np.int64], place: _Places) -> None:
    for row in pops:
        size, sites = int(row[L.P_N]), int(row[L.P_SITES])
        for column in (L.P_X, L.P_LATE_V, L.P_LATE_I, L.P_CROSS, L.P_FIRE, L.P_SPK_V):
            row[column] = place.take_real(size)
        row[L.P_SPK_I], row[L.P_LIST], row[L.P_MARK] = (
            place.take_di(size),
            place.take_di(sites),
            place.take_marks(sites),
        )
        for column in (L.P_COUNT, L.P_LATE, L.P_AWAKE, L.P_SPK_N):
            row[column] = place.take_dyn(1)


@dataclass(frozen=True, eq=False)
class _Connection:
    source: int
    """The port's number, or the number of ports and the source unit's row."""
    row: list[int]
    delays: NDArray[np.int64] | None
    most: int
    """The most synaptic operations of one event."""
    total: int
    """Those of an event at every source at once."""


def _connections(
    graph: Graph,
    plain: Graph,
    path: Path,
    by_name: dict[str, Unit],
    numbers: dict[str, int],
    dialect: Dialect,
    tables: _Tables,
    dtype: Any,
) -> Iterator[_Connection]:
    shape, target = plain.shapes[path.source], by_name[path.target]
    for part, delays in parts(graph, plain, path.nodes, math.prod(shape), dialect):
        stamps = lower(part, path.nodes, shape, target.layout)
        for values in (stamps.weights, stamps.gain):
            check_fits(" -> ".join((path.source, *path.nodes, path.target)), values, dtype)
        if path.delayed:
            delays = np.where(delays > 0, delays, dialect.recurrent_delay * dialect.dt_ns)
        internal = np.arange(math.prod(shape))
        if path.source in by_name:
            source = by_name[path.source].layout
            internal, delays = source.internal, delays[source.external]
        row, most, total = _stamps(tables, stamps, internal, target)
        yield _Connection(numbers[path.source], row, delays if delays.any() else None, most, total)


def _place_delays(connections: list[_Connection], at: int) -> list[NDArray[np.int64]]:
    """The delays of the connections that have any, which stand in the table from `at` on."""
    found = []
    for connection in connections:
        if connection.delays is not None:
            connection.row[L.C_DELAY] = at
            found.append(connection.delays)
            at += len(connection.delays)
    return found


def _stamps(tables: _Tables, stamps: Stamps, internal: NDArray[np.int64], target: Unit) -> tuple[list[int], int, int]:
    """Write one connection's tables; return its row, the most synops of one event and the synops of all sources."""
    keep = np.flatnonzero(stamps.gain != 0)
    keep = keep[np.lexsort((stamps.first[keep], internal[stamps.source[keep]]))]
    source = internal[stamps.source[keep]]
    first, run, rows, block = stamps.first[keep], stamps.run[keep], stamps.rows[keep], target.layout.block
    synops = run * rows
    at = tables.put_weights(stamps.weights)
    columns = (
        stamps.weight[keep] + at, first, rows, run, stamps.weight_stride[keep], first // block,
        (first + run - 1) // block - first // block + 1, synops,
    )  # fmt: skip
    each = np.bincount(source, minlength=len(internal))
    row = [0] * L.C_SIZE
    row[L.C_POP], row[L.C_DELAY] = target.row, -1
    row[L.C_PTR] = tables.put_ints(np.concatenate([[0], np.cumsum(each)]))
    row[L.C_STAMP] = tables.put_ints(np.stack(columns, axis=1))
    row[L.C_GAIN] = tables.put_weights(stamps.gain[keep])
    row[L.C_NSTRIDE], row[L.C_SSTRIDE] = stamps.neuron_stride, stamps.neuron_stride // block
    per_source = np.bincount(source, weights=synops, minlength=len(internal))
    return row, int(per_source.max(initial=0)), int(synops.sum())
