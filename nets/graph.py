"""An immutable, validated description of a network: nodes, edges, shapes, parameters in SI units.

Several edges into a node add up. A cycle must pass through a spiking node: without one it has no state to wait in.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from nets import nodes as n
from nets.errors import GraphError
from nets.shapes import Shape, neuron_shape, output_shape

Edge = tuple[str, str]
MOST_VALUES = 1 << 24
"""At all nodes together; compiling takes some 400 bytes for each."""


class Graph:
    """`Graph({"input": Input((2,)), "fc": Linear(w), ...}, [("input", "fc"), ...])`, checked whole or refused."""

    __slots__ = ("edges", "metadata", "nodes", "notes", "shapes")

    nodes: Mapping[str, n.Node]
    edges: tuple[Edge, ...]
    shapes: Mapping[str, Shape]
    """The shape that comes out of each node."""
    metadata: Mapping[str, Any]
    notes: tuple[str, ...]
    """What a reader had to repair, for `describe`."""

    def __init__(
        self,
        nodes: Mapping[str, n.Node],
        edges: Iterable[Edge],
        metadata: Mapping[str, Any] | None = None,
        notes: Iterable[str] = (),
    ) -> None:
        ordered = tuple((str(a), str(b)) for a, b in edges)
        _check_edges(nodes, ordered)
        put = object.__setattr__
        put(self, "nodes", MappingProxyType(dict(nodes)))
        put(self, "edges", ordered)
        put(self, "metadata", MappingProxyType(dict(metadata or {})))
        put(self, "notes", tuple(notes))
        _check_cycles(self)
        _check_parameters(self)
        put(self, "shapes", MappingProxyType(_infer_shapes(self)))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Graph is immutable: cannot set {name}")

    def __eq__(self, other: object) -> bool:
        """Equal nodes with equal parameters, and the same edges in any order."""
        if not isinstance(other, Graph):
            return NotImplemented
        return (
            sorted(self.edges) == sorted(other.edges)
            and self.nodes.keys() == other.nodes.keys()
            and all(_same(node, other.nodes[name]) for name, node in self.nodes.items())
            and dict(self.metadata) == dict(other.metadata)
        )

    __hash__ = None  # type: ignore[assignment]  # arrays inside

    def into(self, name: str) -> tuple[str, ...]:
        """The nodes with an edge into `name`, sorted so that nothing depends on the file's edge order."""
        return tuple(sorted(a for a, b in self.edges if b == name))

    def out_of(self, name: str) -> tuple[str, ...]:
        """The nodes that `name` has an edge into, sorted."""
        return tuple(sorted(b for a, b in self.edges if a == name))

    def of_kind(self, *kinds: type[n.Node]) -> tuple[str, ...]:
        """Names of the nodes of these types, sorted."""
        return tuple(sorted(name for name, node in self.nodes.items() if isinstance(node, kinds)))

    def parameter_count(self, name: str) -> int:
        """How many real numbers the node stores."""
        node = self.nodes[name]
        return sum(
            getattr(node, p).size for p in n.parameter_names(type(node)) if isinstance(getattr(node, p), np.ndarray)
        )


def _same(a: n.Node, b: n.Node) -> bool:
    if type(a) is not type(b) or a.metadata != b.metadata:
        return False
    for name in n.parameter_names(type(a)):
        x, y = getattr(a, name), getattr(b, name)
        if isinstance(x, np.ndarray):
            if x.dtype != y.dtype or x.shape != y.shape or not np.array_equal(x, y):
                return False
        elif x != y:
            return False
    return True


