"""Actuation: one actuator behind its limiter, fed by whoever may command it, read back and watched.

The network commands unless somebody else holds the lease: a command over HTTP or MQTT takes it for its time to live,
then the network has its way again. Whatever the source, the limiter decides, and every call of it is in the journal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from runtime.bus import Bus, Lane
from runtime.core.clock import SECOND, Clock
from runtime.core.errors import DeviceError
from runtime.core.packet import Packet, one_event
from runtime.core.roles import Actuator, LiveActuator
from runtime.journal import Call, Journal
from runtime.limiter import Limited, Limiter

NETWORK = "network"


@dataclass(slots=True)
class Measured:
    """The newest read-back."""

    t: int
    position: float
    velocity: float
    safe: bool
    fault: int


class Actuation:
    """One actuator. Calls are made on the loop; `run` holds the device."""

    def __init__(
        self,
        adapter: Actuator,
        clock: Clock,
        bus: Bus,
        journal: Journal,
        on_applied: Callable[[str, int, float, float], None] = lambda name, arrived, commanded, applied: None,
    ) -> None:
        self.adapter = adapter
        self.name = adapter.name
        limits = adapter.limits_si
        self.limiter = Limiter(limits, adapter.safe_value, adapter.ttl_s, adapter.name)
        self.measured: Measured | None = None
        self.commanded: float | None = None
        self.commanded_at: int | None = None
        self.source = ""
        self.fault = ""
        self.applied_count = 0
        self.suppressed = 0
        """Network commands that did not act because somebody else held the lease."""
        self._clock = clock
        self._bus = bus
        self._journal = journal
        self._on_applied = on_applied
        self._lease_until = 0
        self._state_seq = 0
        self._waiting: tuple[Packet, int] | None = None
        """The newest set-point and its cause, while the device is away; too old by its return, the device drops it."""
        self._broken: asyncio.Future[None] | None = None
        self._live: LiveActuator | None = None
        command, *states = adapter.describe()
        self._command = bus.declare(command, adapter.name, Lane.STATE)
        self._state = bus.declare(states[0], adapter.name, Lane.STATE) if states else None

    @property
    def stop_time_s(self) -> float:
        """From the decision to be safe to being safe: slew, then the device's own travel."""
        return self.limiter.slew_s + self.adapter.travel_s

    def command(self, value: float, source: str, arrived: int, ttl_s: float | None = None) -> Limited | None:
        """Follow a command; None where another source holds the lease. Raises StoppedError, PacketError."""
        now = self._clock.now()
        if source == NETWORK and now < self._lease_until:
            self.suppressed += 1
            return None
        ttl = self.adapter.ttl_s if ttl_s is None else min(ttl_s, self.adapter.ttl_s)
        limited = self._call(Call(self.name, now, "step", value, ttl, source), arrived)
        if source != NETWORK:
            self._lease_until = now + int(ttl * SECOND)
        self.commanded, self.commanded_at, self.source = value, now, source
        return limited

    def make_safe(self, reason: str) -> None:
        """Let go of the command; does nothing where the limiter is safe or stopped already."""
        if self.limiter.mode == "active":
            self._call(Call(self.name, self._clock.now(), "make_safe", text=reason), 0)

    def stop(self, reason: str) -> None:
        """Latch."""
        self._lease_until = 0
        self._call(Call(self.name, self._clock.now(), "stop", text=reason), 0)

    def release(self) -> None:
        self._call(Call(self.name, self._clock.now(), "release"), 0)

    def tick(self) -> None:
        """Expiry and slew; called every check period."""
        self._call(Call(self.name, self._clock.now(), "expire"), 0)

    async def run(self) -> None:
        """Hold the device until cancelled; raises what the device raised, and may be run again."""
        async with self.adapter.open(self._clock) as live:
            self._broken = asyncio.get_running_loop().create_future()
            self._live = live
            self.fault = ""
            self._begin()
            if self._waiting is not None:
                self._apply(*self._waiting)
            try:
                await self._broken
            finally:
                self._live = None

    def read(self) -> Measured | None:
        """Measure and publish the read-back; None where the device is away."""
        if self._live is None:
            return None
        try:
            packet = self._live.read()
        except DeviceError as error:
            self.fault = str(error)
            return None
        self.fault = ""
        row = packet.data[-1]
        self.measured = Measured(
            int(packet.t[-1]), float(row["position"]), float(row["velocity"]), bool(row["safe"]), int(row["fault"])
        )
        if self._state is not None:
            self._bus.offer(one_event(self._state, self.measured.t, tuple(row), self._state_seq))
            self._state_seq += 1
        return self.measured

    def _begin(self) -> None:
        """Let the set-point start where the device stands, not where it is assumed."""
        measured = self.read()
        if measured is not None and self.limiter.mode != "stopped":
            self._call(Call(self.name, self._clock.now(), "begin", measured.position), 0)

    def _call(self, call: Call, arrived: int) -> Limited | None:
        limited = self._journal.call(self.limiter, call)
        if limited is not None:
            self._send(limited.applied, arrived, call.ttl_s or self.adapter.ttl_s)
        return limited

    def _send(self, value: float, arrived: int, ttl_s: float) -> None:
        """Hand the set-point over at once: between a decision and its actuator stands no queue and no other task."""
        packet = one_event(self._command, self._clock.now(), (value, ttl_s), self.applied_count)
        if self._live is None:
            self._waiting = (packet, arrived)
        else:
            self._apply(packet, arrived)

    def _apply(self, packet: Packet, arrived: int) -> None:
        assert self._live is not None
        self._waiting = None
        try:
            applied = self._live.apply(packet)
        except OSError as error:
            self.fault = f"{type(error).__name__}: {error}"
            if self._broken is not None and not self._broken.done():
                self._broken.set_exception(error)
            return
        packet.seq = self.applied_count
        self.applied_count += 1
        value = float(applied.data["value"][-1]) if len(applied) else float("nan")
        self._on_applied(self.name, arrived, float(packet.data["value"][0]), value)
        self._bus.offer(packet)
