"""The limiter in front of an actuator: range, slew rate, time to live, stop.

A set-point is a trajectory: `step` gives it a new target, and `step` and `expire` move it there. In `dt` since the
last move it may go `slew * min(dt, burst_s)`: without the bound, ten idle seconds would buy a jump of ten seconds'
slew. Call `expire` at least every `burst_s`, or the set-point moves slower than it may.

    active   follows the newest command
    safe     no command acts (none came, the last expired, or `make_safe` was called): moves to the safe value
    stopped  the e-stop is latched: stands at the safe value and refuses commands until `release`

Expiry goes to the safe value through the slew rate, because whoever calls `expire` is alive to finish the ramp. `stop`
does not: an e-stop must be complete with one message, for this process may be gone before a second, and the fastest
stop is the device's own (whose speed limit remains).

No clock, no randomness: the state is a pure function of the calls and their arguments, so a replay of the recorded
calls reproduces it bit for bit.
"""

from __future__ import annotations

import math
import struct
from typing import Literal, NamedTuple

from runtime.core.clock import SECOND
from runtime.core.errors import ConfigError, PacketError, StoppedError
from runtime.core.limits import Limits

Mode = Literal["active", "safe", "stopped"]
NO_COMMAND = "no command yet"


class Limited(NamedTuple):
    """The set-point to send now, and whether the range or the slew rate kept it from what was asked."""

    applied: float
    clipped: bool
    slewed: bool


class LimiterState(NamedTuple):
    """All a limiter remembers; equal states give equal bytes."""

    applied: float
    at: int | None
    """When `applied` was last moved or confirmed; None before the first call."""
    target: float
    deadline: int | None
    """When the newest command expires; None where none acts."""
    mode: Mode
    reason: str
    refused: int
    clipped: int
    slewed: int

    def to_bytes(self) -> bytes:
        """The state in one canonical form, for a replay's hash."""
        times = [-(2**63) if t is None else t for t in (self.at, self.deadline)]
        head = struct.pack("<ddqqqqq", self.applied, self.target, *times, self.refused, self.clipped, self.slewed)
        return head + f"{self.mode}\0{self.reason}".encode()


