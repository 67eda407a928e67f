"""A dense rival in the daemon's own seat: an engine whose network is passed through as a whole, again and again.

It holds what the sigma-delta engine's inputs would hold: of a measurement the newest by its stamp, of a surface the sum
of its events, each decayed by its age. A pass takes place at each beat of a grid or, `frames`, whenever a frame has
come; then the gyro's samples since the last frame count by their mean. With `cached`, the branch of a sensor is
computed again only where it has brought something, the event camera's at its own beat.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets.errors import SnapshotError
from nets.graph import Graph
from nets.running import NONE, Counters, Population, Spikes, input_ports, output_ports
from nets.sigma_delta.node import SigmaDelta, Surface
from runtime.bench.gaze.passes import Part, fan_out, needed, part, products, source_of, units
from runtime.core.clock import SECOND, stopwatch_ns

COUNTED = 25
"""Of so many passes one is looked at for zeros."""


@dataclass
class Spent:
    """What the passes took, all so far."""

    passes: int = 0
    ns: list[tuple[int, int]] = field(default_factory=list)
    """(network time, how long) of each pass; what it holds of the sensors comes for nothing."""
    macs: float = 0.0
    touches: float = 0.0
    events: int = 0


class Held:
    """What an Input's quantiser would be given, unrounded."""

    def __init__(self, shape: tuple[int, ...], node: SigmaDelta) -> None:
        self.value = np.zeros(math.prod(shape), np.float32)
        self.leak = float(node.leak_per_s.item()) / SECOND if isinstance(node, Surface) else None
        self.shape = (1, *shape)
        self.at = 0
        self._stamp = np.full(self.value.size, -(1 << 62), np.int64)

    def take(self, t: NDArray[np.int64], index: NDArray[np.int32], value: NDArray[np.float32], now: int) -> None:
        if self.leak is not None:
            self.decay(now)
            aged = value * np.exp(self.leak * np.minimum(t - now, 0))
            np.add.at(self.value, index, aged.astype(np.float32))
            return
        newer = t >= self._stamp[index]
        self._stamp[index[newer]] = t[newer]
        self.value[index[newer]] = value[newer]

    def decay(self, now: int) -> None:
        if self.leak is not None and now > self.at:
            self.value *= np.float32(math.exp(self.leak * (self.at - now)))
            self.at = now

    def forget(self) -> None:
        self.value[:] = 0
        self._stamp[:] = -(1 << 62)


