"""The continuous engine: the same role as `nets.engine.Engine`, with events that act at their own nanosecond.

Events of one nanosecond act together. `advance(until)` takes every moment before `until`; what happens in a nanosecond
leaves with the time of its end, as in tick mode what happens in a tick. Layers follow each other without delay; an
edge that closes a cycle, and has no Delay of its own, delays by `recurrent_delay` ticks of the dialect. Layers that do
not spike are sampled at the end of each tick of the dialect, while their potential is not zero.

An event older than network time acts at network time, decayed by its age: the state becomes that of the ordered run
unless a neuron would have fired in between. `risky` counts the late events for which that cannot be excluded.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets import nodes as n
from nets.continuous.program import Program, begin, compile_continuous, wake
from nets.continuous.view import potentials
from nets.dialect import Dialect
from nets.engine import NONE, PICOJOULE, Counters, Population, Port, Spikes
from nets.errors import FeedError, SnapshotError
from nets.graph import Graph
from nets.kernels import continuous_layout as L
from nets.kernels.continuous_feed import feed
from nets.kernels.continuous_run import CROWDED, DONE, run
from nets.kernels.feed import INDEX, ORDER, ROOM, TAKEN

WATCH_EVENTS = 1 << 16
LEAST_OUTPUTS = 4096
LEAST_AHEAD = 1024
MAGIC = b"tectum-exact-1\0\0"
NO_VALUES = np.zeros(0, np.float32)
NO_VALUES.flags.writeable = False


class ContinuousEngine:
    """Runs one graph under one dialect. Not for two threads at once; kernels release the GIL."""

    def __init__(self, graph: Graph, dialect: Dialect, *, dtype: Any = np.float32, t0: int = 0) -> None:
        self._program: Program = compile_continuous(graph, dialect, dtype)
        program, table = self._program, self._program.table
        self._ports = {name: k for k, name in enumerate(program.inputs)}
        self._inputs = MappingProxyType({name: Port(name, graph.shapes[name]) for name in program.inputs})
        self._outputs = MappingProxyType({name: Port(name, _shape(graph, name)) for name in program.outputs})
        self._populations = tuple(
            Population(unit.name, math.prod(unit.shape), unit.shape) for unit in program.units if unit.report >= 0
        )
        self._now_at, self._t0_at = int(table[L.H_NOW]), int(table[L.H_T0])
        self._counters_at, self._ports_at = int(table[L.H_COUNTERS]), int(table[L.H_PORT_AT])
        self._ahead_at = int(table[L.H_AHEAD_N])
        self._state = program.initial.copy()
        capacity = sum(int(self._queue(k)[L.Q_CAP]) for k in range(len(program.inputs)))
        self._ev_t = np.zeros(capacity, np.int64)
        self._ev_index = np.zeros(capacity, np.int32)
        self._ev_value = np.zeros(capacity, np.float32)
        self._ahead = np.zeros((LEAST_AHEAD + int(table[L.H_WORST_PUSH]), 4), np.int64)
        self._ahead_value = np.zeros(len(self._ahead), np.float64)
        room = max(LEAST_OUTPUTS, 2 * int(table[L.H_WORST_OUT]))
        self._out_t = np.zeros(room, np.int64)
        self._out_id = np.zeros((room, 2), np.int32)
        self._out_value = np.zeros(room, np.float32)
        self._watch = np.zeros((1, 4), np.int64)
        self._watch_read = 0
        self._watch_lost = 0
        self._elapsed = 0
        self._hashed: tuple[int, bytes] | None = None
        begin(program, self._state, int(t0))

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
    def dt_ns(self) -> int:
        """The dialect's tick: the grid on which layers that do not spike are sampled."""
        return self._program.dialect.dt_ns

    @property
    def now(self) -> int:
        """Network time: every event before it has acted."""
        return int(self._state.dyn[self._now_at])

    # events

    def feed(
        self,
        port: str,
        t: NDArray[np.int64],
        index: NDArray[np.int32],
        value: NDArray[np.float32] | None = None,
    ) -> int:
        """Buffer events of a port, oldest first; return how many are late (they act at network time, decayed)."""
        number = self._ports.get(port)
        if number is None:
            raise FeedError(f"there is no input port {port!r}; there are {', '.join(self._ports)}")
        times = _typed(port, "t", t, np.int64)
        where = _typed(port, "index", index, np.int32)
        size = NO_VALUES if value is None else _typed(port, "value", value, np.float32)
        if len(times) != len(where) or (value is not None and len(size) != len(times)):
            raise FeedError(
                f"{port}: {len(times)} times, {len(where)} indices, {len(size)} values; expected as many each"
            )
        while True:
            status, position = feed(
                self._program.table, self._state.dyn, self._ev_t, self._ev_index, self._ev_value,
                number, times, where, size, value is not None,
            )  # fmt: skip
            if status == TAKEN:
                return int(position)
            if status != ROOM:
                break
            self._grow(number, int(position))
        if status == INDEX:
            shape = self._inputs[port].shape
            raise FeedError(
                f"{port}: index {where[position]} of event {position}, expected below {math.prod(shape)} {shape}"
            )
        if status == ORDER:
            raise FeedError(
                f"{port}: time runs backwards at event {position}: {times[position]} after {times[position - 1]}"
            )
        raise FeedError(f"{port}: value {size[position]} of event {position} is not finite")

    def advance(self, until: int) -> Spikes:
        """Take every moment before `until`; return the output events."""
        now, end = self.now, int(until)
        if end <= now:
            if end < now:
                raise FeedError(f"cannot advance to {end}: the network is at {now}, and time never runs backwards")
            return NONE
        state, program, parts = self._state, self._program, []
        while True:
            status, count = run(
                program.table, program.ints, program.weights, program.coef, state.real, state.dyn, state.di,
                state.marks, self._ahead, self._ahead_value, self._ev_t, self._ev_index, self._ev_value,
                self._out_t, self._out_id, self._out_value, self._watch, end,
            )  # fmt: skip
            if count:
                ids = self._out_id[:count]
                parts.append(
                    Spikes(
                        self._out_t[:count].copy(),
                        ids[:, 0].astype(np.int16),
                        ids[:, 1].copy(),
                        self._out_value[:count].copy(),
                    )
                )
                state.dyn[self._counters_at + L.N_OUT] += count
            if status == DONE:
                break
            if status == CROWDED:
                self._ahead = np.concatenate([self._ahead, np.zeros_like(self._ahead)])
                self._ahead_value = np.concatenate([self._ahead_value, np.zeros_like(self._ahead_value)])
        self._elapsed += end - now
        if not parts:
            return NONE
        if len(parts) == 1:
            return parts[0]
        return Spikes(*(np.concatenate([getattr(p, f) for p in parts]) for f in ("t", "port", "index", "value")))

    def next_cost(self) -> int:
        """At most so many synaptic operations for the buffered events, recurrence and predicted spikes aside."""
        program, cost, moments = self._program, 0, 0
        for k in range(len(program.inputs)):
            queue = self._queue(k)
            waiting = int(queue[L.Q_TAIL] - queue[L.Q_HEAD])
            cost += waiting * program.fan_out[k]
            moments += waiting
        return cost + moments * (program.dense_synops - sum(program.port_synops))

    def reset(self, t: int) -> None:
        """Forget all state and all buffered events (counted as dropped); everything starts again at `t`."""
        state, initial, counters = self._state, self._program.initial, self._counters_at
        queues = state.dyn[self._ports_at : self._ports_at + len(self._ports) * L.Q_SIZE].copy()
        totals = state.dyn[counters:].copy()
        totals[L.N_DROPPED] += sum(len(events[0]) for events in self._events()) + int(state.dyn[self._ahead_at])
        state.real[:], state.di[:], state.marks[:] = initial.real, initial.di, initial.marks
        state.dyn[:] = initial.dyn
        state.dyn[self._ports_at : self._ports_at + len(queues)] = queues
        for k in range(len(self._ports)):
            self._queue(k)[L.Q_HEAD] = self._queue(k)[L.Q_TAIL] = 0
        state.dyn[counters:] = totals
        begin(self._program, state, int(t))
        self._hashed = None

    # what happened inside

    def watch(self, on: bool) -> None:
        """Collect the spikes of all populations for `watched`, or stop. Never changes any result."""
        if on and len(self._watch) == 1:
            self._watch = np.zeros((WATCH_EVENTS, 4), np.int64)
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
        """`ticks` counts moments at which anything happened; none of them is silent."""
        dyn, at, spikes_at = self._state.dyn, self._counters_at, int(self._program.table[L.H_SPIKES])
        synops, touches = int(dyn[at + L.N_SYNOPS]), int(dyn[at + L.N_TOUCHES])
        return Counters(
            events_in=int(dyn[at + L.N_IN]),
            events_late=int(dyn[at + L.N_LATE]),
            events_dropped=int(dyn[at + L.N_DROPPED]),
            events_out=int(dyn[at + L.N_OUT]),
            synops=synops,
            synops_dense=self._program.dense_synops * (self._elapsed // self.dt_ns),
            unit_touches=touches,
            ticks=int(dyn[at + L.N_INSTANTS]),
            ticks_silent=0,
            watch_lost=self._watch_lost,
            spikes={p.name: int(dyn[spikes_at + k]) for k, p in enumerate(self._populations)},
            energy_j_estimate=(synops * PICOJOULE["add"] + touches * PICOJOULE["multiply_add"]) * 1e-12,
        )

    @property
    def risky(self) -> int:
        """Late events that might have changed a spike."""
        return int(self._state.dyn[self._counters_at + L.N_RISKY])

    @property
    def predictions(self) -> int:
        """How often the exact crossing times of a site were computed."""
        return int(self._state.dyn[self._counters_at + L.N_SOLVED])

    def potentials(self) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64] | None]]:
        """(potential, current or None) of every unit now, in NIR's shape."""
        return potentials(self._program, self._state, self.now)

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
            "mode": "continuous",
            "dtype": str(program.dtype),
            "parameters": sum(graph.parameter_count(name) for name in graph.nodes),
            "synops_dense_per_tick": program.dense_synops,
            "memory_bytes": {
                "weights": program.weights.nbytes,
                "tables": program.table.nbytes + program.ints.nbytes + program.coef.nbytes,
                "state": sum(a.nbytes for a in (self._state.real, self._state.dyn, self._state.di, self._state.marks)),
            },
            "dialect": program.dialect.to_dict(),
            "fingerprint": program.fingerprint.hex(),
        }

    # state

    def snapshot(self) -> bytes:
        """The whole state, buffered events and spikes under way included, for `restore` into the same program."""
        state, program, events = self._state, self._program, self._events()
        ahead, values = self._under_way()
        counts = np.array([len(ahead), *(len(e[0]) for e in events)], np.int64)
        times = state.dyn[[self._now_at, self._t0_at]]
        real, dyn = state.real[: program.hashed_real], state.dyn[: program.hashed_dyn]
        body = b"".join(a.tobytes() for a in (times, real, dyn, counts, ahead, values))
        body += b"".join(column.tobytes() for e in events for column in e)
        head = MAGIC + program.fingerprint + struct.pack("<q", len(body))
        return head + hashlib.blake2b(body, digest_size=16).digest() + body

    def restore(self, snapshot: bytes) -> None:
        """Take on a snapshot's state, or raise `SnapshotError` and keep the present one."""
        state, program = self._state, self._program
        head = len(MAGIC) + 16 + 8 + 16
        if len(snapshot) < head or snapshot[: len(MAGIC)] != MAGIC:
            raise SnapshotError(f"{len(snapshot)} bytes that are not a snapshot of a continuous network")
        fingerprint = snapshot[len(MAGIC) : len(MAGIC) + 16]
        if fingerprint != program.fingerprint:
            raise SnapshotError(
                f"the snapshot belongs to program {fingerprint.hex()}, this is {program.fingerprint.hex()}"
            )
        (size,) = struct.unpack_from("<q", snapshot, len(MAGIC) + 16)
        body = memoryview(snapshot)[head:]
        if len(body) != size or hashlib.blake2b(body, digest_size=16).digest() != snapshot[head - 16 : head]:
            raise SnapshotError(f"the snapshot is damaged: {len(body)} bytes, expected {size} with its checksum")
        ports = len(self._ports)
        taken = _Reader(body)
        times, real = taken.array(np.int64, 2), taken.array(np.float64, program.hashed_real)
        dyn, counts = taken.array(np.int64, program.hashed_dyn), taken.array(np.int64, 1 + ports)
        expected = taken.at + int(counts[0]) * 40 + int(counts[1:].sum()) * 16
        if expected != size:
            raise SnapshotError(f"the snapshot holds {size} bytes, expected {expected} for {counts.tolist()} events")
        ahead = taken.array(np.int64, 4 * int(counts[0])).reshape(-1, 4)
        values = taken.array(np.float64, int(counts[0]))
        counters = state.dyn[self._counters_at :].copy()
        state.real[:], state.di[:], state.marks[:] = program.initial.real, program.initial.di, program.initial.marks
        state.real[: program.hashed_real], state.dyn[: program.hashed_dyn] = real, dyn
        state.dyn[[self._now_at, self._t0_at]] = times
        while len(self._ahead) < len(ahead) + LEAST_AHEAD:
            self._ahead = np.concatenate([self._ahead, np.zeros_like(self._ahead)])
            self._ahead_value = np.concatenate([self._ahead_value, np.zeros_like(self._ahead_value)])
        self._ahead[: len(ahead)], self._ahead_value[: len(ahead)] = ahead, values
        state.dyn[self._ahead_at] = state.dyn[int(program.table[L.H_ORDER])] = len(ahead)
        for k, count in enumerate(counts[1:].tolist()):
            self._queue(k)[L.Q_HEAD] = self._queue(k)[L.Q_TAIL] = 0
            if count > self._queue(k)[L.Q_CAP]:
                self._grow(k, count)
            rows = slice(int(self._queue(k)[L.Q_BASE]), int(self._queue(k)[L.Q_BASE]) + count)
            self._ev_t[rows] = taken.array(np.int64, count)
            self._ev_index[rows] = taken.array(np.int32, count)
            self._ev_value[rows] = taken.array(np.float32, count)
            self._queue(k)[L.Q_TAIL] = count
        state.dyn[self._counters_at :] = counters
        wake(program, state)
        self._hashed = None

    def hash(self) -> bytes:
        """16 bytes over state, spikes under way and network time; O(1) while no state changed."""
        state, program = self._state, self._program
        version = int(state.dyn[self._counters_at + L.N_VERSION])
        if self._hashed is None or self._hashed[0] != version:
            digest = hashlib.blake2b(digest_size=16)
            digest.update(state.real[: program.hashed_real].data)
            digest.update(state.dyn[: program.hashed_dyn].data)
            for column in self._under_way():
                digest.update(column.tobytes())
            self._hashed = version, digest.digest()
        return hashlib.blake2b(
            self._hashed[1] + struct.pack("<qq", int(state.dyn[self._t0_at]), self.now), digest_size=16
        ).digest()

    # buffers

    def _under_way(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Spikes under way in order, numbered from 0."""
        count = int(self._state.dyn[self._ahead_at])
        rows, values = self._ahead[:count], self._ahead_value[:count]
        order = np.lexsort((rows[:, L.A_ORDER], rows[:, L.A_DUE]))
        found = rows[order]
        found[:, L.A_ORDER] = np.arange(count)
        return found, values[order]

    def _queue(self, number: int) -> NDArray[np.int64]:
        at = self._ports_at + number * L.Q_SIZE
        return self._state.dyn[at : at + L.Q_SIZE]

    def _events(self) -> list[tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]]:
        found = []
        for k in range(len(self._ports)):
            queue = self._queue(k)
            rows = slice(int(queue[L.Q_BASE] + queue[L.Q_HEAD]), int(queue[L.Q_BASE] + queue[L.Q_TAIL]))
            found.append((self._ev_t[rows].copy(), self._ev_index[rows].copy(), self._ev_value[rows].copy()))
        return found

    def _grow(self, number: int, needed: int) -> None:
        """Move all port queues into arrays where port `number` has room for `needed` events and as many again."""
        events = self._events()
        room = [int(self._queue(k)[L.Q_CAP]) for k in range(len(events))]
        room[number] = 2 * needed
        self._ev_t = np.zeros(sum(room), np.int64)
        self._ev_index = np.zeros(sum(room), np.int32)
        self._ev_value = np.zeros(sum(room), np.float32)
        base = 0
        for k, (size, (t, index, value)) in enumerate(zip(room, events, strict=True)):
            queue = self._queue(k)
            queue[L.Q_HEAD], queue[L.Q_TAIL], queue[L.Q_BASE], queue[L.Q_CAP] = 0, len(t), base, size
            self._ev_t[base : base + len(t)] = t
            self._ev_index[base : base + len(t)] = index
            self._ev_value[base : base + len(t)] = value
            base += size


class _Reader:
    """Takes arrays off a buffer one by one."""

    def __init__(self, buffer: memoryview) -> None:
        self.buffer, self.at = buffer, 0

    def array(self, kind: Any, count: int) -> NDArray[Any]:
        width = np.dtype(kind).itemsize * count
        if count < 0 or self.at + width > len(self.buffer):
            raise SnapshotError(f"the snapshot ends at byte {len(self.buffer)}, expected {self.at + width} or more")
        found = np.frombuffer(self.buffer[self.at : self.at + width], kind)
        self.at += width
        return found


def _typed(port: str, what: str, array: Any, dtype: Any) -> NDArray[Any]:
    given = np.asarray(array)
    if given.dtype != dtype or given.ndim != 1 or not given.flags.c_contiguous:
        kinds = "iu" if dtype is not np.float32 else "fiu"
        if given.ndim != 1 or (given.size and given.dtype.kind not in kinds):
            raise FeedError(f"{port}: {what} is {given.dtype}{given.shape}, expected {np.dtype(dtype)}(n,)")
        converted = np.ascontiguousarray(given.astype(dtype))
        if dtype is not np.float32 and given.size and not bool((converted == given).all()):
            raise FeedError(f"{port}: an {what} does not fit {np.dtype(dtype)}")
        given = converted
    view = given.view()
    view.flags.writeable = False  # one type for the kernel whether or not the caller may write: else it compiles twice
    return view


def _shape(graph: Graph, name: str) -> tuple[int, ...]:
    node = graph.nodes[name]
    assert isinstance(node, n.Output)
    return node.shape
