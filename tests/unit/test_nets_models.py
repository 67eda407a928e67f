"""The models beyond NIR: known facts of each, who may sleep, what is refused, how files hold them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from nets import models as m
from nets import nodes as n
from nets.describe import describe_file
from nets.describe import warnings as warnings_of
from nets.dialect import resolve
from nets.engine import Engine
from nets.errors import GraphError, NirError, UnsupportedError
from nets.graph import Graph
from nets.nir import read, write
from nets.running import Spikes

MS = 1_000_000
RULES = {"preset": "spec", "dt_s": 1e-3}


def layer(node: n.Node, size: int = 1, bias: float = 0.0, weight: float = 1.0) -> Graph:
    """input -> identity * weight + bias -> node -> output"""
    nodes = {
        "input": n.Input((size,)),
        "w": n.Affine(np.eye(size) * weight, np.full(size, bias)),
        "layer": node,
        "output": n.Output((size,)),
    }
    return Graph(nodes, [("input", "w"), ("w", "layer"), ("layer", "output")])


def engine_of(graph: Graph, dtype: Any = np.float64, **rules: Any) -> Engine:
    return Engine(graph, resolve(graph, None, RULES | rules), dtype=dtype)


def feed(engine: Engine, ticks: Any, index: Any = 0, value: Any = 1.0) -> None:
    at = np.atleast_1d(np.asarray(ticks, np.int64)) * MS
    engine.feed(
        "input",
        at,
        np.broadcast_to(index, at.shape).astype(np.int32),
        np.broadcast_to(value, at.shape).astype(np.float32),
    )


def ticks_of(spikes: Spikes) -> list[int]:
    return [int(t) // MS - 1 for t in spikes.t]


# published models


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("drive", "spikes", "first", "last"), [(4, 7, 141, 143), (5, 11, 91, 97), (15, 33, 6, 32)])
def test_izhikevich_regular_spiking_has_its_rate_and_adapts(
    dtype: Any, drive: float, spikes: int, first: int, last: int
) -> None:
    fired = np.array(ticks_of(engine_of(layer(m.Izhikevich(), bias=drive), dtype).advance(1000 * MS)))
    assert len(fired) == spikes
    assert np.diff(fired)[[0, -1]].tolist() == pytest.approx([first, last], abs=1)


def test_izhikevich_at_ten_slows_from_26_to_47_ms() -> None:
    fired = np.array(ticks_of(engine_of(layer(m.Izhikevich(), bias=10)).advance(1000 * MS)))
    assert len(fired) == 22
    assert np.diff(fired)[[0, -1]].tolist() == pytest.approx([26, 47], abs=1)


def test_a_fast_spiking_neuron_is_faster_than_a_regular_one() -> None:
    regular, fast = (
        len(engine_of(layer(node, bias=10.0)).advance(1000 * MS)) for node in (m.Izhikevich(), m.Izhikevich(a=0.1, d=2))
    )
    assert fast > 2 * regular


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("drive", "rate_hz"), [(6.5, 55), (10, 68), (20, 86)])
def test_hodgkin_huxley_fires_repetitively_at_its_rate(dtype: Any, drive: float, rate_hz: float) -> None:
    fired = np.array(ticks_of(engine_of(layer(m.HodgkinHuxley(), bias=drive), dtype).advance(1000 * MS)))
    assert 1000 / np.diff(fired)[5:].mean() == pytest.approx(rate_hz, abs=1)


def test_hodgkin_huxley_is_silent_at_five_after_one_onset_spike() -> None:
    assert len(engine_of(layer(m.HodgkinHuxley(), bias=5.0)).advance(1000 * MS)) == 1


def test_hodgkin_huxley_between_6_2_and_6_5_begins_to_repeat() -> None:
    few, many = (len(engine_of(layer(m.HodgkinHuxley(), bias=b)).advance(1000 * MS)) for b in (6.2, 6.5))
    assert few < 10
    assert many > 50


@pytest.mark.parametrize("node", [m.Izhikevich(), m.HodgkinHuxley()])
@pytest.mark.parametrize("value", [3e38, -3e38])
def test_no_drive_makes_a_published_model_infinite(node: n.Node, value: float) -> None:
    engine = engine_of(layer(node), np.float32)
    feed(engine, range(50), value=value)
    engine.advance(200 * MS)
    assert all(np.isfinite(x).all() for x in engine.variables()["layer"].values())


# threshold models


def lif(**more: Any) -> dict[str, Any]:
    return {"tau": np.array(0.02), "r": np.array(1.0), "v_leak": np.array(0.0), "v_threshold": np.array(1.0)} | more


def test_a_refractory_neuron_under_constant_drive_fires_that_many_ticks_later() -> None:
    node = m.RefractoryIF(r=1.0, v_threshold=0.5, refractory=0.003)
    fired = ticks_of(engine_of(layer(node, bias=1.0), if_gain="unit").advance(20 * MS))
    assert fired == [0, 4, 8, 12, 16]


def test_a_refractory_time_is_never_shorter_than_stated() -> None:
    node = m.RefractoryIF(r=1.0, v_threshold=0.5, refractory=0.0021)
    assert ticks_of(engine_of(layer(node, bias=1.0), if_gain="unit").advance(9 * MS)) == [0, 4, 8]


def test_input_during_the_refractory_time_is_lost_and_a_synaptic_current_is_not() -> None:
    plain = engine_of(layer(m.RefractoryIF(r=1.0, v_threshold=0.5, refractory=0.01)), if_gain="unit")
    feed(plain, [0, 3])
    assert ticks_of(plain.advance(40 * MS)) == [0]
    current = m.RefractoryCubaLIF(
        tau_syn=0.05, tau_mem=0.01, r=1.0, v_leak=0.0, v_threshold=0.2, w_in=20.0, refractory=0.01
    )
    based = engine_of(layer(current))
    feed(based, [0, 3], value=5.0)
    fired = np.array(ticks_of(based.advance(60 * MS)))
    assert len(fired) > 2
    assert np.diff(fired).min() == 11


def test_an_adaptive_neuron_slows_down_and_recovers_in_silence() -> None:
    node = m.AdaptiveLIF(**lif(), beta=10.0, tau_a=0.2)
    engine = engine_of(layer(node, weight=3.0))
    feed(engine, range(300))
    gaps = np.diff(ticks_of(engine.advance(300 * MS)))
    assert gaps[-1] > 1.5 * gaps[0]
    before = float(engine.variables()["layer"]["b"][0])
    engine.advance(1300 * MS)
    assert float(engine.variables()["layer"]["b"][0]) == pytest.approx(before * np.exp(-1.0 / 0.2), rel=1e-9)


def test_store_and_recall_needs_the_adaptation() -> None:
    """A burst leaves a trace in the threshold that a probe 1.2 s later reads; without adaptation nothing is left."""

    def answer(beta: float, *, burst: bool) -> int:
        engine = engine_of(layer(m.AdaptiveLIF(**lif(), beta=beta, tau_a=2.0), weight=5.0))
        if burst:
            feed(engine, range(200))
        engine.advance(1200 * MS)
        feed(engine, range(1200, 1300))
        return len(engine.advance(1400 * MS))

    assert answer(20.0, burst=True) < 0.9 * answer(20.0, burst=False)
    assert answer(0.0, burst=True) == answer(0.0, burst=False)


@pytest.mark.parametrize(
    "node",
    [
        m.RefractoryIF(r=1.0, v_threshold=1.0, refractory=0.005),
        m.RefractoryLIF(**lif(), refractory=0.005),
        m.AdaptiveLIF(**lif(), beta=1.7, tau_a=0.2, refractory=0.002),
        m.RefractoryCubaLIF(tau_syn=0.005, tau_mem=0.02, r=1.0, v_leak=0.0, v_threshold=0.5, refractory=0.005),
        m.SRM(tau_syn=0.005, tau_mem=0.02, tau_refractory=0.01, r=1.0, v_leak=0.0, v_threshold=0.5, eta=1.0),
    ],
    ids=lambda node: node.kind,
)
def test_a_layer_that_can_prove_it_sleeps_and_wakes_up_to_date(node: n.Node) -> None:
    asleep, stepped = (engine_of(layer(node, size=3, weight=8.0), if_gain="unit") for _ in range(2))
    for engine in (asleep, stepped):
        feed(engine, [0, 0, 1, 2], index=[0, 1, 0, 2])
        engine.advance(100 * MS)
    touched = asleep.counters.unit_touches
    asleep.advance(10_000 * MS)
    assert asleep.counters.unit_touches == touched
    for tick in range(100, 10_000, 7):  # an event of value 0 wakes the layer and changes nothing
        feed(stepped, tick, value=0.0)
    stepped.advance(10_000 * MS)
    assert stepped.counters.unit_touches > touched
    for engine in (asleep, stepped):
        feed(engine, 10_000, index=2)
        engine.advance(10_001 * MS)
    for name, value in asleep.variables()["layer"].items():
        np.testing.assert_allclose(value, stepped.variables()["layer"][name], rtol=1e-9, atol=1e-12, err_msg=name)


def test_the_state_read_from_outside_is_what_waking_would_find() -> None:
    node = m.RefractoryCubaLIF(tau_syn=0.005, tau_mem=0.02, r=1.0, v_leak=0.1, v_threshold=0.5, refractory=0.03)
    engine = engine_of(layer(node, weight=8.0))
    feed(engine, 0)
    engine.advance(12 * MS)
    for tick in range(12, 60):
        seen = engine.variables()["layer"]
        woken = engine_of(layer(node, weight=8.0))
        woken.restore(engine.snapshot())
        feed(woken, tick, value=0.0)
        woken.advance((tick + 1) * MS)
        engine.advance((tick + 1) * MS)
        assert seen.keys() == {"v", "i", "refractory"}
        for name, value in engine.variables()["layer"].items():
            np.testing.assert_allclose(value, woken.variables()["layer"][name], rtol=1e-9, atol=1e-15, err_msg=name)


def test_srm_traces_equal_its_kernels() -> None:
    """u(t) = w sum eps(t - t_in) + sum eta(t - t_out), from the input and the engine's own spikes, to 1e-12."""
    tau_s, tau_m, tau_r, eta, w, ticks = 0.004, 0.015, 0.01, 0.8, 3.0, 200
    node = m.SRM(
        tau_syn=tau_s, tau_mem=tau_m, tau_refractory=tau_r, r=1.0, v_leak=0.0, v_threshold=0.3, eta=eta, w_in=1.0
    )
    rng = np.random.default_rng(5)
    inputs = np.sort(rng.choice(ticks, 80, replace=False))
    engine = engine_of(layer(node, weight=w))
    a, alpha = np.exp(-1e-3 / tau_m), np.exp(-1e-3 / tau_s)
    lag = np.arange(ticks)
    # decay_add under the spec dialect: i sees its input in the same tick
    eps = w * (1 - alpha) * (1 - a) * np.array([sum(a ** (k - q) * alpha**q for q in range(k + 1)) for k in lag])
    fired: list[int] = []
    for tick in range(ticks):
        if tick in inputs:
            feed(engine, tick)
        out = engine.advance((tick + 1) * MS)
        v = sum(eps[tick - s] for s in inputs if s <= tick)
        q = -eta * sum(np.exp(-(tick - s) * 1e-3 / tau_r) for s in fired)
        state = engine.variables()["layer"]
        assert float(state["v"][0]) == pytest.approx(v, abs=1e-12)
        assert (v + q > 0.3) == (len(out) > 0)
        fired += ticks_of(out)
    assert 10 < len(fired) < ticks / 2


