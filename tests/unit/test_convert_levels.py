"""Levels meet the stated error, and the operations counted are those the engine does."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from nets import nodes as n
from nets.convert.balance import fit_balanced
from nets.convert.dense import Dense, relative_error
from nets.convert.errors import ConvertError
from nets.convert.layers import Activation, chain, relu_network
from nets.convert.levels import Fit, fit, fit_quanta, scales
from nets.convert.separate import separated
from nets.convert.sigma_delta import quantised
from nets.convert.work import count
from nets.graph import Graph
from nets.models import ExportWarning
from nets.nir import read, write
from nets.sigma_delta.engine import SigmaDeltaEngine
from nets.sigma_delta.node import SigmaDelta, Surface
from nets.sigma_delta.thresholds import SigmaThresholds

FRAMES = 24


def weight(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    return (rng.normal(size=shape) / math.sqrt(math.prod(shape[1:]))).astype(np.float32)


def small() -> Graph:
    rng = np.random.default_rng(1)
    return chain(
        (1, 10, 10),
        n.Conv2d((10, 10), weight(rng, 4, 1, 3, 3), (1, 1), (1, 1), (1, 1), 1, weight(rng, 4)),
        Activation(),
        n.AvgPool2d((2, 2), (2, 2), (0, 0)),
        n.Conv2d((5, 5), weight(rng, 6, 2, 3, 3), (1, 1), (1, 1), (1, 1), 2, weight(rng, 6)),
        Activation(),
        n.Flatten(),
        n.Affine(weight(rng, 5, 150), weight(rng, 5)),
    )


def clip() -> dict[str, NDArray[np.float32]]:
    """Frames that drift, a patch at a time."""
    rng = np.random.default_rng(2)
    moves = rng.normal(size=(FRAMES, 1, 10, 10)) * (rng.random((FRAMES, 1, 10, 10)) < 0.1)
    return {"input": np.cumsum(moves, axis=0).astype(np.float32) * 0.2 + 0.5}


def outputs_of_the_engine(
    found: Fit, engine: SigmaDeltaEngine
) -> tuple[NDArray[np.float64], list[tuple[int, int, int]]]:
    """What the Output holds after each frame, and the engine's (synops, adds, touches) of each frame."""
    held = np.zeros(5)
    rows, work = [], []
    for k, frame in enumerate(clip()["input"]):
        before = engine.counters
        engine.feed("input", np.full(100, k + 1), np.arange(100, dtype=np.int32), frame.ravel())
        sent = engine.advance(k + 1)
        held[sent.index] = sent.value
        rows.append(held.copy())
        after = engine.counters
        work.append(
            (
                after.synops - before.synops,
                after.synops_adds - before.synops_adds,
                after.unit_touches - before.unit_touches,
            )
        )
    return np.array(rows), work


@pytest.mark.parametrize("error", [0.1, 0.04, 0.01])
def test_the_fewest_levels_that_meet_the_error(error: float) -> None:
    found = fit(small(), clip(), error)
    assert found.error <= error < fit_quanta(small(), clip(), found.quanta - 1).error


def test_the_engine_shows_the_error_that_was_stated() -> None:
    found = fit(small(), clip(), 0.05)
    shown, _ = outputs_of_the_engine(found, SigmaDeltaEngine(found.graph, dtype=np.float64))
    true = Dense(small(), np.float64).outputs(clip())
    assert relative_error({"output": shown}, true) == pytest.approx(found.error, rel=1e-3)


def test_counted_operations_are_those_of_the_engine() -> None:
    found = fit_quanta(small(), clip(), 8)
    engine = SigmaDeltaEngine(found.graph, dtype=np.float64, thresholds=SigmaThresholds(rebuild=1e5))
    _, work = outputs_of_the_engine(found, engine)
    expected = np.mean(work[1:], axis=0)
    counted = count(found, clip(), rebuild=math.inf)
    np.testing.assert_allclose([counted.total(what) for what in ("graded", "adds", "touches")], expected, rtol=1e-9)


def test_layers_that_are_rebuilt_are_counted_so() -> None:
    samples = {"input": np.random.default_rng(3).normal(size=(FRAMES, 1, 10, 10)).astype(np.float32)}
    found = fit_quanta(small(), samples, 64)
    rebuilt, changed = count(found, samples), count(found, samples, rebuild=math.inf)
    assert rebuilt.total("graded") <= changed.total("graded")
    assert {layer.target for layer in rebuilt.dearer} == {"1_activation", "4_activation"}


