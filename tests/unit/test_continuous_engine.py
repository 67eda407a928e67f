"""The continuous engine from outside: what it promises, reports and refuses."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nets import nodes as n
from nets.continuous.engine import ContinuousEngine
from nets.dialect import resolve
from nets.engine import Engine
from nets.errors import FeedError, SnapshotError, UnsupportedError
from nets.graph import Graph
from nets.load import load
from nets.nir import write

MS = 1_000_000
RULES = {"preset": "spec", "dt_s": 1e-3, "input_gain": "unit", "if_gain": "unit"}


def lif(size: int = 1, **given: Any) -> n.LIF:
    standard: dict[str, Any] = {"tau": 0.02, "r": 1.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0}
    parameters: dict[str, Any] = {key: np.full(size, value) for key, value in (standard | given).items()}
    return n.LIF(**parameters)


def chain(*named: tuple[str, n.Node], inputs: int = 1, outputs: int = 1) -> Graph:
    nodes = {"input": n.Input((inputs,)), **dict(named), "output": n.Output((outputs,))}
    return Graph(nodes, list(pairwise(nodes)))


def engine_of(graph: Graph, **rules: Any) -> ContinuousEngine:
    return ContinuousEngine(graph, resolve(graph, None, RULES | rules), dtype=np.float64)


def one(*weights: float) -> n.Linear:
    return n.Linear(np.array([weights]))


def events(*t: int) -> tuple[Any, Any]:
    return np.array(t, np.int64), np.zeros(len(t), np.int32)


def test_a_spike_leaves_at_the_end_of_the_nanosecond_that_caused_it() -> None:
    engine = engine_of(chain(("fc", one(1.5)), ("lif", lif())))
    engine.feed("input", *events(1_234_567))
    spikes = engine.advance(2 * MS)
    assert spikes.t.tolist() == [1_234_568]
    assert engine.now == 2 * MS


def test_events_of_one_nanosecond_act_together() -> None:
    engine = engine_of(chain(("fc", one(0.6, -0.5)), ("lif", lif()), inputs=2))
    engine.feed("input", np.array([MS, MS, MS]), np.array([0, 0, 1]))
    assert len(engine.advance(2 * MS)) == 0
    assert engine.potentials()["lif"][0][0] == pytest.approx(0.7 * np.exp(-1 / 20))


def test_subtraction_fires_again_at_once() -> None:
    engine = engine_of(chain(("fc", one(3.4)), ("lif", lif())), reset="subtract")
    engine.feed("input", *events(MS))
    spikes = engine.advance(MS + 1)
    assert spikes.value.tolist() == [3.0]
    assert engine.potentials()["lif"][0][0] == pytest.approx(0.4)
    assert engine.counters.spikes == {"lif": 3}


def test_a_bias_fires_without_events_at_the_time_its_equation_says() -> None:
    affine = n.Affine(np.zeros((1, 1)), np.array([0.1]))  # v_inf = 0.1 * 20 ms / 1 ms = 2
    engine = engine_of(chain(("fc", affine), ("lif", lif())))
    period = 0.02 * np.log(2)
    expected = [int(np.ceil(k * period * 1e9)) + 1 for k in range(1, 5)]
    assert engine.advance(round(4.5 * period * 1e9)).t.tolist() == expected


def test_a_delay_holds_each_address_back_by_its_own_time() -> None:
    graph = chain(("wait", n.Delay(np.array([0.25e-3, 2e-3]))), ("fc", one(2.0, 2.0)), ("lif", lif()), inputs=2)
    engine = engine_of(graph)
    engine.feed("input", np.array([0, 0]), np.array([0, 1]))
    assert engine.advance(MS).t.tolist() == [250_001]
    assert engine.advance(3 * MS).t.tolist() == [2 * MS + 1]


def test_an_edge_that_closes_a_cycle_takes_the_recurrent_delay() -> None:
    nodes = {
        "input": n.Input((1,)),
        "fc": one(2.0),
        "lif": lif(),
        "back": one(2.0),
        "output": n.Output((1,)),
    }
    graph = Graph(nodes, [("input", "fc"), ("fc", "lif"), ("lif", "back"), ("back", "lif"), ("lif", "output")])
    engine = engine_of(graph, recurrent_delay=2)
    engine.feed("input", *events(5))
    assert engine.advance(5 * MS).t.tolist() == [6, 2 * MS + 6, 4 * MS + 6]


def test_potentials_of_silent_layers_are_sampled_at_the_end_of_each_tick() -> None:
    node = n.LI(tau=np.array([0.02]), r=np.ones(1), v_leak=np.zeros(1))
    engine = engine_of(chain(("fc", one(0.5)), ("li", node)))
    assert len(engine.advance(10 * MS)) == 0
    engine.feed("input", *events(10 * MS + 1))
    samples = engine.advance(13 * MS)
    assert samples.t.tolist() == [11 * MS, 12 * MS, 13 * MS]
    np.testing.assert_allclose(samples.value, 0.5 * np.exp(-np.arange(1, 4) / 20), rtol=1e-6)


def test_events_at_tick_ends_give_the_state_of_tick_mode() -> None:
    rng = np.random.default_rng(3)
    nodes = {
        "input": n.Input((6,)),
        "fc": n.Linear(rng.uniform(-0.3, 0.6, (5, 6))),
        "lif": lif(5),
        "output": n.Output((5,)),
    }
    graph = Graph(nodes, [("input", "fc"), ("fc", "lif"), ("lif", "output")])
    dialect = resolve(graph, None, RULES | {"reset": "subtract", "multi_spike": True})
    exact, tick = ContinuousEngine(graph, dialect, dtype=np.float64), Engine(graph, dialect, dtype=np.float64)
    t = np.sort(rng.integers(1, 200, 300)) * MS - 1
    index = rng.integers(0, 6, 300).astype(np.int32)
    out = []
    for engine in (exact, tick):
        engine.feed("input", t, index)
        out.append(engine.advance(200 * MS))
    assert len(out[0]) > 50
    for field in ("t", "value"):
        np.testing.assert_array_equal(getattr(out[0], field), getattr(out[1], field))
    np.testing.assert_allclose(exact.potentials()["lif"][0], tick.potentials()["lif"][0], atol=1e-6)


def test_a_floor_holds_between_events_too() -> None:
    engine = engine_of(chain(("fc", one(-5.0)), ("lif", lif(v_leak=-2.0))), floor=-0.5)
    engine.feed("input", *events(MS))
    engine.advance(MS + 1)
    assert engine.potentials()["lif"][0][0] == -0.5
    engine.advance(100 * MS)
    assert engine.potentials()["lif"][0][0] == -0.5


def test_many_spikes_under_way_and_many_outputs_make_room_for_themselves() -> None:
    graph = chain(("wait", n.Delay(np.array([1.0]))), ("fc", one(2.0)), ("lif", lif()))
    engine = engine_of(graph)
    t = np.arange(20_000, dtype=np.int64) * 1000
    engine.feed("input", t, np.zeros(20_000, np.int32))
    assert len(engine.advance(1000 * MS)) == 0
    assert engine.advance(1100 * MS).t.tolist() == (t + 1000 * MS + 1).tolist()


def test_refuses_what_breaks_the_contract_and_keeps_its_state() -> None:
    engine = engine_of(chain(("fc", one(1.0)), ("lif", lif())))
    engine.feed("input", *events(5))
    engine.advance(10)
    before, snapshot = engine.hash(), engine.snapshot()
    t, index = events(20, 19)
    refused: dict[str, Callable[[], object]] = {
        "no input port 'eye'": lambda: engine.feed("eye", t[:1], index[:1]),
        "runs backwards at event 1": lambda: engine.feed("input", t, index),
        "index 7 of event 0": lambda: engine.feed("input", t[:1], index[:1] + 7),
        "not finite": lambda: engine.feed("input", t[:1], index[:1], np.array([np.nan], np.float32)),
        "2 times, 1 indices": lambda: engine.feed("input", t, index[:1]),
        "never runs backwards": lambda: engine.advance(9),
    }
    for message, call in refused.items():
        with pytest.raises(FeedError, match=message):
            call()
    assert engine.hash() == before
    assert engine.snapshot() == snapshot


def test_refuses_networks_that_have_no_closed_form() -> None:
    cuba = n.CubaLIF(
        tau_syn=np.array([0.005]), tau_mem=np.array([0.02]), r=np.ones(1), v_leak=np.zeros(1), v_threshold=np.ones(1)
    )
    with pytest.raises(UnsupportedError, match=r"spikes: a floor .* under a synaptic current"):
        engine_of(chain(("fc", one(1.0)), ("spikes", cuba)), floor=-1.0)
    with pytest.raises(UnsupportedError, match=r"v_reset 2\.0 is not below the threshold 1.0"):
        engine_of(chain(("fc", one(1.0)), ("lif", lif(v_reset=2.0))))
    with pytest.raises(UnsupportedError, match="a bias into Output without neurons"):
        engine_of(chain(("lif", lif()), ("fc", n.Affine(np.ones((1, 1)), np.ones(1)))))


def test_load_chooses_the_engine_by_mode(tmp_path: Path) -> None:
    file = tmp_path / "one.nir"
    write(file, chain(("fc", one(1.5)), ("lif", lif())))
    assert load(file, RULES).describe()["mode"] == "tick"
    engine = load(file, RULES, mode="continuous")
    assert engine.describe()["mode"] == "continuous"
    tick = load(file, RULES)
    with pytest.raises(SnapshotError):
        engine.restore(tick.snapshot())
    with pytest.raises(UnsupportedError, match="mode is 'sometimes'"):
        load(file, RULES, mode="sometimes")


def test_real_networks_run_in_both_modes(data: Path) -> None:
    file = data / "networks" / "cnn_sinabs.nir"
    if not file.exists():
        pytest.skip(f"no {file.name} among the networks")
    rules = {"preset": "sinabs", "dt_s": 1e-3}
    engine = load(file, rules, mode="continuous")
    port = next(iter(engine.inputs.values()))
    rng = np.random.default_rng(0)
    t = np.sort(rng.integers(0, 50 * MS, 2000))
    engine.feed(port.name, t, rng.integers(0, int(np.prod(port.shape)), 2000).astype(np.int32))
    engine.advance(50 * MS)
    assert sum(engine.counters.spikes.values()) > 100
