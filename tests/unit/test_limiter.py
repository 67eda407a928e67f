"""The limiter: range, slew, time to live, stop, and that its state is a function of its calls."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.core.clock import SECOND
from runtime.core.errors import ConfigError, PacketError, StoppedError
from runtime.core.limits import Limits
from runtime.limiter import Limiter

MS = 1_000_000


def limiter(slew: float = 2.0, ttl_s: float = 0.5, safe: float = 0.0) -> Limiter:
    made = Limiter(Limits(-1.0, 1.0, slew), safe, ttl_s, name="pan")
    made.begin(0, safe)
    return made


def test_value_beyond_the_range_is_clipped_and_says_so() -> None:
    limited = limiter(slew=math.inf).step(0, 7.0)
    assert limited == (1.0, True, False)


def test_set_point_moves_by_slew_times_elapsed() -> None:
    pan = limiter(slew=2.0)
    first = pan.step(50 * MS, 1.0)
    assert first.applied == pytest.approx(0.1)
    assert first.slewed
    assert pan.step(100 * MS, 1.0).applied == pytest.approx(0.2)


def test_idle_time_buys_no_jump() -> None:
    pan = limiter(slew=2.0)
    assert pan.step(60 * SECOND, 1.0).applied == pytest.approx(2.0 * 0.1)


def test_first_command_without_begin_moves_nothing_at_once() -> None:
    pan = Limiter(Limits(-1.0, 1.0, 2.0), 0.0, 0.5, name="pan")
    assert pan.step(SECOND, 1.0) == (0.0, False, True)
    limited = pan.expire(SECOND + 50 * MS)
    assert limited is not None
    assert limited.applied == pytest.approx(0.1)


def test_expire_carries_a_single_command_on_to_its_target() -> None:
    pan = limiter(slew=10.0, ttl_s=0.5)
    pan.step(0, 1.0)
    seen = [limited.applied for k in range(1, 30) if (limited := pan.expire(k * 10 * MS)) is not None]
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    assert len(seen) == 10


def test_expired_command_returns_to_the_safe_value_through_the_slew_rate() -> None:
    pan = limiter(slew=10.0, ttl_s=0.2)
    for k in range(11):
        pan.step(k * 10 * MS, 1.0)
    assert pan.applied == 1.0
    assert pan.expire(299 * MS) is None
    path = [limited.applied for k in range(30, 50) if (limited := pan.expire(k * 10 * MS)) is not None]
    assert pan.reason == "command expired"
    assert path[0] < 1.0
    assert max(a - b for a, b in zip([1.0, *path], path, strict=False)) <= 0.1 + 1e-12
    assert path[-1] == 0.0


def test_a_command_cannot_outlive_the_limiters_own_time_to_live() -> None:
    pan = limiter(ttl_s=0.2)
    pan.step(0, 1.0, ttl_s=100.0)
    pan.expire(201 * MS)
    assert pan.mode == "safe"


def test_a_shorter_time_to_live_is_kept() -> None:
    pan = limiter(ttl_s=0.5)
    pan.step(0, 1.0, ttl_s=0.05)
    pan.expire(51 * MS)
    assert pan.mode == "safe"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_not_finite_is_refused_by_name_and_counted(value: float) -> None:
    pan = limiter()
    pan.step(0, 0.5)
    before = pan.state()
    with pytest.raises(PacketError, match=rf"pan: command is {value}"):
        pan.step(MS, value)
    assert pan.refused == 1
    assert pan.state() == before._replace(refused=1)


@pytest.mark.parametrize("ttl_s", [0.0, -1.0, math.nan])
def test_a_time_to_live_that_is_none_is_refused(ttl_s: float) -> None:
    with pytest.raises(PacketError, match="time to live"):
        limiter().step(0, 0.5, ttl_s)


def test_stop_is_at_once_and_latches() -> None:
    pan = limiter(slew=0.1)
    pan.begin(0, 1.0)
    assert pan.stop(MS, "button").applied == 0.0
    with pytest.raises(StoppedError, match=r"pan: command 0\.5 refused, stopped: button"):
        pan.step(2 * MS, 0.5)
    assert pan.refused == 1
    assert pan.expire(3 * MS) is None
    assert pan.make_safe(3 * MS, "stale").applied == 0.0
    assert pan.mode == "stopped"


def test_release_brings_no_old_command_back() -> None:
    pan = limiter(slew=100.0)
    pan.step(10 * MS, 0.5)
    pan.stop(20 * MS)
    pan.release(30 * MS)
    assert pan.mode == "safe"
    assert pan.expire(40 * MS) is None
    assert pan.applied == 0.0
    assert pan.step(50 * MS, 0.5).applied == 0.5


def test_release_of_what_is_not_stopped_changes_nothing() -> None:
    pan = limiter()
    pan.step(MS, 0.5)
    before = pan.state()
    pan.release(2 * MS)
    assert pan.state() == before


def test_make_safe_goes_through_the_slew_rate_and_a_later_command_acts() -> None:
    pan = limiter(slew=10.0)
    pan.begin(0, 1.0)
    assert pan.make_safe(10 * MS, "eye/events is stale").applied == pytest.approx(0.9)
    assert pan.reason == "eye/events is stale"
    assert pan.step(20 * MS, 1.0).applied == pytest.approx(1.0)
    assert pan.mode == "active"


def test_time_that_runs_backwards_moves_nothing() -> None:
    pan = limiter()
    first = pan.step(50 * MS, 1.0).applied
    assert pan.step(10 * MS, 1.0).applied == first


def test_slew_s_bounds_the_way_to_the_safe_value() -> None:
    pan = Limiter(Limits(-1.0, 3.0, 2.0), 0.0, 0.5)
    assert pan.slew_s == pytest.approx(1.5)


@pytest.mark.parametrize("bad", [{"safe_value": 2.0}, {"ttl_s": 0.0}, {"burst_s": math.nan}])
def test_impossible_configuration_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        Limiter(**{"limits": Limits(-1.0, 1.0, 1.0), "safe_value": 0.0, "ttl_s": 0.5, **bad})  # type: ignore[arg-type]


@pytest.mark.parametrize(("low", "high", "slew"), [(1.0, 0.0, 1.0), (math.nan, 0.0, 1.0), (0.0, 1.0, 0.0)])
def test_impossible_limits_are_refused(low: float, high: float, slew: float) -> None:
    with pytest.raises(ConfigError):
        Limits(low, high, slew)


CALL = st.one_of(
    st.tuples(st.just("step"), st.floats(), st.floats(0.0, 1.0)),
    st.tuples(st.just("expire")),
    st.tuples(st.just("make_safe"), st.sampled_from(["stale", "silent"])),
    st.tuples(st.just("stop")),
    st.tuples(st.just("release")),
)


@given(st.lists(st.tuples(st.integers(0, 200 * MS), CALL), max_size=60))
def test_any_calls_keep_range_and_slew_and_replay_to_the_same_bytes(
    calls: list[tuple[int, tuple[object, ...]]],
) -> None:
    first, again = limiter(slew=3.0, safe=0.25), limiter(slew=3.0, safe=0.25)
    now = 0
    for wait, (name, *arguments) in calls:
        now += wait
        before, at = first.applied, first.state().at or 0
        for made in (first, again):
            try:
                getattr(made, str(name))(now, *arguments)
            except (PacketError, StoppedError):
                assert name == "step"
        assert -1.0 <= first.applied <= 1.0
        if name != "stop":
            assert abs(first.applied - before) <= 3.0 * min((now - at) / SECOND, 0.1) + 1e-9
        assert first.state().to_bytes() == again.state().to_bytes()
        assert hash(first.state()) == hash(again.state())
