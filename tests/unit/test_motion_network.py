"""The street network: its file is what its script says, and its design does what its docstring promises."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import aedat
import h5py
import nir
import numpy as np
import pytest
from numpy.typing import NDArray

from nets.dialect import resolve
from nets.encode import make_encoder
from nets.nir import read
from runtime.core.topic import DVS, VECTOR3, Topic

Counts = NDArray[np.float64]


@pytest.fixture(scope="module")
def motion(deploy: Path) -> ModuleType:
    """The script, as a module."""
    spec = importlib.util.spec_from_file_location("make_motion", deploy / "networks" / "make_motion.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(motion: ModuleType, eye: Counts, vestibular: Counts) -> tuple[Counts, Counts]:
    """Clock-driven, one tick a row, by the rules of the sidecar: spikes of the detectors and of the bearings."""
    keep = 1 - motion.DT_S / motion.TAU_S
    drive = eye @ motion.weigh_eye().T + vestibular @ motion.weigh_vestibular().T
    to_bearing = motion.weigh_bearing()
    v_detect, v_bearing = np.zeros(20), np.zeros(9)
    detected, bearings = np.zeros((len(eye), 20)), np.zeros((len(eye), 9))
    for tick, x in enumerate(drive):
        v_detect = keep * v_detect + x
        detected[tick] = v_detect >= 1
        v_detect[v_detect >= 1] = 0
        v_bearing = keep * v_bearing + to_bearing @ detected[tick]
        bearings[tick] = v_bearing >= 1
        v_bearing[v_bearing >= 1] = 0
    return detected, bearings


def contents(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()]} if isinstance(item, h5py.Dataset) else {}))
    return found


def moving_bar(column: float, events: int, rng: np.random.Generator) -> Counts:
    """One tick of `events` events about a column of the grid."""
    grid = np.zeros((2, 13, 18))
    places = np.clip(np.rint(rng.normal(column, 0.7, events)), 0, 17).astype(int)
    np.add.at(grid, (rng.integers(0, 2, events), rng.integers(0, 13, events), places), 1)
    return grid.ravel()


def test_file_is_what_the_script_writes(motion: ModuleType, deploy: Path, tmp_path: Path) -> None:
    shipped = deploy / "networks" / "motion.nir"
    assert shipped.stat().st_size < 100_000
    motion.write(tmp_path / "motion.nir")
    ours, theirs = contents(tmp_path / "motion.nir"), contents(shipped)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert np.array_equal(value, theirs[name]), name


def test_file_is_nir_to_others_and_to_us(deploy: Path) -> None:
    path = deploy / "networks" / "motion.nir"
    graph = nir.read(path)
    assert {k: v.tolist() for k, v in graph.input_type.items()} == {"eye": [2, 13, 18], "vestibular": [6]}
    assert {k: v.tolist() for k, v in graph.output_type.items()} == {"output": [9]}
    ours = read(path)
    assert set(ours.nodes) == set(graph.nodes)
    dialect = resolve(ours, path)
    rules = (dialect.dt_s, dialect.leak, dialect.input_gain, dialect.resistance, dialect.multi_spike, dialect.reset)
    assert rules == (1e-3, "euler", "decay", "apply", False, "value")
    assert (dialect.threshold, dialect.floor) == (">=", None)


def test_bearing_follows_a_bar_and_noise_says_nothing(motion: ModuleType) -> None:
    rng = np.random.default_rng(5)
    still = np.zeros((2000, 6))
    _, bearings = run(motion, np.array([moving_bar(1 + 15 * k / 2000, 20, rng) for k in range(2000)]), still)
    places = [int(part.sum(axis=0).argmax()) for part in np.split(bearings, 10)]
    assert places == sorted(places)
    assert places[0] <= 1
    assert places[-1] >= 7

    noise = rng.poisson(0.010 / 26, (2000, 468)).astype(np.float64)  # 10 events/s a column
    detected, bearings = run(motion, noise, still)
    assert noise.sum() > 300
    assert detected.sum() == bearings.sum() == 0


def test_motion_everywhere_is_no_bearing(motion: ModuleType) -> None:
    busy = np.random.default_rng(6).poisson(40 / 468, (1000, 468)).astype(np.float64)
    detected, bearings = run(motion, busy, np.zeros((1000, 6)))
    assert detected.sum() > 1000
    assert bearings.sum() == 0


def test_turning_suppresses_the_eye_and_shifts_the_bearing(motion: ModuleType) -> None:
    gyro = Topic("imu/gyro", VECTOR3, "rad/s", 1000.0)
    encoder = make_encoder("level", gyro, (6,), {"step": 0.05})
    t = np.arange(200, dtype=np.int64)
    rate = np.zeros((200, 3), np.float32)
    rate[:, 2] = np.clip(np.arange(200) * 0.01, 0, 1)  # a turn to the left, 10 rad/s2 up to 1 rad/s
    encoded = encoder.encode(t, rate)
    assert encoded.value is not None
    turn = np.zeros((200, 6))
    np.add.at(turn, (encoded.t, encoded.index), encoded.value)
    assert turn[:, 4].sum() == 20

    rng = np.random.default_rng(7)
    eye = np.array([moving_bar(8.5, 3, rng) for _ in range(200)])
    with_turn, _ = run(motion, eye, turn)
    without, _ = run(motion, eye, turn * 0)
    assert with_turn[:100, :18].sum() < 0.5 * without[:100, :18].sum()

    detected, bearings = run(motion, eye * 0, turn)
    assert detected[:, 18].sum() == 20
    assert detected[:, 19].sum() == 0
    assert bearings[:, 5:].sum() > 0
    assert bearings[:, :5].sum() == 0


def test_bearing_follows_the_vehicle_on_a_real_street(motion: ModuleType, data: Path) -> None:
    recording = aedat.Decoder(data / "events" / "davis346.aedat4")
    events = np.concatenate([packet["events"] for packet in recording if "events" in packet])
    pixels = np.zeros(len(events), DVS)
    for field in ("x", "y", "on"):
        pixels[field] = events[field]
    t = (events["t"] - events["t"][0]).astype(np.int64)
    encoder = make_encoder("address", Topic("eye/events", DVS, extent=(260, 346)), (2, 13, 18), {"downscale": 20})
    encoded = encoder.encode(t, pixels)
    assert len(encoded.index) == len(events) == 78_830
    eye = np.zeros((2400, 468))
    np.add.at(eye, (encoded.t // 1000, encoded.index), 1)
    _, bearings = run(motion, eye, np.zeros((2400, 6)))
    places = [float(part.sum(axis=0) @ np.arange(9) / part.sum()) for part in np.split(bearings, 12)]
    assert max(np.diff(places)) < 1.5
    assert min(np.diff(places)) > -0.5
    assert places[0] < 2
    assert places[-1] > 5
