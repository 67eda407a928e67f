"""The continuous engine: the same role as `nets.engine.Engine`, with events that act at their own nanosecond.

Events of one nanosecond act together. `advance(until)` takes every moment before `until`; what happens in a nanosecond
leaves with the time of its end, as in tick mode what happens in a tick. Layers follow each other without delay; an
edge that closes a cycle, and has no Delay of its own, delays by `recurrent_delay` ticks of the dialect. Layers that do
not spike are sampled at the end of each tick of the dialect, while their potential is not zero.

An event older than network time acts at network time, decayed by its age: the state becomes that of the ordered run
unless a neuron would have fired in between. `Counters.events_risky` counts those for which that cannot be excluded.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets.continuous.compile import compile_continuous
from nets.continuous.program import Program, begin, wake
from nets.continuous.view import potentials, variables
from nets.dialect import Dialect
from nets.frame import StateDigest, framed, unframed
from nets.graph import Graph
from nets.kernels import continuous_layout as L
from nets.kernels.continuous_feed import feed
from nets.kernels.continuous_run import CROWDED, DONE, run
from nets.kernels.feed import ROOM, TAKEN
from nets.queues import Events, Queues
from nets.running import (
    NONE,
    Activity,
    Counters,
    Outputs,
    Population,
    Port,
    Spikes,
    WatchRing,
    description,
    energy_j,
    input_ports,
    joined,
    output_ports,
    packet_of,
    refuse_event,
    refuse_past,
)

LEAST_OUTPUTS = 4096
LEAST_AHEAD = 1024
MAGIC = b"tectum-exact-1\0\0"


class ContinuousEngine:
    """Runs one graph under one dialect. Not for two threads at once; kernels release the GIL."""

    def __init__(self, graph: Graph, dialect: Dialect, *, dtype: Any = np.float32, t0: int = 0) -> None:
        self._program: Program = compile_continuous(graph, dialect, dtype)
        program, table = self._program, self._program.table
        self._inputs, self._outputs = input_ports(graph), output_ports(graph)
        self._numbers = {name: k for k, name in enumerate(self._inputs)}
        self._populations = tuple(
            Population(unit.name, math.prod(unit.shape), unit.shape) for unit in program.units if unit.report >= 0
        )
        self._state = program.initial.copy()
        ports_at = int(table[L.H_PORT_AT])
        self._ports = slice(ports_at, ports_at + len(self._inputs) * L.Q_SIZE)
        self._queues = Queues(self._state.dyn[self._ports].reshape(-1, L.Q_SIZE))
        counters_at = int(table[L.H_COUNTERS])
        self._counts = self._state.dyn[counters_at : counters_at + L.N_SIZE]
        self._kept = slice(counters_at, None)
        self._ahead = np.zeros((LEAST_AHEAD + int(table[L.H_WORST_PUSH]), 4), np.int64)
        self._ahead_value = np.zeros(len(self._ahead), np.float64)
        room = max(LEAST_OUTPUTS, 2 * int(table[L.H_WORST_OUT]))
        self._out = Outputs(room)
        self._watch = WatchRing()
        self._elapsed = 0
        self._digest = StateDigest()
        begin(program, self._state, int(t0))
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
    def dt_ns(self) -> int:
        """The dialect's tick: the grid on which layers that do not spike are sampled."""
        return self._program.dialect.dt_ns

    @property
    def now(self) -> int:
        """Network time: every event before it has acted."""
        return int(self._dynamic(L.H_NOW))

    # events

    def feed(
        self,
        port: str,
        t: NDArray[np.int64],
        index: NDArray[np.int32],
        value: NDArray[np.float32] | None = None,
    ) -> int:
        """Buffer events of a port, oldest first; return how many are late (they act at network time, decayed)."""
        packet = packet_of(self._numbers, port, t, index, value)
        while True:
            status, position = feed(self._program.table, self._state.dyn, *self._queues.arrays, *packet)
            if status == TAKEN:
                return int(position)
            if status != ROOM:
                refuse_event(self._inputs, status, position, packet)
            self._queues.make_room(packet[0], int(position))
            self._fix()

    def advance(self, until: int) -> Spikes:
        """Take every moment before `until`; return the output events."""
        now, end = self.now, int(until)
        if end < now:
            refuse_past(end, now)
        if end == now:
            return NONE
        parts = []
        while True:
            status, count = run(*self._fixed, end)
            if count:
                parts.append(self._out.take(count))
                self._counts[L.N_OUT] += count
            if status == DONE:
                break
            if status == CROWDED:
                self._make_room_ahead()
        self._elapsed += end - now
        return joined(parts)

    def step(
        self,
        port: str,
        t: NDArray[np.int64],
        index: NDArray[np.int32],
        value: NDArray[np.float32] | None,
        until: int,
    ) -> Spikes:
        """`feed`, then `advance`, or neither."""
        if until < self.now:
            refuse_past(until, self.now)
        self.feed(port, t, index, value)
        return self.advance(until)

    def _fix(self) -> None:
        """Gather what every call of the kernel takes: again whenever one of these arrays is another."""
        state, program = self._state, self._program
        self._fixed = (
            program.table, program.ints, program.weights, program.coef, state.real, state.dyn, state.di, state.marks,
            self._ahead, self._ahead_value, *self._queues.arrays, *self._out.arrays, self._watch.rows,
        )  # fmt: skip

    def next_cost(self) -> int:
        """At most so many synaptic operations for the buffered events, recurrence and predicted spikes aside."""
        program, waiting = self._program, self._queues.counts
        inner = program.dense_synops - sum(program.port_synops)
        return sum(count * (fan_out + inner) for count, fan_out in zip(waiting, program.fan_out, strict=True))

    def reset(self, t: int) -> None:
        """Forget all state and all buffered events (counted as dropped); everything starts again at `t`."""
        self._counts[L.N_DROPPED] += sum(self._queues.counts) + int(self._dynamic(L.H_AHEAD_N))
        self._queues.clear()
        self._start_over()
        begin(self._program, self._state, int(t))

    # what happened inside

    def watch(self, on: bool) -> None:
        """Collect the spikes of all populations for `watched`, or stop. Never changes any result."""
        self._counts[L.N_WATCHING] = on
        (self._watch.start if on else self._watch.forget)(int(self._counts[L.N_WATCH]))
        self._fix()

    def watched(self) -> tuple[NDArray[np.int64], NDArray[np.int16], NDArray[np.int32], NDArray[np.int32]]:
        """(t, population, index, spikes) since last asked; where the ring overflowed, the newest of them."""
        return self._watch.take(int(self._counts[L.N_WATCH]))

    @property
    def counters(self) -> Counters:
        """`ticks` counts moments at which anything happened; none of them is silent."""
        counts, spikes_at = self._counts, int(self._program.table[L.H_SPIKES])
        synops, touches = int(counts[L.N_SYNOPS]), int(counts[L.N_TOUCHES])
        return Counters(
            events_in=int(counts[L.N_IN]),
            events_late=int(counts[L.N_LATE]),
            events_dropped=int(counts[L.N_DROPPED]),
            events_out=int(counts[L.N_OUT]),
            synops=synops,
            synops_dense=self._program.dense_synops * (self._elapsed // self.dt_ns),
            unit_touches=touches,
            ticks=int(counts[L.N_INSTANTS]),
            ticks_silent=0,
            watch_lost=self._watch.lost,
            spikes={p.name: int(self._state.dyn[spikes_at + k]) for k, p in enumerate(self._populations)},
            energy_j_estimate=energy_j(synops, touches),
            events_risky=int(counts[L.N_RISKY]),
        )

    @property
    def predictions(self) -> int:
        """How often the exact crossing times of a site were computed."""
        return int(self._counts[L.N_SOLVED])

    @property
    def activity(self) -> dict[str, Activity]:
        """Nothing: without ticks there is no share of them."""
        return {}

    def potentials(self) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64] | None]]:
        """(potential, current or None) of every unit now, in NIR's shape."""
        return potentials(self._program, self._state, self.now)

    def variables(self) -> dict[str, dict[str, NDArray[np.float64]]]:
        """All state of every unit now, by name, in NIR's shape: v, i, and `refractory`, the seconds it still holds."""
        return variables(self._program, self._state, self.now)

    def describe(self) -> dict[str, Any]:
        """The network for people and for HTTP: nodes, shapes, sizes, memory, dialect with provenance."""
        program, state = self._program, self._state
        return description(
            program.graph,
            program.dialect,
            program.wiring,
            self._populations,
            mode="continuous",
            dtype=program.dtype,
            synops_dense=program.dense_synops,
            memory_bytes={
                "weights": program.weights.nbytes,
                "tables": program.table.nbytes + program.ints.nbytes + program.coef.nbytes,
                "state": sum(a.nbytes for a in (state.real, state.dyn, state.di, state.marks)),
            },
            fingerprint=program.fingerprint,
        )

    # state

    def snapshot(self) -> bytes:
        """The whole state, buffered events and spikes under way included, for `restore` into the same program."""
        ahead, values = self._under_way()
        counts = np.array([len(ahead), *self._queues.counts], np.int64)
        events = [column for k in range(len(self._queues)) for column in self._queues.waiting(k).columns]
        times = np.array([self._dynamic(L.H_NOW), self._dynamic(L.H_T0)], np.int64)
        return framed(MAGIC, self._program.fingerprint, [times, *self._proper(), counts, ahead, values, *events])

    def restore(self, snapshot: bytes) -> None:
        """Take on a snapshot's state, or raise `SnapshotError` and keep the present one."""
        program, state = self._program, self._state
        taken = unframed(MAGIC, program.fingerprint, snapshot)
        times, *proper = (taken.array(a.dtype, len(a)) for a in (np.zeros(2, np.int64), *self._proper()))
        under_way, *waiting = taken.array(np.int64, 1 + len(self._queues)).tolist()
        ahead = taken.array(np.int64, 4 * under_way).reshape(-1, 4)
        values = taken.array(np.float64, under_way)
        events = [
            Events(taken.array(np.int64, count), taken.array(np.int32, count), taken.array(np.float32, count))
            for count in waiting
        ]
        taken.end()
        self._start_over()
        for own, theirs in zip(self._proper(), proper, strict=True):
            own[:] = theirs
        self._set_dynamic(L.H_NOW, times[0])
        self._set_dynamic(L.H_T0, times[1])
        while len(self._ahead) < len(ahead) + LEAST_AHEAD:
            self._make_room_ahead()
        self._ahead[: len(ahead)], self._ahead_value[: len(ahead)] = ahead, values
        self._set_dynamic(L.H_AHEAD_N, len(ahead))
        self._set_dynamic(L.H_ORDER, len(ahead))
        for k, each in enumerate(events):
            self._queues.put(k, each)
        wake(program, state)
        self._fix()

    def hash(self) -> bytes:
        """16 bytes over state, spikes under way and network time; O(1) while no state changed."""
        t0 = int(self._dynamic(L.H_T0))
        return self._digest.over(int(self._counts[L.N_VERSION]), self._digested, t0, self.now)

    def _digested(self) -> Iterable[NDArray[Any]]:
        return *self._proper(), *self._under_way()

    def _proper(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """The state from which, with the spikes under way, all the rest follows."""
        program, state = self._program, self._state
        return state.real[: program.hashed_real], state.dyn[: program.hashed_dyn]

    def _under_way(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Spikes under way in order, numbered from 0."""
        count = int(self._dynamic(L.H_AHEAD_N))
        rows, values = self._ahead[:count], self._ahead_value[:count]
        order = np.lexsort((rows[:, L.A_ORDER], rows[:, L.A_DUE]))
        found = rows[order]
        found[:, L.A_ORDER] = np.arange(count)
        return found, values[order]

    def _start_over(self) -> None:
        """The initial state; queues and counters stay."""
        state, initial = self._state, self._program.initial
        ports, counters = state.dyn[self._ports].copy(), state.dyn[self._kept].copy()
        state.real[:], state.di[:], state.marks[:], state.dyn[:] = initial.real, initial.di, initial.marks, initial.dyn
        state.dyn[self._ports], state.dyn[self._kept] = ports, counters
        self._digest.forget()

    def _make_room_ahead(self) -> None:
        self._ahead = np.concatenate([self._ahead, np.zeros_like(self._ahead)])
        self._ahead_value = np.concatenate([self._ahead_value, np.zeros_like(self._ahead_value)])
        self._fix()

    def _dynamic(self, header: int) -> Any:
        return self._state.dyn[self._program.table[header]]

    def _set_dynamic(self, header: int, value: Any) -> None:
        self._state.dyn[self._program.table[header]] = value
