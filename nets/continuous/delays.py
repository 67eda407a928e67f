"""Delay nodes, taken out of a graph: what remains runs as if they were not there, and its events arrive later.

A Delay at the head of a path gives each source its delay; a uniform one delays the path; any other splits the path,
one part for each distinct delay with the rest of the addresses masked.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
from numpy.typing import NDArray

from nets import nodes as n
from nets.continuous.neuron import nanoseconds
from nets.dialect import Dialect
from nets.errors import UnsupportedError
from nets.graph import Graph

MOST_PARTS = 256


def without_delays(graph: Graph) -> Graph:
    """The same graph with every Delay a Scale by 1."""
    return _replaced(graph, {name: n.Scale(1.0) for name in graph.of_kind(n.Delay)})


def parts(
    graph: Graph, plain: Graph, path: tuple[str, ...], size: int, dialect: Dialect
) -> Iterator[tuple[Graph, NDArray[np.int64]]]:
    """(graph to lower the path in, delay in ns of each of the `size` sources) for each part of a path."""
    head = np.zeros(size, np.int64)
    split: dict[str, NDArray[np.int64]] = {}
    at_head = True
    for name in path:
        node = graph.nodes[name]
        if isinstance(node, n.Delay):
            each = nanoseconds(f"{name}: delay", np.broadcast_to(node.delay, graph.shapes[name]).ravel(), dialect)
            if at_head or (each == each[0]).all():
                head = head + (each if at_head else each[0])
            else:
                split[name] = each
        elif not isinstance(node, n.Flatten):
            at_head = False
    values = [np.unique(each).tolist() for each in split.values()]
    count = int(np.prod([len(distinct) for distinct in values], dtype=np.int64))
    if count > MOST_PARTS:
        raise UnsupportedError(
            f"{' -> '.join(path)}: {count} distinct delays behind other nodes, at most {MOST_PARTS}; "
            "a Delay right behind its source may have any number"
        )
    for chosen in product(*values):
        masks: dict[str, n.Node] = {
            name: n.Scale((each == value).astype(np.float64).reshape(graph.shapes[name]))
            for (name, each), value in zip(split.items(), chosen, strict=True)
        }
        yield _replaced(plain, masks), head + sum(chosen)


def _replaced(graph: Graph, nodes: dict[str, n.Node]) -> Graph:
    if not nodes:
        return graph
    return Graph({**graph.nodes, **nodes}, graph.edges, graph.metadata, graph.notes)
