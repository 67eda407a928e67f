"""The supervisor retries what a retry may mend, and nothing else; a switch closes and opens what it keeps."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise

from runtime.core.clock import SECOND, VirtualClock, run_virtual
from runtime.core.errors import DeviceError
from runtime.supervisor import Supervised, supervise
from runtime.switch import Switch, switched


def attempts(errors: list[Exception | None]) -> tuple[Supervised, list[int]]:
    """Run work that fails like this, one error an attempt; when each attempt began."""
    began: list[int] = []

    async def main(clock: VirtualClock) -> Supervised:
        async def work() -> None:
            began.append(clock.now())
            error = errors[len(began) - 1]
            if error is not None:
                raise error

        status = Supervised("device")
        clock.release()
        await supervise(status, work, clock)
        return status

    return run_virtual(main), began


def test_a_device_that_comes_back_is_taken_again_after_growing_jittered_pauses() -> None:
    status, began = attempts([DeviceError("unplugged")] * 4 + [None])
    pauses = [(b - a) / SECOND for a, b in pairwise(began)]
    assert status.state == "ended"
    assert status.restarts == 4
    assert all(0.05 * 2**k <= pause <= 0.1 * 2**k for k, pause in enumerate(pauses))


def test_a_bug_is_not_retried_and_says_what_it_was() -> None:
    status, began = attempts([ZeroDivisionError("oops")])
    assert len(began) == 1
    assert (status.state, status.error) == ("failed", "ZeroDivisionError: oops")


def test_pauses_have_an_upper_bound() -> None:
    _, began = attempts([DeviceError("gone")] * 12 + [None])
    assert max(b - a for a, b in pairwise(began)) <= 5 * SECOND


Act = Callable[[Switch, Supervised, VirtualClock], Awaitable[None]]


def log_of(act: Act, life_s: float = 1e6) -> list[str]:
    """What a device under a switch went through while somebody used the switch."""
    log: list[str] = []

    async def main(clock: VirtualClock) -> None:
        status, switch = Supervised("device"), Switch()

        async def work() -> None:
            log.append("open")
            try:
                await clock.sleep_until(clock.now() + int(life_s * SECOND))
            finally:
                await clock.sleep_until(clock.now() + SECOND // 10)
                log.append("closed")

        async def run() -> None:
            await supervise(status, work, clock)

        task = asyncio.create_task(switched(status, switch, run, lambda: log.append(status.state)))
        await clock.settle()
        await act(switch, status, clock)
        task.cancel()
        await clock.advance_to(clock.now() + SECOND)
        await asyncio.gather(task, return_exceptions=True)

    run_virtual(main)
    return log


def test_a_cut_device_is_closed_and_opened_again_when_restored() -> None:
    async def act(switch: Switch, status: Supervised, clock: VirtualClock) -> None:
        switch.cut()
        await clock.advance_to(clock.now() + SECOND)
        assert (status.state, status.error) == ("cut", None)
        switch.cut()
        await clock.advance_to(clock.now() + 60 * SECOND)
        switch.restore()
        await clock.advance_to(clock.now() + SECOND)
        assert (status.state, status.restarts) == ("running", 0)

    assert log_of(act) == ["open", "closed", "cut", "cut", "open", "closed"]


def test_a_device_is_never_opened_while_it_is_still_closing() -> None:
    async def act(switch: Switch, status: Supervised, clock: VirtualClock) -> None:
        switch.cut()
        await clock.advance_to(clock.now() + SECOND // 20)
        switch.restore()
        switch.cut()
        switch.restore()
        await clock.advance_to(clock.now() + SECOND)
        assert status.state == "running"

    assert log_of(act) == ["open", "closed", "open", "closed"]


def test_a_device_that_has_ended_can_be_cut_and_opened_again() -> None:
    async def act(switch: Switch, status: Supervised, clock: VirtualClock) -> None:
        await clock.advance_to(clock.now() + 2 * SECOND)
        states.append(status.state)
        switch.restore()
        await clock.advance_to(clock.now() + SECOND // 2)
        states.append(status.state)
        await clock.advance_to(clock.now() + 2 * SECOND)
        switch.cut()
        await clock.advance_to(clock.now() + SECOND)
        states.append(status.state)

    states: list[str] = []
    assert log_of(act, life_s=1.0) == ["open", "closed", "open", "closed", "cut"]
    assert states == ["ended", "running", "cut"]
