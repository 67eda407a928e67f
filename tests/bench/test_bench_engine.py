"""`tectum bench engine`, short: every figure is measured on the same network beside its baselines, and says so."""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ET
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nets.errors import NirError
from nets.thresholds import DEFAULT, Thresholds
from runtime.bench import engine as bench
from runtime.bench import engine_scaling as scaling
from runtime.bench.ceiling import add_each, add_eight, record
from runtime.bench.rivals import numpy_dense, one_blas_thread, torch_loops
from runtime.bench.workload import LAYERS, RATES, TICK_NS, Stream, Workload, stream, w1, w2
from tests.comparison.speed.result import Found, difference, differing, misses, page, targeted, times
from tests.robots import DEPLOY

ROOT = DEPLOY.parent
NETWORK = DEPLOY / "networks" / "cnn_sinabs.nir"
TICKS = 60


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """One run of the command: what it printed, and its picture."""
    picture = tmp_path_factory.mktemp("bench") / "activity.svg"
    command = [sys.executable, "-m", "runtime", "bench", "engine", "--quick", "--json", "--plot", str(picture)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode in (0, 1), done.stderr
    printed = json.loads(done.stdout)
    assert done.returncode == bool(printed["engine"]["missed"])
    return printed, picture


def workloads() -> list[Workload]:
    return [w1(RATES[1]), w2(RATES[1], NETWORK)]


def test_json_holds_every_figure_beside_its_baseline(quick: tuple[dict[str, Any], Path]) -> None:
    printed, _ = quick
    assert printed["machine"]["processor"]
    rows = printed["engine"]["speed"]
    assert [(row["workload"], row["rate_hz"]) for row in rows] == [(w, r) for w in ("W1", "W2") for r in RATES]
    for row in rows:
        best = row["us_a_tick"]
        ceiling = min(us for name, us in best.items() if name.startswith("ceiling"))
        assert row["of_ceiling"] == ceiling / best["engine"] > 0
        rivals = {name: us for name, us in best.items() if name.startswith("torch")}
        rivals = rivals or {"numpy dense": best["numpy dense"]}
        assert row["rival_us"] == rivals[row["rival"]] == min(rivals.values())
        assert row["times"] == row["rival_us"] / best["engine"]
        assert row["synops_s"] > 0
    found = printed["engine"]["scaling"]
    assert {"silence_ms", "doubled", "doubled_plane", "r2", "event_us", "empty_us"} <= set(found)
    assert found["event_us"] > found["empty_us"] > 0
    assert [point["share"] for point in found["activity"]] == list(scaling.ACTIVITIES)


def test_the_picture_shows_every_activity_inside_its_frame(quick: tuple[dict[str, Any], Path]) -> None:
    printed, picture = quick
    root = ET.parse(picture).getroot()
    dots = [(float(e.attrib["cx"]), float(e.attrib["cy"])) for e in root.iter() if e.tag.endswith("circle")]
    assert len(dots) == len(printed["engine"]["scaling"]["activity"])
    assert all(60 <= x <= 580 and 40 <= y <= 340 for x, y in dots)
    assert max(x for x, _ in dots) == 580
    assert min(y for _, y in dots) == 40


def test_calibration_tries_every_threshold_and_proposes_a_table() -> None:
    assert set(bench.CANDIDATES) == {field.name for field in fields(Thresholds)}
    said: list[str] = []
    report = bench.calibrate(NETWORK, 10, 1, said.append)
    assert len(said) == len(bench.CANDIDATES)
    _, _, snippet = report.text.partition("\n\n")
    proposed = tomllib.loads(snippet)["network"]["thresholds"]
    made = Thresholds(**proposed)
    for name, found in report.data["thresholds"].items():
        assert getattr(made, name) == found["proposed"]
        assert found["default"] == getattr(DEFAULT, name)
        assert found["time_over_default"][f"{found['default']:g}"] == pytest.approx(1.0)
        best = min(found["time_over_default"].values())
        kept = found["proposed"] == found["default"]
        assert kept == (best >= 1 - bench.WORTH)


@pytest.mark.parametrize("threshold", list(bench.CANDIDATES))
def test_no_candidate_changes_a_spike(threshold: str) -> None:
    for workload in workloads():
        events = stream(workload.rate_hz, TICKS)
        usual = spikes(workload, events, DEFAULT)
        for value in bench.CANDIDATES[threshold]:
            assert spikes(workload, events, replace(DEFAULT, **{threshold: value})) == usual


def spikes(workload: Workload, events: Stream, thresholds: Thresholds) -> dict[str, int]:
    engine = bench.make(workload, thresholds)
    bench.streamed(engine, events)
    return dict(engine.counters.spikes)


def test_the_loops_it_is_measured_against_run_the_same_network() -> None:
    for workload in workloads():
        events = stream(workload.rate_hz, TICKS)
        ours = list(spikes(workload, events, DEFAULT).values())
        assert sum(ours) > 100
        for name, loop in {"numpy": numpy_dense(workload), **torch_loops(workload)}.items():
            for _ in range(2):
                loop.reset()
                theirs = [0] * len(ours)
                for k in range(TICKS):
                    index = events.index[events.cuts[k] : events.cuts[k + 1]]
                    layers = loop.step(np.bincount(index, minlength=2312).astype(np.float32))
                    theirs = [n + int(layer.sum()) for n, layer in zip(theirs, layers, strict=True)]
                assert theirs == pytest.approx(ours, rel=0.01, abs=2), name


def test_the_ceiling_adds_what_the_engine_adds() -> None:
    """Its rows, added to nothing, are the weights of everything that fired, layer by layer."""
    workload = w1(RATES[1])
    events = stream(workload.rate_hz, TICKS)
    engine = bench.make(workload)
    rows, whole = record(engine, events)
    fired = list(engine.counters.spikes.values())
    assert whole
    assert rows.additions == sum(n * size for n, size in zip([len(events.t), *fired[:2]], LAYERS[1:], strict=True))
    sums = []
    for add in (add_each, add_eight):
        drive = np.zeros_like(rows.drive)
        add(drive, rows.weights, rows.to, rows.start, rows.run)
        sums.append(drive)
    assert np.allclose(sums[0], sums[1], rtol=1e-3, atol=1e-3)
    first = workload.weights[0][:, events.index].sum(axis=1)
    to = int(rows.to[0])
    internal = next(unit for unit in engine.program.units if unit.report == 0).layout.internal
    assert np.allclose(sums[0][to + internal[: LAYERS[1]]], first, rtol=1e-3, atol=1e-3)


def test_streams_are_poisson_and_cut_at_their_ticks() -> None:
    events = stream(100_000, 500)
    assert events.ticks == 500
    assert abs(len(events.t) - 50_000) < 5 * math.sqrt(50_000)
    tick = events.t // TICK_NS
    assert all((tick[events.cuts[k] : events.cuts[k + 1]] == k).all() for k in range(500))
    again = stream(100_000, 500)
    assert (again.t == events.t).all()
    assert (again.index == events.index).all()


def test_a_straight_line_is_recognised() -> None:
    points = [(share, 1000 * share, 2.0 + 3.0 * share) for share in scaling.ACTIVITIES]
    slope, intercept, r2 = scaling.line(points)
    assert (slope, intercept, r2) == pytest.approx((0.003, 2.0, 1.0))
    bent = [(share, ops, us**2) for share, ops, us in points]
    assert scaling.line(bent)[2] < 0.99
    assert scaling.bars(points).count("\n") == len(points)


def test_numpy_is_held_to_one_thread() -> None:
    if "openblas" not in str(np.show_config(mode="dicts")):
        pytest.skip("numpy has no OpenBLAS here")
    assert one_blas_thread()


def test_a_missing_network_is_named() -> None:
    args = argparse.Namespace(quick=True, calibrate=True, network=Path("no-such.nir"), plot=None)
    with pytest.raises(NirError, match=r"no-such\.nir"):
        bench.run(args, {}, lambda line: None)


def found(name: str, us: float, layers: list[int]) -> list[Found]:
    return [Found(name, "W1", rate, us, layers) for rate in RATES]


def test_a_comparison_holds_each_simulator_against_the_same_events() -> None:
    rows = [
        *found("tectum", 10.0, [5000, 50]),
        *found("tectum_merged", 5.0, [4000, 40]),
        *found("brian2", 40.0, [4000, 49]),
        *found("norse", 500.0, [5000, 61]),
    ]
    assert times(rows, rows[6]) == 8.0
    assert times(rows, rows[9]) == 50.0
    assert list(misses(rows)) == []
    assert difference(rows, rows[6]) == 0.009
    assert [line.split(":")[0] for line in differing(rows)] == [f"W1 at {r // 1000} k events/s" for r in RATES]
    slower = [replace(row, us=39.0) if row.name == "brian2" else row for row in rows]
    assert len(list(misses(slower))) == 2
    assert targeted("brian2")
    assert not targeted("norse")
    text = page(rows, {"processor": "one"}, {"tectum": {"numba": "1"}}, ["genn"], [])
    assert "| Brian2 C++ (batch) | 40.0 µs, 8.0 times |" in text
    assert "not installed: GeNN" in text
    assert "All targets met." in text