# competition


def winners_of(node: n.Node, ticks: int, values: NDArray[np.float64], **rules: Any) -> list[list[int]]:
    engine = engine_of(layer(node, size=values.shape[1]), **rules)
    for tick in range(ticks):
        feed(engine, np.full(values.shape[1], tick), range(values.shape[1]), values[tick])
    out = engine.advance(ticks * MS)
    return [sorted(out.index[out.t == (tick + 1) * MS].tolist()) for tick in range(ticks)]


def test_at_most_the_stated_number_wins_and_it_is_the_strongest() -> None:
    rng = np.random.default_rng(8)
    values = rng.uniform(0, 3, (50, 6)).astype(np.float32).astype(np.float64)
    node = m.RefractoryLIF(**lif(tau=np.array(1e-4)), winners=2)  # no memory from tick to tick
    for row, fired in zip(values, winners_of(node, 50, values, input_gain="unit"), strict=True):
        expected = sorted(int(k) for k in np.argsort(-row)[:2] if row[k] > 1)
        assert fired == expected


def test_inhibition_acts_before_the_next_is_judged() -> None:
    values = np.array([[2.0, 1.5, 1.2], [2.0, 0.0, 0.0]])
    node = m.RefractoryIF(r=1.0, v_threshold=1.0, inhibition=0.4)
    # 2.0 fires and takes 0.4: 1.5 still fires and takes 0.4 more: 1.2 - 0.8 does not
    assert winners_of(node, 1, values, if_gain="unit") == [[0, 1]]


