"""Analog samples to events by level crossing: an event each time a channel has moved by a whole step.

Let u = x / step and L the integer level last reported. A sample moves L to the nearest integer no more than one away
from u, towards u: L <- min(max(L, floor u), ceil u), and sends |dL| events up or down. So L * step is always less than
a step from the last sample, and after a crossing it takes a full step back to cross again: noise of less than half a
step (peak) sends nothing once the level is settled. Clamps compose to clamps and the state is integer, so a whole
packet is done by a doubling scan whose result is exactly that of going sample by sample.

Send-on-delta sampling: Miskowicz 2006, Sensors 6(1):49-63.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets.code_options import choice, numbers, whole
from nets.code_state import hash_state, pack_state, restore_state
from nets.encoded import Encoded

LARGEST_LEVEL = 2**22
"""Beyond this samples are refused: the difference of two levels must be exact in float32."""
_FREE = 2**31


class LevelCrossingEncoder:
    """Samples (n, channels) to events: index 2 * channel for up, + 1 for down; value is the number of steps.

    `start` is where levels begin: `zero` (the level is absolute; a gyro) or `first` (the first sample is level 0).
    Non-finite samples, and those more than `LARGEST_LEVEL` steps out, are refused and counted; the level stays.
    """

    def __init__(self, channels: int, step: float | Sequence[float], *, start: str = "zero") -> None:
        steps = numbers("step", step, whole("channels", channels))
        if min(steps) <= 0:
            raise ValueError(f"step is {step!r}, expected above 0")
        choice("start", start, ("zero", "first"))
        self._channels = channels
        self._step = np.array(steps, np.float64)
        self._levels = Levels(channels, start, f"level {channels} {list(steps)}")

    @property
    def counters(self) -> Mapping[str, int]:
        return {"refused": self._levels.refused}

    def encode(self, t: NDArray[np.int64], data: NDArray[Any]) -> Encoded:
        samples = as_samples(data, self._channels)
        with np.errstate(over="ignore"):
            u = samples / self._step
        sample, channel, steps = self._levels.cross(u)
        index = (2 * channel + (steps < 0)).astype(np.int32)
        return Encoded(t[sample], index, np.abs(steps).astype(np.float32))

    def reset(self) -> None:
        self._levels.reset()

    def snapshot(self) -> bytes:
        return self._levels.snapshot()

    def restore(self, snapshot: bytes) -> None:
        self._levels.restore(snapshot)

    def hash(self) -> bytes:
        return self._levels.hash()


class Levels:
    """The integer level of each channel, and which samples move it."""

    def __init__(self, channels: int, start: str, signature: str) -> None:
        self._from_first = start == "first"
        self._signature = f"{signature} {start}"
        self._level = np.zeros(channels, np.int64)
        self._origin = np.zeros(channels, np.float64)
        self._state = (self._level, self._origin)
        self.refused = 0
        self.reset()

    def cross(self, u: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.int64]]:
        """Samples in steps (n, channels): which sample moved which channel by how many steps, in time order."""
        fine = np.abs(u) <= LARGEST_LEVEL
        if self._from_first:
            u = u - self._find_origin(u, fine)
        low = np.floor(u)
        high = np.ceil(u)
        if not fine.all():
            self.refused += u.size - int(np.count_nonzero(fine))
            low = np.where(fine, low, -_FREE)
            high = np.where(fine, high, _FREE)
        level = _clamp_in_turn(self._level, low.astype(np.int64), high.astype(np.int64))
        moved = np.empty_like(level)
        if len(u):
            np.subtract(level[0], self._level, out=moved[0])
            np.subtract(level[1:], level[:-1], out=moved[1:])
            self._level[:] = level[-1]
        sample, channel = moved.nonzero()
        return sample, channel, moved[sample, channel]

    def _find_origin(self, u: NDArray[np.float64], fine: NDArray[np.bool_]) -> NDArray[np.float64]:
        unset = np.isnan(self._origin)
        if unset.any() and len(u):
            first = u[fine.argmax(axis=0), np.arange(u.shape[1])]
            self._origin[:] = np.where(unset & fine.any(axis=0), first, self._origin)
        return self._origin

    def reset(self) -> None:
        self._level[:] = 0
        self._origin[:] = np.nan if self._from_first else 0.0

    def snapshot(self) -> bytes:
        return pack_state(self._signature, self._state)

    def restore(self, snapshot: bytes) -> None:
        restore_state(self._signature, self._state, snapshot)

    def hash(self) -> bytes:
        return hash_state(self._signature, self._state)


def as_samples(data: NDArray[Any], channels: int) -> NDArray[np.float64]:
    """Events of any shape as float64 (n, channels)."""
    n = len(data)
    if data.dtype.names is not None or data.size != n * channels:
        raise ValueError(f"samples are {data.dtype}{data.shape}, expected numbers of shape {(n, channels)}")
    return data.reshape(n, channels).astype(np.float64)


def _clamp_in_turn(level: NDArray[np.int64], low: NDArray[np.int64], high: NDArray[np.int64]) -> NDArray[np.int64]:
    """The levels after each sample. Clamps [a, b], then [c, d] are one: [clip(a, c, d), clip(b, c, d)]."""
    reach = 1
    while reach < len(low):
        joined_low = np.minimum(np.maximum(low[:-reach], low[reach:]), high[reach:])
        joined_high = np.minimum(np.maximum(high[:-reach], low[reach:]), high[reach:])
        low[reach:], high[reach:] = joined_low, joined_high
        reach *= 2
    return np.minimum(np.maximum(level, low), high)
