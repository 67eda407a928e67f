"""One axis of a gaze world: base, motor and target, known at every nanosecond.

Between two breakpoints base and target turn at constant rates and the motor's rate nears its command u:

    rate(t) = u + (rate_0 - u) e^(-t/lag)      joint(t) = joint_0 + u t + (rate_0 - u) lag (1 - e^(-t/lag))

There is a breakpoint every step of 1 ms, when base and target get new rates, and one wherever the command changes.
Asking makes none, so the motion depends on the commands alone, not on who looked at it and when.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import NamedTuple

from runtime.core.clock import SECOND
from sensors.gaze_definition import GazeWorld
from sensors.gaze_sway import Bumps, Sway

STEP_NS = 1_000_000
REMEMBERED = 16384
"""Breakpoints kept at most; when there are more the older half is forgotten."""


class Moment(NamedTuple):
    """The axis at one moment: angles in rad, rates in rad/s, pan to the left and tilt down positive."""

    joint: float
    """Of the head on its base."""
    joint_rate: float
    command: float
    """The rate that the motor is nearing."""
    base: float
    base_rate: float
    """Of the base, bumps included."""
    bump: float
    """The bump's part of it."""
    target: float
    target_rate: float

    @property
    def head(self) -> float:
        """Where the head looks, in the world."""
        return self.base + self.joint

    @property
    def error(self) -> float:
        """From where the head looks to the target."""
        return self.target - self.base - self.joint


class Axis:
    """One axis from `start` on; times are ns."""

    def __init__(self, world: GazeWorld, number: int, start: int) -> None:
        step_s = STEP_NS / SECOND
        seed = (world.seed, number)
        self._lag = world.lag_s
        self._stop = world.stop_rad
        self._speed = world.speed_rad_s
        self._in_sight = world.in_sight_px / world.pixels_per_rad or math.inf
        self._base = Sway(world.base_sd_rad_s, world.base_tau_s, world.base_range_rad, step_s, (*seed, 0xBA5E))
        self._target = Sway(world.target_sd_rad_s, world.target_tau_s, world.target_range_rad, step_s, (*seed, 0x7A67))
        between = 1.0 / (world.bump_hz * step_s) if world.bump_hz else math.inf
        self._bumps = Bumps(world.bump_rad_s, max(round(world.bump_s / step_s), 1), between, (*seed, 0xB0B))
        self._next_step = start + STEP_NS
        self._expiry: int | None = None
        self._times = [start]
        self._moments = [self._with_new_rates(Moment(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0))]

    def step_to(self, t: int) -> None:
        """Let everything happen that does up to and including `t`."""
        while True:
            if self._expiry is not None and self._expiry <= min(t, self._next_step):
                expiry, self._expiry = self._expiry, None
                self._set_command(expiry, 0.0)
            elif self._next_step <= t:
                moved = self._moved(self._next_step - self._times[-1])
                self._append(self._next_step, self._with_new_rates(moved))
                self._next_step += STEP_NS
            else:
                return

    def command(self, t: int, rate: float, ttl_ns: int | None = None) -> None:
        """From `t` on near `rate`, no faster than the motor can; after `ttl_ns` stop. A past `t` counts as the present,
        which is the last breakpoint.
        """
        t = max(t, self._times[-1])
        self.step_to(t)
        self._expiry = None if ttl_ns is None else t + ttl_ns
        self._set_command(t, min(max(rate, -self._speed), self._speed))

    def at(self, t: int) -> Moment:
        """The axis at `t`, which may lie up to some seconds in the past."""
        self.step_to(t)
        i = bisect_right(self._times, t) - 1
        if i < 0:
            raise ValueError(f"gaze world: asked for {t}, expected from {self._times[0]} on")
        since = t - self._times[i]
        return self._moved(since, i) if since else self._moments[i]

    def _set_command(self, t: int, rate: float) -> None:
        if rate == self._moments[-1].command:
            return
        since = t - self._times[-1]
        m = self._moved(since) if since else self._moments[-1]
        moment = Moment(m[0], m[1], rate, m[3], m[4], m[5], m[6], m[7])
        if since:
            self._append(t, moment)
        else:
            self._moments[-1] = moment

    def _with_new_rates(self, m: Moment) -> Moment:
        bump = self._bumps.step()
        base_rate = self._base.step(m.base) + bump
        return Moment(m[0], m[1], m[2], m[3], base_rate, bump, m[6], self._target.step(m.target))

    def _moved(self, since: int, i: int = -1) -> Moment:
        joint, rate, command, base, base_rate, bump, target, target_rate = self._moments[i]
        s = since / SECOND
        lead, left = rate - command, math.exp(-s / self._lag)
        rate = command + lead * left
        joint += command * s + lead * self._lag * (1.0 - left)
        if joint >= self._stop:
            joint, rate = self._stop, min(rate, 0.0)
        elif joint <= -self._stop:
            joint, rate = -self._stop, max(rate, 0.0)
        base += base_rate * s
        target += target_rate * s
        head = base + joint
        if target - head > self._in_sight:
            target = head + self._in_sight
        elif head - target > self._in_sight:
            target = head - self._in_sight
        return Moment(joint, rate, command, base, base_rate, bump, target, target_rate)

    def _append(self, t: int, moment: Moment) -> None:
        self._times.append(t)
        self._moments.append(moment)
        if len(self._times) > REMEMBERED:
            del self._times[: REMEMBERED // 2], self._moments[: REMEMBERED // 2]
