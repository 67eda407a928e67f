"""The sigma-delta engine: the same role as `nets.engine.Engine`, with graded values and cached layers.

A value fed to a port is its source's new reading, an absolute value; the newest timestamp wins for each index, an older
one is counted as superseded, so arrival order does not matter. Behind a `Surface` a value is a change and adds up.
`advance(until)` takes in all events up to and including `until` at once and carries their consequences through all
layers. Output events carry `until` and the new absolute value, only where it is another than before.

Without leaks, the state depends on nothing but the newest value of each index: any order and any split into packets
gives the quanta of the rounding network (with hysteresis or a refresh, within their own bounds). With leaks, layers are
evaluated on the beats of a grid of `dt_ns` while anything leaks, and whenever `advance` ends on events.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets.dialect import Dialect, resolve
from nets.frame import StateDigest, framed, unframed
from nets.graph import Graph
from nets.kernels import continuous_layout as C
from nets.kernels import sigma_layout as L
from nets.kernels.continuous_feed import feed
from nets.kernels.feed import ROOM, TAKEN
from nets.kernels.sigma_run import FULL, run
from nets.queues import Events, Queues
from nets.running import (
    PICOJOULE,
    Activity,
    Counters,
    Outputs,
    Population,
    Port,
    Spikes,
    WatchRing,
    description,
    input_ports,
    joined,
    output_ports,
    packet_of,
    refuse_event,
    refuse_past,
)
from nets.sigma_delta.program import Program, begin, compile_sigma_delta
from nets.sigma_delta.swap import carry, put_shown, shown
from nets.sigma_delta.thresholds import DEFAULT, SigmaThresholds
from nets.sigma_delta.view import activations, sums
from nets.swap import Swap

LEAST_OUTPUTS = 4096
UNSTATED = {"preset": "spec", "dt_s": 1e-3}
"""Where no dialect is given: of one, only the tick counts, as the grid of what leaks."""
MAGIC = b"tectum-sigma-1\0\0"


@dataclass(frozen=True)
class SigmaCounters(Counters):
    """`synops` are graded, one multiply-add each; `ticks` are moments at which anything arrived or leaked, `spikes` the
    changes sent. `synops_dense` is a full pass of the network at each such moment.
    """

    synops_adds: int = 0
    """The same work as additions alone: a change of m quanta counts m."""
    events_superseded: int = 0
    """Readings older than one of the same index that had been taken in."""
    rebuilt: int = 0
    """Layers rebuilt from what their sources hold instead of from changes."""
    saturated: int = 0
    """Activations cut off at 2**20 quanta."""


class SigmaDeltaEngine:
    """Runs one sigma-delta graph. Not for two threads at once; kernels release the GIL.

    `dtype` is float32, float64 or int64: fixed-point weights, whose sums are exact in any order.
    """

    def __init__(
        self,
        graph: Graph,
        dialect: Dialect | None = None,
        *,
        dtype: Any = np.float32,
        t0: int = 0,
        thresholds: SigmaThresholds = DEFAULT,
    ) -> None:
        self._dialect = resolve(graph, None, UNSTATED) if dialect is None else dialect
        self._program: Program = compile_sigma_delta(graph, dtype, self._dialect.dt_ns, thresholds)
        program, table = self._program, self._program.table
        self._inputs, self._outputs = input_ports(graph), output_ports(graph)
        self._numbers = {name: k for k, name in enumerate(self._inputs)}
        self._populations = tuple(
            Population(unit.name, math.prod(unit.shape), unit.shape) for unit in program.units if unit.report >= 0
        )
        self._state = program.initial.copy()
        ports_at, counters_at = int(table[C.H_PORT_AT]), int(table[C.H_COUNTERS])
        self._ports = slice(ports_at, ports_at + len(self._inputs) * C.Q_SIZE)
        self._queues = Queues(self._state.dyn[self._ports].reshape(-1, C.Q_SIZE))
        self._counts = self._state.dyn[counters_at : counters_at + L.N_SIZE]
        self._kept = slice(counters_at, None)
        self._now_at = int(table[C.H_NOW])
        self._out = Outputs(max(LEAST_OUTPUTS, 2 * int(table[L.H_WORST_OUT])))
        self._watch = WatchRing()
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
        """The sigma-delta units, input quantisers among them."""
        return self._populations

    @property
    def graph(self) -> Graph:
        return self._program.graph

    @property
    def dialect(self) -> Dialect:
        """Only its tick is used: a sigma-delta graph leaves nothing else open."""
        return self._dialect

    @property
    def program(self) -> Program:
        """The compiled network: for looking at, never for changing."""
        return self._program

    @property
    def dt_ns(self) -> int:
        """The beat of what leaks."""
        return self._dialect.dt_ns

    @property
    def now(self) -> int:
        """Network time: every event up to it has acted."""
        return int(self._state.dyn[self._program.table[C.H_NOW]])

    # events

    def feed(
        self,
        port: str,
        t: NDArray[np.int64],
        index: NDArray[np.int32],
        value: NDArray[np.float32] | None = None,
    ) -> int:
        """Buffer readings of a port, oldest first; return how many are older than network time."""
        packet = packet_of(self._numbers, port, t, index, value)
        while True:
            status, position = feed(*self._intake, *packet)
            if status == TAKEN:
                return int(position)
            if status != ROOM:
                refuse_event(self._inputs, status, position, packet)
            self._queues.make_room(packet[0], int(position))
            self._fix()

    def advance(self, until: int) -> Spikes:
        """Take in every event up to and including `until`; return what the outputs show anew."""
        end = int(until)
        if end < self._state.dyn.item(self._now_at):
            refuse_past(end, self.now)
        parts = []
        while True:
            status, count = run(*self._fixed, end)
            if count:
                parts.append(self._out.take(count))
                self._counts[L.N_OUT] += count
            if status != FULL:
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
        self._intake = (program.table, state.dyn, *self._queues.arrays)
        self._fixed = (
            program.table, program.ints, program.weights, program.coef, state.real, state.wide, state.dyn, state.di,
            state.marks, *self._queues.arrays, *self._out.arrays, self._watch.rows,
        )  # fmt: skip

    def next_cost(self) -> int:
        """At most so many synaptic operations for the buffered events, taken in at one moment."""
        program, waiting = self._program, self._queues.counts
        if not any(waiting):
            return 0
        first = zip(waiting, program.fan_out, program.port_synops, strict=True)
        inner = program.dense_synops - sum(program.port_synops)
        return inner + sum(min(count * fan_out, most) for count, fan_out, most in first)

    def reset(self, t: int) -> None:
        """Forget all readings and all buffered events (counted as dropped); everything starts again at `t`.

        What the outputs last showed is kept, so that the first `advance` says where it is another.
        """
        state, initial = self._state, self._program.initial
        self._counts[L.N_DROPPED] += sum(self._queues.counts)
        self._counts[L.N_VERSION] += 1
        self._queues.clear()
        ports, counters = state.dyn[self._ports].copy(), state.dyn[self._kept].copy()
        seen = shown(self._program, state)
        state.real[:], state.wide[:], state.di[:] = initial.real, initial.wide, initial.di
        state.marks[:], state.dyn[:] = initial.marks, initial.dyn
        state.dyn[self._ports], state.dyn[self._kept] = ports, counters
        put_shown(self._program, state, seen)
        begin(self._program, state, int(t))

    # what happened inside

    def watch(self, on: bool) -> None:
        """Collect the changes that units send for `watched`, or stop. Never changes any result."""
        self._counts[L.N_WATCHING] = on
        (self._watch.start if on else self._watch.forget)(int(self._counts[L.N_WATCH]))
        self._fix()

    def watched(self) -> tuple[NDArray[np.int64], NDArray[np.int16], NDArray[np.int32], NDArray[np.int32]]:
        """(t, population, index, quanta with their sign) since last asked; where the ring overflowed, the newest."""
        return self._watch.take(int(self._counts[L.N_WATCH]))

    @property
    def counters(self) -> SigmaCounters:
        counts = self._counts
        synops, touches, passes = (int(counts[c]) for c in (L.N_SYNOPS, L.N_TOUCHES, L.N_PASSES))
        return SigmaCounters(
            events_in=int(counts[C.N_IN]),
            events_late=int(counts[C.N_LATE]),
            events_dropped=int(counts[L.N_DROPPED]),
            events_out=int(counts[L.N_OUT]),
            synops=synops,
            synops_dense=passes * self._program.dense_synops,
            unit_touches=touches,
            ticks=passes,
            ticks_silent=int(counts[L.N_SILENT]),
            watch_lost=self._watch.lost,
            spikes=dict(zip((p.name for p in self._populations), self._sent(), strict=True)),
            energy_j_estimate=(synops + touches) * PICOJOULE["multiply_add"] * 1e-12,
            synops_adds=int(counts[L.N_ADDS]),
            events_superseded=int(counts[L.N_SUPERSEDED]),
            rebuilt=int(counts[L.N_REBUILT]),
            saturated=int(counts[L.N_SATURATED]),
        )

    def _sent(self) -> list[int]:
        at = int(self._program.table[L.H_SENT])
        return [int(count) for count in self._state.dyn[at : at + len(self._populations)]]

    @property
    def activity(self) -> dict[str, Activity]:
        """Nothing: changes are not spikes."""
        return {}

    def potentials(self) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64] | None]]:
        """(sum received or measurement, what of it leaks or None) of every unit now, in NIR's shape."""
        return sums(self._program, self._state, self.now)

    def variables(self) -> dict[str, dict[str, NDArray[np.float64]]]:
        """All state of every unit now, in NIR's shape: z, what of it is `leaking`, and y as its receivers hold it."""
        held = activations(self._program, self._state, self.now)
        found: dict[str, dict[str, NDArray[np.float64]]] = {}
        for name, (z, leaking) in self.potentials().items():
            columns = {"z": z, "leaking": leaking, "y": held.get(name)}
            found[name] = {key: column for key, column in columns.items() if column is not None}
        return found

    def describe(self) -> dict[str, Any]:
        """The network for people and for HTTP: nodes, shapes, sizes, memory."""
        program, state = self._program, self._state
        return description(
            program.graph,
            self._dialect,
            program.wiring,
            self._populations,
            mode="sigma-delta",
            dtype=program.dtype,
            synops_dense=program.dense_synops,
            memory_bytes={
                "weights": program.weights.nbytes,
                "tables": program.table.nbytes + program.ints.nbytes + program.coef.nbytes,
                "state": sum(a.nbytes for a in (state.real, state.wide, state.dyn, state.di, state.marks)),
            },
            fingerprint=program.fingerprint,
        )

    # state

    def snapshot(self) -> bytes:
        """The whole state, buffered events included, for `restore` into the same program."""
        counts = np.array(self._queues.counts, np.int64)
        events = [column for k in range(len(self._queues)) for column in self._queues.waiting(k).columns]
        return framed(MAGIC, self._program.fingerprint, [self._times(), *self._proper(), counts, *events])

    def restore(self, snapshot: bytes) -> None:
        """Take on a snapshot's state, or raise `SnapshotError` and keep the present one."""
        taken = unframed(MAGIC, self._program.fingerprint, snapshot)
        times, *proper = (taken.array(a.dtype, len(a)) for a in (self._times(), *self._proper()))
        waiting = taken.array(np.int64, len(self._queues)).tolist()
        events = [
            Events(taken.array(np.int64, count), taken.array(np.int32, count), taken.array(np.float32, count))
            for count in waiting
        ]
        taken.end()
        for own, theirs in zip(self._proper(), proper, strict=True):
            own[:] = theirs
        self._state.dyn[self._program.table[[C.H_NOW, L.H_T0]]] = times
        for k, each in enumerate(events):
            self._queues.put(k, each)
        self._digest.forget()
        self._fix()

    def hash(self) -> bytes:
        """16 bytes over state and network time; O(1) while no state changed. Buffered events are not state yet."""
        return self._digest.over(int(self._counts[L.N_VERSION]), self._proper, *self._times().tolist())

    def _times(self) -> NDArray[np.int64]:
        return self._state.dyn[self._program.table[[C.H_NOW, L.H_T0]]]

    def _proper(self) -> Iterable[NDArray[Any]]:
        """The state from which all the rest follows."""
        program, state = self._program, self._state
        return (
            state.real[: program.hashed_real],
            state.wide[: program.hashed_wide],
            state.dyn[: program.hashed_dyn],
            state.di[: program.hashed_di],
        )

    def swap(self, graph: Graph, dialect: Dialect | None = None) -> Swap:
        """Go on with another graph, other weights or levels, from the same time; or raise and change nothing.

        Readings are carried over where an Input and its quantiser keep name and shape; every layer is rebuilt from them
        at the next `advance`. Buffered events of ports that stay are kept, counters go on, and outputs of the same name
        and size show only what becomes another.
        """
        program, state = self._program, self._state
        other = SigmaDeltaEngine(graph, dialect, dtype=program.dtype, t0=self.now, thresholds=program.thresholds)
        other._state.dyn[other._program.table[L.H_T0]] = state.dyn[program.table[L.H_T0]]
        other._counts[:] = self._counts
        other._counts[L.N_VERSION] += 1
        sent = dict(zip((p.name for p in self._populations), self._sent(), strict=True))
        at = int(other._program.table[L.H_SENT])
        for k, p in enumerate(other._populations):
            other._state.dyn[at + k] = sent.get(p.name, 0)
        carried, fresh = carry(program, state, other._program, other._state)
        dropped = 0
        for k, (name, port) in enumerate(self._inputs.items()):
            if name in other._inputs and other._inputs[name].shape == port.shape:
                other._queues.put(other._numbers[name], self._queues.waiting(k))
            else:
                dropped += self._queues.counts[k]
        other._counts[L.N_DROPPED] += dropped
        other._watch = self._watch
        other._fix()
        self.__dict__ = other.__dict__
        return Swap((), carried, fresh, dropped, 0)