def test_equals_are_judged_by_place() -> None:
    node = m.RefractoryIF(r=1.0, v_threshold=1.0, winners=1)
    assert winners_of(node, 1, np.full((1, 4), 2.0), if_gain="unit") == [[0]]


def test_losers_keep_what_they_have_and_win_later() -> None:
    node = m.RefractoryIF(r=1.0, v_threshold=1.0, winners=1)
    engine = engine_of(layer(node, size=3), if_gain="unit")
    feed(engine, [0, 0, 0], [0, 1, 2], [2.0, 3.0, 2.5])
    out = engine.advance(10 * MS)
    assert list(zip(ticks_of(out), out.index.tolist(), strict=True)) == [(0, 1), (1, 2), (2, 0)]


def test_inhibition_reaches_neurons_that_sleep() -> None:
    shape = (2, 3, 3)
    nodes = {
        "input": n.Input(shape),
        "layer": m.RefractoryLIF(**lif(tau=np.array(0.1)), inhibition=0.5),
        "output": n.Output(shape),
    }
    engine = engine_of(Graph(nodes, [("input", "layer"), ("layer", "output")]), input_gain="unit")
    engine.advance(5 * MS)
    feed(engine, 5, 4, 3.0)
    engine.advance(7 * MS)
    v = engine.variables()["layer"]["v"].ravel()
    expected = np.full(18, -0.5 * np.exp(-1e-3 / 0.1))
    expected[4] = 0.0
    np.testing.assert_allclose(v, expected, rtol=1e-12)


