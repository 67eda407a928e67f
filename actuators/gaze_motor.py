"""`gaze.pan`, `gaze.tilt`: the motors of a gaze world's head, each commanded by its rate.

A set-point is the joint's rate in rad/s, relative to the base, left and down positive. The motor nears it with the
world's `lag_s`, turns no faster than its `speed_rad_s` and no further than its `stop_rad`. Its safe state is to stand
still; without a command younger than its time to live it does so by itself, from the exact nanosecond of expiry.
Read-back is in the quantity of the set-point: `position` is the joint's rate, `velocity` that rate's change (rad/s2).
"""

from __future__ import annotations

import math
import threading
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from runtime.core.clock import SECOND, Clock
from runtime.core.errors import PacketError
from runtime.core.limits import Limits
from runtime.core.packet import Packet, no_events, one_event
from runtime.core.roles import LiveActuator
from runtime.core.topic import COMMAND, STATE, Topic
from sensors.gaze_definition import GazeAdapter
from sensors.gaze_world import World, shared

POLL_NS = 5_000_000
OK = 0
AT_END_STOP = 1
"""Fault: the motor pushes against a mechanical end stop."""


class RateLimits(BaseModel):
    """What its limiter holds the set-point to."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    max_rad_s: float = Field(default=12.0, gt=0)
    """In both directions."""
    slew_rad_s2: float = Field(default=50_000.0, gt=0)


class GazeMotor(GazeAdapter):
    """One motor; the axis is what follows the dot in its kind."""

    kind: Literal["gaze.pan", "gaze.tilt"]
    limits: RateLimits = RateLimits()
    ttl_s: float = Field(default=0.1, gt=0, le=60)
    safe_tolerance_rad_s: float = Field(default=0.01, gt=0)
    """The joint counts as standing still while it turns no faster."""

    _world: World | None = PrivateAttr(default=None)
    _clock: Clock | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _possible(self) -> GazeMotor:
        if self.axis not in self.definition.axes:
            raise ValueError(f"a world with a retina of one row has no axis {self.axis!r}, expected gaze.pan")
        if self.limits.max_rad_s > self.definition.speed_rad_s:
            raise ValueError(
                f"limits.max_rad_s is {self.limits.max_rad_s}, expected at most the world's speed_rad_s, "
                f"{self.definition.speed_rad_s}"
            )
        return self

    @property
    def axis(self) -> str:
        """The axis it turns the head about."""
        return self.kind.removeprefix("gaze.")

    @property
    def unit(self) -> str:
        return "rad/s"

    @property
    def limits_si(self) -> Limits:
        """The limits in the unit of its commands."""
        return Limits(-self.limits.max_rad_s, self.limits.max_rad_s, self.limits.slew_rad_s2)

    @property
    def safe_value(self) -> float:
        return 0.0

    @property
    def travel_s(self) -> float:
        """How long from full speed until the joint counts as standing still."""
        return self.definition.lag_s * max(math.log(self.definition.speed_rad_s / self.safe_tolerance_rad_s), 0.0)

    def describe(self) -> tuple[Topic, ...]:
        return (
            Topic(f"{self.name}/command", COMMAND, unit=self.unit),
            Topic(f"{self.name}/state", STATE, unit=self.unit),
        )

    def make_safe(self) -> None:
        """Stop. A motor that this process never opened does not exist, and there is nothing to do."""
        if self._world is not None and self._clock is not None:
            self._world.command(self.axis, self._clock.now(), 0.0)

    def is_safe(self, timeout_s: float) -> bool:
        """Whether it stands still within `timeout_s`. Blocks; on virtual time it looks once."""
        if self._world is None or self._clock is None:
            return True
        clock, until = self._clock, self._clock.now() + round(timeout_s * SECOND * (self._clock.speed or 1.0))
        never = threading.Event()
        while not self._stands_still(self._world, clock.now()):
            if not clock.speed or clock.now() >= until:
                return False
            clock.wait_until(min(clock.now() + POLL_NS, until), never)
        return True

    def open(self, clock: Clock) -> AbstractAsyncContextManager[LiveActuator]:
        return self._open(clock)

    @asynccontextmanager
    async def _open(self, clock: Clock) -> AsyncIterator[LiveActuator]:
        with shared(self.definition, clock) as world:
            self._world, self._clock = world, clock
            try:
                yield _LiveMotor(self, world, clock)
            finally:
                world.command(self.axis, clock.now(), 0.0)

    def _stands_still(self, world: World, now: int) -> bool:
        moment = world.moment(self.axis, now)
        return moment.command == 0.0 and abs(moment.joint_rate) <= self.safe_tolerance_rad_s


class _LiveMotor:
    """A motor in the world that it shares."""

    def __init__(self, motor: GazeMotor, world: World, clock: Clock) -> None:
        self._motor = motor
        self._world = world
        self._clock = clock
        self._limits = motor.limits_si
        self._command, self._state = motor.describe()
        self._applied = 0
        self._measured = 0

    def apply(self, command: Packet) -> Packet:
        motor = self._motor
        if not len(command):
            raise PacketError(f"{motor.name}/command: the packet holds no command, expected at least one")
        value, ttl_s = float(command.data["value"][-1]), float(command.data["ttl_s"][-1])
        if not (math.isfinite(value) and ttl_s > 0):
            raise PacketError(f"{motor.name}/command: got value={value}, ttl_s={ttl_s}, expected finite, above 0")
        now = self._clock.now()
        deadline = min(int(command.t[-1]), now) + round(min(ttl_s, motor.ttl_s) * SECOND)
        if deadline <= now:
            return no_events(self._command, now, self._applied)
        value = self._limits.clip(value)
        self._world.command(motor.axis, now, value, deadline - now)
        packet = one_event(self._command, now, (value, ttl_s), self._applied)
        self._applied += 1
        return packet

    def read(self) -> Packet:
        now, motor = self._clock.now(), self._motor
        moment = self._world.moment(motor.axis, now)
        stuck = abs(moment.joint) >= motor.definition.stop_rad and moment.command * moment.joint > 0
        change = 0.0 if stuck else (moment.command - moment.joint_rate) / motor.definition.lag_s
        safe = motor._stands_still(self._world, now)
        value = np.array((moment.joint_rate, change, safe, AT_END_STOP if stuck else OK), STATE)
        packet = one_event(self._state, now, value, self._measured)
        self._measured += 1
        return packet
