"""Counts what a converted network would do on samples in their order, layer by layer, beside what dense passes do.

A change of a unit costs one synaptic operation for each weight behind it (graded), or one addition for each quantum it
moves. A dense pass multiplies every weight that lies on no padding; with zeros skipped, only those behind a value that
is not 0. A layer whose changes would cost more than what its sources hold is rebuilt from that, as the engine does.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nets import nodes as n
from nets.convert.dense import Batch, Dense, Samples
from nets.convert.levels import Fit
from nets.graph import Graph
from nets.lower import Stamps, layout_of, lower
from nets.shapes import convolution
from nets.units import wire

BREAK_EVEN = {"convolution": 0.15, "product": 0.4}
"""The share of dense multiplications above which a dense pass takes less time, measured on one core."""
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Layer:
    """Operations a sample, on average over all but the first; `target` is the unit or Output they lead to."""

    target: str
    kind: str
    """convolution, product or sum."""
    graded: float
    adds: float
    touches: float
    dense: float
    dense_nonzero: float
    levels: float | None

    @property
    def share(self) -> float:
        """Graded operations over those of a dense pass."""
        return self.graded / self.dense if self.dense else 0.0

    @property
    def is_dearer_than_dense(self) -> bool:
        return self.share > BREAK_EVEN.get(self.kind, math.inf)


@dataclass(frozen=True)
class Work:
    """`layers` in order of computation, an input quantiser as a layer of its own."""

    layers: tuple[Layer, ...]
    samples: int
    behind: Mapping[str, float]
    """Graded operations a sample that the changes of each unit cause."""

    def total(self, what: str) -> float:
        return float(sum(getattr(layer, what) for layer in self.layers))

    @property
    def dearer(self) -> tuple[Layer, ...]:
        return tuple(layer for layer in self.layers if layer.is_dearer_than_dense)


def count(
    fit: Fit,
    samples: Samples,
    *,
    rebuild: float = 1.0,
    progress: Callable[[str, float], None] = lambda what, done: None,
) -> Work:
    """The work of the fitted network on the samples; `rebuild` as in the engine's thresholds, inf: never."""
    graph = fit.graph
    wiring = wire(graph)
    layouts = {
        unit: layout_of(graph, graph.shapes[unit], [p.nodes for p in wiring.paths if p.target == unit])
        for unit in wiring.units
    }
    connections: dict[str, list[_Connection]] = defaultdict(list)
    for path in wiring.paths:
        if not isinstance(graph.nodes[path.source], n.Input):
            stamps = lower(graph, path.nodes, graph.shapes[path.source], layouts[path.target])
            size = math.prod(graph.shapes[path.source])
            connections[path.target].append(_Connection(path.source, stamps, size, layouts[path.target].block))
    measured = {path.target: path.source for path in wiring.paths if isinstance(graph.nodes[path.source], n.Input)}
    tally = {unit: np.zeros(3) for unit in wiring.units}
    behind: dict[str, float] = dict.fromkeys(fit.levels, 0.0)
    quanta = _Quanta(fit)
    steps = 0
    for first, after, done in quanta.pairs(samples):
        for unit in wiring.units:
            size = math.prod(graph.shapes[unit])
            if unit in measured:
                tally[unit] += (0, 0, int(np.count_nonzero(first[measured[unit]] != after[measured[unit]])))
            else:
                parts, added, looked_at = _step(connections[unit], first, after, size, rebuild)
                tally[unit] += (sum(parts), added, looked_at)
                for connection, part in zip(connections[unit], parts, strict=True):
                    behind[connection.source] += part
        steps += 1
        progress("counting operations", done)
    dense, nonzero = dense_work(fit.network, samples)
    layers: list[Layer] = []
    seen: set[str] = set()
    for unit in wiring.units:
        on_the_way = {name for path in wiring.paths if path.target == unit for name in path.nodes}
        kinds = {type(graph.nodes[name]) for name in on_the_way}
        kind = "convolution" if kinds & {n.Conv1d, n.Conv2d} else "product" if kinds & {n.Linear, n.Affine} else "sum"
        kind = "input" if unit in measured else kind
        graded, adds, touches = (tally[unit] / max(steps, 1)).tolist()
        own = set() if unit in measured else on_the_way - seen
        seen |= own
        layers.append(
            Layer(
                unit,
                kind,
                graded,
                adds,
                touches,
                sum(dense[name] for name in own),
                sum(nonzero[name] for name in own),
                fit.levels.get(unit),
            )
        )
    per_sample = {unit: total / max(steps, 1) for unit, total in behind.items()}
    return Work(tuple(layers), len(next(iter(samples.values()))), per_sample)


