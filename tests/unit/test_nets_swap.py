"""Another graph under a running network: what stays, what starts afresh, and what a refusal leaves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nets import nodes as n
from nets.dialect import resolve
from nets.engine import Engine
from nets.errors import GraphError, UnsupportedError
from nets.graph import Graph
from tests.reference.mixed_network import events, graph_and_dialect

MS = 1_000_000


def running(until: int = 15 * MS) -> Engine:
    engine = Engine(*graph_and_dialect())
    engine.feed("input", *events())
    engine.advance(until)
    return engine


def changed(name: str, **parameters: Any) -> Graph:
    graph, _ = graph_and_dialect()
    return Graph({**graph.nodes, name: replace(graph.nodes[name], **parameters)}, graph.edges)


@pytest.mark.parametrize("until", [0, 7 * MS, 15 * MS, 60 * MS])
def test_the_same_graph_goes_on_bit_for_bit(until: int) -> None:
    engine, reference = running(until), running(until)
    report = engine.swap(*graph_and_dialect())
    assert not report.carried
    assert not report.fresh
    assert report.events_dropped == report.spikes_dropped == 0
    rest, expected = engine.advance(90 * MS), reference.advance(90 * MS)
    np.testing.assert_array_equal(rest.value, expected.value)
    np.testing.assert_array_equal(rest.t, expected.t)
    assert engine.hash() == reference.hash()
    assert engine.counters == reference.counters


def test_new_weights_meet_the_old_state() -> None:
    engine = running()
    before = engine.potentials()
    report = engine.swap(changed("w0", weight=np.zeros((5, 27))), engine.dialect)
    assert "cuba" in report.exact
    for name, (v, i) in engine.potentials().items():
        np.testing.assert_array_equal(v, before[name][0])
        if i is not None:
            np.testing.assert_array_equal(i, before[name][1])


def test_other_time_constants_take_on_the_values() -> None:
    engine = running()
    before = engine.potentials()["cuba"]
    report = engine.swap(changed("cuba", tau_mem=np.full(5, 9e-3)), engine.dialect)
    assert report.carried == ("cuba",)
    for a, b in zip(engine.potentials()["cuba"], before, strict=True):
        assert a is not None
        assert b is not None
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


def test_a_new_layer_starts_fresh_and_a_lost_port_drops_its_events() -> None:
    engine = running(5 * MS)
    one = np.ones(3)
    nodes: dict[str, n.Node] = {
        "other": n.Input((3,)),
        "lif": n.IF(r=one, v_threshold=one),
        "output": n.Output((3,)),
    }
    graph = Graph(nodes, [("other", "lif"), ("lif", "output")])
    now = engine.now
    report = engine.swap(graph, resolve(graph, None, {"preset": "rockpool", "dt_s": 1e-3}))
    assert report.fresh == ("lif",)
    assert report.events_dropped == engine.counters.events_dropped > 0
    assert engine.now == now
    engine.feed("other", np.array([now]), np.array([2], np.int32), None)
    assert engine.advance(now + MS).index.tolist() == [2]


def test_a_refused_swap_changes_nothing() -> None:
    engine = running()
    before, snapshot = engine.hash(), engine.snapshot()
    graph, dialect = graph_and_dialect()
    with pytest.raises(UnsupportedError, match="2000000 ns"):
        engine.swap(graph, replace(dialect, dt_s=2e-3))
    with pytest.raises(GraphError, match="not finite"):
        engine.swap(changed("w0", weight=np.full((5, 27), np.nan)), dialect)
    with pytest.raises(GraphError, match="w0"):
        engine.swap(changed("w0", weight=np.zeros((5, 26))), dialect)
    with pytest.raises(GraphError, match="tau"):
        engine.swap(changed("lif", tau=np.full(5, -1e-3)), dialect)
    assert engine.hash() == before
    assert engine.snapshot() == snapshot