def test_dense_passes_are_counted_as_a_plain_loop_counts_them() -> None:
    counted = {layer.target: layer for layer in count(fit_quanta(small(), clip(), 8), clip()).layers}
    places = sum(
        0 <= y + j < 10 and 0 <= x + k < 10
        for y in range(10) for x in range(10) for j in (-1, 0, 1) for k in (-1, 0, 1)
    )  # fmt: skip
    assert counted["1_activation"].dense == 4 * places
    assert counted["output"].dense == 5 * 150
    pooled = sum(
        0 <= y + j < 5 and 0 <= x + k < 5 for y in range(5) for x in range(5) for j in (-1, 0, 1) for k in (-1, 0, 1)
    )
    assert counted["4_activation"].dense == 4 * 100 + 6 * 2 * pooled  # the pool's additions, and two groups
    assert all(layer.dense_nonzero <= layer.dense for layer in counted.values())


def test_still_samples_cost_nothing() -> None:
    still = {"input": np.repeat(clip()["input"][:1], 5, axis=0)}
    work = count(fit_quanta(small(), still, 8), still)
    assert (work.total("graded"), work.total("adds")) == (0, 0)


def test_divided_levels_meet_the_same_error_with_no_more_operations() -> None:
    """A layer with little work behind it gets more levels, the first, whose quanta cost most, fewer."""
    common, divided = fit(small(), clip(), 0.01), fit_balanced(small(), clip(), 0.01)
    assert divided.error <= 0.01
    assert count(divided, clip()).total("graded") < count(common, clip()).total("graded")
    assert (
        relative_error(Dense(divided.network).outputs(clip(), divided.levels), Dense(small()).outputs(clip())) <= 0.01
    )


def test_operations_are_told_by_the_unit_that_causes_them() -> None:
    work = count(fit_quanta(small(), clip(), 8), clip())
    assert sum(work.behind.values()) == pytest.approx(work.total("graded"))


def test_a_scale_is_the_percentile_of_what_a_layer_gives() -> None:
    found = scales(quantised(small()), clip())
    (expected,) = [y for name, _, y in Dense(small()).values(clip()) if name == "1_activation"]
    assert found["1_activation"] == pytest.approx(np.percentile(np.abs(expected), 99.9), rel=1e-6)


def test_a_layer_that_never_fires_gets_levels_all_the_same() -> None:
    dead = chain((2,), n.Affine(-np.eye(2), -np.ones(2)), Activation(), n.Affine(np.eye(2), np.ones(2)))
    found = fit(dead, {"input": np.ones((4, 2), np.float32)}, 0.01)
    assert found.scales["1_activation"] == 1.0
    assert found.error == 0.0


def test_noise_holds_the_input_quantum_at_six_sigma() -> None:
    found = fit_quanta(small(), clip(), 64, noise={"input": 0.01})
    assert found.levels["input_q"] == pytest.approx(1 / 0.06)
    with pytest.raises(ConvertError, match=r"error 0\.002 is not met: 4096 levels reach .* six sigma of its noise"):
        fit(small(), clip(), 0.002, noise={"input": 0.5})
    with pytest.raises(ConvertError, match="noise is stated of 'gyro'"):
        fit(small(), clip(), 0.01, noise={"gyro": 0.5})


def test_a_fitted_graph_comes_back_equal_from_its_file(tmp_path: Path) -> None:
    found = fit_quanta(small(), clip(), 8)
    with pytest.warns(ExportWarning, match="SigmaDelta"):
        write(tmp_path / "net.nir", found.graph)
    stored = read(tmp_path / "net.nir")
    assert stored == found.graph
    assert stored.metadata["tectum"]["fitted"]["quanta"] == 8
    again = fit_quanta(relu_network(stored), clip(), 8)
    assert again.error == pytest.approx(found.error, rel=1e-5)
    assert len(again.levels) == len(found.levels)


