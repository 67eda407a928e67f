"""What lowering makes of a path: the matrix it stands for, and not one weight or addition more than that has."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nets import nodes as n
from nets.dialect import resolve
from nets.engine import Engine
from nets.graph import Graph
from nets.linear import matrix
from nets.lower import Stamps, layout_of, lower
from nets.shapes import output_shape

GIVEN = (4, 9, 7)
CONVOLUTIONS = [
    (kernel, stride, dilation, groups, padding)
    for kernel in ((3, 3), (1, 4), (2, 1))
    for stride in ((1, 1), (2, 3), (4, 2))
    for dilation in ((1, 1), (2, 1), (1, 2), (3, 2), (2, 2))
    for groups in (1, 2, 4)
    for padding in ((0, 0), (5, 4))
]


def convolution(kernel: tuple[int, int], stride: Any, dilation: Any, groups: int, padding: Any) -> n.Conv2d:
    """8 channels out of 4, no weight of them zero."""
    weight = np.random.default_rng(2).uniform(0.5, 1.5, (8, 4 // groups, *kernel))
    return n.Conv2d(None, weight, stride, padding, dilation, groups, np.zeros(8))


def graph_of(*middle: n.Node, given: tuple[int, ...] = GIVEN, out: tuple[int, ...] | None = None) -> Graph:
    """Input, these nodes (p0, p1, ...), a layer of neurons, Output."""
    nodes: dict[str, n.Node] = {"in": n.Input(given)}
    nodes |= {f"p{k}": node for k, node in enumerate(middle)}
    nodes["a"] = n.IF(r=1.0, v_threshold=1e9)
    nodes["z"] = n.Output(out or (1,))
    return Graph(nodes, list(pairwise(nodes)))


def shape_after(node: n.Conv2d) -> tuple[int, ...]:
    return output_shape("p0", node, GIVEN)


def spread(stamps: Stamps, sources: int, targets: int) -> tuple[NDArray[np.float64], int]:
    """The matrix that the stamps add up to, and how many additions that takes."""
    found, additions = np.zeros((sources, targets)), 0
    for k, source in enumerate(stamps.source):
        for row in range(stamps.rows[k]):
            to = stamps.first[k] + row * stamps.neuron_stride
            at = stamps.weight[k] + row * stamps.weight_stride[k]
            run = stamps.weights[at : at + stamps.run[k]]
            assert len(run) == stamps.run[k]
            found[source, to : to + len(run)] += stamps.gain[k] * run
            additions += len(run)
    return found, additions


def lowered(graph: Graph, path: list[str]) -> tuple[NDArray[np.float64], NDArray[np.float64], int, Stamps]:
    """(expected, found, additions, stamps) of the path into the layer, neurons in its own order."""
    given = graph.shapes["in"]
    layout = layout_of(graph, graph.shapes["a"], [path])
    stamps = lower(graph, path, given, layout)
    expected = matrix(graph, path, given)[:, layout.external]
    found, additions = spread(stamps, *expected.shape)
    return expected, found, additions, stamps


@pytest.mark.parametrize(("kernel", "stride", "dilation", "groups", "padding"), CONVOLUTIONS)
def test_a_convolution_stores_each_weight_once_and_adds_no_zero(
    kernel: Any, stride: Any, dilation: Any, groups: int, padding: Any
) -> None:
    node = convolution(kernel, stride, dilation, groups, padding)
    graph = graph_of(node, out=shape_after(node))
    expected, found, additions, stamps = lowered(graph, ["p0"])
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert additions == np.count_nonzero(expected)
    assert len(stamps.weights) == node.weight.size


def test_a_product_of_two_convolutions_keeps_only_what_is_not_zero() -> None:
    first = convolution((3, 3), 1, 1, 4, 1)
    second = n.Conv2d(None, np.ones((3, 8, 2, 2)), 1, 0, 2, 1, np.zeros(3))
    graph = graph_of(first, n.Scale(np.full((8, 9, 7), 0.5)), second, out=(3, 7, 5))
    expected, found, additions, stamps = lowered(graph, ["p0", "p1", "p2"])
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert additions == len(stamps.weights) == np.count_nonzero(expected) < expected.size


@pytest.mark.parametrize(("groups", "dilation"), [(1, (1, 1)), (4, (1, 1)), (1, (2, 2)), (2, (1, 2))])
def test_the_engine_counts_as_many_synaptic_operations_as_there_are_synapses(groups: int, dilation: Any) -> None:
    node = convolution((3, 3), (1, 1), dilation, groups, (2, 2))
    graph = graph_of(node, out=shape_after(node))
    engine = Engine(graph, resolve(graph, None, {"preset": "sinabs", "dt_s": 1e-3, "floor": "none"}), dtype=np.float64)
    index = np.random.default_rng(4).integers(0, 252, 30).astype(np.int32)
    engine.feed("in", np.arange(30, dtype=np.int64) * 100_000, index)
    engine.advance(3_000_000)
    weights = matrix(graph, ["p0"], GIVEN)
    assert engine.counters.synops == np.count_nonzero(weights[index])
    assert engine.program.dense_synops == np.count_nonzero(weights)
    potentials = engine.potentials()["a"][0]
    np.testing.assert_allclose(np.ravel(potentials), weights[index].sum(axis=0), rtol=1e-12)
