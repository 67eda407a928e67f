"""Start-up is measured step by step on a real robot, and judged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from runtime.bench.start import Start, Work, processed, report, work
from tests.robots import DEPLOY

ROOT = DEPLOY.parent


def test_a_start_is_measured_step_by_step() -> None:
    command = [sys.executable, "-m", "runtime", "bench", "start", "--runs", "1", "--warm", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode in (0, 1), done.stderr
    found = json.loads(done.stdout)["start"]
    assert done.returncode == bool(found["missed"])
    (start,) = found["starts"]
    assert all(start[step] > 0 for step in ("imports", "opening", "total"))
    assert start["imports"] + start["kernels"] + start["opening"] + start["first_packet"] <= start["total"] + 0.05
    assert found["steps"]["beyond imports"]["median_s"] == pytest.approx(start["total"] - start["imports"])
    assert found["cold"] is None


@pytest.mark.parametrize(
    ("beyond", "shown", "cold", "missed"),
    [(3.0, 0.5, 90.0, 0), (3.1, 0.5, 90.0, 1), (3.0, 0.6, 90.0, 1), (3.0, 0.5, 91.0, 1), (3.0, 0.5, None, 0)],
)
def test_a_missed_target_is_reported(beyond: float, shown: float, cold: float | None, missed: int) -> None:
    starts = [Start(1.0, 0.2, 0.1, 0.1, 1.0 + seconds) for seconds in (0.5, beyond, 9.0)]
    made = report("digits", starts, Work(9.0, shown), None if cold is None else Work(cold, 50.0))
    assert len(made.missed) == missed
    assert made.text.count("MISSED") == missed
    assert made.data["steps"]["total"] == {"median_s": 1.0 + beyond, "least_s": 1.5, "most_s": 10.0}


@pytest.mark.parametrize(
    ("network", "events", "taken"),
    [({"events_in": 0}, 5, False), ({"events_in": 1}, 5, True), (None, 0, False), (None, 1, True)],
)
def test_the_first_packet_is_the_networks_or_where_there_is_none_the_buss(
    network: dict[str, Any] | None, events: int, taken: bool
) -> None:
    assert processed({"network": network, "topics": [{"events": events}]}) is taken


def test_help_costs_little() -> None:
    """Nothing heavy is imported to print what there is."""
    command = [sys.executable, "-X", "importtime", "-m", "runtime", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    imported = {line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if "|" in line}
    assert "tectum" in done.stdout
    assert not imported & {"numpy", "numba", "pydantic", "fastapi", "asyncio", "h5py"}


def test_a_command_that_fails_is_no_measurement() -> None:
    assert work([sys.executable, "-c", "pass"], os.environ).wall_s > 0
    with pytest.raises(subprocess.CalledProcessError):
        work([sys.executable, "-c", "raise SystemExit(1)"], os.environ)
