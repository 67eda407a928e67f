"""The supervisor retries what a retry may mend, and nothing else."""

from __future__ import annotations

from itertools import pairwise

from runtime.core.clock import SECOND, VirtualClock, run_virtual
from runtime.core.errors import DeviceError
from runtime.supervisor import Supervised, supervise


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
