"""A trained ReLU network as a graph: NIR's linear nodes with an `Activation` where each ReLU stood.

Built in code,

    network = chain((1, 28, 28), Flatten(), Affine(w1, b1), Activation(), Affine(w2, b2))

or, where layers branch and meet, as a `Graph` of the same nodes; read from ONNX (`nets.convert.onnx_file`); or read
from NIR, which has no ReLU: there a linear node with the metadata `tectum` = {"activation": "relu"} has one behind it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

from nets import nodes as n
from nets.convert.errors import ConvertError
from nets.graph import Edge, Graph
from nets.linear import LINEAR
from nets.shapes import output_shape
from nets.sigma_delta.node import SigmaDelta, Surface


@dataclass(frozen=True, eq=False, kw_only=True)
class Activation(n.SpikingModel):
    """y = z where z > 0, slope z elsewhere: 0 is ReLU, 1 none; one a channel is PReLU. Lives in memory only."""

    slope: Any = 0.0

    STORED_AS: ClassVar[type[n.Node]] = n.IF

    @property
    def is_relu(self) -> bool:
        return bool((self.slope == 0).all())


def chain(shape: tuple[int, ...], *layers: n.Node) -> Graph:
    """The layers one behind the other, from the Input `input` of this shape to the Output `output`."""
    names = ["input", *(f"{k}_{layer.kind.lower()}" for k, layer in enumerate(layers)), "output"]
    given = shape
    for name, layer in zip(names[1:], layers, strict=False):
        given = output_shape(name, layer, given)
    return Graph(dict(zip(names, (n.Input(shape), *layers, n.Output(given)), strict=True)), pairwise(names))


def relu_network(graph: Graph) -> Graph:
    """A graph as NIR can hold it, with an `Activation` where its metadata or a sigma-delta unit says one stands.

    Levels of sigma-delta units are forgotten, and so are input quantisers: they are fitted anew.
    """
    nodes: dict[str, n.Node] = {}
    edges: list[Edge] = []
    exit_of: dict[str, str] = {}
    left_out: dict[str, str] = {}
    for name, node in graph.nodes.items():
        exit_of[name] = name
        if isinstance(node, Surface):
            raise ConvertError(f"{name}: a Surface adds up events; levels are fitted on frames alone")
        if isinstance(node, SigmaDelta):
            if float(node.leak_per_s.item()) > 0:
                raise ConvertError(f"{name}: leak_per_s is {float(node.leak_per_s.item())}, expected 0")
            if _quantises(graph, name):
                left_out[name] = graph.into(name)[0]
            else:
                nodes[name] = Activation(slope=node.slope)
        elif isinstance(node, Activation):
            nodes[name] = node
        elif isinstance(node, (n.Input, *LINEAR)):
            nodes[name] = node
            if _said(name, node) == "relu" and not _rectified(graph, name):
                exit_of[name] = f"{name}_relu"
                nodes[exit_of[name]] = Activation()
                edges.append((name, exit_of[name]))
        else:
            raise ConvertError(
                f"{name}: {node.kind} is no ReLU; expected linear nodes, pools, and the metadata tectum = "
                '{"activation": "relu"} on each layer that has one'
            )
    edges += [(exit_of[left_out.get(a, a)], b) for a, b in graph.edges if b not in left_out]
    return feed_forward(Graph(nodes, edges, {}, graph.notes))


def feed_forward(graph: Graph) -> Graph:
    """The graph itself, refused where it has a cycle or a node that is neither linear nor an activation."""
    order(graph)
    for name, node in graph.nodes.items():
        if not isinstance(node, (n.Input, Activation, SigmaDelta, *LINEAR)):
            raise ConvertError(f"{name}: {node.kind} does not belong in a feed-forward ReLU network")
    return graph


def order(graph: Graph) -> tuple[str, ...]:
    """All nodes, each behind everything it reads."""
    done: dict[str, None] = {}
    waiting = dict.fromkeys(graph.nodes)
    while waiting:
        ready = [name for name in waiting if all(source in done for source in graph.into(name))]
        if not ready:
            raise ConvertError(f"a cycle passes through or leads to {', '.join(sorted(waiting))}; expected none")
        for name in ready:
            done[name] = waiting.pop(name)
    return tuple(done)


def _quantises(graph: Graph, name: str) -> bool:
    """Whether it stands right behind an Input, as an input's quantiser does."""
    sources = graph.into(name)
    while len(sources) == 1 and isinstance(graph.nodes[sources[0]], n.Flatten):
        sources = graph.into(sources[0])
    return len(sources) == 1 and isinstance(graph.nodes[sources[0]], n.Input)


def _rectified(graph: Graph, name: str) -> bool:
    """Whether ReLUs alone read it, so that one more would change nothing."""
    readers = [graph.nodes[reader] for reader in graph.out_of(name)]
    return bool(readers) and all(
        isinstance(reader, (Activation, SigmaDelta)) and bool((reader.slope == 0).all()) for reader in readers
    )


def _said(name: str, node: n.Node) -> str | None:
    table = node.metadata.get("tectum")
    said = table.get("activation") if isinstance(table, Mapping) else None
    if said not in (None, "relu", "none"):
        raise ConvertError(f"{name}: metadata 'tectum' states activation {said!r}, expected 'relu' or 'none'")
    return said
