"""`tectum convert`: from a model and samples to a file that runs, with its error and its cost."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nets import nodes as n
from nets.convert.errors import ConvertError
from nets.convert.layers import chain
from nets.convert.samples import read_samples
from nets.dialect import resolve
from nets.engine import Engine
from nets.graph import Graph
from nets.nir import read, write
from nets.sigma_delta.engine import SigmaDeltaEngine
from runtime.__main__ import main

RNG = np.random.default_rng(0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model whose metadata says where its activations stand, and three kinds of samples."""
    said = {"tectum": {"activation": "relu"}}
    kernel = RNG.normal(size=(4, 1, 3, 3)).astype(np.float32) / 3
    nodes: dict[str, n.Node] = {
        "camera": n.Input((1, 8, 8)),
        "conv": n.Conv2d((8, 8), kernel, (1, 1), (1, 1), (1, 1), 1, np.zeros(4, np.float32), metadata=said),
        "flat": n.Flatten(0, -1),
        "fc": n.Affine((RNG.normal(size=(3, 256)) / 16).astype(np.float32), np.zeros(3, np.float32)),
        "motor": n.Output((3,)),
    }
    write(tmp_path / "model.nir", Graph(nodes, pairwise(nodes)))
    calm = np.repeat(RNG.random((1, 1, 8, 8)), 20, axis=0)
    calm[np.arange(20), 0, np.arange(20) % 8, 3] = 1.0
    np.save(tmp_path / "calm.npy", calm.astype(np.float32))
    np.save(tmp_path / "noise.npy", RNG.integers(0, 256, (20, 8, 8), np.uint8))
    np.savez(tmp_path / "named.npz", camera=calm, labels=np.arange(20))
    return tmp_path


def convert(folder: Path, samples: str, *more: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(
            [
                "convert",
                str(folder / "model.nir"),
                "--samples",
                str(folder / samples),
                "-o",
                str(folder / "net.nir"),
                *more,
            ]
        )
    assert isinstance(left.value.code, int)
    return left.value.code


def test_a_converted_network_runs_and_its_cost_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert(folder, "calm.npy", "--error", "0.05") == 0
    said = capsys.readouterr().out
    assert "conv_relu" in said
    assert "fewer operations than dense passes" in said
    assert "note: the graph needs tectum" in said
    graph = read(folder / "net.nir")
    assert graph.metadata["tectum"]["fitted"]["error"] <= 0.05
    engine = SigmaDeltaEngine(graph)
    engine.feed("camera", np.ones(1, np.int64), np.zeros(1, np.int32), np.ones(1, np.float32))
    assert len(engine.advance(1)) > 0


def test_the_report_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert(folder, "named.npz", "--levels", "16", "--json", "--noise", "camera=0.001") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["quanta"] == 16
    assert [layer["target"] for layer in report["layers"]] == ["camera_q", "conv_relu", "motor"]
    assert report["layers"][0]["levels"] == pytest.approx(16, rel=0.01)
    assert report["total"]["graded"] == pytest.approx(sum(layer["graded"] for layer in report["layers"]))
    assert report["total"]["graded"] < 0.2 * report["total"]["dense"]


def test_a_layer_that_is_dearer_than_dense_is_warned_of_or_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert convert(folder, "noise.npy", "--levels", "32") == 0
    assert "warning: conv_relu: " in capsys.readouterr().out
    (folder / "net.nir").unlink()
    assert convert(folder, "noise.npy", "--levels", "32", "--strict") == 2
    assert "a dense pass would be cheaper: conv_relu" in capsys.readouterr().err
    assert not (folder / "net.nir").exists()


def test_a_rate_coded_network_states_its_dialect(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert(folder, "calm.npy", "--to", "rate", "--ticks", "32", "--error", "0.1") == 0
    assert "rate-coded, 32 ticks" in capsys.readouterr().out
    graph = read(folder / "net.nir")
    engine = Engine(graph, resolve(graph))
    assert set(engine.inputs) == {"camera", "start"}


@pytest.mark.parametrize(
    ("samples", "more", "match"),
    [
        ("calm.npy", ("--levels", "2", "--error", "0.001"), "2 levels reach an error of"),
        ("calm.npy", ("--to", "rate", "--ticks", "2", "--error", "0.001"), "2 ticks reach an error of"),
        ("calm.npy", ("--to", "rate", "--levels", "2"), "--levels, --balance and --noise are of sigma-delta networks"),
        ("calm.npy", ("--noise", "gyro=1"), "expected INPUT=SIGMA"),
        ("calm.npy", ("--noise", "loud"), "expected INPUT=SIGMA"),
        ("calm.npy", ("--balance", "--levels", "8"), "--balance divides levels that --error finds"),
        ("calm.npy", ("--error", "2"), "error is 2.0"),
        ("calm.npy", ("--error", "0"), "error is 0.0"),
        ("calm.npy", ("--frames", "0"), "0 samples are asked for"),
        ("absent.npy", (), "there is no such file"),
    ],
)
def test_what_cannot_be_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], samples: str, more: tuple[str, ...], match: str
) -> None:
    assert convert(folder, samples, *more) == 2
    assert match in capsys.readouterr().err
    assert not (folder / "net.nir").exists()