class Limiter:
    """Rules of one actuator's set-point; times are ns on the runtime clock."""

    def __init__(
        self, limits: Limits, safe_value: float, ttl_s: float, name: str = "actuator", burst_s: float = 0.1
    ) -> None:
        if not limits.min <= safe_value <= limits.max:
            raise ConfigError(f"{name}: safe value is {safe_value}, expected within [{limits.min}, {limits.max}]")
        for key, value in (("ttl_s", ttl_s), ("burst_s", burst_s)):
            if not (math.isfinite(value) and value > 0):
                raise ConfigError(f"{name}: {key} is {value}, expected above 0")
        self._limits = limits
        self._safe = float(safe_value)
        self._ttl_s = float(ttl_s)
        self._burst_s = float(burst_s)
        self._name = name
        self._state = LimiterState(self._safe, None, self._safe, None, "safe", NO_COMMAND, 0, 0, 0)

    @property
    def name(self) -> str:
        return self._name

    @property
    def limits(self) -> Limits:
        return self._limits

    @property
    def safe_value(self) -> float:
        return self._safe

    @property
    def mode(self) -> Mode:
        return self._state.mode

    @property
    def reason(self) -> str:
        """Why the mode is not active; empty when it is."""
        return self._state.reason

    @property
    def applied(self) -> float:
        """The set-point as it stands."""
        return self._state.applied

    @property
    def target(self) -> float:
        """Where the set-point is going."""
        return self._state.target

    @property
    def refused(self) -> int:
        """How many commands were refused: not finite, or while stopped."""
        return self._state.refused

    @property
    def slew_s(self) -> float:
        """The longest a set-point needs from anywhere in the range to the safe value."""
        span = max(self._limits.max - self._safe, self._safe - self._limits.min)
        return 0.0 if span == 0 or math.isinf(self._limits.slew) else span / self._limits.slew

    def state(self) -> LimiterState:
        return self._state

    def restore(self, state: LimiterState) -> None:
        """Go on from a state that `state` gave."""
        self._state = state

    def begin(self, now: int, position: float) -> None:
        """Let the trajectory start where the device was measured, not at the safe value where it is assumed."""
        self._require_finite("position", position)
        applied = self._limits.clip(position)
        self._state = self._state._replace(applied=applied, at=self._not_before(now))

    def step(self, now: int, value: float, ttl_s: float | None = None) -> Limited:
        """Follow a command given at `now`, for `ttl_s` at most the limiter's own.

        Raises PacketError for what is not finite and StoppedError while stopped; both are counted as refused.
        """
        ttl_s = self._ttl_s if ttl_s is None else ttl_s
        self._require_finite("command", value)
        if not ttl_s > 0:
            self._refuse()
            raise PacketError(f"{self._name}: time to live is {ttl_s} s, expected above 0")
        state = self._state
        if state.mode == "stopped":
            self._refuse()
            raise StoppedError(f"{self._name}: command {value} refused, stopped: {state.reason}")
        now = self._not_before(now)
        target = self._limits.clip(float(value))
        clipped = target != value
        deadline = now + round(min(float(ttl_s), self._ttl_s) * SECOND)
        self._state = state._replace(
            target=target, deadline=deadline, mode="active", reason="", clipped=state.clipped + clipped
        )
        return self._move(now, clipped)

    def expire(self, now: int) -> Limited | None:
        """Let time pass: the next set-point on the way to the target, or None where there is nothing new to send."""
        now = self._not_before(now)
        state = self._state
        if state.mode == "stopped":
            return None
        if state.deadline is not None and now >= state.deadline:
            return self.make_safe(now, "command expired")
        if state.applied == state.target:
            self._state = state._replace(at=now)
            return None
        return self._move(now, clipped=False)

    def make_safe(self, now: int, reason: str) -> Limited:
        """Forget the command and move to the safe value through the slew rate; a later command acts again."""
        now = self._not_before(now)
        if self._state.mode == "stopped":
            return Limited(self._state.applied, clipped=False, slewed=False)
        self._state = self._state._replace(target=self._safe, deadline=None, mode="safe", reason=reason)
        return self._move(now, clipped=False)

    def stop(self, now: int, reason: str = "e-stop") -> Limited:
        """Jump to the safe value at once and refuse commands until released."""
        self._state = self._state._replace(
            applied=self._safe,
            at=self._not_before(now),
            target=self._safe,
            deadline=None,
            mode="stopped",
            reason=reason,
        )
        return Limited(self._safe, clipped=False, slewed=False)

    def release(self, now: int) -> None:
        """Accept commands again. Those given before or during the stop do not come back."""
        if self._state.mode == "stopped":
            self._state = self._state._replace(at=self._not_before(now), mode="safe", reason="released")

    def _move(self, now: int, clipped: bool) -> Limited:
        state = self._state
        elapsed_s = 0.0 if state.at is None else (now - state.at) / SECOND
        # An unlimited slew rate times no time at all is not a number.
        reach = math.inf if math.isinf(self._limits.slew) else self._limits.slew * min(elapsed_s, self._burst_s)
        error = state.target - state.applied
        slewed = abs(error) > reach * (1 + 1e-9)  # a rounding error short of the target is the target
        applied = state.applied + math.copysign(reach, error) if slewed else state.target
        self._state = state._replace(applied=applied, at=now, slewed=state.slewed + slewed)
        return Limited(applied, clipped, slewed)

    def _not_before(self, now: int) -> int:
        return now if self._state.at is None else max(now, self._state.at)

    def _require_finite(self, what: str, value: float) -> None:
        if not math.isfinite(value):
            self._refuse()
            raise PacketError(f"{self._name}: {what} is {value}, expected a finite number")

    def _refuse(self) -> None:
        self._state = self._state._replace(refused=self._state.refused + 1)
