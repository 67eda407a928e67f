"""The multirate benchmark: its rivals compute the robot's own network, in the robot's own seat."""

from __future__ import annotations

import argparse
import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nets.graph import Graph
from nets.sigma_delta.engine import SigmaDeltaEngine
from nets.sigma_delta.node import SigmaDelta
from runtime.bench import multirate
from runtime.bench.gaze import passes
from runtime.bench.gaze.dense import DenseEngine
from runtime.bench.gaze.robot import Measured, measure
from runtime.bench.gaze.rows import Row
from runtime.bench.gaze.scaled import finer, wider
from runtime.bench.gaze.ways import CACHED, DENSE, FRAMES, NONE, TECTUM
from runtime.bench.gaze.weights import Weights
from runtime.bench.multirate import floor_px, read_gaze
from runtime.core.errors import ConfigError

MS = 1_000_000


@pytest.fixture(scope="module")
def graph() -> Graph:
    return read_gaze("gaze_small.toml").graph


def feed_both(engines: list[SigmaDeltaEngine | DenseEngine], k: int, random: np.random.Generator) -> None:
    t = (k + 1) * MS
    rates = random.normal(0, 2, 3).astype(np.float32)
    events = np.sort(random.integers(k * MS + 1, t, 6))
    where = random.integers(0, 128, 6).astype(np.int32)
    grey = random.uniform(0, 1, 64).astype(np.float32)
    for engine in engines:
        three, pixels = np.arange(3, dtype=np.int32), np.arange(64, dtype=np.int32)
        engine.feed("gyro", np.full(3, t), three, rates)
        engine.feed("turn", np.full(3, t), three, rates / np.float32(10))
        engine.feed("dvs", events, where, np.ones(6, np.float32))
        if k % 33 == 20:
            engine.feed("camera", np.full(64, t - 20 * MS), pixels, grey)


def outputs(engine: SigmaDeltaEngine | DenseEngine, until: int, held: np.ndarray) -> None:
    found = engine.advance(until)
    held[found.port, found.index] = found.value


@pytest.mark.parametrize("cached", [False, True])
def test_the_dense_rival_computes_what_the_network_would_with_endless_levels(graph: Graph, cached: bool) -> None:
    nodes = {}
    for name, node in finer(graph, 4096.0).nodes.items():
        nodes[name] = node
        if isinstance(node, SigmaDelta) and name.endswith("_quantiser"):
            nodes[name] = dataclasses.replace(node, levels=node.levels * 4096.0)
    fine = Graph(nodes, graph.edges)
    engines: list[SigmaDeltaEngine | DenseEngine] = [SigmaDeltaEngine(fine), DenseEngine(graph, MS, cached=cached)]
    for engine in engines:
        engine.reset(0)
    held = np.zeros((2, 3, 2))
    random = np.random.default_rng(1)
    for k in range(120):
        feed_both(engines, k, random)
        for engine, values in zip(engines, held, strict=True):
            outputs(engine, (k + 1) * MS, values)
        if k:
            assert np.abs(held[0] - held[1]).max() < 0.02 * np.abs(held[1]).max()


def test_a_wider_network_is_the_same_function(graph: Graph) -> None:
    engines = [DenseEngine(graph, MS), DenseEngine(wider(graph, 3), MS)]
    held = np.zeros((2, 3, 2))
    random = np.random.default_rng(2)
    for k in range(60):
        feed_both(list(engines), k, random)
        for engine, values in zip(engines, held, strict=True):
            outputs(engine, (k + 1) * MS, values)
    assert np.abs(held[0] - held[1]).max() < 1e-4 * np.abs(held[0]).max()
    assert engines[1].spent.macs > 6 * engines[0].spent.macs


def test_multiplications_are_counted_without_padding(graph: Graph) -> None:
    """64-128-64 for the camera, 128-128-64 for the DVS, 6-32-32, then 160-128-64-6."""
    counted = sum(float(passes.fan_out(graph, name).sum()) for name in passes.products(graph))
    eyes = 64 * 128 + 128 * 64 + 128 * 128 + 128 * 64
    assert counted == eyes + 6 * 32 + 32 * 32 + 160 * 128 + 128 * 64 + 64 * 3


def test_caching_leaves_out_branches_that_nothing_came_to(graph: Graph) -> None:
    work = {}
    for cached in (False, True):
        engine = DenseEngine(graph, MS, cached=cached)
        random = np.random.default_rng(3)
        for k in range(100):
            feed_both([engine], k, random)
            engine.advance((k + 1) * MS)
        work[cached] = engine.spent.macs
    camera = 64 * 128 + 128 * 64
    assert work[False] - work[True] == pytest.approx((100 - 4) * camera)  # the first pass, and three frames


def test_the_robot_holds_its_gaze_by_events_as_well_as_densely() -> None:
    gaze = read_gaze("gaze_small.toml")
    mine, dense, none = (measure(gaze, way, 0, 1.5) for way in (TECTUM, DENSE, NONE))
    assert mine.rms_px < 0.3 * none.rms_px
    assert mine.rms_px < 1.15 * dense.rms_px
    assert dense.synops > 12 * mine.synops
    assert mine.largest <= 1.0
    assert mine.latency_ms
    assert all(ms <= 2.0 for ms in mine.latency_ms)
    assert len(mine.periods_us) == 1500
    assert mine.network_s > 0


@pytest.mark.parametrize("way", [CACHED[1], FRAMES], ids=lambda way: way.name)
def test_the_other_rivals_steer(way: object) -> None:
    assert way in (CACHED[1], FRAMES)
    found = measure(read_gaze("gaze_small.toml"), way, 0, 0.6)
    assert 0 < found.synops < 45e6
    assert found.lost == 0


def test_a_bump_that_was_not_answered_counts_as_late() -> None:
    run = Measured(2.0, [1.0, float("nan")], 100.0, 200.0, 10.0, 5.0, float("nan"), 1.0, 0.1, 0.2, [10.0, 20.0])
    row = Row("a way", [run, run])
    assert row.rms == pytest.approx(2.0)
    assert row.latency(95) == pytest.approx(100.0)
    assert row.work(Weights(2.0, 4.0, 0.1)) == 100.0 + 20.0 + 20.0


def test_what_nobody_can_know_grows_from_nothing_as_of_an_ornstein_uhlenbeck_rate() -> None:
    world = {"pixels_per_rad": 80.0, "base_sd_rad_s": 3.0, "base_tau_s": 0.03}
    assert floor_px(world, 1e-5) < 0.01
    random = np.random.default_rng(0)
    rate, moved = np.zeros(20_000), np.zeros(20_000)
    kick = 3.0 * np.sqrt(1 - np.exp(-2 * 1e-4 / 0.03))
    for _ in range(250):
        rate = rate * np.exp(-1e-4 / 0.03) + kick * random.standard_normal(rate.size)
        moved += rate * 1e-4
    assert floor_px(world, 0.025) == pytest.approx(80.0 * moved.std(), rel=0.03)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seconds": 0.0}, "--seconds 0: expected 0.1 to 3600"),
        ({"plot": Path("figure.png")}, "expected a file that ends in .svg"),
        ({"plot": Path("nowhere/figure.svg")}, "there is no folder nowhere"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_runs(changes: dict[str, Any], message: str) -> None:
    args = argparse.Namespace(**{"quick": True, "seconds": 1.0, "plot": None, "axes": None, **changes})
    with pytest.raises(ConfigError, match=re.escape(message)):
        multirate.run(args, {}, print)