# max pooling


def pool_engine(dtype: Any = np.float32) -> Engine:
    nodes = {
        "input": n.Input((1, 2, 4)),
        "pool": m.MaxPool2d(kernel_size=2, stride=2),
        "output": n.Output((1, 1, 2)),
    }
    return engine_of(Graph(nodes, [("input", "pool"), ("pool", "output")]), dtype)


def test_a_window_passes_on_what_its_leader_gains() -> None:
    engine = pool_engine()
    feed(engine, range(7), [0, 0, 1, 1, 1, 4, 3])
    out = engine.advance(10 * MS)
    # pixel 0 leads with 2; 1 draws level and passes it with its third; 4 has one; 3 is the other window's first
    assert list(zip(ticks_of(out), out.index.tolist(), strict=True)) == [(0, 0), (1, 0), (4, 0), (6, 1)]
    assert engine.counters.ticks_silent == 3


def test_counts_do_not_wear_out() -> None:
    """A pixel that leads by more than float32 can count still comes through, spike for spike."""
    engine = pool_engine(np.float32)
    feed(engine, 0, 0, float(1 << 26))
    feed(engine, [1, 2, 3], 0)
    out = engine.advance(5 * MS)
    assert out.value.tolist() == [float(1 << 26), 1.0, 1.0, 1.0]


def test_a_pool_behind_weights_counts_weighted_spikes() -> None:
    nodes = {
        "input": n.Input((1, 4, 4)),
        "conv": n.Conv2d(None, np.full((1, 1, 1, 1), 0.5), 1, 0, 1, 1, np.zeros(1)),
        "pool": m.MaxPool2d(kernel_size=3, stride=1, padding=1),
        "output": n.Output((1, 4, 4)),
    }
    engine = engine_of(Graph(nodes, [("input", "conv"), ("conv", "pool"), ("pool", "output")]))
    feed(engine, 0, 0, 3.0)
    out = engine.advance(MS)
    assert out.index.tolist() == [0, 1, 4, 5]
    assert set(out.value.tolist()) == {1.5}


def test_a_bias_into_a_pool_is_refused() -> None:
    nodes = {
        "input": n.Input((1, 4, 4)),
        "conv": n.Conv2d(None, np.ones((1, 1, 1, 1)), 1, 0, 1, 1, np.ones(1)),
        "pool": m.MaxPool2d(kernel_size=2, stride=2),
        "output": n.Output((1, 2, 2)),
    }
    with pytest.raises(UnsupportedError, match="pool: MaxPool2d counts spikes"):
        engine_of(Graph(nodes, [("input", "conv"), ("conv", "pool"), ("pool", "output")]))


# refused


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: m.AdaptiveLIF(**lif(), beta=-1.0, tau_a=0.2), "AdaptiveLIF.beta is -1.0, expected 0 or more"),
        (lambda: m.AdaptiveLIF(**lif(), beta=1.0, tau_a=0.0), "AdaptiveLIF.tau_a is 0.0, expected above 0"),
        (lambda: m.RefractoryLIF(**lif(), refractory=-1e-3), "refractory is -0.001, expected 0 or more"),
        (lambda: m.RefractoryLIF(**lif(), winners=1.5), "winners is 1.5, expected a whole number"),
        (lambda: m.RefractoryLIF(**lif(), inhibition=np.ones(3)), "inhibition has shape"),
        (lambda: m.Izhikevich(c=40.0), "c is 40.0, expected below v_peak 30.0"),
        (lambda: m.HodgkinHuxley(g_l=0.0), "g_l is 0.0, expected above 0"),
        (lambda: m.HodgkinHuxley(c_m=np.nan), "c_m is not finite"),
        (
            lambda: layer(m.Izhikevich(a=np.full((1, 3), 0.02)), size=3),
            r"layer: Izhikevich.a has shape \(1, 3\), its input has \(3,\)",
        ),
    ],
)
def test_impossible_parameters_are_refused_by_name(make: Any, told: str) -> None:
    with pytest.raises(GraphError, match=told):
        make()