def camera(*shape: int) -> Graph:
    return chain(shape, n.Flatten(), n.Linear(np.ones((1, math.prod(shape)), np.float32)))


def test_numbers_of_8_bits_are_shares_and_one_channel_may_be_left_out(folder: Path) -> None:
    found = read_samples(folder / "noise.npy", camera(1, 8, 8), 7)["input"]
    stored = np.load(folder / "noise.npy")
    np.testing.assert_allclose(found, stored[:7, None] / 255, rtol=1e-6)
    flat = read_samples(folder / "noise.npy", chain((64,), n.Linear(np.ones((1, 64)))), 7)["input"]
    np.testing.assert_array_equal(flat, found.reshape(7, 64))


@pytest.mark.parametrize(
    ("stored", "shape", "match"),
    [
        (
            {"a": np.ones((2, 3)), "b": np.ones((2, 3))},
            (3,),
            r"holds \['a', 'b'\], expected an array for each of input",
        ),
        ({"input": np.ones((2, 4))}, (3,), r"shape \(2, 4\), expected \(count, 3\)"),
        ({"input": np.array([["x"]])}, (1,), "expected real numbers"),
        ({"input": np.ones((2, 3), object)}, (3,), "not readable by numpy"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path: Path, stored: Any, shape: tuple[int, ...], match: str) -> None:
    np.savez(tmp_path / "samples.npz", **stored)
    with pytest.raises(ConvertError, match=match):
        read_samples(tmp_path / "samples.npz", camera(*shape), 10)


def test_a_video_gives_frames_of_the_networks_size(data: Path) -> None:
    pytest.importorskip("av", reason="decodes video: pip install av")
    path = next((data / "video").glob("carphone*.mp4"))
    grey = read_samples(path, camera(1, 36, 44), 12)["input"]
    assert grey.shape == (12, 1, 36, 44)
    assert 0.2 < float(grey.mean()) < 0.8
    colour = read_samples(path, camera(3, 36, 44), 2)["input"]
    np.testing.assert_allclose(np.tensordot([0.299, 0.587, 0.114], colour, (0, 1))[0], grey[0, 0], atol=0.1)
    with pytest.raises(ConvertError, match=r"one Input of 1 or 3 channels, the network has input \(2, 36, 44\)"):
        read_samples(path, camera(2, 36, 44), 2)


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="decodes video: pip install av")
    (tmp_path / "clip.mp4").write_bytes(b"not a video")
    with pytest.raises(ConvertError, match="not a readable video"):
        read_samples(tmp_path / "clip.mp4", camera(1, 8, 8), 2)
