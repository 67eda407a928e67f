"""The bare queue hop: an `asyncio.Queue` from put to get, at a steady rate, in a process of its own.

It is the least that any daemon on this loop must pay between a sensor and an actuator.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys

from runtime.core.clock import SECOND, MonotonicClock, run_real


async def hop(clock: MonotonicClock, rate_hz: float, seconds: float) -> list[int]:
    """The time of each hop in ns."""
    queue: asyncio.Queue[int] = asyncio.Queue()
    count = max(int(rate_hz * seconds), 1)
    period = SECOND / rate_hz
    times: list[int] = []

    async def take() -> None:
        for _ in range(count):
            sent = await queue.get()
            times.append(clock.now() - sent)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(take(), name="take")
        start = clock.now()
        for number in range(count):
            await clock.sleep_until(start + int(number * period))
            queue.put_nowait(clock.now())
    return times


def main() -> None:
    """Print the times as a JSON list."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    args = parser.parse_args()
    gc.freeze()
    times = run_real(lambda clock: hop(clock, args.rate, args.seconds))
    json.dump(times, sys.stdout)


if __name__ == "__main__":
    main()
