"""A servo's physics, sans-IO: first order towards its set-point, limited in speed and by its end stops.

    dx/dt = clamp((target - x) / tau, -speed, +speed)

A large error is closed at full speed until `|target - x| = speed * tau`, then exponentially; both have a closed form,
evaluated from the moment the target last changed. Looking at the servo never moves that moment, so its position at a
time is the same number however often it was asked for before. Read-back noise is a function of (seed, time) for the
same reason.

The servo has its own time to live: without a command younger than that it returns to its safe position by itself,
starting at the exact nanosecond of expiry.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import NamedTuple

from runtime.core.clock import SECOND

OK = 0
AT_END_STOP = 1
"""Fault: the set-point lies beyond an end stop, and the servo pushes against it."""


class ReadBack(NamedTuple):
    """What the encoder says at `t`; velocity is the tachometer's, not differenced positions."""

    t: int
    position: float
    velocity: float
    safe: bool
    fault: int


@dataclass(frozen=True, slots=True)
class ServoParameters:
    """A servo on its datasheet; angles in rad, times in s."""

    safe_rad: float
    stop_min_rad: float
    stop_max_rad: float
    tau_s: float
    speed_rad_s: float
    resolution_rad: float
    noise_rad: float
    tolerance_rad: float
    """How near to its safe position the encoder must see it for the state to count as safe."""
    ttl_s: float
    seed: int

    def travel_s(self, from_rad: float) -> float:
        """How long from rest at `from_rad` until the encoder is sure to see the safe position."""
        # Rounding moves a reading by half a step, noise by four deviations but once in 16,000 readings.
        margin = self.tolerance_rad - self.resolution_rad / 2 - 4 * self.noise_rad
        knee = self.speed_rad_s * self.tau_s
        error = abs(from_rad - self.safe_rad)
        if error <= margin:
            return 0.0
        cruise = max(error - max(knee, margin), 0.0) / self.speed_rad_s
        settle = self.tau_s * math.log(min(error, knee) / margin) if min(error, knee) > margin else 0.0
        return cruise + settle


class ServoPhysics:
    """One servo; times are ns and must not run backwards between commands."""

    def __init__(self, parameters: ServoParameters, now: int, position: float | None = None) -> None:
        self._parameters = parameters
        self._target = parameters.safe_rad
        self._deadline: int | None = None
        self._from = parameters.safe_rad if position is None else self._within_stops(position)
        self._since = now
        self.late = 0
        """Commands that had expired on arrival and did not act."""

    @property
    def target(self) -> float:
        """The set-point as of the last call."""
        return self._target

    def command(self, now: int, value: float, issued: int, ttl_s: float) -> bool:
        """Take a set-point issued at `issued`; False where it has already outlived `ttl_s`."""
        if not math.isfinite(value):
            raise ValueError(f"set-point is {value}, expected a finite number")
        self._expire(now)
        deadline = min(issued, now) + round(min(ttl_s, self._parameters.ttl_s) * SECOND)
        if deadline <= now:
            self.late += 1
            return False
        self._aim(now, value)
        self._deadline = deadline
        return True

    def make_safe(self, now: int) -> None:
        """Return to the safe position now."""
        self._expire(now)
        self._aim(now, self._parameters.safe_rad)
        self._deadline = None

    def position(self, now: int) -> float:
        """Where the servo truly is."""
        self._expire(now)
        return self._within_stops(self._moved(now))

    def velocity(self, now: int) -> float:
        """How fast it truly turns."""
        self._expire(now)
        x = self._moved(now)
        v = (self._target - x) / self._parameters.tau_s
        pushing = (x >= self._parameters.stop_max_rad and v > 0) or (x <= self._parameters.stop_min_rad and v < 0)
        return 0.0 if pushing else max(-self._parameters.speed_rad_s, min(v, self._parameters.speed_rad_s))

    def read(self, now: int) -> ReadBack:
        """What the encoder says: true position with noise, in whole steps."""
        p = self._parameters
        x = self.position(now)
        fault = AT_END_STOP if x != self._target and x in (p.stop_min_rad, p.stop_max_rad) and self._beyond() else OK
        if p.noise_rad:
            x += random.Random((p.seed << 64) ^ now).gauss(0.0, p.noise_rad)
        if p.resolution_rad:
            x = round(x / p.resolution_rad) * p.resolution_rad
        safe = self._target == p.safe_rad and abs(x - p.safe_rad) <= p.tolerance_rad
        return ReadBack(now, x, self.velocity(now), safe, fault)

    def _aim(self, now: int, target: float) -> None:
        if target != self._target:
            self._from = self._within_stops(self._moved(now))
            self._since = max(now, self._since)
            self._target = target

    def _expire(self, now: int) -> None:
        if self._deadline is not None and now >= self._deadline:
            self._aim(self._deadline, self._parameters.safe_rad)
            self._deadline = None

    def _moved(self, now: int) -> float:
        p = self._parameters
        dt = max(now - self._since, 0) / SECOND
        error = self._target - self._from
        knee = p.speed_rad_s * p.tau_s
        cruise = max(abs(error) - knee, 0.0) / p.speed_rad_s
        if dt < cruise:
            return self._from + math.copysign(p.speed_rad_s * dt, error)
        return self._target - math.copysign(min(abs(error), knee), error) * math.exp(-(dt - cruise) / p.tau_s)

    def _within_stops(self, x: float) -> float:
        return min(max(x, self._parameters.stop_min_rad), self._parameters.stop_max_rad)

    def _beyond(self) -> bool:
        return not self._parameters.stop_min_rad <= self._target <= self._parameters.stop_max_rad