def _check_edges(nodes: Mapping[str, n.Node], edges: tuple[Edge, ...]) -> None:
    for edge in edges:
        for end in edge:
            if end not in nodes:
                raise GraphError(f"edge {edge[0]} -> {edge[1]}: there is no node {end!r}; there are {sorted(nodes)}")
    seen = set()
    for edge in edges:
        if edge in seen:
            raise GraphError(f"edge {edge[0]} -> {edge[1]} is stated twice")
        seen.add(edge)
        if isinstance(nodes[edge[1]], n.Input):
            raise GraphError(f"edge {edge[0]} -> {edge[1]} ends in an Input")
        if isinstance(nodes[edge[0]], n.Output):
            raise GraphError(f"edge {edge[0]} -> {edge[1]} starts in an Output")
    if not any(isinstance(node, n.Input) for node in nodes.values()):
        raise GraphError("the graph has no Input")
    if not any(isinstance(node, n.Output) for node in nodes.values()):
        raise GraphError("the graph has no Output")
    targets = {b for _, b in edges}
    for name, node in nodes.items():
        if not isinstance(node, n.Input) and name not in targets:
            raise GraphError(f"{name}: {node.kind} has no edge into it")


def _check_cycles(graph: Graph) -> None:
    """Remove the spiking nodes; what remains must be free of cycles."""
    stateless = {name for name, node in graph.nodes.items() if not isinstance(node, n.SPIKING)}
    waiting = {name: [a for a in graph.into(name) if a in stateless] for name in stateless}
    done: set[str] = set()
    while ready := [name for name, sources in waiting.items() if all(a in done for a in sources)]:
        done.update(ready)
        for name in ready:
            del waiting[name]
    while True:  # a node behind the cycle waits too: walk back until every one left is on it or feeds it
        leaves = [name for name in waiting if not any(name in sources for sources in waiting.values())]
        if not leaves:
            break
        for name in leaves:
            del waiting[name]
    if waiting:
        raise GraphError(f"a cycle without a spiking node passes through {', '.join(sorted(waiting))}")


def _check_parameters(graph: Graph) -> None:
    for name, node in graph.nodes.items():
        for parameter in ("tau", "tau_mem", "tau_syn"):
            values = getattr(node, parameter, None)
            if values is not None and not (values > 0).all():
                raise GraphError(f"{name}: {node.kind}.{parameter} is {values.min()}, expected above 0")
        if isinstance(node, n.Delay) and not (node.delay >= 0).all():
            raise GraphError(f"{name}: Delay.delay is {node.delay.min()}, expected 0 or more")
        if isinstance(node, n.Input | n.Output) and (not node.shape or min(node.shape) < 1):
            raise GraphError(f"{name}: {node.kind}.shape is {node.shape}, expected sizes of at least 1")


def _infer_shapes(graph: Graph) -> dict[str, Shape]:
    shapes: dict[str, Shape] = {}
    for name, node in graph.nodes.items():
        if isinstance(node, n.Input):
            shapes[name] = node.shape
        elif isinstance(node, n.NEURONS) and (own := neuron_shape(node)) is not None:
            shapes[name] = own
        elif isinstance(node, n.Linear | n.Affine) and node.weight.ndim == 2:
            shapes[name] = (int(node.weight.shape[0]),)
    while True:
        found = {
            name: output_shape(name, graph.nodes[name], shapes[known[0]])
            for name in graph.nodes
            if name not in shapes and (known := [a for a in graph.into(name) if a in shapes])
        }
        if not found:
            break
        shapes.update(found)
    for name in graph.nodes:
        if name not in shapes:
            raise GraphError(f"{name}: no Input reaches it, its shape is unknown")
    for name, node in graph.nodes.items():
        for source in graph.into(name):
            given = shapes[source]
            if output_shape(name, node, given) != shapes[name] and not _only_reshaped(node, given, shapes[name]):
                raise GraphError(f"{name}: receives {given} from {source}, works on {shapes[name]}")
    if sum(map(math.prod, shapes.values())) > MOST_VALUES:
        largest = max(shapes, key=lambda name: math.prod(shapes[name]))
        raise GraphError(f"{largest}: {shapes[largest]} values make a graph of more than {MOST_VALUES} in all")
    return shapes


def _only_reshaped(node: n.Node, given: Shape, own: Shape) -> bool:
    return isinstance(node, n.Output) and math.prod(given) == math.prod(own)
