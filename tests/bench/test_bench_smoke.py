"""The benchmarks, tiny: each measures something, beside its baseline, and says so."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime.bench import accuracy, bus, latency
from runtime.bench.daemon import daemon
from runtime.bench.facts import document, facts, save
from runtime.bench.get import get
from runtime.bench.hop import hop
from runtime.bench.load import PATHS, load
from runtime.bench.report import Report, table, targets
from runtime.bench.spread import Spread, spread
from runtime.bench.viewer import Viewed, view
from runtime.core.clock import MonotonicClock, run_real, run_virtual
from tests.robots import DEPLOY, playlist

ROOT = DEPLOY.parent


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "runtime", "bench", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)


def test_the_bus_is_measured_beside_a_queue() -> None:
    hops = run_real(lambda clock: bus.measure(clock, 1, 0.1, 2000, lambda line: None))
    assert [(h.transport, h.events) for h in hops] == [("queue", 1), ("bus", 1), ("queue", 10_000), ("bus", 10_000)]
    assert all(h.latency.n == 50 and 0 < h.latency.p50_us <= h.latency.p99_us <= h.latency.max_us for h in hops)
    report = bus.report(hops)
    assert report.data["ratios"]["1"]["packets_s"] == hops[1].packets_s / hops[0].packets_s
    assert "bus over queue, 10000 events" in report.text


def test_a_hop_of_no_time_takes_no_time() -> None:
    """On virtual time nothing passes between put and get: what a hop counts is only the machine's own time."""
    assert run_virtual(lambda clock: _released(clock)) == [0] * 20


async def _released(clock: Any) -> list[int]:
    clock.release()
    times = await hop(clock, 1000.0, 0.02)
    return times


def test_accuracy_is_judged_whole_and_live(tmp_path: Path) -> None:
    folder = playlist(tmp_path / "play", DEPLOY / "recordings" / "nmnist", [60001, 60002, 60019])
    judged = accuracy.judge(folder)
    assert (judged.files, judged.whole, judged.live, judged.lost, judged.late) == (3, 2, 2, 0, 0)
    assert [line.split(":")[0] for line in judged.wrong] == ["60019.bs2"]
    assert judged.speed > 0
    assert judged.packets > 100
    assert "2 (66.7 %)" in accuracy.report("play", judged).text


def test_a_run_under_load_gives_latencies_a_viewer_pictures_and_every_path_answers(tmp_path: Path) -> None:
    async def scenario() -> None:
        clock = MonotonicClock()
        viewed = Viewed()
        async with daemon(DEPLOY / "digits.toml", tmp_path, dict(os.environ)) as robot:
            viewing = asyncio.create_task(view(robot.port, viewed))
            await robot.take_latencies()
            loaded = await load(clock, robot.port, 5.0 * len(PATHS), 2.0)
            latencies = await robot.take_latencies()
            assert {"control", "gateway"} <= set(await robot.pids())
            assert (await get(robot.port, "/no/such/path")).status == 404
            viewing.cancel()
            await asyncio.gather(viewing, return_exceptions=True)
            assert await robot.stop() == 0, robot.log.read_text()
        assert (loaded.answered, loaded.failed, loaded.missed) == (10 * len(PATHS), 0, 0)
        assert 20 <= len(latencies) <= 200
        assert 0 < spread(latencies).p50_us < 1e6
        assert viewed.live > 5
        assert viewed.status > 5

    asyncio.run(scenario())


def arm(setting: str, pair: int, p99: float, hop_p99: float, http: bool) -> latency.Arm:
    loaded = {"rate_hz": 200.0, "answered": 10, "failed": 0, "missed": 0, "answer": None} if http else None
    measured, bare = Spread(100, p99 / 2, p99, p99 * 2), Spread(100, hop_p99 / 2, hop_p99, hop_p99 * 2)
    return latency.Arm(setting, pair, loaded, measured, bare, 1, 2, 0.3, 0.01)


@pytest.mark.parametrize(("p99_with", "hop_p99", "missed"), [(600.0, 50.0, 0), (601.0, 50.0, 1), (601.0, 39.0, 2)])
def test_a_missed_target_is_reported(p99_with: float, hop_p99: float, missed: int) -> None:
    plan = latency.Plan(Path("digits.toml"), 3, 20.0, 200.0, 0, 1, None, {"inline": {}})
    arms = [
        arm("inline", pair, p, hop_p99, http) for pair in range(3) for p, http in ((400.0, False), (p99_with, True))
    ]
    report = latency.report(plan, arms)
    assert len(report.missed) == missed
    assert report.text.count("MISSED") == missed
    assert report.data["ratios"]["inline"]["http_over_quiet"] == [p99_with / 400.0] * 3


def test_the_command_prints_json_and_saves_text(tmp_path: Path) -> None:
    done = bench("bus", "--rounds", "1", "--seconds", "0.1", "--packets", "500", "--json", "--save", str(tmp_path))
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert set(printed) == {"machine", "bus"}
    assert printed["bus"]["hops"][0]["packets_s"] > 0
    saved = (tmp_path / "bus.txt").read_text()
    assert "command:   tectum bench bus --rounds 1 --seconds 0.1 --packets 500" in saved
    assert "processor: " in saved


def test_results_name_no_folder_and_no_host(tmp_path: Path) -> None:
    text = save(tmp_path, "tectum bench bus", Report("bus", "text", {})).read_text()
    assert steady(text) == steady(document("tectum bench bus", "text"))
    assert os.uname().nodename not in text.split()
    assert str(Path.home()) + "/" not in text
    assert facts()["processor"]


def steady(text: str) -> list[str]:
    """Without what changes from one moment to the next."""
    return [line for line in text.splitlines() if not line.startswith(("date:", "load:"))]


def test_tables_line_up_and_targets_include_their_bound() -> None:
    assert table(("a", "n"), [("long", "1"), ("b", "100")]) == "a       n\nlong    1\nb     100"
    assert targets([("x", 1.0, 1.0), ("y", 1.01, 1.0)])[1] == ("y: 1.01 (at most 1)",)
    assert spread(np.arange(1, 102) * 1000) == Spread(101, 51.0, 100.0, 101.0)
    with pytest.raises(ValueError, match="nothing was measured"):
        spread([])
