"""The slow twin of sigma-delta networks: the rounding network, every layer dense, nothing sent and nothing cached.

An activation is rounded to whole quanta, rint(levels y) / levels, and handed on whole. Where a layer leaks, it keeps
the copy that its receivers hold, which fades and is corrected by whole quanta; the receivers take the copy itself.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from nets import nodes as n
from nets.graph import Graph
from nets.sigma_delta.node import SigmaDelta, Surface
from tests.reference.dense import linear

Real = NDArray[np.float64]
Whole = NDArray[np.int64]


class Rounding:
    """Holds the newest reading of every index; `settle` says what all layers then are."""

    def __init__(self, graph: Graph, t0: int = 0) -> None:
        self.graph = graph
        self.now = t0
        self.x: dict[str, Real] = {port: np.zeros(graph.shapes[port]) for port in graph.of_kind(n.Input)}
        self.stamp: dict[str, Whole] = {port: np.full(x.size, -(1 << 62)) for port, x in self.x.items()}
        self.waiting: list[tuple[str, int, int, float]] = []
        """Changes of a Surface since it was last settled."""
        self.copy: dict[str, Real] = {
            name: np.zeros(graph.shapes[name]) for name, node in _units(graph).items() if leak(node)
        }
        self.sent: dict[str, Whole] = {name: np.zeros(copy.shape, np.int64) for name, copy in self.copy.items()}
        """Quanta sent in all by each layer that leaks."""
        self.z: dict[str, Real] = {}
        self.y: dict[str, Real] = {}
        """Activations before rounding."""
        self.held: dict[str, Real] = {}
        """Activations as their receivers hold them."""
        self.closest = np.inf
        """How near to the middle between two quanta any activation came, in quanta."""

    def read(self, port: str, t: Whole, index: Whole, value: Real) -> None:
        """Readings or changes, in whatever order they arrive."""
        surface = any(isinstance(self.graph.nodes[b], Surface) for b in self.graph.out_of(port))
        for when, i, v in zip(t.tolist(), index.tolist(), value.tolist(), strict=True):
            if surface:
                self.waiting.append((port, when, i, v))
            elif when >= self.stamp[port][i]:
                self.stamp[port][i] = when
                self.x[port].flat[i] = v

    def settle(self, t: int) -> None:
        """Bring everything to `t`."""
        for name, node in _units(self.graph).items():
            fade = np.exp(-leak(node) * 1e-9 * (t - self.now))
            if name in self.copy:
                self.copy[name] = self.copy[name] * fade
            if isinstance(node, Surface):
                for port in self.graph.into(name):
                    self.x[port] = self.x[port] * fade
                    for where, when, i, v in self.waiting:
                        if where == port:
                            self.x[port].flat[i] += v * np.exp(-leak(node) * 1e-9 * (t - when))
        self.waiting = []
        self.now, self.z, self.y, self.held = t, {}, {}, {}
        for name in self.graph.of_kind(SigmaDelta, n.Output):
            self._held(name)

    def _held(self, name: str) -> Real:
        if name not in self.held:
            self.held[name] = self._value(name)
        return self.held[name]

    def _value(self, name: str) -> Real:
        node = self.graph.nodes[name]
        if isinstance(node, n.Input):
            return self.x[name]
        z = np.asarray(sum(self._held(source).reshape(self._given(name)) for source in self.graph.into(name)))
        if isinstance(node, n.Output):
            self.z[name] = z
            return z
        if not isinstance(node, SigmaDelta):
            return linear(node, z)
        y = np.where(z > 0, z, node.slope * z)
        self.z[name], self.y[name] = z, y
        if name not in self.copy:
            quanta = np.rint(node.levels * y)
            self._watch_middle(node.levels * y - quanta)
            return np.asarray(quanta / node.levels)
        lacking = node.levels * (y - self.copy[name])
        quanta = np.rint(lacking)
        self._watch_middle(lacking - quanta)
        self.copy[name] = self.copy[name] + quanta / node.levels
        self.sent[name] += quanta.astype(np.int64)
        return self.copy[name]

    def _given(self, name: str) -> tuple[int, ...]:
        """The shape that comes into a node: an Output may relabel it."""
        node = self.graph.nodes[name]
        return self.graph.shapes[name] if isinstance(node, n.Output) else self.graph.shapes[self.graph.into(name)[0]]

    def _watch_middle(self, rest: Real) -> None:
        if rest.size:
            self.closest = min(self.closest, float((0.5 - np.abs(rest)).min()))


def whole_numbers(graph: Graph, readings: Mapping[str, Real], bits: Mapping[str, int]) -> dict[str, Whole]:
    """The quanta of every unit in fixed point: all sums in Python's own whole numbers, `bits` binary places each.

    An Output's are its sum in steps 2**-bits. Several paths from one unit to another must not share a target.
    """
    found: dict[str, Whole] = {}

    def quanta(name: str) -> Whole:
        if name not in found:
            node, scale = graph.nodes[name], 2 ** bits[name]
            sources = unit_sources(graph, name)
            if any(isinstance(graph.nodes[source], n.Input) for source in sources):
                port = next(iter(sources))
                assert isinstance(node, SigmaDelta)
                x = readings[port]
                found[name] = np.rint(node.levels * np.where(x > 0, x, node.slope * x)).astype(np.int64)
                return found[name]
            zeros = {source: np.zeros(graph.shapes[source]) for source in sources}
            bias = drive(graph, name, zeros).ravel()
            total = np.rint(bias * scale).astype(object)
            for source in sources:
                unit = graph.nodes[source]
                assert isinstance(unit, SigmaDelta)
                levels = np.broadcast_to(unit.levels, graph.shapes[source]).ravel()
                for i, q in enumerate(quanta(source).ravel().tolist()):
                    if q:
                        alone = np.zeros(graph.shapes[source])
                        alone.flat[i] = 1.0
                        row = drive(graph, name, zeros | {source: alone}, biased=False).ravel()
                        total = total + q * np.rint(row / levels[i] * scale).astype(np.int64).astype(object)
            if isinstance(node, n.Output):
                found[name] = total.astype(np.int64).reshape(graph.shapes[name])
                return found[name]
            assert isinstance(node, SigmaDelta)
            z = (total.astype(np.float64) / scale).reshape(graph.shapes[name])
            found[name] = np.rint(node.levels * np.where(z > 0, z, node.slope * z)).astype(np.int64)
        return found[name]

    for name in graph.of_kind(SigmaDelta, n.Output):
        if name in bits:
            quanta(name)
    return found


def drive(graph: Graph, name: str, held: Mapping[str, Real], biased: bool = True) -> Real:
    """What arrives at a unit where its sources hold so much."""

    def value(node_name: str) -> Real:
        if node_name in held:
            return held[node_name]
        node = graph.nodes[node_name]
        into = drive(graph, node_name, held, biased)
        y = linear(node, into)
        return y if biased else np.asarray(y - linear(node, np.zeros_like(into)))

    return np.asarray(sum(value(source) for source in graph.into(name)))


def unit_sources(graph: Graph, name: str) -> set[str]:
    """The units and Inputs that lead to a unit by linear nodes alone."""
    found: set[str] = set()
    for source in graph.into(name):
        if isinstance(graph.nodes[source], SigmaDelta | n.Input):
            found.add(source)
        else:
            found |= unit_sources(graph, source)
    return found


def leak(node: SigmaDelta) -> float:
    """Its leak per second."""
    return float(node.leak_per_s.item())


def _units(graph: Graph) -> dict[str, SigmaDelta]:
    return {name: node for name, node in graph.nodes.items() if isinstance(node, SigmaDelta)}
