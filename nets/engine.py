"""The engine: a network on its own tick grid, events in, events out.

Tick k covers [t0 + k dt, t0 + (k + 1) dt). It closes when `advance` passes its end, and its output events carry that
end as their time. Within a tick, layers follow each other without delay; a spike along an edge that closes a cycle
arrives `recurrent_delay` ticks later. The engine never reads a clock and never guesses: it does what its dialect says.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets import nodes as n
from nets.dialect import Dialect
from nets.errors import FeedError, SnapshotError, UnsupportedError
from nets.graph import Graph
from nets.kernels import layout as L
from nets.kernels.feed import INDEX, ORDER, ROOM, TAKEN, feed
from nets.kernels.run import DONE, FULL, PAST, run
from nets.lazy import potentials, variables
from nets.program import Program, compile_program
from nets.swap import Swap, carry
from nets.thresholds import DEFAULT, Thresholds

Packet = tuple[int, NDArray[np.int64], NDArray[np.int32], NDArray[np.float32], bool]
"""Port number, times, indices, values, and whether there are values: as the kernels take events."""
WATCH_EVENTS = 1 << 16
LEAST_OUTPUTS = 4096
SATURATED = 0.9
"""Share of the ticks in which a neuron fires that is called saturated."""
PICOJOULE = {"add": 0.9, "multiply_add": 4.6}
"""float32 at 45 nm (Horowitz 2014): an estimate of arithmetic alone, memory traffic not included."""
MAGIC = b"tectum-state-1\0\0"


@dataclass(frozen=True)
class Port:
    """Where events enter or leave; events carry flat indices into `shape`."""

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Population:
    """A spiking layer, numbered by its place in `Engine.populations`."""

    name: str
    size: int
    shape: tuple[int, ...]


@dataclass(slots=True, eq=False)
class Spikes:
    """Output events in time order: t int64 (end of the tick, ns), port int16, index int32, value float32.

    `value` is the number of spikes of the tick, or the potential of a layer that does not spike.
    """

    t: NDArray[np.int64]
    port: NDArray[np.int16]
    index: NDArray[np.int32]
    value: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.t)


@dataclass(frozen=True)
class Activity:
    """How a population uses its neurons: shares of 1 that never fired, and that fired in nine ticks of ten or more."""

    silent: float
    saturated: float


@dataclass(frozen=True)
class Counters:
    """Totals since the engine was made; `reset` and `restore` leave them alone."""

    events_in: int
    events_late: int
    events_dropped: int
    events_out: int
    synops: int
    synops_dense: int
    """What a clock-driven simulator would have done: every weight, every tick."""
    unit_touches: int
    ticks: int
    ticks_silent: int
    watch_lost: int
    spikes: Mapping[str, int]
    energy_j_estimate: float
    events_risky: int = 0
    """Late events that might have changed a spike had they come in time."""


NONE = Spikes(np.zeros(0, np.int64), np.zeros(0, np.int16), np.zeros(0, np.int32), np.zeros(0, np.float32))
NO_VALUES = np.zeros(0, np.float32)
NO_PACKET = -1, np.zeros(0, np.int64), np.zeros(0, np.int32), NO_VALUES, False
INT64, INT32, FLOAT32 = np.dtype(np.int64), np.dtype(np.int32), np.dtype(np.float32)


class Engine:
    """Runs one graph under one dialect. Not for two threads at once; kernels release the GIL."""

    def __init__(
        self,
        graph: Graph,
        dialect: Dialect,
        *,
        dtype: Any = np.float32,
        t0: int = 0,
        thresholds: Thresholds = DEFAULT,
    ) -> None:
        self._program: Program = compile_program(graph, dialect, dtype, thresholds)
        program = self._program
        header = program.table
        self._ports = {name: k for k, name in enumerate(program.inputs)}
        self._inputs = MappingProxyType({name: Port(name, graph.shapes[name]) for name in program.inputs})
        self._outputs = MappingProxyType({name: Port(name, _output_shape(graph, name)) for name in program.outputs})
        self._populations = tuple(
            Population(unit.name, math.prod(unit.shape), unit.shape) for unit in program.units if unit.report >= 0
        )
        self._dt = dialect.dt_ns
        self._tick_at, self._t0_at = int(header[L.H_TICK]), int(header[L.H_T0])
        self._counters_at, self._ports_at = int(header[L.H_COUNTERS]), int(header[L.H_PORT_AT])
        self._state = program.initial.copy()
        capacity = int(self._state.dyn[self._ports_at + L.Q_CAP]) * len(program.inputs)
        self._ev_tick = np.zeros(capacity, np.int64)
        self._ev_index = np.zeros(capacity, np.int32)
        self._ev_value = np.zeros(capacity, np.float32)
        room = max(LEAST_OUTPUTS, 2 * int(header[L.H_WORST_OUT]))
        self._out_t = np.zeros(room, np.int64)
        self._out_port = np.zeros(room, np.int16)
        self._out_index = np.zeros(room, np.int32)
        self._out_value = np.zeros(room, np.float32)
        self._watch = np.zeros((1, 4), np.int64)
        self._watch_read = 0
        self._watch_lost = 0
        self._hashed: tuple[int, bytes] | None = None
        self._state.dyn[self._t0_at] = int(t0)
        self._fix()

    # what it is

    @property
    def inputs(self) -> Mapping[str, Port]:
        return self._inputs

    @property
    def outputs(self) -> Mapping[str, Port]:
        return self._outputs

    @property
    def populations(self) -> tuple[Population, ...]:
        return self._populations

    @property
    def graph(self) -> Graph:
        return self._program.graph

    @property
    def dialect(self) -> Dialect:
        return self._program.dialect

    @property
    def program(self) -> Program:
        """The compiled network: for looking at, never for changing."""
        return self._program

    @property
    def dt_ns(self) -> int:
        return self._dt

    @property
    def now(self) -> int:
        """Network time: every tick that ends at or before it is closed; the start of the open tick."""
        dyn = self._state.dyn
        return int(dyn[self._t0_at]) + int(dyn[self._tick_at]) * self._dt

    # events

    def feed(
        self,
        port: str,
        t: NDArray[np.int64],
        index: NDArray[np.int32],
        value: NDArray[np.float32] | None = None,
    ) -> int:
        """Buffer events of a port, oldest first; return how many are late: before the open tick.

        A late event is taken into the state decayed by its age, see `nets.kernels.late`; one from before the last
        reset is dropped. Both are counted.
        """
        packet = self._packet(port, t, index, value)
        while True:
            status, position = feed(
                self._program.table, self._state.dyn, self._ev_tick, self._ev_index, self._ev_value, *packet
            )
            if status == TAKEN:
                return int(position)
            self._make_room(status, position, packet)

    def advance(self, until: int) -> Spikes:
        """Close every tick that ends at or before `until`; return the output events of those ticks."""
        return self._run(NO_PACKET, until)

    def step(
        self,
        port: str,
        t: NDArray[np.int64],
        index: NDArray[np.int32],
        value: NDArray[np.float32] | None,
        until: int,
    ) -> Spikes:
        """`feed`, then `advance`, in one compiled call: for streams of small packets."""
        return self._run(self._packet(port, t, index, value), until)

    def _packet(self, port: str, t: Any, index: Any, value: Any) -> Packet:
        number = self._ports.get(port)
        if number is None:
            raise FeedError(f"there is no input port {port!r}; there are {', '.join(self._ports)}")
        times = _typed(port, "t", t, INT64)
        where = _typed(port, "index", index, INT32)
        size = NO_VALUES if value is None else _typed(port, "value", value, FLOAT32)
        if len(times) != len(where) or (value is not None and len(size) != len(times)):
            raise FeedError(
                f"{port}: {len(times)} times, {len(where)} indices, {len(size)} values; expected as many each"
            )
        return number, times, where, size, value is not None

    def _make_room(self, status: int, position: int, packet: Packet) -> None:
        """Raise what `take` refused in words, or make the room it asked for."""
        number, t, index, value, _ = packet
        if status == ROOM:
            self._grow(number, int(position))
            return
        port = list(self._inputs)[number]
        if status == INDEX:
            shape = self._inputs[port].shape
            raise FeedError(
                f"{port}: index {index[position]} of event {position}, expected below {math.prod(shape)} {shape}"
            )
        if status == ORDER:
            raise FeedError(f"{port}: time runs backwards at event {position}: {t[position]} after {t[position - 1]}")
        raise FeedError(f"{port}: value {value[position]} of event {position} is not finite")

    def _run(self, packet: Packet, until: int) -> Spikes:
        status, position, count = run(*self._fixed, *packet, until)
        if status == DONE:
            return self._take_outputs(count) if count else NONE
        parts = []
        while status != DONE:
            if status == PAST:
                raise FeedError(
                    f"cannot advance to {until}: the network is at {self.now}, and time never runs backwards"
                )
            if status == FULL:
                parts.append(self._take_outputs(count))
                packet = NO_PACKET
            else:
                self._make_room(status, position, packet)
            status, position, count = run(*self._fixed, *packet, until)
        parts.append(self._take_outputs(count))
        return Spikes(*(np.concatenate([getattr(p, f) for p in parts]) for f in ("t", "port", "index", "value")))

    def _take_outputs(self, count: int) -> Spikes:
        return Spikes(
            self._out_t[:count].copy(),
            self._out_port[:count].copy(),
            self._out_index[:count].copy(),
            self._out_value[:count].copy(),
        )

    def kernel_arguments(self, until: int) -> tuple[Any, ...]:
        """What `nets.kernels.run.run` takes to advance to `until` without a packet."""
        return (*self._fixed, *NO_PACKET, until)

    def _fix(self) -> None:
        """Gather what every call of the kernel takes: again whenever one of these arrays is another."""
        state, program = self._state, self._program
        self._fixed = (
            program.table, program.ints, program.weights, state.real, state.dyn, state.di, state.marks,
            self._ev_tick, self._ev_index, self._ev_value,
            self._out_t, self._out_port, self._out_index, self._out_value, self._watch,
        )  # fmt: skip

    def next_cost(self) -> int:
        """At most so many synaptic operations to close the ticks of the buffered events; recurrence may go on after."""
        dyn, program = self._state.dyn, self._program
        cost, ticks = 0, 0
        for k in range(len(program.inputs)):
            port = self._ports_at + k * L.Q_SIZE
            head, tail, base = (int(dyn[port + c]) for c in (L.Q_HEAD, L.Q_TAIL, L.Q_BASE))
            if tail > head:
                cost += (tail - head) * program.fan_out[k]
                span = int(self._ev_tick[base + tail - 1] - self._ev_tick[base + head]) + 1
                ticks += min(tail - head, span)
        inner = program.dense_synops - sum(program.port_synops)
        return cost + ticks * inner

    def reset(self, t: int) -> None:
        """Forget all state and all buffered events (counted as dropped); the tick grid starts again at `t`."""
        state, initial = self._state, self._program.initial
        kept = state.dyn[self._counters_at :].copy()
        dropped = self._buffered()
        state.real[:], state.di[:], state.marks[:] = initial.real, initial.di, initial.marks
        ports = state.dyn[self._ports_at : self._counters_at].copy()
        state.dyn[:] = initial.dyn
        state.dyn[self._ports_at : self._counters_at] = ports
        for k in range(len(self._ports)):
            state.dyn[self._ports_at + k * L.Q_SIZE + L.Q_HEAD] = 0
            state.dyn[self._ports_at + k * L.Q_SIZE + L.Q_TAIL] = 0
        state.dyn[self._counters_at :] = kept
        state.dyn[self._counters_at + L.N_PENDING] = 0
        state.dyn[self._counters_at + L.N_DROPPED] += dropped
        state.dyn[self._t0_at] = int(t)
        self._hashed = None

    # what happened inside

    def watch(self, on: bool) -> None:
        """Collect the spikes of all populations for `watched`, or stop. Never changes any result."""
        if on and len(self._watch) == 1:
            self._watch = np.zeros((WATCH_EVENTS, 4), np.int64)
            self._fix()
        self._state.dyn[self._counters_at + L.N_WATCHING] = on
        self._watch_read = int(self._state.dyn[self._counters_at + L.N_WATCH])

    def watched(self) -> tuple[NDArray[np.int64], NDArray[np.int16], NDArray[np.int32], NDArray[np.int32]]:
        """(t, population, index, spikes) since last asked; where the ring overflowed, the newest of them."""
        written = int(self._state.dyn[self._counters_at + L.N_WATCH])
        lost = max(written - self._watch_read - len(self._watch), 0)
        self._watch_lost += lost
        rows = self._watch[np.arange(self._watch_read + lost, written) % len(self._watch)]
        self._watch_read = written
        return rows[:, 0].copy(), rows[:, 1].astype(np.int16), rows[:, 2].astype(np.int32), rows[:, 3].astype(np.int32)

    @property
    def counters(self) -> Counters:
        dyn, at = self._state.dyn, self._counters_at
        spikes_at = int(self._program.table[L.H_SPIKES])
        synops, touches, ticks = (int(dyn[at + c]) for c in (L.N_SYNOPS, L.N_TOUCHES, L.N_TICKS))
        energy = (synops * PICOJOULE["add"] + touches * PICOJOULE["multiply_add"]) * 1e-12
        return Counters(
            events_in=int(dyn[at + L.N_IN]),
            events_late=int(dyn[at + L.N_LATE]),
            events_dropped=int(dyn[at + L.N_DROPPED]),
            events_out=int(dyn[at + L.N_OUT]),
            synops=synops,
            synops_dense=ticks * self._program.dense_synops,
            unit_touches=touches,
            ticks=ticks,
            ticks_silent=int(dyn[at + L.N_SILENT]),
            watch_lost=self._watch_lost,
            spikes={p.name: int(dyn[spikes_at + k]) for k, p in enumerate(self._populations)},
            energy_j_estimate=energy,
            events_risky=int(dyn[at + L.N_RISKY]),
        )

    @property
    def activity(self) -> dict[str, Activity]:
        """Of each population, since the last reset: which share of its neurons was silent, and which saturated."""
        state, table = self._state.dyn, self._program.table
        ticks = max(int(state[self._tick_at]), 1)
        found = {}
        for unit in self._program.units:
            if unit.report >= 0:
                row = int(table[L.H_POP_AT]) + unit.row * L.P_SIZE
                at, size = int(table[row + L.P_SPIKED]), int(table[row + L.P_N])
                fired = state[at : at + size]
                silent, saturated = (fired == 0).mean(), (fired >= SATURATED * ticks).mean()
                found[unit.name] = Activity(float(silent), float(saturated))
        return found

    def potentials(self) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64] | None]]:
        """(potential, current or None) of every unit now, in NIR's shape, as if no site had slept."""
        return potentials(self._program, self._state, int(self._state.dyn[self._tick_at]))

    def variables(self) -> dict[str, dict[str, NDArray[np.float64]]]:
        """All state of every unit now, by name, in NIR's shape: v, i, and what a model beyond NIR has besides."""
        return variables(self._program, self._state, int(self._state.dyn[self._tick_at]))

    def describe(self) -> dict[str, Any]:
        """The network for people and for HTTP: nodes, shapes, sizes, memory, dialect with provenance."""
        graph, program = self.graph, self._program
        return {
            "inputs": [{"name": p.name, "shape": list(p.shape)} for p in self._inputs.values()],
            "outputs": [{"name": p.name, "shape": list(p.shape)} for p in self._outputs.values()],
            "populations": [{"name": p.name, "size": p.size, "shape": list(p.shape)} for p in self._populations],
            "nodes": [
                {"name": k, "type": v.kind, "shape": list(graph.shapes[k]), "parameters": graph.parameter_count(k)}
                for k, v in graph.nodes.items()
            ],
            "edges": [list(edge) for edge in graph.edges],
            "delayed_edges": [[p.source, *p.nodes, p.target] for p in program.wiring.paths if p.delayed],
            "notes": list(graph.notes),
            "mode": "tick",
            "dtype": str(program.dtype),
            "parameters": sum(graph.parameter_count(name) for name in graph.nodes),
            "synops_dense_per_tick": program.dense_synops,
            "memory_bytes": {
                "weights": program.weights.nbytes,
                "tables": program.table.nbytes + program.ints.nbytes,
                "state": sum(a.nbytes for a in (self._state.real, self._state.dyn, self._state.di, self._state.marks)),
            },
            "dialect": program.dialect.to_dict(),
            "fingerprint": program.fingerprint.hex(),
        }

    # state

    def snapshot(self) -> bytes:
        """The whole state, buffered events included, for `restore` into the same program."""
        state, events = self._state, self._events()
        core = state.dyn[: self._ports_at]
        pending = state.dyn[self._counters_at + L.N_PENDING : self._counters_at + L.N_PENDING + 1]
        counts = np.array([len(e[0]) for e in events], np.int64)
        body = b"".join(a.tobytes() for a in (state.real, core, state.di, state.marks, pending, counts))
        body += b"".join(column.tobytes() for e in events for column in e)
        head = MAGIC + self._program.fingerprint + struct.pack("<q", len(body))
        return head + hashlib.blake2b(body, digest_size=16).digest() + body

    def restore(self, snapshot: bytes) -> None:
        """Take on a snapshot's state, or raise `SnapshotError` and keep the present one."""
        head = len(MAGIC) + 16 + 8 + 16
        if len(snapshot) < head or snapshot[: len(MAGIC)] != MAGIC:
            raise SnapshotError(f"{len(snapshot)} bytes that are not a network snapshot")
        fingerprint = snapshot[len(MAGIC) : len(MAGIC) + 16]
        if fingerprint != self._program.fingerprint:
            raise SnapshotError(
                f"the snapshot belongs to program {fingerprint.hex()}, this is {self._program.fingerprint.hex()}"
            )
        (size,) = struct.unpack_from("<q", snapshot, len(MAGIC) + 16)
        body = memoryview(snapshot)[head:]
        if len(body) != size or hashlib.blake2b(body, digest_size=16).digest() != snapshot[head - 16 : head]:
            raise SnapshotError(f"the snapshot is damaged: {len(body)} bytes, expected {size} with its checksum")
        state, at = self._state, 0
        parts = []
        lengths = (state.real.nbytes, self._ports_at * 8, state.di.nbytes, state.marks.nbytes, 8, 8 * len(self._ports))
        for length in lengths:
            parts.append(body[at : at + length])
            at += length
        counts = np.frombuffer(parts[5], np.int64)
        if at + int(counts.sum()) * 16 != size:
            raise SnapshotError(f"the snapshot holds {size - at} bytes of events, expected {int(counts.sum()) * 16}")
        state.real[:] = np.frombuffer(parts[0], state.real.dtype)
        state.dyn[: self._ports_at] = np.frombuffer(parts[1], np.int64)
        state.di[:] = np.frombuffer(parts[2], np.int32)
        state.marks[:] = np.frombuffer(parts[3], np.uint8)
        state.dyn[self._counters_at + L.N_PENDING] = np.frombuffer(parts[4], np.int64)[0]
        for k, count in enumerate(counts.tolist()):
            columns: list[Any] = []
            for width, kind in ((8, np.int64), (4, np.int32), (4, np.float32)):
                columns.append(np.frombuffer(body[at : at + count * width], kind))
                at += count * width
            self._put_events(k, *columns)
        self._hashed = None

    def hash(self) -> bytes:
        """16 bytes over state and network time; O(1) while no state changed. Buffered events are not state yet."""
        state, program = self._state, self._program
        version = int(state.dyn[self._counters_at + L.N_VERSION])
        if self._hashed is None or self._hashed[0] != version:
            digest = hashlib.blake2b(digest_size=16)
            digest.update(state.real[: program.hashed_real].data)
            digest.update(state.dyn[: program.hashed_dyn].data)
            digest.update(state.di[: program.hashed_di].data)
            self._hashed = version, digest.digest()
        now = struct.pack("<qq", int(state.dyn[self._t0_at]), int(state.dyn[self._tick_at]))
        return hashlib.blake2b(self._hashed[1] + now, digest_size=16).digest()

    def swap(self, graph: Graph, dialect: Dialect) -> Swap:
        """Go on with another graph, other weights or rules, from the same time; or raise and change nothing.

        The length of a tick stays. Buffered events of ports that stay are kept, counters go on.
        """
        if dialect.dt_ns != self._dt:
            raise UnsupportedError(f"a tick of {dialect.dt_ns} ns, the running network's has {self._dt} ns")
        program, state = self._program, self._state
        other = Engine(graph, dialect, dtype=program.dtype, thresholds=program.thresholds)
        dyn = other._state.dyn
        tick = int(state.dyn[self._tick_at])
        dyn[other._t0_at], dyn[other._tick_at] = state.dyn[self._t0_at], tick
        dyn[other._counters_at : other._counters_at + L.N_SIZE] = state.dyn[
            self._counters_at : self._counters_at + L.N_SIZE
        ]
        dyn[other._counters_at + L.N_PENDING] = 0
        report = carry(program, state, other._program, other._state, tick)
        dropped = 0
        for name, events in zip(self._ports, self._events(), strict=True):
            kept = name in other._ports and other._inputs[name].shape == self._inputs[name].shape
            if kept:
                other._put_events(other._ports[name], *events)
            else:
                dropped += len(events[0])
        counted = dict(zip((p.name for p in self._populations), self._spike_counts(), strict=True))
        at = int(other._program.table[L.H_SPIKES])
        for k, p in enumerate(other._populations):
            dyn[at + k] = counted.get(p.name, 0)
        dyn[other._counters_at + L.N_DROPPED] += dropped
        dyn[other._counters_at + L.N_VERSION] += 1
        other._watch, other._watch_lost = self._watch, self._watch_lost
        other._watch_read = int(dyn[other._counters_at + L.N_WATCH])
        other._fix()
        self.__dict__ = other.__dict__
        return replace(report, events_dropped=dropped)

    def _spike_counts(self) -> list[int]:
        at = int(self._program.table[L.H_SPIKES])
        return [int(count) for count in self._state.dyn[at : at + len(self._populations)]]

    # port buffers

    def _put_events(
        self, number: int, tick: NDArray[np.int64], index: NDArray[np.int32], value: NDArray[np.float32]
    ) -> None:
        """Make these the only events of a port's buffer."""
        dyn, count = self._state.dyn, len(tick)
        port = self._ports_at + number * L.Q_SIZE
        dyn[port + L.Q_HEAD] = dyn[port + L.Q_TAIL] = 0
        if count > dyn[port + L.Q_CAP]:
            self._grow(number, count)
        base = int(dyn[port + L.Q_BASE])
        self._ev_tick[base : base + count] = tick
        self._ev_index[base : base + count] = index
        self._ev_value[base : base + count] = value
        dyn[port + L.Q_TAIL] = count

    def _events(self) -> list[tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]]:
        found = []
        for k in range(len(self._ports)):
            port = self._ports_at + k * L.Q_SIZE
            base = int(self._state.dyn[port + L.Q_BASE])
            rows = slice(base + int(self._state.dyn[port + L.Q_HEAD]), base + int(self._state.dyn[port + L.Q_TAIL]))
            found.append((self._ev_tick[rows].copy(), self._ev_index[rows].copy(), self._ev_value[rows].copy()))
        return found

    def _buffered(self) -> int:
        return sum(len(e[0]) for e in self._events())

    def _grow(self, number: int, needed: int) -> None:
        """Move all port buffers into arrays where port `number` has room for `needed` events and as many again."""
        events, dyn = self._events(), self._state.dyn
        ports = [self._ports_at + k * L.Q_SIZE for k in range(len(self._ports))]
        room = [int(dyn[port + L.Q_CAP]) for port in ports]
        room[number] = 2 * needed
        self._ev_tick = np.zeros(sum(room), np.int64)
        self._ev_index = np.zeros(sum(room), np.int32)
        self._ev_value = np.zeros(sum(room), np.float32)
        base = 0
        for port, size, (tick, index, value) in zip(ports, room, events, strict=True):
            dyn[port + L.Q_HEAD], dyn[port + L.Q_TAIL] = 0, len(tick)
            dyn[port + L.Q_BASE], dyn[port + L.Q_CAP] = base, size
            self._ev_tick[base : base + len(tick)] = tick
            self._ev_index[base : base + len(tick)] = index
            self._ev_value[base : base + len(tick)] = value
            base += size
        self._fix()


def _typed(port: str, what: str, array: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    """As the kernel takes it: calls are fast with writable arrays alone, and it is compiled for one type."""
    if type(array) is np.ndarray and array.dtype is dtype and array.ndim == 1:
        flags = array.flags
        if flags.carray:  # contiguous, aligned and writable
            return array
        if flags.c_contiguous:
            return array.copy()
    given = np.asarray(array)
    if given.ndim != 1 or (given.size and given.dtype.kind not in ("fiu" if dtype is FLOAT32 else "iu")):
        raise FeedError(f"{port}: {what} is {given.dtype}{given.shape}, expected {dtype}(n,)")
    converted = given.astype(dtype)
    if dtype is INT32 and given.size and not bool((converted == given).all()):
        raise FeedError(f"{port}: an {what} does not fit {dtype}")
    return np.ascontiguousarray(converted)


def _output_shape(graph: Graph, name: str) -> tuple[int, ...]:
    node = graph.nodes[name]
    assert isinstance(node, n.Output)
    return node.shape
