"""Starvation is told apart from stalling."""

from __future__ import annotations

import os

from runtime.starvation import run_delays, starved_ns


def test_the_longest_wait_of_any_thread_counts() -> None:
    assert starved_ns({"1": 5, "2": 7}, {"1": 6, "2": 30, "3": 99}) == 23
    assert starved_ns({}, {"1": 5}) == 0


def test_this_process_is_known_and_an_absent_one_is_empty() -> None:
    assert str(os.getpid()) in run_delays(os.getpid())
    assert run_delays(2**22 + 1) == {}
