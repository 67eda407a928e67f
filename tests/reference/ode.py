"""The slow twin of continuous mode: NIR's differential equations integrated by Taylor steps, all neurons, all the time.

Nothing is predicted or put in closed form. Each step is a polynomial of degree 14 over at most a tenth of the shortest
time constant; where it touches the threshold is found by looking, halving between the places where its slope vanishes.
Weights are multiplied out by pushing unit vectors through the graph, delays are looked up edge by edge. A refractory
neuron stands still until its time has run out, while its current is integrated on.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets import nodes as n
from nets.dialect import Dialect
from nets.graph import Graph
from nets.models import RefractoryCubaLIF, RefractoryIF, RefractoryLIF, plain
from tests.reference.dense import linear

Real = NDArray[np.float64]
DEGREE = 14
HALVINGS = 80


@dataclass
class Membrane:
    """One neuron: du/dt = -a (u - leak) + r i, di/dt = -b i + drive; a = 0 without leak, i constant without b."""

    a: float
    leak: float
    r: float
    b: float
    drive: float
    threshold: float
    reset: float
    floor: float
    hold: float = 0.0
    """ns."""
    strict: bool = False
    v: float = 0.0
    i: float = 0.0
    left: float = 0.0
    """ns for which v still stands."""

    def series(self) -> tuple[list[float], list[float]]:
        """Taylor coefficients of v and i about now."""
        v, i = [self.v], [self.i]
        for k in range(DEGREE):
            dv = -self.a * v[k] + self.r * i[k] + (self.a * self.leak if k == 0 else 0.0)
            di = -self.b * i[k] + (self.drive if k == 0 else 0.0)
            v.append(dv / (k + 1))
            i.append(di / (k + 1))
        return v, i

    def step(self, limit: float) -> float:
        """The length of a step over which the series has converged."""
        fastest = max(self.a, self.b)
        return min(limit, 0.1 / fastest) if fastest > 0 else limit

    def flow(self, ns: float) -> None:
        held = min(self.left, ns)
        stands, self.left = self.v, self.left - held
        self._integrate(held * 1e-9)
        if held > 0:
            self.v = stands
        self._integrate((ns - held) * 1e-9)

    def _integrate(self, seconds: float) -> None:
        left = seconds
        while left > 0:
            h = self.step(left)
            v, i = self.series()
            self.v, self.i = max(value(v, h), self.floor), value(i, h)
            left -= h

    @property
    def above(self) -> bool:
        return self.v > self.threshold if self.strict else self.v >= self.threshold

    def crossing(self, ns: float) -> float | None:
        """In how many ns, within `ns`, v first climbs through the threshold or is let go above it; or None."""
        kept = self.v, self.i, self.left
        held, found = self.left, None
        if ns >= held:
            self.flow(held)
            climbs = 0.0 if self.above else self._climb((ns - held) * 1e-9)
            found = None if climbs is None else held + climbs * 1e9
        self.v, self.i, self.left = kept
        return found

    def _climb(self, seconds: float) -> float | None:
        done, found = 0.0, None
        while done < seconds and found is None:
            h = self.step(seconds - done)
            v, i = self.series()
            found = _first(v, self.threshold, h)
            if found is not None:
                found += done
            self.v, self.i = max(value(v, h), self.floor), value(i, h)
            done += h
            if not self._can_rise():
                break
        return found

    def _can_rise(self) -> bool:
        """v that falls while its current shrinks towards 0 falls for good: v'' = r i' <= 0 wherever v' = 0."""
        slope = -self.a * (self.v - self.leak) + self.r * self.i
        return slope > 0 or self.r * self.i < 0 or self.drive != 0


def value(series: list[float], h: float) -> float:
    total = 0.0
    for c in reversed(series):
        total = total * h + c
    return total


def _halve(series: list[float], low: float, high: float) -> float:
    """Where a series changes sign between `low` and `high`."""
    rising = value(series, low) < value(series, high)
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        if (value(series, middle) < 0) == rising:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


def _first(v: list[float], threshold: float, h: float) -> float | None:
    f = [v[0] - threshold, *v[1:]]
    slope = [k * c for k, c in enumerate(v)][1:]
    if f[0] >= 0:
        return 0.0 if slope[0] > 0 else None
    if f[0] + value([0.0, *map(abs, v[1:])], h) < 0:
        return None  # out of reach whatever the signs
    turns = [0.0, h]
    pieces = np.linspace(0.0, h, 9)
    for low, high in pairwise(pieces):
        if (value(slope, float(low)) < 0) != (value(slope, float(high)) < 0):
            turns.append(_halve(slope, float(low), float(high)))
    turns.sort()
    for low, high in pairwise(turns):
        if value(f, high) >= 0:
            return _halve(f, low, high)
    return None


@dataclass
class Layer:
    name: str
    graded: bool
    membranes: list[Membrane]
    gain: list[float]
    """The jump of v, or of i where there is one, that one unit of input makes."""
    based: bool
    momentary: bool = False
    """A Threshold: fires on the sum of one moment and keeps nothing."""


@dataclass(order=True)
class _Arrival:
    t: int
    layer: int
    order: int
    neuron: int = field(compare=False)
    size: float = field(compare=False)


@dataclass
class Twin:
    """Runs a graph whose layers of neurons are `order`; edges to the same or an earlier layer are recurrent."""

    graph: Graph
    dialect: Dialect
    order: list[str]
    t: int = 0
    out: list[tuple[int, int, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.layers = [_layer(self.graph, self.dialect, name) for name in self.order]
        self.routes = {
            source: list(_routes(self.graph, self.dialect, self.order, source))
            for source in [*self.graph.of_kind(n.Input), *self.order]
        }
        self.waiting: list[_Arrival] = []
        self.pushed = 0

    def feed(self, port: str, t: int, index: int, size: float) -> None:
        self._send(port, t, index, size)

    def advance(self, until: int) -> None:
        """All moments before `until`."""
        while True:
            t = min(until, self.waiting[0].t if self.waiting else until)
            horizon = float(t - self.t)
            crossings: dict[tuple[int, int], float] = {}
            for k, layer in enumerate(self.layers):
                for j, m in enumerate(layer.membranes):
                    if not layer.graded and (c := m.crossing(horizon)) is not None:
                        crossings[k, j] = c
            for c in crossings.values():
                t = min(t, self.t + max(math.ceil(c), 1))
            if t >= until:
                self._flow(until, {})
                return
            due = {who: c for who, c in crossings.items() if self.t + max(math.ceil(c), 1) <= t}
            spikes = self._flow(t, due)
            self._moment(t, spikes)

    def _flow(self, t: int, due: dict[tuple[int, int], float]) -> dict[tuple[int, int], float]:
        for k, layer in enumerate(self.layers):
            for j, m in enumerate(layer.membranes):
                if (k, j) in due:
                    c = due[k, j]
                    m.flow(c)
                    m.v = max(m.v - m.threshold if self.dialect.reset == "subtract" else m.reset, m.floor)
                    m.left = m.hold
                    m.flow(max(t - self.t - c, 0.0))
                else:
                    m.flow(float(t - self.t))
        self.t = t
        return dict.fromkeys(due, 1.0)

    def _moment(self, t: int, spikes: dict[tuple[int, int], float]) -> None:
        for k, layer in enumerate(self.layers):
            drive = np.zeros(len(layer.membranes))
            while self.waiting and self.waiting[0].t <= t and self.waiting[0].layer <= k:
                arrival = heapq.heappop(self.waiting)
                drive[arrival.neuron] += arrival.size
            for j, m in enumerate(layer.membranes):
                if layer.based:
                    m.i += layer.gain[j] * drive[j]
                elif m.left <= 0:
                    m.v = max(m.v + layer.gain[j] * drive[j], m.floor)
                count = spikes.get((k, j), 0.0)
                if layer.momentary:
                    count, m.v = float(m.above), 0.0
                elif not layer.graded:
                    count += self._jump(m)
                if count:
                    self.out.append((t + 1, sum(len(q.membranes) for q in self.layers[:k]) + j, count))
                    self._send(layer.name, t, j, count)

    def _jump(self, m: Membrane) -> float:
        d, count = self.dialect, 0.0
        while m.above and m.left <= 0:
            times = 1
            if d.multi_spike:
                times = math.ceil(m.v / m.threshold) - 1 if m.strict else math.floor(m.v / m.threshold)
            count += times
            m.v = max(m.reset if d.reset == "value" else m.v - times * m.threshold, m.floor)
            m.left = m.hold
        return count

    def _send(self, source: str, t: int, index: int, size: float) -> None:
        for layer, matrix, delay in self.routes[source]:
            for neuron in np.flatnonzero(matrix[index]):
                self.pushed += 1
                arrival = t + int(delay[index, neuron])
                drive = size * float(matrix[index, neuron])
                heapq.heappush(self.waiting, _Arrival(arrival, layer, self.pushed, int(neuron), drive))


def _layer(graph: Graph, dialect: Dialect, name: str) -> Layer:
    node: Any = graph.nodes[name]
    size = math.prod(graph.shapes[name])
    strict = dialect.threshold == ">"
    if isinstance(node, n.Threshold):
        bounds = np.broadcast_to(node.threshold.ravel(), (size,))
        gates = [Membrane(0, 0, 0, 0, 0, float(bound), 0, -math.inf, strict=strict) for bound in bounds]
        return Layer(name, True, gates, [1.0] * size, False, True)
    refractory = np.broadcast_to(np.ravel(getattr(node, "refractory", 0.0)), (size,))
    if isinstance(node, RefractoryIF | RefractoryLIF | RefractoryCubaLIF):
        node = plain(node)
    based, leaky = isinstance(node, n.CubaLI | n.CubaLIF), not isinstance(node, n.I | n.IF)
    counts = dialect.resistance == "apply" or (dialect.resistance == "current" and based)
    bias = np.asarray(_biases(graph, name), np.float64).ravel() * np.ones(size)
    dt = dialect.dt_s
    stretch = dt / dialect.tau_tick_s
    leak = 0.0 if dialect.slow_leak_s is None else 1 / dialect.slow_leak_s

    def p(key: str, j: int, default: float = 0.0) -> float:
        return float(np.broadcast_to(np.asarray(getattr(node, key, default), np.float64).ravel(), (size,))[j])

    membranes, gains = [], []
    for j in range(size):
        r = p("r", j) if counts else 1.0
        tau = p("tau_mem" if based else "tau", j, 1.0) * stretch
        threshold = p("v_threshold", j, math.inf)
        floor = -math.inf
        if isinstance(node, n.SPIKING) and dialect.floor is not None:
            floor = -threshold if dialect.floor == "-threshold" else float(dialect.floor)
        rate, hold = 1 / tau if leaky else leak, float(np.rint(refractory[j] * stretch * 1e9))
        cell = Membrane(rate, p("v_leak", j), 0.0, 0.0, 0.0, threshold, p("v_reset", j), floor, hold, strict)
        cell.v = max(0.0, floor)
        if based:
            tau_syn = p("tau_syn", j) * stretch
            cell.b = 1 / tau_syn
            cell.r = r / dt if dialect.input_gain == "unit" else r / tau
            gain = p("w_in", j, 1.0) * (1.0 if dialect.synapse_gain == "unit" else dt / tau_syn)
            cell.drive = gain * bias[j] / dt
        else:
            if leaky:
                gain = r * (1.0 if dialect.input_gain == "unit" else dt / tau)
            else:
                gain = r * (1.0 if dialect.if_gain == "unit" else dialect.tau_tick_s)
            cell.r, cell.i = 1.0, gain * bias[j] / dt  # a constant current
        membranes.append(cell)
        gains.append(gain)
    return Layer(name, not isinstance(node, n.SPIKING), membranes, gains, based)


def _biases(graph: Graph, name: str) -> Any:
    """What arrives without any event."""
    total: Any = 0.0
    for source in graph.into(name):
        node = graph.nodes[source]
        if isinstance(node, (n.Input, *n.NEURONS, n.Threshold)):
            total = total + np.zeros(graph.shapes[source])
        elif isinstance(node, n.Delay):
            total = total + _biases(graph, source)
        else:
            total = total + linear(node, _biases(graph, source) * np.ones(graph.shapes[graph.into(source)[0]]))
    return total


def _routes(graph: Graph, dialect: Dialect, order: list[str], source: str) -> Any:
    """(layer, weights, delays in ns) of every chain of linear nodes from `source` to a layer."""

    def walk(name: str, chain: list[str]) -> Any:
        for after in graph.out_of(name):
            node = graph.nodes[after]
            if isinstance(node, (*n.NEURONS, n.Threshold)):
                yield after, chain
            elif not isinstance(node, n.Output):
                yield from walk(after, [*chain, after])

    shape, size = graph.shapes[source], math.prod(graph.shapes[source])
    for target, chain in walk(source, []):
        width = math.prod(graph.shapes[target])
        weights, delays = np.zeros((size, width)), np.zeros((size, width), np.int64)
        delayed = any(isinstance(graph.nodes[name], n.Delay) for name in chain)
        for k in range(size):
            one = np.zeros(size)
            one[k] = 1.0
            at: Real = one.reshape(shape)
            late: NDArray[np.int64] = np.zeros(shape, np.int64)
            for name in chain:
                node = graph.nodes[name]
                if isinstance(node, n.Delay):
                    seconds = node.delay * (dialect.dt_s / dialect.tau_tick_s)
                    late = late + np.rint(np.broadcast_to(seconds, at.shape) * 1e9).astype(np.int64)
                else:
                    zero = linear(node, np.zeros(at.shape))
                    at, old = linear(node, at) - zero, at
                    if at.shape != late.shape or not isinstance(node, n.Scale):
                        late = np.full(at.shape, late.ravel()[np.argmax(np.abs(old.ravel()))] if old.any() else 0)
            weights[k] = at.ravel()
            delays[k] = late.ravel()
        if source in order and order.index(source) >= order.index(target):
            wait = dialect.recurrent_delay * dialect.dt_ns
            delays = np.where(delays > 0, delays, wait) if delayed else np.full_like(delays, wait)
        yield order.index(target), weights, delays
