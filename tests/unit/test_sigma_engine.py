"""The sigma-delta engine by hand: what is sent, counted, shown, refused, and what a still scene costs."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nets import nodes as n
from nets.dialect import resolve
from nets.errors import FeedError, SnapshotError, UnsupportedError
from nets.graph import Graph
from nets.running import Spikes
from nets.sigma_delta.engine import SigmaDeltaEngine
from nets.sigma_delta.node import SigmaDelta, Surface
from nets.sigma_delta.thresholds import SigmaThresholds

MS = 1_000_000
SECOND = 1000 * MS


def chain(*links: tuple[str, n.Node]) -> Graph:
    """Nodes one behind the other."""
    names = [name for name, _ in links]
    return Graph(dict(links), list(pairwise(names)))


def fuse(size: int = 3, levels: float = 4.0) -> Graph:
    """Two inputs that meet in one layer: z = 2 a + b - 1/2, read out by its sum."""
    nodes = {
        "a": n.Input((size,)),
        "b": n.Input((size,)),
        "aq": SigmaDelta(levels=levels, slope=1.0),
        "bq": SigmaDelta(levels=levels, slope=1.0),
        "wa": n.Affine(2 * np.eye(size), np.full(size, -0.5)),
        "wb": n.Linear(np.eye(size)),
        "layer": SigmaDelta(levels=levels),
        "sum": n.Linear(np.ones((1, size))),
        "output": n.Output((1,)),
    }
    edges = [("a", "aq"), ("b", "bq"), ("aq", "wa"), ("bq", "wb"), ("wa", "layer"), ("wb", "layer")]
    return Graph(nodes, [*edges, ("layer", "sum"), ("sum", "output")])


def quantiser(size: int, **parameters: Any) -> Graph:
    node = SigmaDelta(**{"levels": 8.0, "slope": 1.0} | parameters)
    return chain(("input", n.Input((size,))), ("q", node), ("output", n.Output((size,))))


def put(engine: SigmaDeltaEngine, t: int, values: Any, port: str = "input") -> int:
    """A reading of every index."""
    found = np.asarray(values, np.float32)
    return engine.feed(port, np.full(len(found), t, np.int64), np.arange(len(found), dtype=np.int32), found)


def held(engine: SigmaDeltaEngine, name: str) -> NDArray[np.float64]:
    return engine.variables()[name]["y"]


def listed(events: Spikes) -> list[tuple[int, int, float]]:
    return list(zip(events.t.tolist(), events.index.tolist(), events.value.tolist(), strict=True))


def test_events_of_a_moment_act_together_and_outputs_tell_only_what_is_new() -> None:
    engine = SigmaDeltaEngine(fuse())
    assert listed(engine.advance(0)) == []  # every layer starts below zero
    put(engine, 5, [0.5, 0.0, 0.0], "a")
    put(engine, 7, [0.25, 0.0, 0.0], "b")
    put(engine, 12, [9.0, 0.0, 0.0], "b")
    assert listed(engine.advance(10)) == [(10, 0, 0.75)]
    assert listed(engine.advance(11)) == []
    assert listed(engine.advance(12)) == [(12, 0, 9.5)]
    put(engine, 20, [0.51, 0.0, 0.0], "a")  # within the quantum
    assert listed(engine.advance(20)) == []
    assert engine.now == 20


def test_the_newest_reading_wins_whatever_order_they_arrive_in() -> None:
    engine = SigmaDeltaEngine(quantiser(2))
    put(engine, 100, [1.0, 1.0])
    engine.advance(100)
    assert put(engine, 50, [2.0, 3.0]) == 2  # late
    engine.advance(100)
    assert held(engine, "q").tolist() == [1.0, 1.0]
    assert (engine.counters.events_superseded, engine.counters.events_late) == (2, 2)
    engine.feed("input", np.array([300, 400]), np.array([0, 1], np.int32), np.array([3, 4], np.float32))
    engine.feed("input", np.array([200, 300]), np.array([0, 1], np.int32), np.array([5, 6], np.float32))
    engine.advance(500)
    assert held(engine, "q").tolist() == [3.0, 4.0]
    assert engine.counters.events_superseded == 2  # sorted by time before they were taken in
    assert put(engine, 450, [7.0, 7.0]) == 2  # late, and yet newer than what is known
    engine.advance(500)
    assert held(engine, "q").tolist() == [7.0, 7.0]


def test_a_step_is_a_feed_and_an_advance_or_neither() -> None:
    engine = SigmaDeltaEngine(quantiser(1))
    one = np.zeros(1, np.int32), np.ones(1, np.float32)
    assert listed(engine.step("input", np.array([5]), *one, 7)) == [(7, 0, 1.0)]
    before = engine.snapshot()
    with pytest.raises(FeedError, match="cannot advance to 6"):
        engine.step("input", np.array([6]), *one, 6)
    assert engine.snapshot() == before


def test_every_operation_is_counted() -> None:
    engine = SigmaDeltaEngine(fuse(), thresholds=SigmaThresholds(rebuild=1e5))
    engine.advance(0)
    before = engine.counters
    put(engine, 1, [1.0, 0.25, 0.0], "a")
    engine.advance(1)
    counters = engine.counters
    # a sends 4 and 1 quanta into rows of 3 weights, the layer 6 quanta of neuron 0; neuron 1 stays at z = 0
    assert counters.synops - before.synops == 2 * 3 + 1
    assert counters.synops_adds - before.synops_adds == 5 * 3 + 6
    # two readings that changed, three neurons of the layer, one of the readout
    assert counters.unit_touches - before.unit_touches == 2 + 3 + 1
    assert {name: counters.spikes[name] - before.spikes[name] for name in before.spikes} == {
        "aq": 2,
        "bq": 0,
        "layer": 1,
    }
    assert counters.synops_dense - before.synops_dense == 3 * 3 + 3 * 3 + 3
    assert (counters.ticks - before.ticks, counters.ticks_silent - before.ticks_silent) == (1, 0)
    assert counters.energy_j_estimate > 0


def test_a_still_input_costs_nothing_once_it_has_settled() -> None:
    rng = np.random.default_rng(0)
    image = rng.random(2 * 8 * 8)
    engine = SigmaDeltaEngine(
        chain(
            ("input", n.Input((2, 8, 8))),
            ("q", SigmaDelta(levels=16.0)),
            ("conv", n.Conv2d(None, rng.normal(size=(4, 2, 3, 3)), 1, 1, 1, 1, np.zeros(4))),
            ("relu", SigmaDelta(levels=16.0)),
            ("flat", n.Flatten(0, -1)),
            ("fc", n.Linear(rng.normal(size=(3, 256)))),
            ("output", n.Output((3,))),
        )
    )
    put(engine, 0, image)
    assert len(engine.advance(0)) == 3
    before, quanta = engine.counters, held(engine, "relu").copy()
    for k in range(1, 301):  # a camera of 30 Hz looks at it for 10 s
        put(engine, k * SECOND // 30, image)
        assert len(engine.advance(k * SECOND // 30)) == 0
    after = engine.counters
    assert after.synops == before.synops > 0
    assert (after.unit_touches, after.synops_adds, after.spikes) == (
        before.unit_touches,
        before.synops_adds,
        before.spikes,
    )
    assert after.ticks_silent - before.ticks_silent == 300
    assert np.array_equal(held(engine, "relu"), quanta)


def test_nothing_at_all_leaves_every_counter_and_the_cached_state_alone() -> None:
    engine = SigmaDeltaEngine(fuse())
    engine.advance(0)
    before = engine.counters
    hashes = set()
    for k in range(1, 100):
        engine.advance(k * MS)
        hashes.add(engine.hash())
    assert engine.counters == before
    assert len(hashes) == 99  # network time is part of it


def test_a_surface_adds_changes_up_and_forgets_them() -> None:
    surface = Surface(levels=16.0, slope=1.0, leak_per_s=100.0)
    links = ("input", n.Input((2,))), ("s", surface), ("fc", n.Linear(np.eye(2))), ("output", n.Output((2,)))
    engine = SigmaDeltaEngine(chain(*links), dtype=np.float64)
    engine.feed("input", np.array([0, 2 * MS]), np.array([0, 0], np.int32), np.array([1.0, 1.0], np.float32))
    engine.advance(2 * MS)
    expected = 1 + np.exp(-0.2)
    assert engine.potentials()["s"][0][0] == pytest.approx(expected, rel=1e-12)
    assert abs(held(engine, "s")[0] - expected) <= 1 / 32
    sent = engine.counters.spikes["s"]
    seen = [value for _, _, value in listed(engine.advance(12 * MS))]
    assert len(seen) == 10  # sampled at every beat
    assert seen == sorted(seen, reverse=True)
    x, copy = engine.potentials()["s"][0][0], held(engine, "s")[0]
    assert x == pytest.approx(expected * np.exp(-1), rel=1e-12)
    assert copy == pytest.approx(float(engine.potentials()["output"][0][0]), rel=1e-12)
    assert engine.counters.spikes["s"] == sent  # forgetting sends nothing
    engine.advance(10 * SECOND)
    touches = engine.counters.unit_touches
    assert listed(engine.advance(20 * SECOND)) == []
    assert engine.counters.unit_touches == touches
    assert engine.potentials()["output"][0].tolist() == [0.0, 0.0]


def test_a_late_change_counts_by_what_is_left_of_it() -> None:
    surface = Surface(levels=1000.0, slope=1.0, leak_per_s=100.0)
    engine = SigmaDeltaEngine(chain(("input", n.Input((1,))), ("s", surface), ("output", n.Output((1,)))))
    engine.advance(10 * MS)
    assert engine.feed("input", np.array([5 * MS]), np.zeros(1, np.int32), np.ones(1, np.float32)) == 1
    engine.advance(20 * MS)
    assert engine.potentials()["s"][0][0] == pytest.approx(np.exp(-1.5), rel=1e-12)


@pytest.mark.parametrize(("slope", "expected"), [(0.0, [0, 0, 6]), (1.0, [-6, 0, 6]), (0.5, [-3, 0, 6])])
def test_the_slope_decides_what_becomes_of_negative_sums(slope: float, expected: list[int]) -> None:
    engine = SigmaDeltaEngine(quantiser(3, slope=slope))
    put(engine, 0, [-0.75, 0.0, 0.75])
    engine.advance(0)
    assert (held(engine, "q") * 8).tolist() == expected


def test_middles_round_to_even_and_far_values_saturate() -> None:
    engine = SigmaDeltaEngine(quantiser(5, levels=2.0))
    put(engine, 0, [0.25, 0.75, 1.25, -0.75, 1e30])
    engine.advance(0)
    assert (held(engine, "q") * 2).tolist() == [0.0, 2.0, 2.0, -2.0, 2.0**20]
    assert engine.counters.saturated == 1


def test_levels_may_differ_from_neuron_to_neuron() -> None:
    engine = SigmaDeltaEngine(quantiser(3, levels=np.array([1.0, 3.0, 8.0])))
    put(engine, 0, [0.4, 0.4, 0.4])
    engine.advance(0)
    np.testing.assert_allclose(held(engine, "q"), [0.0, 1 / 3, 3 / 8])


def test_rounding_is_forgotten_by_rebuilding_now_and_then() -> None:
    rng = np.random.default_rng(5)
    weight = rng.normal(size=(4, 16))
    links = ("input", n.Input((16,))), ("q", SigmaDelta(levels=7.0, slope=1.0)), ("fc", n.Linear(weight))
    errors = []
    for refresh in (1000, 1 << 30):
        engine = SigmaDeltaEngine(
            chain(*links, ("output", n.Output((4,)))), thresholds=SigmaThresholds(rebuild=1e5, refresh=refresh)
        )
        x = np.zeros(16)
        for k in range(4000):
            i = int(rng.integers(16))
            x[i] = value = np.float32(rng.normal() * (1e4 if k < 2500 else 1))
            engine.feed("input", np.array([k]), np.array([i], np.int32), np.array([value]))
            engine.advance(k)
        exact = weight @ (np.rint(7.0 * x) / 7.0)
        errors.append(float(np.abs(engine.potentials()["output"][0] - exact).max()))
    assert errors[0] < 1e-4 < errors[1]


def test_many_outputs_of_one_call_all_arrive() -> None:
    engine = SigmaDeltaEngine(quantiser(3000, leak_per_s=10.0))
    put(engine, 0, np.linspace(1, 2, 3000))
    events = engine.advance(20 * MS)
    assert engine.counters.events_out == len(events) > 15_000
    assert (np.diff(events.t) >= 0).all()
    assert set(events.t.tolist()) == {k * MS for k in range(21)}


def test_the_next_call_is_never_dearer_than_announced() -> None:
    engine = SigmaDeltaEngine(fuse(), thresholds=SigmaThresholds(rebuild=1e5))
    engine.advance(0)
    assert engine.next_cost() == 0
    rng = np.random.default_rng(0)
    for k in range(1, 50):
        put(engine, k, rng.random(int(rng.integers(1, 4))), "a")
        announced, before = engine.next_cost(), engine.counters.synops
        engine.advance(k)
        assert engine.counters.synops - before <= announced <= engine.program.dense_synops


def test_a_swap_goes_on_from_the_same_readings() -> None:
    engine = SigmaDeltaEngine(fuse())
    put(engine, 0, [1.0, 2.0, 3.0], "a")
    put(engine, 50, [9.0, 9.0, 9.0], "b")
    assert listed(engine.advance(10)) == [(10, 0, 10.5)]
    nodes = dict(engine.graph.nodes) | {"wa": n.Affine(np.eye(3), np.full(3, -0.5)), "layer": SigmaDelta(levels=8.0)}
    report = engine.swap(Graph(nodes, engine.graph.edges))
    assert set(report.carried) == {"aq", "bq", "layer", "output"}
    assert (report.fresh, report.events_dropped) == ((), 0)
    assert listed(engine.advance(10)) == [(10, 0, 4.5)]
    assert listed(engine.advance(50)) == [(50, 0, 31.5)]
    put(engine, 20, [7.0, 7.0, 7.0], "b")
    engine.advance(60)
    assert engine.counters.events_superseded == 3  # stamps went along
    with pytest.raises(UnsupportedError, match="fc"):
        engine.swap(chain(("a", n.Input((3,))), ("fc", n.Linear(np.eye(3))), ("output", n.Output((3,)))))
    assert listed(engine.advance(70)) == []
    assert engine.counters.events_in == 9


def test_a_reset_says_what_is_no_longer_so() -> None:
    engine = SigmaDeltaEngine(quantiser(2))
    put(engine, 0, [1.0, 0.0])
    assert listed(engine.advance(0)) == [(0, 0, 1.0)]
    put(engine, 9, [1.0, 1.0])
    engine.reset(100)
    assert engine.counters.events_dropped == 2
    assert listed(engine.advance(100)) == [(100, 0, 0.0)]


def test_a_dialect_lends_its_tick_to_what_leaks() -> None:
    graph = quantiser(1, leak_per_s=10.0)
    dialect = resolve(graph, None, {"preset": "spec", "dt_s": 5e-3})
    engine = SigmaDeltaEngine(graph, dialect)
    assert (engine.dt_ns, engine.dialect) == (5 * MS, dialect)
    put(engine, 0, [1.0])
    assert set(engine.advance(20 * MS).t.tolist()) == {0, 5 * MS, 10 * MS, 15 * MS, 20 * MS}
    assert engine.describe()["dialect"]["dt_s"] == 5e-3


def test_it_describes_itself() -> None:
    described = SigmaDeltaEngine(fuse()).describe()
    assert (described["mode"], described["dtype"], described["dialect"]["dt_s"]) == ("sigma-delta", "float32", 1e-3)
    assert {p["name"] for p in described["populations"]} == {"aq", "bq", "layer"}
    assert described["synops_dense_per_tick"] == 21


def test_events_that_break_the_contract_are_refused_and_change_nothing() -> None:
    engine = SigmaDeltaEngine(quantiser(2))
    put(engine, 10, [1.0, 1.0])
    engine.advance(10)
    before, snapshot = engine.hash(), engine.snapshot()
    one, zero = np.ones(1, np.float32), np.zeros(1, np.int32)
    for arguments, match in (
        (("nowhere", np.zeros(1, np.int64), zero, one), "no input port 'nowhere'"),
        (("input", np.zeros(1, np.int64), zero + 2, one), "index 2 of event 0, expected below 2"),
        (("input", np.array([5, 4]), np.zeros(2, np.int32), np.ones(2, np.float32)), "runs backwards at event 1"),
        (("input", np.zeros(1, np.int64), zero, one * np.nan), "is not finite"),
        (("input", np.zeros(2, np.int64), zero, one), "2 times, 1 indices"),
        (("input", np.zeros(1), zero, one), "t is float64"),
    ):
        with pytest.raises(FeedError, match=match):
            engine.feed(*arguments)
    with pytest.raises(FeedError, match="cannot advance to 9"):
        engine.advance(9)
    assert engine.hash() == before
    assert engine.snapshot() == snapshot


def test_a_snapshot_of_another_network_is_refused() -> None:
    one, other = SigmaDeltaEngine(quantiser(2)), SigmaDeltaEngine(quantiser(2, levels=9.0))
    with pytest.raises(SnapshotError, match="belongs to program"):
        other.restore(one.snapshot())


IN, OUT = ("input", n.Input((1,))), ("output", n.Output((1,)))
Q, ONE = ("q", SigmaDelta(levels=8.0)), np.ones(1)


@pytest.mark.parametrize(
    ("graph", "match"),
    [
        (chain(IN, ("fc", n.Linear(np.eye(1))), Q, OUT), "input: fc .Linear. reads this Input unquantised"),
        (chain(IN, OUT), "input: output .Output. reads this Input unquantised"),
        (chain(IN, Q, ("lif", n.LIF(tau=ONE, r=ONE, v_leak=ONE, v_threshold=ONE)), OUT), "lif: LIF does not run"),
        (chain(IN, Q, ("wait", n.Delay(ONE)), OUT), "wait: Delay does not run"),
        (chain(IN, Q, ("fc", n.Linear(np.eye(1))), ("s", Surface(levels=8.0)), OUT), "s: a Surface quantises an Input"),
        (chain(IN, ("q", SigmaDelta(levels=8.0, leak_per_s=1e7)), OUT), "q: leak_per_s is 1e.07"),
        (
            Graph(dict([IN, Q, ("r", SigmaDelta(levels=8.0)), OUT]), [("input", "q"), ("input", "r"), ("q", "output")]),
            "input: 2 nodes read this Input",
        ),
        (
            Graph(
                dict([IN, ("b", n.Input((1,))), Q, OUT]), [("input", "q"), ("b", "q"), ("q", "output")]
            ),
            "q: quantises the Input",
        ),
        (
            Graph(
                dict([IN, Q, ("fc", n.Linear(np.eye(1))), ("r", SigmaDelta(levels=8.0)), OUT]),
                [("input", "q"), ("q", "r"), ("r", "fc"), ("fc", "r"), ("r", "output")],
            ),
            "r: r depends on it; a sigma-delta network has no cycles",
        ),
        (
            Graph(
                dict([IN, Q, ("r", SigmaDelta(levels=8.0)), OUT]),
                [("input", "q"), ("q", "r"), ("q", "output"), ("r", "output")],
            ),
            "output: q, r lead to this Output",
        ),
        (
            Graph(
                dict([
                    IN, ("q", SigmaDelta(levels=8.0, leak_per_s=1.0)), ("fc", n.Linear(np.eye(1))),
                    ("r", SigmaDelta(levels=8.0, leak_per_s=2.0)), ("s", SigmaDelta(levels=8.0)), OUT,
                ]),
                [("input", "q"), ("q", "fc"), ("fc", "r"), ("q", "s"), ("r", "s"), ("s", "output")],
            ),
            "s: what it receives leaks at .1.0, 2.0. per s",
        ),
        (chain(IN, Q, ("fc", n.Linear(np.full((1, 1), 1e38))), OUT), "q -> fc -> output: its weights add up beyond"),
    ],
)  # fmt: skip
def test_what_does_not_run_is_refused_by_name(graph: Graph, match: str) -> None:
    with pytest.raises(UnsupportedError, match=match):
        SigmaDeltaEngine(graph)


def test_what_leaks_has_no_fixed_point_form() -> None:
    graph = chain(
        IN, ("q", SigmaDelta(levels=8.0, leak_per_s=1.0)), ("fc", n.Linear(np.eye(1))), ("output", n.Output((1,)))
    )
    with pytest.raises(UnsupportedError, match="q -> fc -> output: what leaks has no fixed-point form"):
        SigmaDeltaEngine(graph, dtype=np.int64)
    with pytest.raises(UnsupportedError, match="dtype is int32"):
        SigmaDeltaEngine(graph, dtype=np.int32)
