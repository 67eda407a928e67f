"""The shipped gaze network: what it promises, and that it holds the gaze by the engine that runs it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nets.nir import read
from nets.sigma_delta.engine import SigmaDeltaEngine
from nets.sigma_delta.node import SigmaDelta, Surface
from sensors.gaze_camera import GazeCamera
from sensors.gaze_definition import GazeWorld
from sensors.gaze_dvs import GazeDvs
from sensors.gaze_rig import Rig

MS = 1_000_000
NETWORKS = {"gaze.nir": 2, "gaze_small.nir": 1}
GREY, TURN = 128.0, 0.1


@pytest.fixture(scope="module", params=sorted(NETWORKS))
def file(request: pytest.FixtureRequest) -> Path:
    return Path(__file__).resolve().parents[2] / "deploy" / "networks" / str(request.param)


def hold(file: Path, milliseconds: int, without: tuple[str, ...] = (), seed: int = 7) -> tuple[float, float, float]:
    """(RMS error in px from 0.5 s on, largest command in rad/s, operations over those of dense passes at 1 kHz)."""
    graph = read(file)
    made_for = json.loads(graph.metadata["gaze"])
    world = GazeWorld.model_validate({**made_for["world"], "seed": seed})
    dvs = GazeDvs(name="dvs", step_s=0.001, threshold=made_for["dvs_threshold"])
    rig, engine = Rig(world, dvs=dvs, camera=GazeCamera(name="camera")), SigmaDeltaEngine(graph)
    rows, columns = world.shape
    pixels, axes = np.arange(rows * columns, dtype=np.int32), np.arange(3, dtype=np.int32)
    squares, largest = [], 0.0
    command, port = np.zeros(len(world.axes)), list(engine.outputs).index("command")
    for k in range(1, milliseconds + 1):
        t = k * MS
        times, rates = rig.gyro(t)
        if "gyro" not in without:
            for at, rate in zip(times.tolist(), rates, strict=True):
                stamps = np.full(3, at, np.int64)
                engine.feed("gyro", stamps, axes, rate)
                engine.feed("turn", stamps, axes, rate * np.float32(TURN))
        times, events = rig.dvs(t)
        if "dvs" not in without:
            index = (events["on"].astype(np.int32) * rows + events["y"]) * columns + events["x"]
            engine.feed("dvs", times, index.astype(np.int32), np.ones(len(times), np.float32))
        for frame in rig.camera_frames(t):
            if "camera" not in without:
                grey = (frame.grey.ravel() / GREY).astype(np.float32)
                engine.feed("camera", np.full(len(grey), frame.t, np.int64), pixels, grey)
        shown = engine.advance(t)
        commands = shown.port == port
        command[shown.index[commands]] = shown.value[commands]
        for axis, rate in zip(world.axes, command.tolist(), strict=True):
            rig.command(axis, t, rate)
        largest = max(largest, float(np.abs(command).max()))
        if k > 500:
            squares.append(sum(moment.error**2 for moment in rig.pose(t)))
    rms = math.sqrt(float(np.mean(squares))) * world.pixels_per_rad
    return rms, largest, engine.counters.synops / (milliseconds * engine.program.dense_synops)


def test_it_has_the_ports_that_its_readme_names(file: Path) -> None:
    graph = read(file)
    rows, columns = json.loads(graph.metadata["gaze"])["world"]["shape"]
    shapes: dict[str, Any] = {"camera": (1, rows, columns), "dvs": (2, rows, columns), "gyro": (3,), "turn": (3,)}
    engine = SigmaDeltaEngine(graph)
    assert {name: port.shape for name, port in engine.inputs.items()} == shapes
    axes = NETWORKS[file.name]
    assert {name: port.shape for name, port in engine.outputs.items()} == dict.fromkeys(
        ("command", "error", "rate"), (axes,)
    )
    assert {name for name, node in graph.nodes.items() if isinstance(node, Surface)} == {
        "dvs_quantiser",
        "turn_quantiser",
    }
    assert sum(isinstance(node, SigmaDelta) for node in graph.nodes.values()) == len(engine.populations)
    assert file.stat().st_size < 1 << 20


def test_it_holds_the_gaze_at_a_fraction_of_a_dense_pass_a_millisecond(file: Path) -> None:
    rms, largest, share = hold(file, 1500)
    cut, _, _ = hold(file, 1500, without=("camera", "dvs", "gyro"))
    assert rms < min(6.0, cut / 3)
    assert math.isfinite(largest)
    assert share < 1 / 12


@pytest.mark.parametrize("sensor", ["camera", "dvs", "gyro"])
def test_without_one_sensor_the_others_still_help(file: Path, sensor: str) -> None:
    rms, largest, _ = hold(file, 1500, without=(sensor,))
    none, _, _ = hold(file, 1500, without=("camera", "dvs", "gyro"))
    assert rms < none
    assert math.isfinite(largest)
