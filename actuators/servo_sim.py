"""`servo.sim`: a simulated servo, in this process on any clock, or in a device process behind a Unix socket.

Without `socket` its physics runs on the clock it is opened with, virtual time included. With `socket` it is served by
`python -m actuators.servo_device`, on the machine's time, and keeps moving (and falls back to its safe position by
itself) whatever happens to this process.
"""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from actuators import servo_socket
from actuators.servo_physics import ServoParameters, ServoPhysics
from runtime.core.clock import SECOND, Clock
from runtime.core.errors import ConfigError, DeviceError, PacketError
from runtime.core.limits import Limits
from runtime.core.packet import Packet, no_events, one_event
from runtime.core.roles import Adapter, LiveActuator
from runtime.core.topic import COMMAND, STATE, Topic

POLL_NS = 5_000_000


class ServoLimits(BaseModel):
    """What its limiter holds the set-point to."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    min_rad: float = -math.pi / 2
    max_rad: float = math.pi / 2
    slew_rad_s: float = Field(default=10.0, gt=0)


class SafePosition(BaseModel):
    """Where it goes when nothing commands it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    position_rad: float = 0.0


class ServoSim(Adapter):
    """A position servo. Defaults are a 12-bit hobby servo that turns 60 degrees in 0.13 s."""

    kind: Literal["servo.sim"] = "servo.sim"
    limits: ServoLimits = ServoLimits()
    safe: SafePosition = SafePosition()
    ttl_s: float = Field(default=0.5, gt=0, le=60)
    tau_s: float = Field(default=0.02, gt=0)
    speed_rad_s: float = Field(default=8.0, gt=0)
    stop_min_rad: float | None = None
    """Mechanical end stops; by default the limits."""
    stop_max_rad: float | None = None
    resolution_rad: float = Field(default=2 * math.pi / 4096, ge=0)
    noise_rad: float = Field(default=0.0005, ge=0)
    safe_tolerance_rad: float = Field(default=0.01, gt=0)
    seed: int = Field(default=0, ge=0, lt=2**63)
    socket: Path | None = None

    _physics: ServoPhysics | None = PrivateAttr(default=None)
    _clock: Clock | None = PrivateAttr(default=None)
    _holder: object = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _consistent(self) -> ServoSim:
        low, high = self._stops
        if not low <= self.limits.min_rad <= self.safe.position_rad <= self.limits.max_rad <= high:
            raise ConfigError(
                f"{self.name}: expected stop_min <= limits.min <= safe.position <= limits.max <= stop_max, got "
                f"{low}, {self.limits.min_rad}, {self.safe.position_rad}, {self.limits.max_rad}, {high} rad"
            )
        smallest = self.resolution_rad / 2 + 4 * self.noise_rad
        if self.safe_tolerance_rad <= smallest:
            raise ConfigError(
                f"{self.name}: safe_tolerance_rad is {self.safe_tolerance_rad}, expected above {smallest:.3g}: "
                "half of resolution_rad plus four times noise_rad, or the encoder could never confirm it"
            )
        return self

    @property
    def _stops(self) -> tuple[float, float]:
        low = self.limits.min_rad if self.stop_min_rad is None else self.stop_min_rad
        high = self.limits.max_rad if self.stop_max_rad is None else self.stop_max_rad
        return low, high

    @property
    def unit(self) -> str:
        return "rad"

    @property
    def limits_si(self) -> Limits:
        """The limits in the unit of its commands."""
        return Limits(self.limits.min_rad, self.limits.max_rad, self.limits.slew_rad_s)

    @property
    def safe_value(self) -> float:
        return self.safe.position_rad

    @property
    def parameters(self) -> ServoParameters:
        """The servo's datasheet."""
        low, high = self._stops
        return ServoParameters(
            safe_rad=self.safe.position_rad,
            stop_min_rad=low,
            stop_max_rad=high,
            tau_s=self.tau_s,
            speed_rad_s=self.speed_rad_s,
            resolution_rad=self.resolution_rad,
            noise_rad=self.noise_rad,
            tolerance_rad=self.safe_tolerance_rad,
            ttl_s=self.ttl_s,
            seed=self.seed,
        )

    @property
    def travel_s(self) -> float:
        """The longest way to the safe position, until read-back is within `safe_tolerance_rad` of it."""
        return max(self.parameters.travel_s(end) for end in (self.limits.min_rad, self.limits.max_rad))

    def describe(self) -> tuple[Topic, ...]:
        return (
            Topic(f"{self.name}/command", COMMAND, unit=self.unit),
            Topic(f"{self.name}/state", STATE, unit=self.unit),
        )

    def device_argv(self, origin: int, speed: float, parent: int | None = None) -> list[str]:
        """The command line of its device process; with `parent`, the device ends when that process does."""
        if self.socket is None:
            raise ConfigError(f"{self.name}: has no socket, so no device process")
        argv = [sys.executable, "-m", "actuators.servo_device", "--socket", str(self.socket), "--name", self.name]
        argv += ["--config", self.model_dump_json(), "--origin", str(origin), "--speed", repr(float(speed))]
        return argv if parent is None else [*argv, "--parent", str(parent)]

    def make_safe(self) -> None:
        """Command the safe position. Raises DeviceError where a device process does not confirm within 0.5 s.

        Without `socket`, a servo that this process never opened does not exist, and there is nothing to do.
        """
        if self.socket is not None:
            servo_socket.make_safe(self.socket, self.name)
        elif self._physics is not None and self._clock is not None:
            self._physics.make_safe(self._clock.now())

    def is_safe(self, timeout_s: float) -> bool:
        """Whether read-back shows the safe state within `timeout_s`. Blocks; on virtual time it looks once."""
        if self.socket is not None:
            return servo_socket.is_safe(self.socket, timeout_s)
        if self._physics is None or self._clock is None:
            return True
        clock, until = self._clock, self._clock.now() + round(timeout_s * SECOND * (self._clock.speed or 1.0))
        never = threading.Event()
        while not self._physics.read(clock.now()).safe:
            if not clock.speed or clock.now() >= until:
                return False
            clock.wait_until(min(clock.now() + POLL_NS, until), never)
        return True

    def open(self, clock: Clock) -> AbstractAsyncContextManager[LiveActuator]:
        return self._open_here(clock) if self.socket is None else self._open_socket(clock, self.socket)

    @asynccontextmanager
    async def _open_here(self, clock: Clock) -> AsyncIterator[LiveActuator]:
        if self._physics is None or self._clock is not clock:
            self._physics, self._clock = ServoPhysics(self.parameters, clock.now()), clock
        live = _ServoHere(self, clock, self._physics)
        self._holder = live
        try:
            yield live
        finally:
            if self._holder is live:
                self._holder = None
                self._physics.make_safe(clock.now())

    @asynccontextmanager
    async def _open_socket(self, clock: Clock, path: Path) -> AsyncIterator[LiveActuator]:
        if not clock.speed:
            raise ConfigError(f"{self.name}: a device process keeps the machine's time, and this clock does not")
        async with servo_socket.connect(path, clock, self.name) as link:
            yield _ServoThere(self, clock, link)


