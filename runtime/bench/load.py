"""HTTP load: mixed reads of the gateway at a steady rate, from a process of its own.

Open loop: requests are due on a fixed schedule whatever the answers do. A request that is over a second late is not
sent but counted as missed, so that a slow gateway is not hit by a flood afterwards.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from dataclasses import asdict, dataclass

from runtime.bench.get import Connection
from runtime.bench.spread import Spread, spread
from runtime.core.clock import SECOND, MonotonicClock, run_real
from runtime.core.errors import LinkError

PATHS = (
    "/v1/status",
    "/v1/topics",
    "/v1/sensors",
    "/v1/network",
    "/v1/actuators",
    "/v1/estop",
    "/v1/graph",
    "/v1/config",
    "/v1/recordings",
    "/v1/network/state",
    "/metrics",
    "/healthz",
)
CONNECTIONS = 8


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the load was in the end."""

    rate_hz: float
    """Answers a second."""
    answered: int
    failed: int
    missed: int
    answer: Spread | None
    """Time of an answer."""


async def load(clock: MonotonicClock, port: int, rate_hz: float, seconds: float) -> Loaded:
    """Send `rate_hz * seconds` requests."""
    count = max(int(rate_hz * seconds), 1)
    start = clock.now()
    times: list[int] = []
    failed = missed = 0

    async def client(first: int) -> None:
        nonlocal failed, missed
        async with Connection(port) as connection:
            for number in range(first, count, CONNECTIONS):
                due = start + int(number * SECOND / rate_hz)
                await clock.sleep_until(due)
                began = clock.now()
                if began - due > SECOND:
                    missed += 1
                    continue
                try:
                    answer = await connection.get(PATHS[number % len(PATHS)])
                except LinkError:
                    failed += 1
                    continue
                if answer.status != 200:
                    failed += 1
                    continue
                times.append(clock.now() - began)

    async with asyncio.TaskGroup() as tasks:
        for first in range(CONNECTIONS):
            tasks.create_task(client(first), name=f"client {first}")
    elapsed = (clock.now() - start) / SECOND
    return Loaded(len(times) / elapsed, len(times), failed, missed, spread(times) if times else None)


def main() -> None:
    """Print what the load was, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    args = parser.parse_args()
    json.dump(asdict(run_real(lambda clock: load(clock, args.port, args.rate, args.seconds))), sys.stdout)


if __name__ == "__main__":
    main()
