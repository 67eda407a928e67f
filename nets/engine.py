"""The engine: a network on its own tick grid, events in, events out.

Tick k covers [t0 + k dt, t0 + (k + 1) dt). It closes when `advance` passes its end, and its output events carry that
end as their time. Within a tick, layers follow each other without delay; a spike along an edge that closes a cycle
arrives `recurrent_delay` ticks later. The engine never reads a clock and never guesses: it does what its dialect says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets.dialect import Dialect
from nets.errors import UnsupportedError
from nets.frame import StateDigest, framed, unframed
from nets.graph import Graph
from nets.kernels import layout as L
from nets.kernels.feed import ROOM, TAKEN, feed
from nets.kernels.run import DONE, FULL, PAST, run
from nets.lazy import potentials, variables
from nets.program import Program, compile_program
from nets.queues import Events, Queues
from nets.running import (
    NO_PACKET,
    NONE,
    Activity,
    Counters,
    Outputs,
    Packet,
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
from nets.swap import Swap, carry
from nets.thresholds import DEFAULT, Thresholds

LEAST_OUTPUTS = 4096
SATURATED = 0.9
"""Share of the ticks in which a neuron fires that is called saturated."""
MAGIC = b"tectum-state-1\0\0"


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
        self._inputs, self._outputs = input_ports(graph), output_ports(graph)
        self._populations = tuple(
            Population(unit.name, math.prod(unit.shape), unit.shape) for unit in program.units if unit.report >= 0
        )
        self._dt = dialect.dt_ns
        self._tick_at, self._t0_at = int(header[L.H_TICK]), int(header[L.H_T0])
        self._counters_at, self._ports_at = int(header[L.H_COUNTERS]), int(header[L.H_PORT_AT])
        self._state = program.initial.copy()
        rows = self._state.dyn[self._ports_at : self._ports_at + len(program.inputs) * L.Q_SIZE]
        self._queues = Queues(rows.reshape(-1, L.Q_SIZE))
        self._out = Outputs(max(LEAST_OUTPUTS, 2 * int(header[L.H_WORST_OUT])))
        self._watch = WatchRing()
        self._digest = StateDigest()
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
        packet = packet_of(self._ports, port, t, index, value)
        while True:
            status, position = feed(self._program.table, self._state.dyn, *self._queues.arrays, *packet)
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
        return self._run(packet_of(self._ports, port, t, index, value), until)

    def _make_room(self, status: int, position: int, packet: Packet) -> None:
        """Raise what `take` refused in words, or make the room it asked for."""
        if status != ROOM:
            refuse_event(self._inputs, status, position, packet)
        self._queues.make_room(packet[0], int(position))
        self._fix()

    def _run(self, packet: Packet, until: int) -> Spikes:
        status, position, count = run(*self._fixed, *packet, until)
        if status == DONE:
            return self._out.take(count) if count else NONE
        parts = []
        while status != DONE:
            if status == PAST:
                refuse_past(until, self.now)
            if status == FULL:
                parts.append(self._out.take(count))
                packet = NO_PACKET
            else:
                self._make_room(status, position, packet)
            status, position, count = run(*self._fixed, *packet, until)
        parts.append(self._out.take(count))
        return joined(parts)

    def kernel_arguments(self, until: int) -> tuple[Any, ...]:
        """What `nets.kernels.run.run` takes to advance to `until` without a packet."""
        return (*self._fixed, *NO_PACKET, until)

    def _fix(self) -> None:
        """Gather what every call of the kernel takes: again whenever one of these arrays is another."""
        state, program = self._state, self._program
        self._fixed = (
            program.table, program.ints, program.weights, state.real, state.dyn, state.di, state.marks,
            *self._queues.arrays, *self._out.arrays, self._watch.rows,
        )  # fmt: skip

    def next_cost(self) -> int:
        """At most so many synaptic operations to close the ticks of the buffered events; recurrence may go on after."""
        program = self._program
        cost, ticks = 0, 0
        for k, waiting in enumerate(self._queues.counts):
            if waiting:
                first, last = self._queues.ends(k)
                cost += waiting * program.fan_out[k]
                ticks += min(waiting, last - first + 1)
        return cost + ticks * (program.dense_synops - sum(program.port_synops))

    def reset(self, t: int) -> None:
        """Forget all state and all buffered events (counted as dropped); the tick grid starts again at `t`."""
        state, initial = self._state, self._program.initial
        dropped = sum(self._queues.counts)
        self._queues.clear()
        kept = state.dyn[self._ports_at :].copy()
        state.real[:], state.di[:], state.marks[:] = initial.real, initial.di, initial.marks
        state.dyn[: self._ports_at], state.dyn[self._ports_at :] = initial.dyn[: self._ports_at], kept
        state.dyn[self._counters_at + L.N_PENDING] = 0
        state.dyn[self._counters_at + L.N_DROPPED] += dropped
        state.dyn[self._t0_at] = int(t)
        self._digest.forget()

    # what happened inside

    def watch(self, on: bool) -> None:
        """Collect the spikes of all populations for `watched`, or stop. Never changes any result."""
        self._state.dyn[self._counters_at + L.N_WATCHING] = on
        (self._watch.start if on else self._watch.forget)(self._watch_written())
        self._fix()

    def watched(self) -> tuple[NDArray[np.int64], NDArray[np.int16], NDArray[np.int32], NDArray[np.int32]]:
        """(t, population, index, spikes) since last asked; where the ring overflowed, the newest of them."""
        return self._watch.take(self._watch_written())

    def _watch_written(self) -> int:
        return int(self._state.dyn[self._counters_at + L.N_WATCH])

    @property
    def counters(self) -> Counters:
        dyn, at = self._state.dyn, self._counters_at
        spikes_at = int(self._program.table[L.H_SPIKES])
        synops, touches, ticks = (int(dyn[at + c]) for c in (L.N_SYNOPS, L.N_TOUCHES, L.N_TICKS))
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
            watch_lost=self._watch.lost,
            spikes={p.name: int(dyn[spikes_at + k]) for k, p in enumerate(self._populations)},
            energy_j_estimate=energy_j(synops, touches),
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
        program, state = self._program, self._state
        return description(
            program.graph,
            program.dialect,
            program.wiring,
            self._populations,
            mode="tick",
            dtype=program.dtype,
            synops_dense=program.dense_synops,
            memory_bytes={
                "weights": program.weights.nbytes,
                "tables": program.table.nbytes + program.ints.nbytes,
                "state": sum(a.nbytes for a in (state.real, state.dyn, state.di, state.marks)),
            },
            fingerprint=program.fingerprint,
        )

    # state

    def snapshot(self) -> bytes:
        """The whole state, buffered events included, for `restore` into the same program."""
        counts = np.array(self._queues.counts, np.int64)
        events = [column for k in range(len(self._queues)) for column in self._queues.waiting(k).columns]
        return framed(MAGIC, self._program.fingerprint, [*self._proper(), counts, *events])

    def restore(self, snapshot: bytes) -> None:
        """Take on a snapshot's state, or raise `SnapshotError` and keep the present one."""
        taken = unframed(MAGIC, self._program.fingerprint, snapshot)
        proper = [taken.array(a.dtype, len(a)) for a in self._proper()]
        events = [
            Events(taken.array(np.int64, count), taken.array(np.int32, count), taken.array(np.float32, count))
            for count in taken.array(np.int64, len(self._queues)).tolist()
        ]
        taken.end()
        for own, theirs in zip(self._proper(), proper, strict=True):
            own[:] = theirs
        for k, each in enumerate(events):
            self._queues.put(k, each)
        self._fix()
        self._digest.forget()

    def hash(self) -> bytes:
        """16 bytes over state and network time; O(1) while no state changed. Buffered events are not state yet."""
        dyn = self._state.dyn
        version = int(dyn[self._counters_at + L.N_VERSION])
        return self._digest.over(version, self._hashed, int(dyn[self._t0_at]), int(dyn[self._tick_at]))

    def _hashed(self) -> tuple[NDArray[Any], ...]:
        state, program = self._state, self._program
        return state.real[: program.hashed_real], state.dyn[: program.hashed_dyn], state.di[: program.hashed_di]

    def _proper(self) -> tuple[NDArray[Any], ...]:
        """All state but the events that wait, and the number of spikes on their way."""
        state, pending = self._state, self._counters_at + L.N_PENDING
        return state.real, state.dyn[: self._ports_at], state.di, state.marks, state.dyn[pending : pending + 1]

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
        for k, (name, port) in enumerate(self._inputs.items()):
            if other._inputs.get(name) == port:
                other._queues.put(other._ports[name], self._queues.waiting(k))
            else:
                dropped += self._queues.counts[k]
        counted = dict(zip((p.name for p in self._populations), self._spike_counts(), strict=True))
        at = int(other._program.table[L.H_SPIKES])
        for k, p in enumerate(other._populations):
            dyn[at + k] = counted.get(p.name, 0)
        dyn[other._counters_at + L.N_DROPPED] += dropped
        dyn[other._counters_at + L.N_VERSION] += 1
        other._watch = self._watch
        other._watch.forget(other._watch_written())
        other._fix()
        self.__dict__ = other.__dict__
        return replace(report, events_dropped=dropped)

    def _spike_counts(self) -> list[int]:
        at = int(self._program.table[L.H_SPIKES])
        return [int(count) for count in self._state.dyn[at : at + len(self._populations)]]