def clipped_command(servo: ServoSim, command: Packet) -> tuple[float, float]:
    """The newest set-point of a packet, within the limits, and its time to live."""
    if not len(command):
        raise PacketError(f"{servo.name}/command: the packet holds no command, expected at least one")
    value, ttl_s = float(command.data["value"][-1]), float(command.data["ttl_s"][-1])
    if not (math.isfinite(value) and ttl_s > 0):
        raise PacketError(f"{servo.name}/command: got value={value}, ttl_s={ttl_s}, expected finite, above 0")
    return servo.limits_si.clip(value), ttl_s


class _Numbered:
    """Makes the packets of applied commands and read-backs, numbered each on its own."""

    def __init__(self, servo: ServoSim) -> None:
        self._command, self._state = servo.describe()
        self._applied = 0
        self._measured = 0

    def applied(self, t: int, value: float, ttl_s: float) -> Packet:
        packet = one_event(self._command, t, (value, ttl_s), self._applied)
        self._applied += 1
        return packet

    def nothing_applied(self, now: int) -> Packet:
        """The answer to a command that had outlived its time to live on arrival."""
        return no_events(self._command, now, self._applied)

    def measured(self, t: int, position: float, velocity: float, safe: bool, fault: int) -> Packet:
        packet = one_event(self._state, t, np.array((position, velocity, safe, fault), STATE), self._measured)
        self._measured += 1
        return packet


class _ServoHere:
    """A servo whose physics runs in this process."""

    def __init__(self, servo: ServoSim, clock: Clock, physics: ServoPhysics) -> None:
        self._servo = servo
        self._clock = clock
        self._physics = physics
        self._packets = _Numbered(servo)

    def apply(self, command: Packet) -> Packet:
        if self._servo._holder is not self:
            raise DeviceError(f"{self._servo.name}: another commander has taken the servo")
        value, ttl_s = clipped_command(self._servo, command)
        now = self._clock.now()
        issued = int(command.t[-1])
        if not self._physics.command(now, value, issued, ttl_s):
            return self._packets.nothing_applied(now)
        return self._packets.applied(now, value, ttl_s)

    def read(self) -> Packet:
        return self._packets.measured(*self._physics.read(self._clock.now()))


class _ServoThere:
    """A servo whose physics runs in its device process."""

    def __init__(self, servo: ServoSim, clock: Clock, link: servo_socket.Link) -> None:
        self._servo = servo
        self._clock = clock
        self._link = link
        self._packets = _Numbered(servo)

    def apply(self, command: Packet) -> Packet:
        value, ttl_s = clipped_command(self._servo, command)
        now, issued = self._clock.now(), int(command.t[-1])
        if now >= issued + round(ttl_s * SECOND):
            return self._packets.nothing_applied(now)
        self._link.send_command(value, issued, ttl_s)
        return self._packets.applied(now, value, ttl_s)

    def read(self) -> Packet:
        return self._packets.measured(*self._link.newest())
