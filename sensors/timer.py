"""`timer`: an event every period, so that work driven by time is an input, and recorded, like any other."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import numpy as np
from pydantic import Field

from runtime.core.clock import SECOND, Clock
from runtime.core.packet import Packet, one_event
from runtime.core.roles import Adapter
from runtime.core.topic import Topic

TICK = np.dtype("<u8")


class Timer(Adapter):
    """Publishes `NAME/tick`, the running number of each tick, at whole periods from when it was opened."""

    kind: Literal["timer"] = "timer"
    period_s: float = Field(1.0, gt=0)

    def describe(self) -> tuple[Topic, ...]:
        return (Topic(f"{self.name}/tick", TICK, rate_hz=1.0 / self.period_s),)

    @asynccontextmanager
    async def open(self, clock: Clock) -> AsyncIterator[AsyncIterator[Packet]]:
        ticks = self._ticks(clock)
        try:
            yield ticks
        finally:
            await ticks.aclose()

    async def _ticks(self, clock: Clock) -> AsyncGenerator[Packet, None]:
        (topic,) = self.describe()
        period = max(round(self.period_s * SECOND), 1)
        due = clock.now()
        seq = 0
        while True:
            due += period
            await clock.sleep_until(due)
            yield one_event(topic, due, seq, seq)
            seq += 1