def test_a_dialect_with_a_late_reset_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="layer: RefractoryLIF resets at its spike"):
        engine_of(layer(m.RefractoryLIF(**lif())), reset="subtract", reset_at="next_tick")


# files


def beyond(graph: Graph) -> tuple[str, m.Model]:
    return next((name, node) for name, node in graph.nodes.items() if isinstance(node, m.Model))


FILED = [
    layer(m.RefractoryIF(r=np.ones(3), v_threshold=np.ones(3, np.float32), refractory=np.array([0, 0.001, 0.1])), 3),
    layer(m.RefractoryLIF(**lif(), winners=2, inhibition=0.3), 3),
    layer(m.RefractoryCubaLIF(tau_syn=0.005, tau_mem=0.02, r=1.0, v_leak=0.0, v_threshold=0.5, refractory=0.005), 3),
    layer(m.AdaptiveLIF(**lif(tau=np.full(3, 0.02)), beta=np.array([0, 1.7, 1.7]), tau_a=0.2), 3),
    layer(m.SRM(tau_syn=0.005, tau_mem=0.02, tau_refractory=0.01, r=1.0, v_leak=0.0, v_threshold=0.5, eta=1.0), 3),
    layer(m.Izhikevich(a=np.array([0.02, 0.1, 0.02]), metadata={"note": "cortex", "tectum": {"seen": 1}}), 3),
    layer(m.HodgkinHuxley(g_na=110.0), 3),
    pool_engine().graph,
]


@pytest.mark.parametrize("graph", FILED, ids=lambda graph: beyond(graph)[1].kind)
def test_a_file_gives_back_an_equal_graph_and_warns(graph: Graph, tmp_path: Path) -> None:
    kind = beyond(graph)[1].kind
    path = tmp_path / "net.nir"
    with pytest.warns(m.ExportWarning, match=kind):
        write(path, graph)
    again = read(path)
    assert again == graph
    with h5py.File(path) as file:
        assert file["node/metadata/needs_tectum"][()].decode() == kind
    assert any(kind in told for told in warnings_of(again, resolve(again, None, RULES)))
    (tmp_path / "net.dialect.toml").write_text('preset = "spec"\ndt_s = 1e-3\n')
    assert describe_file(path)["warnings"]


@pytest.mark.parametrize("graph", FILED, ids=lambda graph: beyond(graph)[1].kind)
def test_the_nir_package_reads_what_a_model_is_stored_as(graph: Graph, tmp_path: Path) -> None:
    nir = pytest.importorskip("nir")
    path = tmp_path / "net.nir"
    with pytest.warns(m.ExportWarning):
        write(path, graph)
    name, model = beyond(graph)
    node = nir.read(path).nodes[name]
    assert type(node).__name__ == model.STORED_AS.__name__
    assert model.kind in str(node.metadata["tectum"])


def test_a_graph_of_nir_nodes_is_written_without_a_word(tmp_path: Path) -> None:
    graph = layer(n.LIF(**lif()))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write(tmp_path / "net.nir", graph)
    with h5py.File(tmp_path / "net.nir") as file:
        assert "metadata" not in file["node"]


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ('{"op": "AdaptiveLIF", "version": 9, "parameters": {}}', "version 9 of AdaptiveLIF, expected 1"),
        ('{"op": "Perceptron", "version": 1, "parameters": {}}', "op 'Perceptron' on LIF"),
        ('{"op": "SRM", "version": 1, "parameters": {}}', "op 'SRM' on LIF"),
        ('{"op": "AdaptiveLIF", "version": 1, "parameters": {}}', "AdaptiveLIF without beta"),
        ('{"op": "AdaptiveLIF", "version": 1, "parameters": {"beta": {"dtype": "O"}}}', "beta is not an array"),
        ('{"op": "AdaptiveLIF", "version": 1, "parameters": {"beta": "x", "tau_a": 1}}', "expected real numbers"),
        ('{"op": "AdaptiveLIF", "version": 1}', "version 1 of AdaptiveLIF"),
    ],
)
def test_damaged_model_metadata_is_one_error(table: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "net.nir"
    write(path, layer(n.LIF(**lif())))
    with h5py.File(path, "a") as file:
        file["node/nodes/layer"].create_group("metadata")["tectum"] = table
    with pytest.raises(NirError, match=told):
        read(path)
