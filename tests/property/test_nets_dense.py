"""The engine equals its dense, clock-driven twin."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from tests.reference.exactness import Tally, compare_bits, compare_free_run, compare_ticks
from tests.reference.random_networks import Case, Numbers, cases

relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
both = pytest.mark.parametrize("dtype", [np.float64, np.float32])


@both
def test_each_tick_from_the_engines_own_state_equals_the_twins(dtype: Any) -> None:
    tally = Tally(np.dtype(dtype))

    @settings(relaxed, max_examples=300)
    @given(case=cases())
    def every(case: Case) -> None:
        compare_ticks(case, tally)

    every()
    print(f"\n{tally}")
    tally.check()


@both
def test_a_network_that_feeds_forward_spikes_as_the_twin_running_free(dtype: Any) -> None:
    tally = Tally(np.dtype(dtype))

    @settings(relaxed, max_examples=150)
    @given(case=cases(loops=False))
    def every(case: Case) -> None:
        compare_free_run(case, tally)

    every()
    print(f"\n{tally}")
    tally.check()


@pytest.mark.parametrize(("dtype", "numbers"), [(np.float32, "dyadic"), (np.float64, "dyadic leaks")])
def test_numbers_that_never_round_give_the_same_bits_running_free(dtype: Any, numbers: Numbers) -> None:
    tally = Tally(np.dtype(dtype))

    @settings(relaxed, max_examples=150)
    @given(case=cases(numbers=numbers))
    def every(case: Case) -> None:
        compare_bits(case, tally)

    every()
    print(f"\n{tally}")
    tally.check()
