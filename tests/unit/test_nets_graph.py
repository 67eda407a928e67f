"""Graphs that cannot be are refused, and the message names the node."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nets import nodes as n
from nets.errors import GraphError
from nets.graph import Graph


def neuron(size: int = 2) -> n.IF:
    return n.IF(r=np.ones(size), v_threshold=np.ones(size))


def graph(middle: dict[str, n.Node], edges: list[tuple[str, str]], width: int = 2) -> Graph:
    return Graph({"in": n.Input((width,)), **middle, "out": n.Output((2,))}, edges)


def test_a_small_graph_knows_its_shapes() -> None:
    found = graph({"w": n.Linear(np.ones((2, 3))), "a": neuron()}, [("in", "w"), ("w", "a"), ("a", "out")], 3)
    assert found.shapes["w"] == (2,)
    with pytest.raises(AttributeError, match="immutable"):
        found.edges = ()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_parameters_are_finite(bad: float) -> None:
    with pytest.raises(GraphError, match=r"IF.r is not finite at \[1\]"):
        n.IF(r=np.array([1.0, bad]), v_threshold=np.ones(2))


@pytest.mark.parametrize(
    ("middle", "edges", "message"),
    [
        ({"a": neuron()}, [("in", "a"), ("a", "b")], "no node 'b'"),
        ({"a": neuron()}, [("in", "a"), ("in", "a"), ("a", "out")], "stated twice"),
        ({"a": neuron()}, [("in", "a"), ("a", "in"), ("a", "out")], "ends in an Input"),
        ({"a": neuron(3)}, [("in", "a"), ("a", "out")], "receives \\(3,\\)"),
        ({"w": n.Linear(np.ones((2, 5)))}, [("in", "w"), ("w", "out")], r"w: Linear.weight has shape \(2, 5\)"),
        ({"a": neuron(), "b": neuron()}, [("in", "a"), ("a", "out")], "b: IF has no edge into it"),
        (
            {"w": n.Linear(np.eye(2)), "u": n.Linear(np.eye(2))},
            [("in", "w"), ("w", "u"), ("u", "w"), ("u", "out")],
            "cycle without a spiking node passes through u, w",
        ),
        ({"l": n.LI(tau=-1.0, r=1.0, v_leak=0.0)}, [("in", "l"), ("l", "out")], "l: LI.tau is -1.0"),
        ({"d": n.Delay(-1.0)}, [("in", "d"), ("d", "out")], "d: Delay.delay is -1.0"),
    ],
)
def test_impossible_graphs_are_refused(middle: dict[str, n.Node], edges: Any, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        graph(middle, edges)


@pytest.mark.parametrize("side", [1 << 12, 1 << 20, 1 << 40])
def test_a_graph_that_no_machine_holds_is_refused_before_it_is_laid_out(side: int) -> None:
    nodes: dict[str, n.Node] = {"in": n.Input((2, side, side)), "s": n.Scale(2.0), "out": n.Output((2, side, side))}
    with pytest.raises(GraphError, match=rf"in: \(2, {side}, {side}\) values make a graph of more than 16777216"):
        Graph(nodes, [("in", "s"), ("s", "out")])


def test_a_cycle_through_a_spiking_node_is_recurrence() -> None:
    found = graph({"a": neuron(), "w": n.Linear(np.eye(2))}, [("in", "a"), ("a", "w"), ("w", "a"), ("a", "out")])
    assert found.into("a") == ("in", "w")


def test_graphs_compare_by_value() -> None:
    def one(weight: float) -> Graph:
        return graph({"w": n.Linear(np.full((2, 2), weight))}, [("in", "w"), ("w", "out")])

    assert one(1.0) == one(1.0)
    assert one(1.0) != one(2.0)
