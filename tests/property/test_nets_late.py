"""Late events: where none is counted as risky, the run equals the one in which every event came in time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nets import nodes as n
from nets.dialect import resolve
from nets.engine import Engine
from nets.graph import Graph
from tests.reference.random_networks import DT_NS, Case, cases

MS = 1_000_000


def quiet(case: Case, factor: float) -> Case:
    """The same network with thresholds so many times as high."""
    nodes: dict[str, n.Node] = {
        name: replace(node, v_threshold=node.v_threshold * factor)
        if isinstance(node, n.IF | n.LIF | n.CubaLIF)
        else node
        for name, node in case.graph.nodes.items()
    }
    return replace(case, graph=Graph(nodes, list(case.graph.edges)))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(case=cases(), factor=st.sampled_from([1.0, 8.0, 8.0]), seed=st.integers(0, 2**32 - 1))
def test_without_a_risky_event_a_late_one_leaves_what_one_in_time_would_have(
    case: Case, factor: float, seed: int
) -> None:
    case = quiet(case, factor)
    rng = np.random.default_rng(seed)
    count = len(case.t)
    delay = np.where(rng.random(count) < rng.choice([0.02, 0.1, 0.5]), rng.integers(0, 6, count), 0)
    ordered, late = (Engine(case.graph, case.dialect, dtype=np.float64) for _ in range(2))
    for engine, ticks in ((ordered, case.t // DT_NS), (late, case.t // DT_NS + delay)):
        engine.watch(True)
        for tick in range(case.ticks + 8):
            mine = ticks == tick
            engine.feed("input", case.t[mine], case.index[mine], case.value[mine])
            engine.advance((tick + 1) * DT_NS)
    counters = late.counters
    assert counters.events_late == int((delay > 0).sum())
    assert counters.events_risky <= counters.events_late
    if counters.events_risky:
        return
    for expected, got in zip(ordered.watched(), late.watched(), strict=True):
        np.testing.assert_array_equal(got, expected)
    for name, (v, i) in ordered.potentials().items():
        got_v, got_i = late.potentials()[name]
        np.testing.assert_allclose(got_v, v, rtol=1e-9, atol=1e-9, err_msg=name)
        if i is not None and got_i is not None:
            np.testing.assert_allclose(got_i, i, rtol=1e-9, atol=1e-9, err_msg=name)


def one_neuron(tau: float | None = 10e-3) -> Engine:
    one = np.ones(1)
    neuron: n.Node = n.IF(r=one, v_threshold=one)
    if tau is not None:
        neuron = n.LIF(tau=tau * one, r=one, v_leak=0 * one, v_threshold=one)
    nodes: dict[str, n.Node] = {"in": n.Input((1,)), "w": n.Linear(np.full((1, 1), 0.75)), "n": neuron}
    nodes["out"] = n.Output((1,))
    graph = Graph(nodes, [("in", "w"), ("w", "n"), ("n", "out")])
    rules = {"preset": "spec", "dt_s": 1e-3, "input_gain": "unit", "if_gain": "unit"}
    return Engine(graph, resolve(graph, None, rules), dtype=np.float64)


def put(engine: Engine, t: int) -> None:
    engine.feed("in", np.array([t]), np.zeros(1, np.int32), None)


def test_a_late_event_has_decayed_by_its_age() -> None:
    engine = one_neuron()
    engine.advance(5 * MS)
    put(engine, 1 * MS)
    engine.advance(6 * MS)
    np.testing.assert_allclose(engine.potentials()["n"][0], 0.75 * np.exp(-0.4), rtol=1e-12)
    assert engine.counters.events_late == 1
    assert engine.counters.events_risky == 0


def test_a_late_event_that_could_have_made_a_spike_is_risky() -> None:
    engine = one_neuron(tau=None)
    put(engine, 0)
    engine.advance(3 * MS)
    put(engine, 1 * MS)
    assert engine.advance(4 * MS).t.tolist() == [4 * MS]
    assert engine.counters.events_risky == 1


def test_what_happened_before_the_last_reset_is_dropped_and_counted() -> None:
    engine = one_neuron()
    engine.reset(10 * MS)
    put(engine, 9 * MS)
    engine.advance(12 * MS)
    assert engine.potentials()["n"][0].tolist() == [0]
    assert engine.counters.events_late == engine.counters.events_dropped == 1
