"""What continuous mode makes of nodes beyond the plain neurons: run by their equation, or refused by name."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from nets import models as m
from nets import nodes as n
from nets.continuous.engine import ContinuousEngine
from nets.dialect import resolve
from nets.engine import Engine
from nets.errors import UnsupportedError
from nets.graph import Graph

MS = 1_000_000
RULES = {"preset": "spec", "dt_s": 1e-3, "input_gain": "unit", "if_gain": "unit"}
ONE = np.ones(1)


def engine_of(*layers: n.Node, inputs: int = 1, **rules: Any) -> ContinuousEngine:
    graph = chain(*layers, inputs=inputs)
    return ContinuousEngine(graph, resolve(graph, None, RULES | rules), dtype=np.float64)


def chain(*layers: n.Node, inputs: int = 1) -> Graph:
    names = ["input", *(f"layer{k}" for k in range(len(layers))), "output"]
    nodes = dict(zip(names, [n.Input((inputs,)), *layers, n.Output((1,))], strict=True))
    return Graph(nodes, list(pairwise(names)))


def one(*weights: float) -> n.Linear:
    return n.Linear(np.array([weights]))


def lif(hold_s: float, **given: Any) -> m.RefractoryLIF:
    standard: dict[str, Any] = {"tau": 0.02, "r": 1.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0}
    return m.RefractoryLIF(**{key: value * ONE for key, value in (standard | given).items()}, refractory=hold_s * ONE)


def cuba(hold_s: float, **given: Any) -> m.RefractoryCubaLIF:
    standard: dict[str, Any] = {"tau_syn": 0.02, "tau_mem": 0.01, "r": 1.0, "v_leak": 0.0, "v_threshold": 1.0}
    return m.RefractoryCubaLIF(**{k: v * ONE for k, v in (standard | given).items()}, refractory=hold_s * ONE)


def fed(engine: ContinuousEngine, *t: int) -> ContinuousEngine:
    engine.feed("input", np.array(t, np.int64), np.zeros(len(t), np.int32))
    return engine


def test_a_refractory_neuron_is_deaf_until_the_very_nanosecond_its_time_ends() -> None:
    engine = fed(engine_of(one(1.5), lif(2e-3)), MS, 2 * MS, 3 * MS - 1, 3 * MS)
    assert engine.advance(4 * MS).t.tolist() == [MS + 1, 3 * MS + 1]


def test_a_held_potential_stands_and_then_leaks_on() -> None:
    engine = fed(engine_of(one(1.5), lif(2e-3, v_reset=-0.5)), MS)
    engine.advance(2 * MS)
    assert engine.variables()["layer1"]["v"][0] == -0.5
    assert engine.variables()["layer1"]["refractory"][0] == pytest.approx(1e-3)
    engine.advance(4 * MS)
    assert engine.variables()["layer1"]["v"][0] == pytest.approx(-0.5 * np.exp(-1 / 20))
    assert engine.variables()["layer1"]["refractory"][0] == 0.0


def test_what_a_subtraction_leaves_above_threshold_fires_when_it_is_let_go() -> None:
    engine = fed(engine_of(one(3.4), lif(2e-3), inputs=1, reset="subtract"), MS)
    assert engine.advance(20 * MS).t.tolist() == [MS + 1, 3 * MS + 1, 5 * MS + 1]
    several = fed(engine_of(one(3.4), lif(2e-3), reset="subtract", multi_spike=True), MS)
    assert several.advance(20 * MS).value.tolist() == [3.0]


def test_a_current_goes_on_while_the_potential_holds() -> None:
    hold = 0.005
    engine = fed(engine_of(one(6.0), cuba(hold), input_gain="decay", synapse_gain="unit"), 0)
    spikes = engine.advance(60 * MS).t * 1e-9
    assert len(spikes) > 2
    first = next(t for t in np.arange(0, 0.05, 1e-7) if 12.0 * (np.exp(-t / 0.02) - np.exp(-t / 0.01)) >= 1)
    assert spikes[0] == pytest.approx(first, abs=3e-7)
    left = 6.0 * np.exp(-(spikes[0] + hold) / 0.02)
    rise = next(t for t in np.arange(0, 0.05, 1e-7) if 2 * left * (np.exp(-t / 0.02) - np.exp(-t / 0.01)) >= 1)
    assert spikes[1] == pytest.approx(spikes[0] + hold + rise, abs=3e-7)


def test_refractory_times_count_in_the_files_own_ticks() -> None:
    engine = fed(engine_of(one(1.5), lif(2e-3), tau_tick_s=0.5e-3), MS, 4 * MS, 5 * MS)
    assert engine.advance(6 * MS).t.tolist() == [MS + 1, 5 * MS + 1]


def test_delays_count_in_the_files_own_ticks() -> None:
    layers = n.Delay(np.array([2e-3])), one(1.5), lif(0.0)
    exact = fed(engine_of(*layers, tau_tick_s=0.5e-3), MS - 1)
    graph = chain(*layers)
    tick = Engine(graph, resolve(graph, None, RULES | {"tau_tick_s": 0.5e-3}), dtype=np.float64)
    tick.feed("input", np.array([MS - 1]), np.zeros(1, np.int32))
    assert exact.advance(9 * MS).t.tolist() == tick.advance(9 * MS).t.tolist() == [5 * MS]


def test_slow_leak_lets_what_does_not_leak_forget_in_real_seconds() -> None:
    neuron = n.IF(r=ONE, v_threshold=ONE)
    engine = fed(engine_of(one(0.9), neuron, slow_leak_s=0.05, tau_tick_s=0.5e-3), 0)
    engine.advance(50 * MS)
    assert engine.potentials()["layer1"][0][0] == pytest.approx(0.9 / np.e)


def test_a_threshold_sums_what_arrives_in_one_nanosecond() -> None:
    engine = engine_of(one(0.6, 0.6), n.Threshold(ONE), inputs=2)
    engine.feed("input", np.array([5, 6, 7, 7]), np.array([0, 1, 0, 1]))
    spikes = engine.advance(MS)
    assert (spikes.t.tolist(), spikes.value.tolist()) == ([8], [1.0])
    assert engine.counters.spikes == {"layer1": 1}


def test_a_late_event_at_a_threshold_is_risky() -> None:
    engine = engine_of(one(0.6), n.Threshold(ONE))
    engine.advance(MS)
    assert fed(engine, 5).advance(2 * MS).t.tolist() == []
    assert engine.counters.events_risky == 1


def test_a_threshold_hears_the_samples_of_a_layer_that_does_not_spike() -> None:
    layers = one(2.0), n.LI(tau=0.002 * ONE, r=ONE, v_leak=0 * ONE), n.Threshold(ONE)
    engine = fed(engine_of(*layers), MS - 1)
    assert engine.advance(9 * MS).t.tolist() == [MS, 2 * MS]  # 2, 1.21, then 0.74


@pytest.mark.parametrize("late", [1.5, 2.0, 3.5])
@pytest.mark.parametrize("kind", ["LIF", "CubaLIF"])
def test_a_late_event_finds_the_neuron_holding_as_it_would_have_in_time(kind: str, late: float) -> None:
    def fresh() -> ContinuousEngine:
        if kind == "LIF":
            return engine_of(one(1.5, 0.1), lif(2e-3), inputs=2)
        return engine_of(
            one(40.0, 0.1), cuba(2e-3, v_reset=-3.0, tau_syn=1e-3), inputs=2, input_gain="decay", synapse_gain="unit"
        )

    ordered, other = fresh(), fresh()
    then = round(late * MS)
    ordered.feed("input", np.array([MS, then]), np.array([0, 1]))
    ordered.advance(6 * MS)
    other.feed("input", np.array([MS]), np.array([0]))
    other.advance(5 * MS)
    assert other.feed("input", np.array([then]), np.array([1])) == 1
    other.advance(6 * MS)
    assert ordered.counters.spikes == other.counters.spikes == {"layer1": 1}
    for name, values in ordered.variables()["layer1"].items():
        np.testing.assert_allclose(other.variables()["layer1"][name], values, rtol=1e-9, atol=1e-12, err_msg=name)


def test_a_neuron_that_starts_above_its_threshold_fires_once_and_is_reset() -> None:
    engine = engine_of(
        one(1.0), n.LIF(tau=0.02 * ONE, r=ONE, v_leak=-2 * ONE, v_threshold=-0.5 * ONE, v_reset=-1 * ONE)
    )
    assert engine.advance(MS).value.tolist() == [1.0]
    assert engine.potentials()["layer1"][0][0] == pytest.approx(-2 + np.exp(-1 / 20), rel=1e-6)


def test_a_snapshot_holds_what_is_left_to_hold() -> None:
    engine = fed(engine_of(one(1.5), lif(2e-3)), MS, 2 * MS, 3 * MS)
    engine.advance(MS + 500)
    other = engine_of(one(1.5), lif(2e-3))
    other.restore(engine.snapshot())
    assert other.hash() == engine.hash()
    assert other.advance(4 * MS).t.tolist() == engine.advance(4 * MS).t.tolist() == [3 * MS + 1]


COMPETING: dict[str, Any] = {"winners": 1, "refractory": 1e-3 * ONE}
REFUSED: dict[str, tuple[n.Node, str]] = {
    "AdaptiveLIF": (
        m.AdaptiveLIF(
            tau=0.02 * ONE, r=ONE, v_leak=0 * ONE, v_threshold=ONE, beta=ONE, tau_a=0.1 * ONE, refractory=0 * ONE
        ),
        "layer1: AdaptiveLIF does not run in continuous mode, its threshold moves",
    ),
    "SRM": (
        m.SRM(
            tau_syn=0.01 * ONE, tau_mem=0.02 * ONE, tau_refractory=0.01 * ONE, r=ONE, v_leak=0 * ONE,
            v_threshold=ONE, eta=ONE,
        ),
        "layer1: SRM does not run in continuous mode, its threshold moves",
    ),
    "Izhikevich": (m.Izhikevich(a=0.02 * ONE), "layer1: Izhikevich does not run in continuous mode, its equations"),
    "HodgkinHuxley": (m.HodgkinHuxley(c_m=ONE), "layer1: HodgkinHuxley does not run in continuous mode, its equ"),
    "competition": (
        m.RefractoryIF(r=ONE, v_threshold=ONE, **COMPETING),
        "layer1: RefractoryIF with winners or inhibition does not run in continuous mode",
    ),
    "floor under a current": (cuba(1e-3), r"layer1: a floor \(-1.0\) under a synaptic current"),
    "Threshold of 0": (n.Threshold(0 * ONE - 1), r"layer1: without any event a Threshold of -1.0 is met"),
    "endless hold": (lif(2e9), "layer1: refractory is 2e[+]09 s, at most 1e[+]09"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_has_no_closed_form_is_refused_by_name(what: str) -> None:
    node, message = REFUSED[what]
    with pytest.raises(UnsupportedError, match=message):
        engine_of(one(1.0), node, floor=-1.0 if "floor" in what else "none")


def test_a_max_pool_is_refused_by_name() -> None:
    pool = m.MaxPool2d(kernel_size=2, stride=2)
    nodes = {"input": n.Input((1, 2, 2)), "pool": pool, "flat": n.Flatten(), "output": n.Output((1,))}
    graph = Graph(nodes, list(pairwise(nodes)))
    with pytest.raises(UnsupportedError, match="pool: MaxPool2d does not run in continuous mode, its windows"):
        ContinuousEngine(graph, resolve(graph, None, RULES))


def test_a_bias_into_a_threshold_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="layer1: a bias into Threshold without neurons"):
        engine_of(n.Affine(np.ones((1, 1)), ONE), n.Threshold(2 * ONE))


def test_weights_that_do_not_fit_their_type_are_refused() -> None:
    graph = chain(one(1e300), lif(0.0))
    with pytest.raises(UnsupportedError, match=r"1e\+300, float32 holds at most"):
        ContinuousEngine(graph, resolve(graph, None, RULES), dtype=np.float32)
