"""Delay nodes, taken out of a graph: what remains runs as if they were not there, and its events arrive later.

A Delay at the head of a path gives each source its delay; a uniform one delays the path; any other splits the path,
one part for each distinct delay with the rest of the addresses masked.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from nets import nodes as n
from nets.errors import UnsupportedError
from nets.graph import Graph

MOST_PARTS = 256


def without_delays(graph: Graph) -> Graph:
    """The same graph with every Delay a Scale by 1."""
    return _replaced(graph, {name: n.Scale(1.0) for name in graph.of_kind(n.Delay)})


def parts(graph: Graph, plain: Graph, path: tuple[str, ...], size: int) -> Iterator[tuple[Graph, NDArray[np.int64]]]:
    """(graph to lower the path in, delay in ns of each of the `size` sources) for each part of a path."""
    head = np.zeros(size, np.int64)
    masks: list[tuple[str, NDArray[np.int64]]] = []
    at_head = True
    for name in path:
        node = graph.nodes[name]
        if isinstance(node, n.Delay):
            each = nanoseconds(name, node, graph.shapes[name])
            if (each == each[0]).all():
                head = head + each[0]
            elif at_head:
                head = head + each
            else:
                masks.append((name, each))
        elif not isinstance(node, n.Flatten):
            at_head = False
    count = int(np.prod([len(np.unique(each)) for _, each in masks], dtype=np.int64)) if masks else 1
    if count > MOST_PARTS:
        raise UnsupportedError(
            f"{' -> '.join(path)}: {count} distinct delays behind other nodes, at most {MOST_PARTS}; "
            "a Delay right behind its source may have any number"
        )
    if not masks:
        yield plain, head
        return
    chosen: list[tuple[dict[str, n.Node], int]] = [({}, 0)]
    for name, each in masks:
        chosen = [
            (
                scales | {name: n.Scale((each == value).astype(np.float64).reshape(graph.shapes[name]))},
                extra + int(value),
            )
            for scales, extra in chosen
            for value in np.unique(each)
        ]
    for scales, extra in chosen:
        yield _replaced(plain, scales), head + extra


def nanoseconds(name: str, node: n.Delay, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """The delay of each address, to the nearest nanosecond."""
    seconds = np.broadcast_to(node.delay.astype(np.float64), shape).ravel()
    if (seconds > 1e9).any():
        raise UnsupportedError(f"{name}: a Delay of {seconds.max()} s, at most 1e9")
    return np.asarray(np.rint(seconds * 1e9), np.int64)


def _replaced(graph: Graph, nodes: dict[str, n.Node]) -> Graph:
    if not nodes:
        return graph
    return Graph({**graph.nodes, **nodes}, graph.edges, graph.metadata, graph.notes)
