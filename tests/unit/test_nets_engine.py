"""The engine's own contract, on networks small enough to work out by hand."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from nets import nodes as n
from nets.dialect import resolve
from nets.engine import Engine
from nets.errors import FeedError, SnapshotError, UnsupportedError
from nets.graph import Graph
from nets.running import WATCH_EVENTS, Activity
from nets.thresholds import Thresholds
from runtime.core.roles import Network
from tests.reference.dense import Dense

MS = 1_000_000
RULES: dict[str, Any] = {"preset": "sinabs", "dt_s": 1e-3}


def chain(*middle: n.Node, width: int = 2, out: int | None = None) -> Graph:
    names = [f"n{k}" for k in range(len(middle))]
    nodes: dict[str, n.Node] = {"in": n.Input((width,)), **dict(zip(names, middle, strict=True))}
    nodes["out"] = n.Output((width if out is None else out,))
    path = ["in", *names, "out"]
    return Graph(nodes, list(pairwise(path)))


def integrator(width: int = 2, **rules: Any) -> Engine:
    graph = chain(n.Linear(np.eye(width)), n.IF(r=np.ones(width), v_threshold=np.ones(width)), width=width)
    return Engine(graph, resolve(graph, None, RULES | rules))


def feed(engine: Engine, t: list[int], index: list[int], value: list[float] | None = None) -> int:
    values = None if value is None else np.array(value, np.float32)
    return engine.feed("in", np.array(t, np.int64), np.array(index, np.int32), values)


def test_engine_is_a_network() -> None:
    network: Network = integrator()
    assert network.inputs["in"].shape == (2,)


def test_spikes_carry_the_end_of_their_tick() -> None:
    engine = integrator()
    assert feed(engine, [0, MS - 1, MS], [0, 1, 1]) == 0
    spikes = engine.advance(2 * MS)
    assert spikes.t.tolist() == [MS, MS, 2 * MS]
    assert spikes.index.tolist() == [0, 1, 1]
    assert spikes.port.dtype == np.int16
    assert spikes.value.tolist() == [1, 1, 1]


def test_a_tick_closes_when_time_reaches_its_end() -> None:
    engine = integrator()
    feed(engine, [0], [0])
    assert len(engine.advance(MS - 1)) == 0
    assert engine.now == 0
    assert len(engine.advance(MS)) == 1
    assert engine.now == MS


def test_late_events_are_taken_in_by_the_open_tick_and_counted() -> None:
    engine = integrator()
    engine.advance(5 * MS + 10)
    assert feed(engine, [MS, 5 * MS], [0, 1]) == 1
    assert engine.advance(6 * MS).t.tolist() == [6 * MS, 6 * MS]
    assert engine.counters.events_late == 1


def test_a_step_is_a_feed_and_an_advance() -> None:
    one, two = integrator(), integrator()
    rng = np.random.default_rng(1)
    for tick in range(20):
        t = np.sort(rng.integers(tick * MS, (tick + 2) * MS, 5))
        index, value = rng.integers(0, 2, 5).astype(np.int32), rng.normal(0, 1, 5).astype(np.float32)
        one.feed("in", t, index, value)
        expected, got = one.advance((tick + 1) * MS), two.step("in", t, index, value, (tick + 1) * MS)
        assert got.t.tolist() == expected.t.tolist()
        assert got.index.tolist() == expected.index.tolist()
        assert one.hash() == two.hash()
    assert one.counters == two.counters
    assert one.counters.events_out > 0


def test_a_step_that_is_refused_takes_nothing() -> None:
    engine = integrator()
    engine.advance(5 * MS)
    before = engine.snapshot(), engine.counters
    event, index = np.array([5 * MS]), np.array([0], np.int32)
    with pytest.raises(FeedError, match="time never runs backwards"):
        engine.step("in", event, index, None, 5 * MS - 1)
    with pytest.raises(FeedError, match="index 2 of event 0"):
        engine.step("in", event, index + np.int32(2), None, 7 * MS)
    assert (engine.snapshot(), engine.counters) == before


def test_merging_a_ticks_events_by_index_changes_nothing() -> None:
    """A convolution whose border and middle have weights of two shapes; dyadic numbers, so sums have one value."""
    rng = np.random.default_rng(2)
    weight = rng.integers(-4, 8, (3, 1, 3, 3)) / 8
    nodes: dict[str, n.Node] = {
        "in": n.Input((1, 9, 9)),
        "conv": n.Conv2d(None, weight, 2, 1, 1, 1, np.zeros(3)),
        "if": n.IF(r=np.ones((3, 5, 5)), v_threshold=np.ones((3, 5, 5))),
        "out": n.Output((3, 5, 5)),
    }
    graph = Graph(nodes, list(pairwise(nodes)))
    dialect = resolve(graph, None, RULES)
    engines = [Engine(graph, dialect, thresholds=Thresholds(sort=from_events)) for from_events in (2.0, 1e6)]
    t = np.sort(rng.integers(0, 10 * MS, 400))
    index = rng.integers(0, 81, 400).astype(np.int32)
    merged, plain = (engine.step("in", t, index, None, 10 * MS) for engine in engines)
    assert len(merged) > 100
    for field in ("t", "index", "value"):
        np.testing.assert_array_equal(getattr(merged, field), getattr(plain, field))
    assert engines[0].hash() == engines[1].hash()
    assert engines[0].counters.synops < engines[1].counters.synops


def test_two_sources_may_overlap_in_one_port() -> None:
    engine = integrator()
    feed(engine, [MS, 3 * MS], [0, 0])
    feed(engine, [0, 2 * MS, 4 * MS], [1, 1, 1])
    spikes = engine.advance(5 * MS)
    assert spikes.t.tolist() == [MS, 2 * MS, 3 * MS, 4 * MS, 5 * MS]
    assert spikes.index.tolist() == [1, 0, 1, 0, 1]


def test_several_spikes_a_tick_or_one() -> None:
    for multi, counts in ((True, [3.0]), (False, [1.0, 1.0, 1.0])):
        engine = integrator(multi_spike=multi)
        feed(engine, [0, 0, 0], [0, 0, 0])
        assert engine.advance(5 * MS).value.tolist() == counts


def test_a_full_output_ring_loses_nothing() -> None:
    engine = integrator(width=3000)
    ticks = 40
    t = np.repeat(np.arange(ticks, dtype=np.int64) * MS, 3000)
    engine.feed("in", t, np.tile(np.arange(3000, dtype=np.int32), ticks), None)
    spikes = engine.advance(ticks * MS)
    assert len(spikes) == 3000 * ticks == engine.counters.events_out
    assert bool((np.diff(spikes.t) >= 0).all())


def test_two_inputs_and_two_outputs() -> None:
    nodes: dict[str, n.Node] = {
        "left": n.Input((1,)), "right": n.Input((2,)), "w": n.Linear(np.ones((1, 2))),
        "a": n.IF(r=np.ones(1), v_threshold=np.ones(1)), "b": n.IF(r=np.ones(1), v_threshold=np.full(1, 2.0)),
        "x": n.Output((1,)), "y": n.Output((1,)),
    }  # fmt: skip
    edges = [("left", "a"), ("right", "w"), ("w", "b"), ("a", "b"), ("a", "x"), ("b", "y")]
    graph = Graph(nodes, edges)
    engine = Engine(graph, resolve(graph, None, RULES))
    assert list(engine.inputs) == ["left", "right"]
    assert list(engine.outputs) == ["x", "y"]
    engine.feed("right", np.array([10], np.int64), np.array([1], np.int32))
    engine.feed("left", np.array([20], np.int64), np.array([0], np.int32))
    spikes = engine.advance(MS)
    assert spikes.port.tolist() == [0, 1]


def test_a_readout_without_neurons_is_the_sum_of_its_tick() -> None:
    nodes: dict[str, n.Node] = {
        "in": n.Input((2,)), "a": n.IF(r=np.ones(2), v_threshold=np.ones(2)),
        "w": n.Affine(np.array([[0.5, 2.0]]), np.zeros(1)), "out": n.Output((1,)),
    }  # fmt: skip
    graph = Graph(nodes, [("in", "a"), ("a", "w"), ("w", "out")])
    engine = Engine(graph, resolve(graph, None, RULES))
    feed(engine, [0, 0, 2 * MS], [0, 1, 1])
    spikes = engine.advance(5 * MS)
    assert spikes.t.tolist() == [MS, 3 * MS]
    assert spikes.value.tolist() == [2.5, 2.0]


def test_a_leaky_readout_reports_its_potential_while_it_has_one() -> None:
    graph = chain(n.LI(tau=np.full(2, 2e-3), r=np.ones(2), v_leak=np.zeros(2)))
    engine = Engine(graph, resolve(graph, None, {"preset": "snntorch", "dt_s": 1e-3}))
    feed(engine, [0], [1], [4.0])
    spikes = engine.advance(3 * MS)
    assert spikes.value.tolist() == [2.0, 1.0, 0.5]


def test_bias_alone_makes_a_neuron_fire() -> None:
    graph = chain(n.Affine(np.eye(2), np.array([0.25, 0.0])), n.IF(r=np.ones(2), v_threshold=np.ones(2)))
    engine = Engine(graph, resolve(graph, None, RULES))
    assert engine.advance(8 * MS).t.tolist() == [4 * MS, 8 * MS]


def test_silent_and_saturated_neurons_are_told() -> None:
    engine = integrator(width=4)
    t = np.repeat(np.arange(10) * MS, 2)
    engine.feed("in", t, np.tile(np.array([0, 1], np.int32), 10), np.tile(np.array([1.0, 0.1], np.float32), 10))
    engine.advance(10 * MS)
    assert engine.activity["n1"] == Activity(silent=0.5, saturated=0.25)
    engine.reset(10 * MS)
    assert engine.activity["n1"] == Activity(silent=1.0, saturated=0.0)


def test_silence_costs_nothing() -> None:
    engine = integrator()
    feed(engine, [0], [0])
    engine.advance(MS)
    before, touched = engine.hash(), engine.counters.unit_touches
    engine.advance(3_600_000 * MS)
    assert engine.counters.ticks_silent == 3_600_000 - 1
    assert engine.counters.unit_touches == touched
    assert engine.hash() != before


def test_errors_leave_the_state_untouched() -> None:
    engine = integrator()
    feed(engine, [0, MS], [0, 1])
    engine.advance(MS)
    before = engine.snapshot()
    with pytest.raises(FeedError, match="no input port 'eye'"):
        engine.feed("eye", np.zeros(1, np.int64), np.zeros(1, np.int32))
    with pytest.raises(FeedError, match="index 2 of event 1"):
        feed(engine, [MS, MS], [0, 2])
    with pytest.raises(FeedError, match="index -1"):
        feed(engine, [MS], [-1])
    with pytest.raises(FeedError, match="runs backwards at event 1"):
        feed(engine, [2 * MS, MS], [0, 0])
    with pytest.raises(FeedError, match="value nan"):
        feed(engine, [MS], [0], [float("nan")])
    with pytest.raises(FeedError, match="as many each"):
        feed(engine, [MS], [0, 1])
    with pytest.raises(FeedError, match="never runs backwards"):
        engine.advance(0)
    assert engine.snapshot() == before


def test_a_snapshot_of_another_program_is_refused_by_name() -> None:
    with pytest.raises(SnapshotError, match="belongs to program"):
        integrator().restore(integrator(reset="value").snapshot())


def test_buffered_events_survive_a_snapshot_and_not_a_reset() -> None:
    engine = integrator()
    t = np.arange(10_000, dtype=np.int64) * 100
    engine.feed("in", t, np.zeros(10_000, np.int32))
    other = integrator()
    other.restore(engine.snapshot())
    assert len(other.advance(1_000 * MS)) == len(engine.advance(1_000 * MS)) == 1
    engine.feed("in", t + 1_000 * MS, np.zeros(10_000, np.int32))
    engine.reset(0)
    assert len(engine.advance(2_000 * MS)) == 0
    assert engine.counters.events_dropped == 10_000


def test_watching_shows_all_layers_and_changes_nothing() -> None:
    plain, watched = integrator(), integrator()
    watched.watch(True)
    for engine in (plain, watched):
        feed(engine, [0, MS], [0, 1])
        engine.advance(4 * MS)
    t, population, index, count = watched.watched()
    assert (t.tolist(), population.tolist(), index.tolist(), count.tolist()) == ([MS, 2 * MS], [0, 0], [0, 1], [1, 1])
    assert len(watched.watched()[0]) == 0
    assert plain.hash() == watched.hash()


def test_an_overrun_watch_keeps_the_newest_and_counts_the_rest() -> None:
    engine = integrator(width=1000)
    engine.watch(True)
    ticks = WATCH_EVENTS // 1000 + 5
    t = np.repeat(np.arange(ticks, dtype=np.int64) * MS, 1000)
    engine.feed("in", t, np.tile(np.arange(1000, dtype=np.int32), ticks))
    engine.advance(ticks * MS)
    t_seen = engine.watched()[0]
    assert len(t_seen) == WATCH_EVENTS
    assert t_seen[-1] == ticks * MS
    assert engine.counters.watch_lost == ticks * 1000 - WATCH_EVENTS


def test_cost_bounds_the_work_done() -> None:
    engine = integrator()
    feed(engine, [0, 0, MS], [0, 1, 1])
    bound = engine.next_cost()
    engine.advance(2 * MS)
    assert 0 < engine.counters.synops <= bound
    assert engine.next_cost() == 0


def test_describe_is_plain_data() -> None:
    described = integrator().describe()
    assert described["dialect"]["provenance"]["dt_s"] == "given by the caller"
    assert described["populations"] == [{"name": "n1", "size": 2, "shape": [2]}]
    assert described["parameters"] == 4 + 2 + 2 + 1


def test_what_the_engine_cannot_run_is_refused_by_name() -> None:
    graph = chain(n.Delay(np.full(2, 1e9)))
    with pytest.raises(UnsupportedError, match="n0: a Delay of"):
        Engine(graph, resolve(graph, None, RULES))
    graph = chain(n.IF(r=np.ones(2), v_threshold=np.ones(2)))
    with pytest.raises(UnsupportedError, match="int8"):
        Engine(graph, resolve(graph, None, RULES), dtype=np.int8)


def test_a_one_dimensional_convolution_slides_along_its_input() -> None:
    weight = np.array([[[1.0, 2.0, 4.0]]])
    nodes: dict[str, n.Node] = {
        "in": n.Input((1, 5)), "conv": n.Conv1d(5, weight, 1, 1, 1, 1, np.zeros(1)), "out": n.Output((1, 5)),
    }  # fmt: skip
    graph = Graph(nodes, [("in", "conv"), ("conv", "out")])
    engine = Engine(graph, resolve(graph, None, RULES))
    feed(engine, [0, MS], [2, 0])
    spikes = engine.advance(2 * MS)
    assert dict(zip(spikes.index[:3].tolist(), spikes.value[:3].tolist(), strict=True)) == {1: 4.0, 2: 2.0, 3: 1.0}
    assert dict(zip(spikes.index[3:].tolist(), spikes.value[3:].tolist(), strict=True)) == {0: 2.0, 1: 1.0}


def test_a_feed_forward_layer_behind_a_loop_is_not_delayed() -> None:
    ones = np.ones(1)
    nodes: dict[str, n.Node] = {
        "in": n.Input((1,)), "b": n.IF(r=ones, v_threshold=ones), "c": n.IF(r=ones, v_threshold=ones),
        "a": n.IF(r=ones, v_threshold=3 * ones), "out": n.Output((1,)),
    }  # fmt: skip
    graph = Graph(nodes, [("in", "b"), ("b", "c"), ("c", "b"), ("c", "a"), ("in", "a"), ("a", "out")])
    assert Engine(graph, resolve(graph, None, RULES)).describe()["delayed_edges"] == [["c", "b"]]


@pytest.mark.parametrize("floor", [-0.25, "-threshold", "none"])
def test_a_floor_holds_a_potential_that_a_current_pulls_down(floor: Any) -> None:
    one = np.ones(2)
    cell = n.CubaLIF(tau_syn=4e-3 * one, tau_mem=9e-3 * one, r=one, v_leak=0 * one, v_threshold=one)
    graph = chain(cell)
    dialect = resolve(graph, None, {"preset": "rockpool", "dt_s": 1e-3, "floor": floor})
    engine, twin = Engine(graph, dialect, dtype=np.float64), Dense(graph, dialect, ["n0"])
    feed(engine, [0], [0], [-3.0])
    for tick in range(60):
        engine.advance((tick + 1) * MS)
        twin.step({"in": np.array([-3.0, 0.0]) * (tick == 0)})
        np.testing.assert_allclose(engine.potentials()["n0"][0], twin.v["n0"], rtol=1e-9, atol=1e-12)
    assert engine.counters.ticks_silent > 0


def test_an_euler_step_that_diverges_is_refused() -> None:
    graph = chain(n.LIF(tau=np.full(2, 1e-3), r=np.ones(2), v_leak=np.zeros(2), v_threshold=np.ones(2)))
    with pytest.raises(UnsupportedError, match=r"n0: tau is 0\.001 s, an Euler step of 0\.003 s"):
        Engine(graph, resolve(graph, None, {"preset": "snntorch", "dt_s": 3e-3}))
