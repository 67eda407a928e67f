"""Thousands of random networks beside the dense twin: how often, and how far, rounding sets the engine apart.

With TECTUM_RESULTS set to a folder the figures are also written there, to exactness.txt.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, seed, settings

from nets.nodes import NODES
from runtime.bench.facts import document
from tests.reference.exactness import Tally, compare_bits, compare_free_run, compare_ticks
from tests.reference.random_networks import Case, Numbers, cases

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]
repeatable = settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
both = pytest.mark.parametrize("dtype", [np.float64, np.float32])


@pytest.fixture(scope="module")
def results() -> Iterator[list[str]]:
    """What each test measured; written when all are done."""
    measured: list[str] = []
    yield measured
    folder = os.environ.get("TECTUM_RESULTS")
    if folder and measured:
        path = Path(folder) / "exactness.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        command = "TECTUM_RESULTS=docs/results pytest -m soak tests/soak/test_engine_exact.py"
        path.write_text(document(command, "\n\n".join(measured)))


def over(examples: int, strategy: Any, compare: Callable[[Case, Tally], None], dtype: Any) -> Tally:
    """The same networks in every run, others for each precision."""
    tally = Tally(np.dtype(dtype))

    @seed(np.dtype(dtype).itemsize)
    @settings(repeatable, max_examples=examples)
    @given(case=strategy)
    def every(case: Case) -> None:
        compare(case, tally)

    every()
    return tally


def said(results: list[str], what: str, tally: Tally) -> None:
    text = f"{what}\n{tally}"
    print(f"\n{text}")
    results.append(text)


@both
def test_each_tick_from_the_engines_own_state_equals_the_twins(dtype: Any, results: list[str]) -> None:
    tally = over(5_000, cases(), compare_ticks, dtype)
    said(results, "tick by tick, from the engine's own state", tally)
    tally.check()
    assert tally.kinds == set(NODES)


@both
def test_a_network_that_feeds_forward_spikes_as_the_twin_running_free(dtype: Any, results: list[str]) -> None:
    tally = over(2_500, cases(loops=False), compare_free_run, dtype)
    said(results, "running free, networks that feed forward", tally)
    tally.check()


@pytest.mark.parametrize(("dtype", "numbers"), [(np.float32, "dyadic"), (np.float64, "dyadic leaks")])
def test_numbers_that_never_round_give_the_same_bits_running_free(
    dtype: Any, numbers: Numbers, results: list[str]
) -> None:
    tally = over(2_500, cases(numbers=numbers), compare_bits, dtype)
    said(results, f"running free, {numbers}: bit for bit", tally)
    tally.check()
