"""Compilation ahead of use, and the closed forms against stepping them one by one, compiled and as plain Python."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import numba
import numpy as np
import pytest

from nets import nodes as n
from nets.continuous.engine import ContinuousEngine
from nets.dialect import resolve
from nets.engine import Engine
from nets.graph import Graph
from nets.kernels import continuous_feed, continuous_run
from nets.kernels.build import PARTS, is_built, is_warm, share, warm
from nets.kernels.cache import NO_CODE, folder_name
from nets.kernels.current import current_power
from nets.kernels.feed import feed
from nets.kernels.leak import leak_power
from nets.kernels.run import run
from nets.kernels.saving import LOCK, saving
from nets.kernels.second import SecondProcess
from tests.reference.mixed_network import events, graph_and_dialect, result

REPOSITORY = Path(__file__).resolve().parents[2]
CONSTANTS = np.array([1.0, 0.0])


def test_warming_compiles_everything_and_reports_progress() -> None:
    seen: list[float] = []
    warm(lambda what, done: seen.append(done))
    assert is_warm()
    assert is_built()
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_what_one_robot_needs_is_warmed_alone() -> None:
    script = """
from nets.kernels.build import PARTS, is_warm, part, warm
warm(parts=[part("continuous", "float64")])
print([name for name in PARTS if is_warm([name])])
"""
    done = python("-c", script, NUMBA_DISABLE_JIT="1")
    assert done.stdout == "['continuous-float64']\n", done.stderr


def test_two_processes_share_the_work_and_one_processor_does_it_all() -> None:
    assert share(list(PARTS), 1) == (list(PARTS), [])
    mine, theirs = share(list(PARTS), 2)
    assert sorted([*mine, *theirs]) == sorted(PARTS)
    assert sum(PARTS[name][1] for name in mine) == sum(PARTS[name][1] for name in theirs)
    assert share(["tick-float64"], 2) == (["tick-float64"], [])
    assert share([], 2) == ([], [])


def test_the_second_process_ends_with_the_first(tmp_path: Path) -> None:
    """Its input is held open by the first; here nobody holds it."""
    done = python("-m", "nets.kernels.build", "--second", "tick-float32", NUMBA_CACHE_DIR=str(tmp_path))
    assert done.returncode == 1
    assert not list(tmp_path.rglob("*.complete"))


def test_a_second_process_is_given_known_parts() -> None:
    done = python("-m", "nets.kernels.build", "--second", "tick-float16")
    assert done.returncode == 2
    assert "tick-float16" in done.stderr


def test_without_a_second_process_everything_goes_on(tmp_path: Path) -> None:
    with SecondProcess([], tmp_path) as second:
        second.wait()


def test_one_process_at_a_time_saves_what_it_compiled(tmp_path: Path) -> None:
    """From the end of a compilation, before it is saved, the folder is locked until the next begins or all is done."""
    kept, inner = numba.njit(_double), numba.njit(_half)
    compiled: list[bool] = []
    with (tmp_path / LOCK).open("w") as other:
        with saving(tmp_path, [kept], lambda: compiled.append(_free(other))):
            inner(1.0)
            kept(1.0)
            inner(1)
        assert _free(other)
    assert compiled == [True, False, True]


def test_a_folder_that_cannot_be_written_is_not_locked(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    kept, compiled = numba.njit(_double), []
    with saving(tmp_path / "file" / "folder", [kept], lambda: compiled.append(1)):
        assert kept(2) == 4
    assert compiled == [1]


def _double(x: float) -> float:
    return x + x


def _half(x: float) -> float:
    return x / 2


def _free(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(file, fcntl.LOCK_UN)
    return True


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **environment},
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_cache_folder_is_named_after_what_decides_the_code() -> None:
    assert folder_name() == folder_name()
    assert folder_name().startswith("kernels-cp3")
    assert all((REPOSITORY / "nets" / "kernels" / name).is_file() for name in NO_CODE)


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


def test_continuous_time_runs_the_compiled_code_in_both_precisions() -> None:
    warm()
    kernels = continuous_feed.feed, continuous_run.run
    before = [len(kernel.signatures) for kernel in kernels]
    two = np.ones(2)
    nodes = {
        "input": n.Input((2,)),
        "weights": n.Linear(np.ones((2, 2))),
        "neuron": n.CubaLIF(tau_mem=two, tau_syn=two / 2, r=two, v_leak=0 * two, v_threshold=two, w_in=two),
        "output": n.Output((2,)),
    }
    graph = Graph(nodes, [("input", "weights"), ("weights", "neuron"), ("neuron", "output")])
    for dtype in (np.float32, np.float64):
        engine = ContinuousEngine(graph, resolve(graph, None, {"preset": "spec", "dt_s": 1e-3}), dtype=dtype)
        for value in (None, np.ones(2, np.float32)):
            engine.feed("input", np.zeros(2, np.int64) + engine.now, np.arange(2, dtype=np.int32), value)
            engine.advance(engine.now + 1_000_000)
    assert [len(kernel.signatures) for kernel in kernels] == before
