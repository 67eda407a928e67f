"""Puts a unit between two linear nodes that no single table of weights can stand for.

An engine folds pools and scales into the product behind them and one product into each path. Two convolutions in a row,
or a pool behind one, would be multiplied out to a matrix of all their places. A unit between them that passes on its
sum, rounded (`Activation` of slope 1), keeps both small.
"""

from __future__ import annotations

import numpy as np

from nets import nodes as n
from nets.convert.layers import Activation, order
from nets.convert.parts import PRODUCTS
from nets.graph import Edge, Graph
from nets.sigma_delta.node import SigmaDelta


def separated(graph: Graph) -> Graph:
    """The same network with at most one product from unit to unit, and nothing but scales of channels behind it."""
    nodes = dict(graph.nodes)
    edges: list[Edge] = list(graph.edges)
    open_product: dict[str, bool] = {}
    """Whether a product stands between a node's output and the unit before it."""
    for name in order(graph):
        node = graph.nodes[name]
        if isinstance(node, n.Input | Activation | SigmaDelta):
            open_product[name] = False
            continue
        behind = [source for source in graph.into(name) if open_product[source]]
        if behind and not _folds(graph, name, node):
            for source in behind:
                unit = f"{source}_linear"
                if unit not in nodes:
                    nodes[unit] = Activation(slope=np.float32(1))
                    edges.append((source, unit))
                edges[edges.index((source, name))] = (unit, name)
            behind = []
        open_product[name] = isinstance(node, PRODUCTS) or bool(behind)
    return Graph(nodes, edges, graph.metadata, graph.notes)


def _folds(graph: Graph, name: str, node: n.Node) -> bool:
    if isinstance(node, n.Flatten | n.Output):
        return True
    if not isinstance(node, n.Scale):
        return False
    shape = graph.shapes[name]
    rows = np.broadcast_to(node.scale, shape).reshape(shape[0], -1)
    return bool((rows == rows[:, :1]).all())
