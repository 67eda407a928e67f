"""What a file leaves open is said in words with a way out; what would surprise a robot in the long run is warned of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nets import nodes as n
from nets.describe import describe_file, warnings
from nets.dialect import resolve, settled
from nets.engine import Engine
from nets.errors import DialectError, UnsupportedError
from nets.graph import Graph
from nets.left_open import left_open
from nets.nir import write
from nets.program import compile_program
from tests.reference.dense import Dense

TAU = np.array([0.01, 0.02])


def one(neuron: n.Node, size: int = 1) -> Graph:
    nodes: dict[str, n.Node] = {"in": n.Input((size,)), "a": neuron, "out": n.Output((size,))}
    return Graph(nodes, [("in", "a"), ("a", "out")])


def lif(tau: Any = 0.01, r: Any = 1.0) -> n.LIF:
    return n.LIF(tau=tau, r=r, v_leak=0.0, v_threshold=1.0)


def test_only_what_the_graph_needs_is_asked_for() -> None:
    questions = left_open(one(n.IF(r=1.0, v_threshold=1.0)))
    assert {"dt_s", "if_gain", "threshold", "reset", "floor"} <= questions.keys()
    assert not {"leak", "current", "tau_tick_s", "recurrent_delay"} & questions.keys()
    assert questions["reset"].endswith("(subtract | value)")


def test_what_a_sidecar_states_is_not_asked_for_again(tmp_path: Path) -> None:
    write(tmp_path / "a.nir", one(lif()))
    (tmp_path / "a.dialect.toml").write_text('preset = "norse"\n')
    described = describe_file(tmp_path / "a.nir")
    questions = described["left_open"]
    assert "dt_s" in questions
    assert "leak" not in questions
    assert "dt_s = 1e-3" in questions["to settle it"]
    assert "a.dialect.toml" in questions["to settle it"]
    (tmp_path / "a.dialect.toml").write_text('preset = "norse"\ndt_s = 1e-3\n')
    assert "left_open" not in describe_file(tmp_path / "a.nir")


@pytest.mark.parametrize(
    ("neuron", "hint"),
    [
        (lif(tau=20.0), "as Sinabs writes them"),
        (lif(tau=1e-5), "Norse writes"),
        (lif(tau=TAU, r=TAU * np.exp(-1e-3 / TAU) / 1e-3), "dt = 0.001 s, as Rockpool"),
        (n.IF(r=1000.0, v_threshold=1.0), "dt = 0.001 s in IF nodes, as SpikingJelly"),
    ],
)  # fmt: skip
def test_numbers_that_look_like_a_simulators_are_hinted_at_and_not_followed(neuron: n.Node, hint: str) -> None:
    graph = one(neuron, 2)
    assert hint in left_open(graph)["hint"]
    assert "dt_s" not in settled(graph)


def test_a_tick_written_into_r_is_inferred_for_plain_lif_too() -> None:
    tau = np.array([0.001, 0.0004])
    found = resolve(one(lif(tau=tau, r=tau / 1e-4), 2), None, {"preset": "snntorch", "dt_s": 1e-3})
    assert (found.dt_s, found.tau_tick_s) == (1e-3, 1e-4)
    assert found.provenance["tau_tick_s"] == "inferred from r = tau / dt"
    for r in (tau / 1.234e-4, tau * 1e200, tau * 1e-300):
        with pytest.raises(DialectError, match="does not state dt_s"):
            resolve(one(lif(tau=tau, r=r), 2), None, {"preset": "norse"})


def test_the_tick_of_the_time_constants_is_not_the_tick_of_the_robot() -> None:
    """A network that counts in ticks runs alike whatever a tick lasts."""
    graph = one(lif(tau=20.0))
    results = []
    for dt in (1e-3, 7e-3):
        engine = Engine(graph, resolve(graph, None, {"preset": "sinabs", "dt_s": dt}))
        engine.feed("in", np.arange(100) * engine.dt_ns, np.zeros(100, np.int32), np.full(100, 0.3, np.float32))
        results.append((engine.advance(100 * engine.dt_ns).t // engine.dt_ns).tolist())
    assert results[0] == results[1]
    assert len(results[0]) > 10


def test_what_does_not_leak_is_warned_of_until_something_holds_it() -> None:
    spiking, graded = one(n.IF(r=1.0, v_threshold=1.0)), one(n.I(r=1.0))
    rules = {"preset": "norse", "dt_s": 1e-3}
    for graph in (spiking, graded):
        assert "drift without bound" in warnings(graph, resolve(graph, None, rules))[0]
        assert warnings(graph, resolve(graph, None, rules | {"slow_leak_s": 5.0})) == []
    assert warnings(spiking, resolve(spiking, None, rules | {"floor": -1.0})) == []
    assert warnings(graded, resolve(graded, None, rules | {"floor": -1.0})) != []


def test_time_constants_below_a_tick_are_warned_of() -> None:
    graph = one(lif(tau=0.0025))
    assert "less than a tick" in warnings(graph, resolve(graph, None, {"preset": "sinabs", "dt_s": 1e-3}))[0]
    assert warnings(graph, resolve(graph, None, {"preset": "norse", "dt_s": 1e-3})) == []


def test_a_slow_leak_forgets_as_it_says_and_sleeps_exactly() -> None:
    graph = one(n.IF(r=1.0, v_threshold=2.0))
    engine = Engine(
        graph, resolve(graph, None, {"preset": "norse", "dt_s": 1e-3, "slow_leak_s": 0.5}), dtype=np.float64
    )
    engine.feed("in", np.array([0]), np.array([0], np.int32))
    engine.advance(1_000_000)
    engine.advance(501_000_000)
    assert engine.potentials()["a"][0][0] == pytest.approx(np.exp(-1.0), rel=1e-9)
    assert engine.counters.ticks_silent >= 499


def test_an_endless_inhibited_stream_ends_at_the_floor_and_comes_back() -> None:
    graph = one(n.IF(r=1.0, v_threshold=1.0))
    engine = Engine(graph, resolve(graph, None, {"preset": "sinabs", "dt_s": 1e-3}))
    engine.feed("in", np.arange(1000) * engine.dt_ns, np.zeros(1000, np.int32), np.full(1000, -0.5, np.float32))
    engine.advance(1000 * engine.dt_ns)
    assert engine.potentials()["a"][0][0] == -1.0
    engine.feed("in", np.array([1000 * engine.dt_ns]), np.array([0], np.int32), np.array([2.0], np.float32))
    assert len(engine.advance(1001 * engine.dt_ns)) == 1


def late_subtraction(x: Any, beta: float) -> list[int]:
    """v <- beta v + x - threshold [it fired in the tick before], straight from the rule."""
    v, fired, ticks = 0.0, False, []
    for tick, drive in enumerate(x):
        v = beta * v + drive - (1.0 if fired else 0.0)
        fired = v > 1.0
        ticks += [tick] if fired else []
    return ticks


def test_a_reset_in_the_next_tick_takes_the_whole_threshold_then() -> None:
    x = np.random.default_rng(2).uniform(-0.2, 0.6, 400)
    graph = one(lif(tau=1e-3, r=10.0))
    engine = Engine(graph, resolve(graph, None, {"preset": "snntorch_subtract", "dt_s": 1e-3}), dtype=np.float64)
    engine.feed("in", np.arange(400) * engine.dt_ns, np.zeros(400, np.int32), x.astype(np.float32))
    ours = (engine.advance(400 * engine.dt_ns).t // engine.dt_ns - 1).tolist()
    assert ours == late_subtraction(x.astype(np.float32).astype(np.float64), 0.9)
    assert 20 < len(ours) < 380


@pytest.mark.parametrize("change", [{"reset": "value"}, {"multi_spike": True}, {"floor": -1.0}])
def test_a_reset_in_the_next_tick_is_refused_where_it_has_no_meaning(change: dict[str, Any]) -> None:
    with pytest.raises(DialectError, match="reset_at is 'next_tick', expected 'spike' unless"):
        resolve(one(lif()), None, {"preset": "snntorch_subtract", "dt_s": 1e-3} | change)


def test_a_reset_in_the_next_tick_needs_a_potential_that_lasts() -> None:
    graph = one(lif(tau=1e-4))
    with pytest.raises(UnsupportedError, match="a: a reset in the next tick"):
        Engine(graph, resolve(graph, None, {"preset": "snntorch_subtract", "dt_s": 1e-3, "tau_tick_s": 1e-4}))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tau_tick_s": 0.0}, "tau_tick_s is 0.0, expected seconds"),
        ({"slow_leak_s": -1.0}, "slow_leak_s is -1.0, expected seconds"),
        ({"slow_leak_s": "never"}, "slow_leak_s is 'never'"),
        ({"synapse_gain": "half"}, "synapse_gain is 'half', expected 'unit' or 'decay'"),
        ({"reset_at": "later"}, "reset_at is 'later'"),
    ],
)
def test_wrong_values_are_refused_by_name(given: dict[str, Any], message: str) -> None:
    with pytest.raises(DialectError, match=message):
        resolve(one(lif()), None, {"preset": "norse", "dt_s": 1e-3} | given)


@pytest.mark.parametrize("synapse_gain", ["unit", "decay"])
@pytest.mark.parametrize("floor", ["none", "-threshold of IF"])
def test_the_newer_rules_equal_the_dense_twin(synapse_gain: str, floor: str) -> None:
    nodes: dict[str, n.Node] = {
        "in": n.Input((3,)),
        "if": n.IF(r=np.full(3, 0.7), v_threshold=np.ones(3)),
        "w": n.Linear(np.array([[0.6, -0.4, 0.9], [0.8, 0.7, -0.9]])),
        "cuba": n.CubaLIF(tau_syn=4.0, tau_mem=np.full(2, 9.0), r=1.0, v_leak=0.0, v_threshold=0.5, w_in=0.8),
        "out": n.Output((2,)),
    }  # fmt: skip
    graph = Graph(nodes, [("in", "if"), ("if", "w"), ("w", "cuba"), ("cuba", "out")])
    rules = {"preset": "sinabs", "dt_s": 1e-3, "slow_leak_s": 0.02, "synapse_gain": synapse_gain, "floor": floor}
    dialect = resolve(graph, None, rules)
    engine, twin = Engine(graph, dialect, dtype=np.float64), Dense(graph, dialect, ["if", "cuba"])
    rng = np.random.default_rng(3)
    fired = 0.0
    for tick in range(300):
        x = rng.normal(0.2, 0.6, 3).astype(np.float32)
        engine.feed("in", np.full(3, tick * engine.dt_ns), np.arange(3, dtype=np.int32), x)
        out = engine.advance((tick + 1) * engine.dt_ns)
        expected = twin.step({"in": x.astype(np.float64)})["cuba"]
        got = np.zeros(2)
        np.add.at(got, out.index, out.value)
        np.testing.assert_array_equal(got, expected, err_msg=f"tick {tick}")
        np.testing.assert_allclose(engine.potentials()["if"][0], twin.v["if"], atol=1e-12)
        fired += got.sum()
    assert fired > 20


@pytest.mark.parametrize(
    ("neuron", "weight", "where"),
    [
        (n.IF(r=1.0, v_threshold=1.0), 1e300, "in -> w -> a"),
        (n.IF(r=1e300, v_threshold=1.0), 1.0, "a"),
        (n.IF(r=1.0, v_threshold=1e300), 1.0, "a"),
        (lif(tau=1e-5, r=1e200), 1.0, "a"),
    ],
)
def test_numbers_that_float32_cannot_hold_are_refused_by_name(neuron: n.Node, weight: float, where: str) -> None:
    nodes = {"in": n.Input((1,)), "w": n.Linear(np.array([[weight]])), "a": neuron, "out": n.Output((1,))}
    graph = Graph(nodes, [("in", "w"), ("w", "a"), ("a", "out")])
    dialect = resolve(graph, None, {"preset": "lava", "dt_s": 1e-6})
    with pytest.raises(UnsupportedError, match=f"^{where}: a weight or coefficient is .* float32 holds at most"):
        compile_program(graph, dialect, np.float32)
    compile_program(graph, dialect, np.float64)
