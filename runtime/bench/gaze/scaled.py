"""The same network otherwise: with finer levels, or wider."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from nets import nodes as n
from nets.graph import Graph
from nets.sigma_delta.node import SigmaDelta


def finer(graph: Graph, by: float) -> Graph:
    """Levels of all layers times `by`; input quantisers keep theirs, which the sensors' noise sets."""
    if by == 1.0:
        return graph
    nodes = {
        name: replace(node, levels=node.levels * by) if isinstance(node, SigmaDelta) and hidden(graph, name) else node
        for name, node in graph.nodes.items()
    }
    return Graph(nodes, graph.edges, graph.metadata)


def hidden(graph: Graph, name: str) -> bool:
    """Whether it is no Input's quantiser."""
    return not any(isinstance(graph.nodes[source], n.Input) for source in graph.into(name))


def wider(graph: Graph, by: int) -> Graph:
    """Every hidden unit `by` times, each copy sending its share: the same function, `by` squared the work of a pass."""
    if by == 1:
        return graph
    nodes: dict[str, n.Node] = {}
    for name, node in graph.nodes.items():
        match node:
            case n.Conv2d() | n.Affine() | n.Linear():
                nodes[name] = _product(graph, name, node, by)
            case SigmaDelta():
                nodes[name] = _unit(graph, name, node, by)
            case _:
                nodes[name] = node
    return Graph(nodes, graph.edges, {})


def _product(graph: Graph, name: str, node: n.Conv2d | n.Affine | n.Linear, by: int) -> n.Node:
    source = graph.into(name)[0]
    source = graph.into(source)[0] if isinstance(graph.nodes[source], n.Flatten) else source
    weight = np.asarray(node.weight)
    if hidden(graph, source):
        weight = np.concatenate([weight] * by, axis=1) / by
    last = any(isinstance(graph.nodes[b], n.Output) for a, b in graph.edges if a == name)
    if not last:
        weight = np.concatenate([weight] * by, axis=0)
    weight = weight.astype(np.float32)
    if isinstance(node, n.Linear):
        return replace(node, weight=weight)
    bias = np.asarray(node.bias, np.float32)
    return replace(node, weight=weight, bias=bias if last else np.concatenate([bias] * by))


def _unit(graph: Graph, name: str, node: SigmaDelta, by: int) -> SigmaDelta:
    """Copies move together and hold as much: levels stay, so each copy sends as often as the one did."""
    if not hidden(graph, name):
        return node
    changes: dict[str, Any] = {}
    for key in ("levels", "slope", "hysteresis"):
        values = np.asarray(getattr(node, key))
        alike = np.unique(values).size == 1
        changes[key] = values.ravel()[0] if alike else np.concatenate([values] * by, axis=0)
    return replace(node, **changes)
