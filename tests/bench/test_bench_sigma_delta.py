"""`tectum bench sigma-delta`: its networks, its contestants and its clips, each against a slower or a known answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nets import nodes as n
from nets.convert.dense import Dense
from nets.convert.layers import Activation, chain
from nets.convert.levels import scales
from nets.convert.sigma_delta import quantised
from runtime.bench.ladder import Ladder, read_ladder
from runtime.bench.sigma_delta import DIGITS, MOST_ERROR, VIDEO, Shown, against_rate, measure, sliding
from runtime.bench.sliding import BAND, CANVAS, DIGIT, ROOM, SHOWN, TRAINED, place, read_digits, slide
from runtime.bench.video import FRAME, faster, read_clip
from runtime.bench.video_dense import Rival, onnx_runtime, plain, rival
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
    assert 0 < found["operations"] < found["operations_faster"]
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


def test_json_holds_every_figure(data: Path) -> None:
    pytest.importorskip("av", reason="decoding video needs PyAV")
    command = [sys.executable, "-m", "runtime", "bench", "sigma-delta", "--quick", "--json"]
    environment = os.environ | {"TECTUM_DATA": str(data)}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False, env=environment)
    assert done.returncode in (0, 1), done.stderr
    printed = json.loads(done.stdout)["sigma-delta"]
    assert done.returncode == bool(printed["missed"])
    assert [(row["clip"], row["levels"]) for row in printed["video"]] == [
        (clip, levels) for clip in ("carphone", "bikes") for levels in (8, 16, 32)
    ]
    assert printed["dense"]
