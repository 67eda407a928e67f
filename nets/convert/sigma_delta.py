"""Turns a ReLU network into a sigma-delta graph: levels for each activation, and a quantiser behind each Input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from nets import nodes as n
from nets.convert.errors import ConvertError
from nets.convert.layers import Activation, feed_forward
from nets.convert.separate import separated
from nets.graph import Edge, Graph
from nets.sigma_delta.node import SigmaDelta


def quantised(graph: Graph) -> Graph:
    """The network with an activation of slope 1 behind each Input, and units between products in a row.

    What `nets.convert.levels.fit` finds levels for is every `Activation` of this graph.
    """
    graph = separated(feed_forward(graph))
    nodes = dict(graph.nodes)
    edges: list[Edge] = []
    quantiser: dict[str, str] = {}
    for name in graph.of_kind(n.Input):
        quantiser[name] = f"{name}_q"
        if quantiser[name] in nodes:
            raise ConvertError(f"{name}: there is a node {quantiser[name]!r} already; rename it")
        nodes[quantiser[name]] = Activation(slope=np.float32(1))
        edges.append((name, quantiser[name]))
    edges += [(quantiser.get(a, a), b) for a, b in graph.edges]
    return Graph(nodes, edges, graph.metadata, graph.notes)


def with_levels(graph: Graph, levels: Mapping[str, Any], metadata: Mapping[str, Any] | None = None) -> Graph:
    """A sigma-delta graph: every activation of a `quantised` network with so many quanta per unit."""
    units = graph.of_kind(Activation, SigmaDelta)
    if missing := [name for name in units if name not in levels]:
        raise ConvertError(f"{missing[0]}: no levels are given; there are some for {sorted(levels)}")
    nodes: dict[str, n.Node] = {}
    for name, node in graph.nodes.items():
        if isinstance(node, Activation):
            nodes[name] = SigmaDelta(levels=np.float32(levels[name]), slope=node.slope)
        else:
            nodes[name] = replace(node, levels=np.float32(levels[name])) if isinstance(node, SigmaDelta) else node
    return Graph(nodes, graph.edges, dict(graph.metadata) | dict(metadata or {}), graph.notes)