def test_a_nir_file_says_where_its_activations_stand(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    said = {"tectum": {"activation": "relu"}}
    nodes = {
        "input": n.Input((3,)),
        "fc": n.Affine(weight(rng, 4, 3), weight(rng, 4), metadata=said),
        "readout": n.Linear(weight(rng, 2, 4)),
        "output": n.Output((2,)),
    }
    write(tmp_path / "net.nir", Graph(nodes, pairwise(nodes)))
    network = relu_network(read(tmp_path / "net.nir"))
    x = rng.normal(size=(6, 3))
    fc, readout = nodes["fc"], nodes["readout"]
    assert isinstance(fc, n.Affine)
    assert isinstance(readout, n.Linear)
    expected = np.maximum(x @ fc.weight.T + fc.bias, 0) @ readout.weight.T
    np.testing.assert_allclose(Dense(network, np.float64).outputs({"input": x})["output"], expected)


@pytest.mark.parametrize(
    ("node", "match"),
    [
        (n.IF(r=1.0, v_threshold=1.0), "middle: IF is no ReLU"),
        (n.Threshold(1.0), "middle: Threshold is no ReLU"),
        (Surface(levels=1.0), "middle: a Surface adds up events"),
        (SigmaDelta(levels=1.0, leak_per_s=2.0), r"middle: leak_per_s is 2\.0, expected 0"),
        (n.Scale(1.0, metadata={"tectum": {"activation": "tanh"}}), "middle: .* states activation 'tanh'"),
    ],
)
def test_what_is_no_relu_network_is_refused_by_name(node: n.Node, match: str) -> None:
    nodes = {"input": n.Input((3,)), "fc": n.Linear(np.eye(3)), "middle": node, "output": n.Output((3,))}
    with pytest.raises(ConvertError, match=match):
        relu_network(Graph(nodes, pairwise(nodes)))


def test_a_recurrent_network_is_refused() -> None:
    nodes = {"input": n.Input((3,)), "relu": Activation(), "back": n.Linear(np.eye(3)), "output": n.Output((3,))}
    edges = [("input", "relu"), ("relu", "back"), ("back", "relu"), ("relu", "output")]
    with pytest.raises(ConvertError, match="cycle passes through or leads to back, output, relu"):
        fit_quanta(Graph(nodes, edges), {"input": np.ones((1, 3))}, 8)


def test_products_in_a_row_are_kept_apart() -> None:
    """Two convolutions without an activation between them would be multiplied out to a matrix of all their places."""
    rng = np.random.default_rng(5)
    network = chain(
        (1, 9, 9),
        n.Conv2d((9, 9), weight(rng, 2, 1, 3, 3), (1, 1), (1, 1), (1, 1), 1, np.zeros(2)),
        n.Scale(np.broadcast_to(np.array([[[2.0]], [[3.0]]]), (2, 9, 9))),
        n.Conv2d((9, 9), weight(rng, 3, 2, 3, 3), (1, 1), (0, 0), (1, 1), 1, np.zeros(3)),
        n.AvgPool2d((7, 7), (7, 7), (0, 0)),
    )
    apart = separated(network)
    assert apart.of_kind(Activation) == ("1_scale_linear", "2_conv2d_linear")
    x = {"input": rng.normal(size=(2, 1, 9, 9))}
    true = Dense(network, np.float64).outputs(x)["output"]
    np.testing.assert_allclose(Dense(apart, np.float64).outputs(x)["output"], true)


@pytest.mark.parametrize(
    ("samples", "match"),
    [
        ({}, "there are no samples for the Input 'input'"),
        ({"input": np.ones((2, 10, 10))}, r"samples of input: shape \(2, 10, 10\), expected \(count, 1, 10, 10\)"),
        ({"input": np.ones((0, 1, 10, 10))}, r"shape \(0, 1, 10, 10\)"),
        ({"input": np.full((3, 1, 10, 10), np.nan)}, "sample 0 is not finite"),
    ],
)
def test_samples_that_do_not_fit_are_refused(samples: dict[str, NDArray[np.float64]], match: str) -> None:
    with pytest.raises(ConvertError, match=match):
        fit(small(), samples, 0.1)


@pytest.mark.parametrize("error", [0.0, 1.0, -0.1, math.nan])
def test_an_impossible_error_is_refused(error: float) -> None:
    with pytest.raises(ConvertError, match="error is"):
        fit(small(), clip(), error)
