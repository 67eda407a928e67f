"""Clocks: virtual time wakes one at a time; real time is punctual and scales."""

from __future__ import annotations

import asyncio
import threading

import pytest

from runtime.core.clock import SECOND, MonotonicClock, VirtualClock, run_real, run_virtual


def ticking(steps: int) -> list[tuple[str, int]]:
    log: list[tuple[str, int]] = []

    async def main(clock: VirtualClock) -> None:
        async def tick(name: str, period: int, count: int) -> None:
            due = clock.now()
            for _ in range(count):
                due += period
                await clock.sleep_until(due)
                log.append((name, clock.now()))
                await asyncio.sleep(0)
                log.append((name + "'", clock.now()))

        start = clock.now()
        async with asyncio.TaskGroup() as group:
            for name, period in (("a", 10), ("b", 15), ("c", 30)):
                group.create_task(tick(name, period, 300 // period))
            for step in range(1, steps + 1):
                await clock.advance_to(start + 300 * step // steps)

    run_virtual(main)
    return log


def test_one_step_or_many_wake_the_same_in_the_same_order() -> None:
    assert ticking(1) == ticking(7) == ticking(300)
    assert len(ticking(1)) == 2 * (30 + 20 + 10)


def test_every_consequence_settles_before_the_next_sleeper_wakes() -> None:
    log = ticking(1)
    assert all(log[i + 1][0] == log[i][0] + "'" for i in range(0, len(log), 2))


def test_virtual_time_stands_where_it_was_moved() -> None:
    async def main(clock: VirtualClock) -> int:
        await clock.advance_to(clock.now() + 5 * SECOND)
        return clock.now()

    assert run_virtual(main) == 6 * SECOND


def test_released_time_runs_on_by_itself() -> None:
    async def main(clock: VirtualClock) -> int:
        clock.release()
        await clock.sleep_until(clock.now() + 3600 * SECOND)
        return clock.now()

    assert run_virtual(main) == 3601 * SECOND


def test_executor_work_on_virtual_time_is_inline_and_raises_where_awaited() -> None:
    async def main(clock: VirtualClock) -> None:
        assert await asyncio.to_thread(threading.get_ident) == threading.get_ident()
        with pytest.raises(KeyError):
            await asyncio.to_thread(dict[str, int]().__getitem__, "absent")

    run_virtual(main)


def test_a_cancelled_sleeper_does_not_move_time() -> None:
    async def main(clock: VirtualClock) -> int:
        task = asyncio.create_task(clock.sleep_until(clock.now() + SECOND))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await clock.settle()
        return clock.now()

    assert run_virtual(main) == SECOND


def test_real_sleeps_never_end_early_and_scale() -> None:
    async def main(clock: MonotonicClock) -> None:
        machine = MonotonicClock()
        began = machine.now()
        due = clock.now() + SECOND // 2
        await asyncio.gather(*(clock.sleep_until(due - n * 1_000_000) for n in range(5)))
        assert clock.now() >= due
        assert machine.now() - began < SECOND // 4  # ten times as fast: half a second in a twentieth

    run_real(main, speed=10.0)


def test_a_driver_thread_waits_and_is_cancelled() -> None:
    clock, cancelled = MonotonicClock(), threading.Event()
    due = clock.now() + 3_000_000
    assert clock.wait_until(due, cancelled)
    assert clock.now() >= due
    cancelled.set()
    assert not clock.wait_until(clock.now() + 60 * SECOND, cancelled)


def test_two_clocks_of_one_origin_agree() -> None:
    one = MonotonicClock(3.0)
    two = MonotonicClock(3.0, one.origin)
    assert abs(one.now() - two.now()) < SECOND // 10


def test_a_speed_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="speed is 0"):
        MonotonicClock(0)


def test_who_is_late_lets_others_run() -> None:
    async def main() -> list[str]:
        clock, order = MonotonicClock(), list[str]()

        async def late(name: str) -> None:
            for _ in range(3):
                await clock.sleep_until(clock.now() - 1)
                order.append(name)

        await asyncio.gather(late("a"), late("b"))
        return order

    assert asyncio.run(main()) == ["a", "b"] * 3