class _Connection:
    """What one unit's changes reach in another."""

    def __init__(self, source: str, stamps: Stamps, size: int, block: int) -> None:
        self.source = source
        self.fan = np.bincount(stamps.source, stamps.rows * stamps.run, size).astype(np.int64)
        order = np.argsort(stamps.source, kind="stable")
        self._stamps = stamps
        self._block = block
        self._order = order
        self._first = np.searchsorted(stamps.source[order], np.arange(size + 1))

    def reach(self, changed: Counts, marks: NDArray[np.int64]) -> None:
        """Mark in a table of differences the sites that changes at these indices touch."""
        low, high = self._first[changed], self._first[changed + 1]
        each = high - low
        rows = self._order[np.repeat(low - np.cumsum(each) + each, each) + np.arange(each.sum())]
        s = self._stamps
        heights = s.rows[rows]
        line = np.arange(heights.sum()) - np.repeat(np.cumsum(heights) - heights, heights)
        start = np.repeat(s.first[rows], heights) + line * s.neuron_stride
        end = start + np.repeat(s.run[rows], heights)
        np.add.at(marks, start // self._block, 1)
        np.add.at(marks, -(-end // self._block), -1)


class _Quanta:
    """What every Input reads and every unit of the rounding network holds, in quanta, sample after sample."""

    def __init__(self, fit: Fit) -> None:
        self._dense = Dense(fit.network)
        self._levels = {name: np.float32(k) for name, k in fit.levels.items()}

    def pairs(self, samples: Samples) -> Iterator[tuple[dict[str, Batch], dict[str, Batch], float]]:
        """(quanta before, quanta after, share done) of each step from one sample to the next."""
        total = len(next(iter(samples.values())))
        before: dict[str, Batch] | None = None
        done = 0
        for chunk in self._dense.chunks(samples):
            held = {
                name: np.rint(y * self._levels[name]).astype(np.int64).reshape(len(y), -1)
                for name, _, y in self._dense.values(chunk, self._levels)
                if name in self._levels
            }
            held |= {name: x.reshape(len(x), -1) for name, x in chunk.items()}
            for k in range(len(next(iter(chunk.values())))):
                after = {name: q[k] for name, q in held.items()}
                done += 1
                if before is not None or total == 1:
                    yield before or {name: 0 * q for name, q in after.items()}, after, done / total
                before = after


def _step(
    connections: list[_Connection], before: dict[str, Batch], after: dict[str, Batch], size: int, rebuild: float
) -> tuple[list[int], int, int]:
    """(graded operations by connection, additions, units looked at) of one step."""
    moves = [after[c.source] - before[c.source] for c in connections]
    if not any(move.any() for move in moves):
        return [0] * len(moves), 0, 0
    graded = [int(c.fan[move != 0].sum()) for c, move in zip(connections, moves, strict=True)]
    held = [int(c.fan[after[c.source] != 0].sum()) for c in connections]
    if sum(graded) > rebuild * (sum(held) + size):
        adds = sum(int((np.abs(after[c.source]) * c.fan).sum()) for c in connections)
        return held, adds, size
    adds = sum(int((np.abs(move) * c.fan).sum()) for c, move in zip(connections, moves, strict=True))
    block = connections[0]._block
    marks = np.zeros(size // block + 1, np.int64)
    for c, move in zip(connections, moves, strict=True):
        c.reach(np.flatnonzero(move), marks)
    return graded, adds, int((np.cumsum(marks) > 0).sum()) * block


def dense_work(graph: Graph, samples: Samples) -> tuple[Counter[str], dict[str, float]]:
    """Multiplications of each linear node in a dense pass, and of those behind a value that is not 0."""
    fans: dict[str, Counts] = {}
    dense: Counter[str] = Counter()
    nonzero: dict[str, float] = defaultdict(float)
    total = len(next(iter(samples.values())))
    network = Dense(graph)
    for chunk in network.chunks(samples):
        for name, x, _ in network.values(chunk):
            node = graph.nodes[name]
            if x is None or not isinstance(node, WORKING):
                continue
            if name not in fans:
                fans[name] = _fan(graph, name, x[0])
                dense[name] = int(fans[name].sum())
            nonzero[name] += float(((x != 0).reshape(len(x), -1) @ fans[name].astype(np.float64)).sum()) / total
    return dense, nonzero


WORKING = (n.Linear, n.Affine, n.Scale, n.Conv1d, n.Conv2d, n.AvgPool2d, n.SumPool2d)


def _fan(graph: Graph, name: str, x: Batch) -> Counts:
    """How many weights stand behind each value that comes into a linear node, padding left out."""
    node = graph.nodes[name]
    if isinstance(node, n.Linear | n.Affine):
        return np.full(x.size, len(node.weight), np.int64)
    if isinstance(node, n.Scale):
        return np.ones(x.size, np.int64)
    size = (1, *x.shape[1:]) if x.ndim == 2 else x.shape[1:]
    if isinstance(node, n.Conv1d | n.Conv2d):
        weight, stride, around, dilation = convolution(name, node)
        kernel, before, each = weight.shape[2:], around[::2], len(weight) // node.groups
        out = graph.shapes[name][1:]
    else:
        assert isinstance(node, n.AvgPool2d | n.SumPool2d)
        kernel, stride, before = n.pair(node.kernel_size), n.pair(node.stride), n.pair(node.padding)
        dilation, each, out = (1, 1), 1, graph.shapes[name][1:]
    out = (1, *out) if len(out) == 1 else out
    axes = [_covering(*axis) for axis in zip(size, out, kernel, stride, before, dilation, strict=True)]
    return np.tile(each * np.outer(*axes).ravel(), x.shape[0])


def _covering(size: int, out: int, kernel: int, stride: int, before: int, dilation: int) -> Counts:
    """How many windows cover each place along one axis."""
    places = (np.arange(out)[:, None] * stride - before + np.arange(kernel) * dilation).ravel()
    return np.bincount(places[(places >= 0) & (places < size)], minlength=size)
