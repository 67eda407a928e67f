"""Faults: the ways a simulated sensor fails on purpose.

- `drop`: each packet is lost with this probability; the next one that arrives says how many events that was
- `freeze_after_s`: goes on at its rate and says always the same (an event camera: nothing)
- `silent_after_s`: says nothing any more, and does not end
- `die_after_s`: the device fails
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from runtime.core.clock import SECOND, Clock
from runtime.core.errors import DeviceError
from runtime.core.packet import Packet, no_events
from runtime.core.topic import DVS


class Fault(BaseModel):
    """What goes wrong, and when (seconds of runtime after the sensor is opened)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    drop: float = Field(default=0.0, ge=0, le=1)
    seed: int = Field(default=0, ge=0)
    silent_after_s: float | None = Field(default=None, ge=0)
    die_after_s: float | None = Field(default=None, ge=0)
    freeze_after_s: float | None = Field(default=None, ge=0)


async def number(
    packets: AsyncGenerator[Packet, None], fault: Fault, clock: Clock, name: str
) -> AsyncGenerator[Packet, None]:
    """Pass a sensor's packets on with the faults applied, and with `seq` and `lost` as its consumer will see them."""
    start = clock.now()
    random = np.random.default_rng([fault.seed, 0xFA017])
    last: Packet | None = None
    seq = lost = 0
    unknown = False
    try:
        async for packet in packets:
            now = clock.now()
            if _is_past(fault.die_after_s, start, now):
                raise _death(fault, name)
            if _is_past(fault.silent_after_s, start, now):
                await _stay_silent(fault, clock, start)
                raise _death(fault, name)
            if _is_past(fault.freeze_after_s, start, now):
                packet = _frozen(packet, last)
            else:
                last = packet
            # What overran in the device itself comes before this packet, whether it arrives or not.
            unknown = unknown or packet.lost < 0
            lost, seq = lost + max(packet.lost, 0), seq + max(packet.lost, 0)
            if random.random() < fault.drop:
                lost, seq = lost + len(packet), seq + len(packet)
                continue
            packet.seq, packet.lost = seq, -1 if unknown else lost
            lost, seq, unknown = 0, seq + len(packet), False
            yield packet
    finally:
        await packets.aclose()


def _death(fault: Fault, name: str) -> DeviceError:
    return DeviceError(f"{name}: the device died, as fault.die_after_s={fault.die_after_s} asks")


async def _stay_silent(fault: Fault, clock: Clock, start: int) -> None:
    """Return when it is time to die, if ever."""
    if fault.die_after_s is None:
        await asyncio.get_running_loop().create_future()
    else:
        await clock.sleep_until(start + round(fault.die_after_s * SECOND))


def _is_past(after_s: float | None, start: int, now: int) -> bool:
    return after_s is not None and now >= start + round(after_s * SECOND)


def _frozen(packet: Packet, last: Packet | None) -> Packet:
    if packet.topic.dtype == DVS or last is None or not len(last):
        return no_events(packet.topic, packet.until, lost=packet.lost)
    data = np.broadcast_to(last.data[-1], packet.data.shape).copy()
    return Packet(packet.topic, packet.t, data, packet.until, lost=packet.lost)
