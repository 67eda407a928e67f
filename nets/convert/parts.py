"""Grows a graph layer by layer, where a value may be a sum of several nodes or several parts side by side.

Addition and concatenation need no node: a sum is two edges into whatever reads it, and a product that reads parts side
by side is one product for each part.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets import nodes as n
from nets.convert.errors import ConvertError
from nets.convert.layers import Activation
from nets.graph import Edge, Graph

Array = NDArray[Any]
LARGEST = 1 << 24
"""So many weights may be written down only to bring parts together."""


@dataclass(frozen=True)
class Part:
    """The sum of these nodes."""

    sources: tuple[str, ...]
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Value:
    """Parts side by side along the first axis; `sole` where nothing else reads them, so that they may be changed."""

    parts: tuple[Part, ...]
    sole: bool = True

    @property
    def shape(self) -> tuple[int, ...]:
        return (sum(part.shape[0] for part in self.parts), *self.parts[0].shape[1:])

    @property
    def bounds(self) -> tuple[tuple[int, int], ...]:
        """First and last channel of each part."""
        ends = np.cumsum([0, *(part.shape[0] for part in self.parts)]).tolist()
        return tuple(pairwise(ends))


@dataclass(eq=False)
class Growing:
    """The graph so far."""

    nodes: dict[str, n.Node] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)

    def put(self, name: str, node: n.Node, sources: Sequence[str] = ()) -> str:
        """Add a node behind these; return the name it got."""
        plain = re.sub(r"[^0-9A-Za-z_]+", "_", name).strip("_") or node.kind.lower()
        free, k = plain, 1
        while free in self.nodes:
            k += 1
            free = f"{plain}_{k}"
        self.nodes[free] = node
        self.edges += [(source, free) for source in sources]
        return free

    def graph(self, notes: Sequence[str] = ()) -> Graph:
        """What leads to an Output."""
        wanted = {name for name, node in self.nodes.items() if isinstance(node, n.Output)}
        while more := {a for a, b in self.edges if b in wanted} - wanted:
            wanted |= more
        nodes = {name: node for name, node in self.nodes.items() if name in wanted}
        return Graph(nodes, [edge for edge in self.edges if edge[1] in wanted], {}, notes)

    def each(self, name: str, node: n.Node, value: Value) -> list[str]:
        """The same node behind every part."""
        return [self.put(name, node, part.sources) for part in value.parts]

    def product(self, name: str, value: Value, weight: Array, bias: Array | None) -> Value:
        """weight (out, in) on a flat value."""
        sources = []
        for k, ((first, last), part) in enumerate(zip(value.bounds, value.parts, strict=True)):
            columns = weight[:, first:last]
            node = n.Linear(columns) if bias is None or k else n.Affine(columns, bias)
            sources.append(self.put(name, node, part.sources))
        return Value((Part(tuple(sources), (len(weight),)),))

    def convolution(self, name: str, value: Value, make: Any, weight: Array, bias: Array, groups: int) -> Value:
        """make(part's shape, weight, bias, groups) -> (node, its shape), for each part of what comes in."""
        if groups == 1:
            sources, shape = [], ()
            for k, ((first, last), part) in enumerate(zip(value.bounds, value.parts, strict=True)):
                node, shape = make(part.shape, weight[:, first:last], np.zeros_like(bias) if k else bias, 1)
                sources.append(self.put(name, node, part.sources))
            return Value((Part(tuple(sources), shape),))
        if len(value.parts) > 1 and any(first % weight.shape[1] for first, _ in value.bounds):
            value = self.joined(name, value)
        each_in, each_out = weight.shape[1], len(weight) // groups
        parts = []
        for (first, last), part in zip(value.bounds, value.parts, strict=True):
            low, high = first // each_in * each_out, last // each_in * each_out
            node, shape = make(part.shape, weight[low:high], bias[low:high], (last - first) // each_in)
            parts.append(Part((self.put(name, node, part.sources),), shape))
        return Value(tuple(parts))

    def affine(self, name: str, value: Value, scale: Array, shift: Array) -> Value:
        """y = scale x + shift with one of each a channel: folded into the products before, else a node of its own."""
        parts = []
        for (first, last), part in zip(value.bounds, value.parts, strict=True):
            a, b = scale[first:last], shift[first:last]
            if value.sole and self._folded(part, a, b):
                parts.append(part)
            else:
                node = _affine(part.shape, a, b)
                parts.append(Part((self.put(name, node, part.sources),), part.shape))
        return Value(tuple(parts))

    def sum(self, name: str, one: Value, other: Value) -> Value:
        """Two values of one shape."""
        if one.bounds != other.bounds:
            one, other = self.joined(name, one), self.joined(name, other)
        parts = []
        for a, b in zip(one.parts, other.parts, strict=True):
            twice = [source for source in b.sources if source in a.sources]
            again = [self.put(f"{name}_again", n.Scale(np.float32(1)), [source]) for source in twice]
            rest = [source for source in b.sources if source not in twice]
            parts.append(Part((*a.sources, *rest, *again), a.shape))
        return Value(tuple(parts), one.sole and other.sole)

    def activation(self, name: str, value: Value, slope: Array) -> Value:
        """slope is one number or one a channel."""
        parts = []
        for (first, last), part in zip(value.bounds, value.parts, strict=True):
            own = slope if slope.size == 1 else _spread(slope[first:last], part.shape)
            parts.append(Part((self.put(name, Activation(slope=own), part.sources),), part.shape))
        return Value(tuple(parts))

    def flat(self, name: str, value: Value) -> Value:
        if len(value.shape) == 1:
            return value
        names = self.each(name, n.Flatten(0, -1), value)
        return Value(tuple(Part((k,), (math.prod(p.shape),)) for k, p in zip(names, value.parts, strict=True)))

    def joined(self, name: str, value: Value) -> Value:
        """The parts in one, by products with ones and zeros."""
        if len(value.parts) == 1:
            return value
        total = value.shape[0]
        if total * total > LARGEST:
            raise ConvertError(f"{name}: brings {len(value.parts)} parts of {total} values together, at most 4096")
        eye = np.eye(total, dtype=np.float32)
        if len(value.shape) == 1:
            return self.product(f"{name}_joined", value, eye, None)
        ones = (1,) * (len(value.shape) - 1)
        zero = np.zeros(total, np.float32)
        return self.convolution(f"{name}_joined", value, _one_by_one, eye.reshape(total, total, *ones), zero, 1)

    def _folded(self, part: Part, scale: Array, shift: Array) -> bool:
        products = [source for source in part.sources if isinstance(self.nodes[source], PRODUCTS)]
        if not products or ((scale != 1).any() and len(products) < len(part.sources)):
            return False
        for k, source in enumerate(products):
            self.nodes[source] = _scaled(self.nodes[source], scale, 0 * shift if k else shift)
        return True


PRODUCTS = (n.Linear, n.Affine, n.Conv1d, n.Conv2d)


def _scaled(node: n.Node, scale: Array, shift: Array) -> n.Node:
    assert isinstance(node, PRODUCTS)
    a = scale.astype(np.float64)
    weight = (node.weight * a.reshape(-1, *(1,) * (node.weight.ndim - 1))).astype(np.float32)
    if isinstance(node, n.Linear):
        return n.Affine(weight, shift.astype(np.float32)) if shift.any() else n.Linear(weight)
    bias = (np.broadcast_to(node.bias, a.shape) * a + shift).astype(np.float32)
    return replace(node, weight=weight, bias=bias)


def _affine(shape: tuple[int, ...], scale: Array, shift: Array) -> n.Node:
    if not shift.any():
        return n.Scale((scale if len(shape) == 1 else _spread(scale, shape)).astype(np.float32))
    if len(shape) == 1:
        return n.Affine(np.diag(scale).astype(np.float32), shift.astype(np.float32))
    weight = scale.reshape(-1, 1, *(1,) * (len(shape) - 1)).astype(np.float32)
    return _one_by_one(shape, weight, shift.astype(np.float32), len(scale))[0]


def _one_by_one(shape: tuple[int, ...], weight: Array, bias: Array, groups: int) -> tuple[n.Node, tuple[int, ...]]:
    out = (len(weight), *shape[1:])
    if len(shape) == 2:
        return n.Conv1d(shape[1], weight, 1, 0, 1, groups, bias), out
    return n.Conv2d(shape[1:], weight, (1, 1), (0, 0), (1, 1), groups, bias), out


def _spread(values: Array, shape: tuple[int, ...]) -> Array:
    """One number a channel as an array of the layer's shape."""
    return np.broadcast_to(values.reshape(-1, *(1,) * (len(shape) - 1)), shape)
