"""Turns a ReLU network into a rate-coded spiking network for the tick engine.

An activation becomes a layer of IF neurons with threshold 1 and reset by subtraction, its incoming weights divided and
its outgoing weights multiplied by the layer's scale, the 99.9 percentile of its activations above 0. A frame is a
constant current: fed again in each of `ticks` ticks. Potentials begin at half a threshold, which rounds a rate to the
nearest where it would be cut off. NIR has no initial potential: a further Input, `start`, has a weight of 1/2 to every
neuron, and takes one event of value 1 in the first tick. In front of each Output an I neuron with r = 1 / ticks adds
up: its potential in the last tick is the network's answer. For the next frame reset the network, and start again.

The dialect is written into the graph's metadata. A neuron fires once for each threshold its potential has reached, so
that rates above the scale are not cut off (Rueckauer et al. 2017; Han et al. 2020 on reset by subtraction).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nets import nodes as n
from nets.convert.dense import Batch, Dense, Samples, relative_error
from nets.convert.errors import ConvertError
from nets.convert.layers import Activation, feed_forward, order
from nets.convert.levels import Progress, scales
from nets.convert.parts import PRODUCTS
from nets.graph import Edge, Graph
from nets.lower import layout_of, lower
from nets.units import wire

START = "start"
DIALECT: dict[str, Any] = {
    "leak": "exponential",
    "input_gain": "unit",
    "if_gain": "unit",
    "resistance": "apply",
    "current": "decay_add",
    "multi_spike": True,
    "threshold": ">=",
    "reset": "subtract",
    "floor": "none",
    "recurrent_delay": 1,
}


@dataclass(frozen=True, eq=False)
class Rate:
    """`error` is relative to the trained network's output, after `ticks` ticks; `synops` per sample, its input's among
    them; `scales` by layer.
    """

    graph: Graph
    ticks: int
    error: float
    scales: Mapping[str, float]
    synops: Mapping[str, float]


def to_rate(
    network: Graph,
    samples: Samples,
    ticks: int,
    *,
    dt_s: float = 1e-3,
    progress: Progress = lambda what, fraction: None,
) -> Rate:
    """Convert, and present the samples to the result to see how near it comes."""
    if not 1 <= ticks <= 100_000:
        raise ConvertError(f"ticks is {ticks}, expected 1 to 100000")
    feed_forward(network)
    for name in network.of_kind(Activation):
        node = network.nodes[name]
        if isinstance(node, Activation) and not node.is_relu:
            raise ConvertError(f"{name}: a rate is never negative, so only ReLU converts; convert it to sigma-delta")
    if START in network.nodes:
        raise ConvertError(f"there is a node {START!r} already; rename it: the input that starts a frame has this name")
    found = scales(network, samples, lambda what, done: progress(what, 0.2 * done), lambda y: y[y > 0])
    graph = _spiking(network, found, ticks, dt_s)
    twin = Presented(graph, ticks)
    outputs = twin.answers(samples, lambda what, done: progress(what, 0.2 + 0.8 * done))
    error = relative_error(outputs, Dense(network).outputs(samples))
    return Rate(graph, ticks, error, found, twin.synops(len(next(iter(samples.values())))))


class Presented(Dense):
    """The rate-coded network in plain numpy, tick by tick, on a whole batch."""

    def __init__(self, graph: Graph, ticks: int, dtype: Any = np.float32) -> None:
        super().__init__(graph, dtype)
        self.ticks = ticks
        self.events: dict[str, Batch] = {name: np.zeros(graph.shapes[name]) for name in graph.of_kind(n.Input, n.IF)}
        self._potential: dict[str, Batch] = {}

    def answers(self, samples: Samples, progress: Progress = lambda what, fraction: None) -> dict[str, Batch]:
        """What every Output shows in the last tick."""
        found: dict[str, list[Batch]] = {name: [] for name in self.graph.of_kind(n.Output)}
        count = len(next(iter(samples.values())))
        done = 0
        for chunk in self.chunks({**samples, START: np.ones((count, *self.graph.shapes[START]))}):
            self._potential = {}
            last: dict[str, Batch] = {}
            for tick in range(self.ticks):
                if tick == 1:
                    chunk[START] = np.zeros_like(chunk[START])
                for name, _, y in self.values(chunk):
                    if name in found:
                        last[name] = y
                    if name in self.events:
                        self.events[name] += (y != 0).sum(axis=0)
            for name, y in last.items():
                found[name].append(y)
            done += len(chunk[START])
            progress(f"presenting for {self.ticks} ticks", done / count)
        return {name: np.concatenate(parts) for name, parts in found.items()}

    def synops(self, count: int) -> dict[str, float]:
        """Synaptic operations a sample by source, so far."""
        wiring = wire(self.graph)
        found = dict.fromkeys(self.events, 0.0)
        for unit in wiring.units:
            paths = [path for path in wiring.paths if path.target == unit]
            layout = layout_of(self.graph, self.graph.shapes[unit], [path.nodes for path in paths])
            for path in paths:
                if path.source in found:
                    events = self.events[path.source].ravel()
                    stamps = lower(self.graph, path.nodes, self.graph.shapes[path.source], layout)
                    fan = np.bincount(stamps.source, stamps.rows * stamps.run, events.size)
                    found[path.source] += float(events @ fan) / count
        return found

    def _through(self, name: str, node: n.Node, x: Batch, levels: Mapping[str, Any] | None) -> Batch:
        if isinstance(node, n.I | n.IF):
            v = self._potential.get(name, np.zeros_like(x)) + self._real(node.r) * x
            spikes = v
            if isinstance(node, n.IF):
                threshold = self._real(node.v_threshold)
                spikes = np.maximum(np.floor(v / threshold), 0)
                v = v - spikes * threshold
            self._potential[name] = v
            return np.asarray(spikes)
        return super()._through(name, node, x, levels)


def _spiking(network: Graph, scale: Mapping[str, float], ticks: int, dt_s: float) -> Graph:
    nodes: dict[str, n.Node] = {}
    edges: list[Edge] = []
    factor: dict[str, float] = {}
    """What a value of the new graph is multiplied by to be the old one's."""
    exit_of: dict[str, str] = {}
    readers = {name: network.out_of(name) for name in network.nodes}

    def scaled(source: str, target: str, gain: float) -> str:
        """The source, times gain; for `target` alone."""
        if gain == 1.0:
            return exit_of[source]
        name = f"{exit_of[source]}_to_{target}"
        nodes[name] = n.Scale(np.float32(gain))
        edges.append((exit_of[source], name))
        return name

    for name in order(network):
        node, into = network.nodes[name], network.into(name)
        exit_of[name], factor[name] = name, 1.0
        if isinstance(node, n.Input):
            nodes[name] = node
            continue
        common = {factor[source] for source in into}
        given = common.pop() if len(common) == 1 else 1.0
        gains = {source: factor[source] / given for source in into}
        if isinstance(node, PRODUCTS):
            target = readers[name][0] if len(readers[name]) == 1 else name
            factor[name] = scale.get(target, 1.0)
            nodes[name] = _times(node, given / factor[name], 1 / factor[name])
        elif isinstance(node, Activation):
            factor[name] = scale[name]
            gains = {source: factor[source] / scale[name] for source in into}
            one = np.ones(network.shapes[name], np.float32)
            nodes[name] = n.IF(r=one, v_threshold=one, v_reset=0 * one)
        elif isinstance(node, n.Output):
            gains = {source: factor[source] for source in into}
            sums = f"{name}_sum"
            nodes[sums] = n.I(np.full(network.shapes[into[0]], 1 / ticks, np.float32))
            nodes[name] = node
            edges += [(scaled(source, sums, gains[source]), sums) for source in into]
            edges.append((sums, name))
            continue
        else:
            factor[name] = given
            nodes[name] = node
        edges += [(scaled(source, name, gains[source]), name) for source in into]
    _put_start(nodes, edges, {name: network.shapes[name] for name in network.of_kind(Activation)})
    dialect = {**DIALECT, "dt_s": dt_s}
    stated = {"version": 1, "dialect": dialect, "rate": {"ticks": ticks, "start": START, "scales": dict(scale)}}
    return Graph(nodes, edges, {**network.metadata, "tectum": stated}, network.notes)


