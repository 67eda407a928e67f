"""Deliver a gaze sensor's packets when they are due, with the faults of its clock and its cable.

Beside the faults that every simulated sensor has (`sensors.faults`):

- `late_s`: each packet is late by a random time up to this; packets of one sensor keep their order
- `burst_s`: packets wait and come together, every `burst_s`
- `offset_s`, `skew`: the device's clock is wrong by this much, and runs fast by this share; nothing bears a stamp later
  than its arrival
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Protocol

import numpy as np
from pydantic import Field

from runtime.core.clock import SECOND, Clock
from runtime.core.packet import Packet
from sensors.faults import Fault, number


class GazeFault(Fault):
    """What goes wrong."""

    late_s: float = Field(default=0.0, ge=0, le=1)
    burst_s: float = Field(default=0.0, ge=0, le=1)
    offset_s: float = Field(default=0.0, ge=-1, le=1)
    skew: float = Field(default=0.0, ge=-0.01, le=0.01)


class Device(Protocol):
    """A sensor without a clock: it says when its next packet is due, and gives it."""

    @property
    def due(self) -> int:
        """When the next packet arrives."""

    def take(self, behind: int) -> Packet:
        """The next packet, `behind` ns later than planned: what a buffer cannot hold so long is lost."""


@asynccontextmanager
async def delivering(
    device: Callable[[], AbstractContextManager[Device]], fault: GazeFault, clock: Clock, name: str
) -> AsyncIterator[AsyncIterator[Packet]]:
    """Take the device and give its packets at their times, faults applied."""
    with device() as taken:
        packets = number(_deliver(taken, fault, clock), fault, clock, name)
        try:
            yield packets
        finally:
            await packets.aclose()


async def _deliver(device: Device, fault: GazeFault, clock: Clock) -> AsyncGenerator[Packet, None]:
    random = np.random.default_rng((fault.seed, 0x1A7E))
    start = planned = clock.now()
    late, burst = round(fault.late_s * SECOND), round(fault.burst_s * SECOND)
    offset = round(fault.offset_s * SECOND)
    while True:
        arrival = device.due + (int(random.integers(0, late, endpoint=True)) if late else 0)
        if burst:
            arrival = start - (start - arrival) // burst * burst
        planned = max(planned, arrival)
        await clock.sleep_until(planned)
        packet = device.take(max(clock.now() - planned, 0))
        if offset or fault.skew:
            packet = _restamped(packet, start, offset, fault.skew, planned)
        yield packet


def _restamped(packet: Packet, start: int, offset: int, skew: float, arrival: int) -> Packet:
    t = packet.t + offset + ((packet.t - start) * skew).astype(np.int64)
    until = packet.until + offset + int((packet.until - start) * skew)
    return Packet(packet.topic, np.minimum(t, arrival), packet.data, min(until, arrival + 1), lost=packet.lost)
