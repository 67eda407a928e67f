"""Compilation ahead of use, and the closed forms against stepping them one by one, compiled and as plain Python."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nets.engine import Engine
from nets.kernels.build import is_built, is_warm, warm
from nets.kernels.cache import folder_name
from nets.kernels.current import current_power
from nets.kernels.feed import feed
from nets.kernels.leak import leak_power
from nets.kernels.run import run
from tests.reference.mixed_network import events, graph_and_dialect, result

CONSTANTS = np.array([1.0, 0.0])


def test_warming_compiles_everything_and_reports_progress() -> None:
    seen: list[float] = []
    warm(lambda what, done: seen.append(done))
    assert is_warm()
    assert is_built()
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_the_cache_folder_is_named_after_what_decides_the_code() -> None:
    assert folder_name() == folder_name()
    assert folder_name().startswith("kernels-cp3")


def forms(kernel: Any) -> list[Any]:
    return [kernel, getattr(kernel, "py_func", kernel)]


@pytest.mark.parametrize("ticks", [0, 1, 2, 7, 1000])
@pytest.mark.parametrize("a", [0.0, 0.5, 0.999, 1.0])
def test_leak_power_equals_its_steps(a: float, ticks: int) -> None:
    for power in forms(leak_power):
        ra, rc = power(CONSTANTS, a, 0.125, ticks)
        v = 3.0
        for _ in range(ticks):
            v = a * v + 0.125
        assert ra * 3.0 + rc == pytest.approx(v, rel=1e-12)


@pytest.mark.parametrize("ticks", [0, 1, 2, 7, 1000])
@pytest.mark.parametrize(("a", "alpha"), [(0.9, 0.5), (0.9, 0.9), (0.9, 0.9 + 1e-12), (0.0, 0.3)])
def test_current_power_equals_its_steps(a: float, alpha: float, ticks: int) -> None:
    for power in forms(current_power):
        ra, rs, rc, ralpha, re = power(CONSTANTS, a, 0.25, 0.01, alpha, -0.02, ticks)
        v, i = 0.3, 2.0
        for _ in range(ticks):
            v, i = a * v + 0.25 * i + 0.01, alpha * i - 0.02
        assert ra * 0.3 + rs * 2.0 + rc == pytest.approx(v, rel=1e-9, abs=1e-12)
        assert ralpha * 2.0 + re == pytest.approx(i, rel=1e-9, abs=1e-12)


def test_kernels_give_the_same_bits_as_plain_python(deploy: Path) -> None:
    script = "from tests.reference.mixed_network import result; print(result())"
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(deploy.parent)}
    plain = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert plain.stdout.strip() == result()


def test_writable_and_read_only_events_run_the_same_compiled_code() -> None:
    warm()
    before = len(feed.signatures), len(run.signatures)
    engine = Engine(*graph_and_dialect())
    t, index, value = events()
    engine.feed("input", t, index, value)
    for array in (t, index, value):
        array.flags.writeable = False
    engine.feed("input", t, index, value)
    engine.feed("input", t, index)
    engine.advance(10_000_000)
    assert (len(feed.signatures), len(run.signatures)) == before