def _times(node: n.Node, weight: float, bias: float) -> n.Node:
    assert isinstance(node, PRODUCTS)
    if isinstance(node, n.Linear):
        return replace(node, weight=node.weight * np.float32(weight))
    return replace(node, weight=node.weight * np.float32(weight), bias=node.bias * np.float32(bias))


def _put_start(nodes: dict[str, n.Node], edges: list[Edge], layers: Mapping[str, tuple[int, ...]]) -> None:
    """One event of this Input brings every neuron to half its threshold."""
    most = max((len(shape) for shape in layers.values()), default=1)
    nodes[START] = n.Input((1,) * most)
    entries = {most: START}
    for name, shape in layers.items():
        dims = len(shape)
        if dims not in entries:
            entries[dims] = f"{START}_{dims}d"
            nodes[entries[dims]] = n.Flatten(dims - 1, most - 1)
            edges.append((START, entries[dims]))
        kick, half = f"{START}_{name}", np.full((shape[0], 1, *shape[1:]), 0.5, np.float32)
        zero, around = np.zeros(shape[0], np.float32), tuple(size - 1 for size in shape[1:])
        if dims == 1:
            nodes[kick] = n.Linear(half)
        elif dims == 2:
            nodes[kick] = n.Conv1d(1, half, 1, around[0], 1, 1, zero)
        else:
            nodes[kick] = n.Conv2d((1, 1), half, (1, 1), around, (1, 1), 1, zero)
        edges += [(entries[dims], kick), (kick, name)]


def frame_events(network: Graph, frame: Mapping[str, Batch], tick: int, dt_ns: int, t0: int = 0) -> dict[str, Any]:
    """What to feed for a frame in one of its ticks: (t, index, value) by Input, the one that starts it in the first."""
    t = t0 + tick * dt_ns
    found = {}
    for name in network.of_kind(n.Input):
        values = np.ones(1) if name == START else np.ravel(frame[name])
        index = np.flatnonzero(values).astype(np.int32)
        if name != START or tick == 0:
            found[name] = (np.full(len(index), t, np.int64), index, values[index].astype(np.float32))
    return found
