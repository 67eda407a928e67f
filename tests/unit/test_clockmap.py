"""Times of another machine arrive on our clock: late by the shortest delay, never early, never backwards."""

from __future__ import annotations

import numpy as np

from runtime.core.clock import MonotonicClock, VirtualClock
from runtime.links.clockmap import ClockMap, clock_id

SECOND = 1_000_000_000


def test_the_offset_is_that_of_the_fastest_delivery() -> None:
    clock = ClockMap()
    generator = np.random.default_rng(0)
    offset, shortest = -7 * SECOND, 200_000
    for i in range(1000):
        sent = 20 * SECOND + i * 10_000_000
        clock.observe(sent, sent + offset + shortest + int(generator.exponential(5e6)))
    assert clock.offset is not None
    assert 0 <= clock.offset - (offset + shortest) < 100_000
    assert clock.uncertainty is not None
    assert clock.uncertainty < 2_000_000


def test_a_drift_is_followed() -> None:
    clock = ClockMap(window_s=8.0)
    for i in range(10_000):
        sent = i * 10_000_000
        clock.observe(sent, sent + sent // 10_000)  # 100 ppm
    assert clock.offset is not None
    last = 9_999 * 10_000_000
    assert abs(clock.offset - last // 10_000) <= 8 * SECOND // 10_000
    assert clock.uncertainty is not None
    assert clock.uncertainty >= 5 * SECOND // 10_000


def test_mapped_times_never_run_backwards_nor_break_a_promise() -> None:
    clock = ClockMap()
    generator = np.random.default_rng(1)
    until = 0
    for i in range(300):
        sent = SECOND + i * 1_000_000
        received = sent + 5 * SECOND + int(generator.exponential(1e7))
        clock.observe(sent, received)
        t = np.sort(generator.integers(sent - 1_000_000, sent, 20))
        mapped, promised = clock.map(t, sent, received)
        assert mapped[0] >= until
        assert (np.diff(mapped) >= 0).all()
        assert mapped[-1] <= promised
        assert promised >= until
        until = promised
    assert clock.clamped > 0


def test_one_and_the_same_clock_needs_no_mapping() -> None:
    clock = ClockMap(same_clock=True)
    mapped, until = clock.map(np.array([5, 6]), 7, 100)
    assert mapped.tolist() == [5, 6]
    assert until == 7
    assert clock.uncertainty == 0


def test_without_a_sending_time_everything_is_stamped_on_arrival() -> None:
    clock = ClockMap()
    mapped, until = clock.map(np.array([5, 6]), 7, 100)
    assert mapped.tolist() == [100, 100]
    assert until == 100
    assert clock.offset is None
    assert clock.uncertainty is None


def test_two_clocks_of_one_machine_have_one_id_and_others_their_own() -> None:
    assert clock_id(MonotonicClock(), "a") == clock_id(MonotonicClock(), "b")
    assert clock_id(MonotonicClock(2.0), "a") != clock_id(MonotonicClock(2.0), "b")
    assert clock_id(VirtualClock(), "a") != clock_id(VirtualClock(), "b")
