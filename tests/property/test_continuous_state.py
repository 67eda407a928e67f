"""Continuous mode: any split of the input is the same run, a snapshot continues, and late events come in decayed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nets import nodes as n
from nets.continuous.engine import ContinuousEngine
from nets.dialect import resolve
from nets.errors import SnapshotError
from nets.graph import Graph
from nets.running import Spikes
from tests.reference.continuous_networks import Case, network

relaxed = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
seeds = st.integers(0, 2**32 - 1)


def whole(case: Case) -> tuple[ContinuousEngine, Spikes]:
    engine = ContinuousEngine(case.graph, case.dialect)
    engine.feed("input", case.t, case.index, case.value)
    return engine, engine.advance(case.until)


def same(a: Spikes, b: Spikes) -> None:
    for field in ("t", "port", "index", "value"):
        np.testing.assert_array_equal(getattr(a, field), getattr(b, field), err_msg=field)


def joined(parts: list[Spikes]) -> Spikes:
    return Spikes(*(np.concatenate([getattr(p, f) for p in parts]) for f in ("t", "port", "index", "value")))


@relaxed
@given(seed=seeds, data=st.data())
def test_any_split_of_the_input_gives_the_same_output_and_hash(seed: int, data: st.DataObject) -> None:
    case = network(seed)
    reference, expected = whole(case)
    engine = ContinuousEngine(case.graph, case.dialect)
    engine.watch(data.draw(st.booleans()))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(case.t)), max_size=6)))
    parts, fed = [], 0
    for cut in [*cuts, len(case.t)]:
        engine.feed("input", case.t[fed:cut], case.index[fed:cut], case.value[fed:cut])
        fed = cut
        if cut < len(case.t):
            parts.append(engine.advance(max(int(case.t[cut]), engine.now)))
            engine.hash()
            engine.potentials()
    between = data.draw(st.integers(engine.now, case.until))
    parts.append(engine.advance(between))
    parts.append(engine.advance(case.until))
    same(joined(parts), expected)
    assert engine.hash() == reference.hash()
    assert engine.counters.events_late == 0
    assert engine.counters.synops == reference.counters.synops
    assert engine.counters.spikes == reference.counters.spikes


@relaxed
@given(seed=seeds, data=st.data())
def test_snapshot_restore_continue_equals_continue(seed: int, data: st.DataObject) -> None:
    case = network(seed)
    reference, _ = whole(case)
    engine = ContinuousEngine(case.graph, case.dialect)
    engine.feed("input", case.t, case.index, case.value)
    engine.advance(data.draw(st.integers(0, case.until)))
    snapshot, there = engine.snapshot(), engine.hash()
    rest = engine.advance(case.until)
    other = ContinuousEngine(case.graph, case.dialect, t0=777)
    other.feed("input", case.t[:1], case.index[:1], case.value[:1])
    other.restore(snapshot)
    assert other.hash() == there
    assert other.snapshot() == snapshot
    same(other.advance(case.until), rest)
    assert other.hash() == engine.hash() == reference.hash()


@relaxed
@given(seed=seeds)
def test_a_reset_network_repeats_itself(seed: int) -> None:
    case = network(seed)
    engine, expected = whole(case)
    later = case.until + 12345
    engine.reset(later)
    engine.feed("input", case.t + later, case.index, case.value)
    again = engine.advance(case.until + later)
    np.testing.assert_array_equal(again.t - later, expected.t)
    np.testing.assert_array_equal(again.index, expected.index)
    np.testing.assert_array_equal(again.value, expected.value)


@relaxed
@given(seed=seeds, data=st.data())
def test_a_damaged_snapshot_is_refused_and_changes_nothing(seed: int, data: st.DataObject) -> None:
    engine, _ = whole(network(seed))
    before, snapshot = engine.hash(), engine.snapshot()
    at = data.draw(st.integers(0, len(snapshot) - 1))
    damaged = snapshot[:at] + bytes([snapshot[at] ^ data.draw(st.integers(1, 255))]) + snapshot[at + 1 :]
    for bad in (damaged, snapshot[:at], b""):
        with pytest.raises(SnapshotError):
            engine.restore(bad)
    assert engine.hash() == before
    assert engine.snapshot() == snapshot


KINDS = ("IF", "LIF", "CubaLIF")


def quiet(kind: str, rng: np.random.Generator) -> ContinuousEngine:
    """A layer of different neurons whose thresholds are out of reach."""
    high: dict[str, Any] = {"r": rng.uniform(0.5, 2, 4), "v_threshold": np.full(4, 1e6), "v_reset": np.zeros(4)}
    tau = rng.uniform(0.003, 0.02, 4)
    layer: n.Node
    match kind:
        case "IF":
            layer = n.IF(**high)
        case "LIF":
            layer = n.LIF(tau=tau, v_leak=rng.uniform(-1, 1, 4), **high)
        case _:
            layer = n.CubaLIF(
                tau_syn=tau * rng.uniform(0.3, 2, 4), tau_mem=tau, v_leak=rng.uniform(-1, 1, 4), w_in=np.ones(4), **high
            )
    nodes = {
        "input": n.Input((3,)),
        "fc": n.Linear(rng.uniform(-1, 1, (4, 3))),
        "layer": layer,
        "output": n.Output((4,)),
    }
    graph = Graph(nodes, [("input", "fc"), ("fc", "layer"), ("layer", "output")])
    return ContinuousEngine(graph, resolve(graph, None, {"preset": "spec", "dt_s": 1e-3}), dtype=np.float64)


@relaxed
@given(kind=st.sampled_from(KINDS), seed=seeds, data=st.data())
def test_below_threshold_late_events_lead_to_the_state_of_the_ordered_run(
    kind: str, seed: int, data: st.DataObject
) -> None:
    t = np.sort(np.array(data.draw(st.lists(st.integers(0, 40_000_000), min_size=1, max_size=12)), np.int64))
    index = np.arange(len(t), dtype=np.int32) % 3
    late = np.array(data.draw(st.lists(st.booleans(), min_size=len(t), max_size=len(t))))
    ordered, other = (quiet(kind, np.random.default_rng(seed)) for _ in range(2))
    ordered.feed("input", t, index)
    ordered.advance(50_000_000)
    other.feed("input", t[~late], index[~late])
    other.advance(45_000_000)
    assert other.feed("input", t[late], index[late]) == late.sum()
    other.advance(50_000_000)
    assert other.counters.events_late == late.sum()
    for a, b in zip(ordered.potentials()["layer"], other.potentials()["layer"], strict=True):
        if a is not None and b is not None:
            np.testing.assert_allclose(b, a, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_a_late_event_counts_as_risky_only_where_it_might_have_changed_a_spike(kind: str) -> None:
    engine = quiet(kind, np.random.default_rng(1))
    engine.advance(10_000_000)
    engine.feed("input", np.array([9_000_000]), np.array([0]))
    engine.advance(11_000_000)
    assert (engine.counters.events_late, engine.counters.events_risky) == (1, 0)
    engine.feed("input", np.array([9_500_000]), np.array([1]))  # the layer was touched at 10 ms
    engine.advance(12_000_000)
    assert (engine.counters.events_late, engine.counters.events_risky) == (2, 1)
    assert engine.counters.spikes == {"layer": 0}