class DenseEngine:
    """Takes the place of `nets.sigma_delta.engine.SigmaDeltaEngine` in a pipeline."""

    def __init__(
        self,
        graph: Graph,
        period_ns: int,
        *,
        cached: bool = False,
        slow: Mapping[str, int] | None = None,
        frames: bool = False,
    ) -> None:
        """`slow`: ports whose branch is looked at only so often, ns."""
        self.graph = graph
        self.spent = Spent()
        self.dt_ns = period_ns
        self.inputs, self.outputs = input_ports(graph), output_ports(graph)
        self.populations: tuple[Population, ...] = ()
        self.activity: dict[str, Any] = {}
        self._held = {name: Held(port.shape, self._quantiser(name)) for name, port in self.inputs.items()}
        self._pending: list[tuple[str, NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]] = []
        self._binned: list[NDArray[np.float32]] = []
        self._frames, self._cached, self._slow = frames, cached, dict(slow or {})
        self._t0 = self._now = 0
        self._came: dict[str, bool] = dict.fromkeys(self.inputs, True)
        self._due = False
        self._values: dict[str, NDArray[np.float32]] = {}
        self._parts = self._split(cached)
        self._all = part(graph, self.inputs, units(graph))
        self._cost = self._costs()
        self._nonzero_share: dict[str, list[float]] = {}

    def _quantiser(self, name: str) -> SigmaDelta:
        (behind,) = (b for a, b in self.graph.edges if a == name)
        node = self.graph.nodes[behind]
        assert isinstance(node, SigmaDelta)
        return node

    def _split(self, cached: bool) -> list[Part]:
        """One part, or one for each group of inputs that meets no other before the last, which joins them."""
        ends = list(self.outputs)
        if not cached:
            return [part(self.graph, self.inputs, ends)]
        reach = {
            name: frozenset(needed(self.graph, frozenset(), [name])) & set(self.inputs) for name in self.graph.nodes
        }
        whole = frozenset(self.inputs)
        groups = {reach[name] for name in units(self.graph) if reach[name] != whole}
        groups = {group for group in groups if not any(group < other for other in groups)}
        parts, borders = [], []
        for group in sorted(groups, key=sorted):
            into_whole = [
                p for p in products(self.graph) if any(reach[b] == whole for a, b in self.graph.edges if a == p)
            ]
            border = sorted({unit for unit in (source_of(self.graph, p) for p in into_whole) if reach[unit] <= group})
            parts.append(part(self.graph, group, border))
            borders += border
        return [*parts, part(self.graph, borders, ends)]

    def _costs(self) -> list[tuple[float, float]]:
        """(multiply-adds, units) of each part."""
        found = []
        for each in self._parts:
            inside = set(needed(self.graph, frozenset(each.given), each.wanted)) - set(each.given)
            macs = sum(float(fan_out(self.graph, name).sum()) for name in products(self.graph) if name in inside)
            held = sum(math.prod(self.graph.shapes[name]) for name in units(self.graph) if name in inside)
            found.append((macs, float(held)))
        return found

    def feed(self, port: str, t: Any, index: Any, value: Any = None) -> int:
        given = np.ones(len(t), np.float32) if value is None else np.asarray(value, np.float32)
        self._pending.append((port, np.asarray(t), np.asarray(index), given))
        self.spent.events += len(t)
        return 0

    def advance(self, until: int) -> Spikes:
        found = []
        if not self._frames:
            beat = self._t0 + ((self._now - self._t0) // self.dt_ns + 1) * self.dt_ns
            while beat <= until:
                self._take_in(beat)
                found.append(self._pass(beat))
                beat += self.dt_ns
        self._take_in(until)
        if self._frames and self._due:
            self._due = False
            found.append(self._pass(until))
        self._now = until
        return found[-1] if found else NONE

    def _take_in(self, t: int) -> None:
        left = []
        for port, times, index, value in self._pending:
            mine = times <= t
            if not mine.all():
                left.append((port, times[~mine], index[~mine], value[~mine]))
                times, index, value = times[mine], index[mine], value[mine]
            if len(times):
                self._held[port].take(times, index, value, max(t, self._now))
                self._came[port] = True
                self._due |= len(self.inputs[port].shape) == 3 and self._held[port].leak is None
                if self._frames and port == "gyro":
                    self._binned += list(value.reshape(-1, self._held[port].value.size))
        self._pending = left

    def _pass(self, t: int) -> Spikes:
        if self._binned:
            self._held["gyro"].value[:] = np.mean(self._binned, axis=0)
            self._binned = []
        for held in self._held.values():
            held.decay(t)
        inputs = {name: held.value.reshape(held.shape) for name, held in self._held.items()}
        self._values.update(inputs)
        began = stopwatch_ns()
        for each, (macs, touches) in zip(self._parts, self._cost, strict=True):
            if self._cached and not self._is_due(each, t):
                continue
            self._values.update(each.run(self._values))
            self.spent.macs += macs
            self.spent.touches += touches
        self.spent.ns.append((t, stopwatch_ns() - began))
        self.spent.passes += 1
        self._came = dict.fromkeys(self._came, False)
        if self.spent.passes % COUNTED == 0:
            self._look_for_zeros(inputs)
        return self._shown(t)

    def _is_due(self, each: Part, t: int) -> bool:
        names = [name for name in each.given if name in self._slow]
        if names:
            return any((t - self._t0) % self._slow[name] == 0 for name in names) or each.wanted[0] not in self._values
        ports = [name for name in each.given if name in self.inputs]
        leaks = any(self._held[name].leak is not None for name in ports)
        return not ports or leaks or any(self._came[name] for name in ports) or each.wanted[0] not in self._values

    def _look_for_zeros(self, inputs: Mapping[str, NDArray[np.float32]]) -> None:
        held = self._all.run(inputs)
        for name in products(self.graph):
            behind = fan_out(self.graph, name)
            values = held[source_of(self.graph, name)].ravel()
            self._nonzero_share.setdefault(name, []).append(float(behind @ (values != 0)))

    @property
    def nonzero_macs(self) -> float:
        """Multiply-adds of a pass that skips zeros."""
        return sum(float(np.mean(shares)) for shares in self._nonzero_share.values())

    def _shown(self, t: int) -> Spikes:
        sizes = [(number, self._values[name].ravel()) for number, name in enumerate(self.outputs)]
        index = np.concatenate([np.arange(len(v), dtype=np.int32) for _, v in sizes])
        port = np.concatenate([np.full(len(v), number, np.int16) for number, v in sizes])
        return Spikes(np.full(len(index), t, np.int64), port, index, np.concatenate([v for _, v in sizes]))

    def reset(self, t: int) -> None:
        self._t0 = self._now = t
        for held in self._held.values():
            held.forget()
            held.at = t

    @property
    def counters(self) -> Counters:
        spent = self.spent
        return Counters(
            spent.events, 0, 0, 0, int(spent.macs), int(spent.macs), int(spent.touches), spent.passes, 0, 0, {}, 0.0
        )

    def watch(self, on: bool) -> None:
        """Nothing to watch: no unit sends anything."""

    def watched(self) -> tuple[NDArray[np.int64], NDArray[np.int16], NDArray[np.int32], NDArray[np.int32]]:
        return np.zeros(0, np.int64), np.zeros(0, np.int16), np.zeros(0, np.int32), np.zeros(0, np.int32)

    def snapshot(self) -> bytes:
        raise SnapshotError("a dense rival is not recorded")

    restore = snapshot
