"""Axes of charts: from a set of values to a span between round numbers, with ticks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True)
class Axis:
    """A span of values, the lines of its grid and the numbers at them."""

    low: float
    high: float
    log: bool
    ticks: tuple[float, ...]

    def share(self, value: float) -> float:
        """How far along the axis a value lies, 0 to 1 within it."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def axis(values: Iterable[float], log: bool) -> Axis:
    """An axis that holds the values, between round numbers."""
    found = list(values)
    low, high = min(found), max(found)
    return _log_axis(low, high) if log else _linear_axis(low, high)


def number(value: float) -> str:
    """A tick's number: 0.05, 3, 20k, 1.5M."""
    for size, prefix in PREFIXES:
        if abs(value) >= size:
            return f"{value / size:.4g}{prefix}"
    return f"{value:.4g}"


def _linear_axis(low: float, high: float) -> Axis:
    if 0 <= low <= 0.5 * high:
        low = 0.0
    if low == high:
        room = abs(low) / 2 or 1.0
        low, high = low - room, high + room
    coarse = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(coarse))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= coarse * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return Axis(first * step, last * step, False, tuple(k * step for k in range(first, last + 1)))


def _log_axis(low: float, high: float) -> Axis:
    if low == high:
        low, high = low / 2, high * 2
    decades = math.log10(high / low)
    factors = (1, 2, 5) if decades < 2.5 else (1,)
    first, last = math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1
    marks = [factor * 10.0**power for power in range(first, last + 1) for factor in factors]
    below = max(mark for mark in marks if mark <= low * 1.0001)
    above = min(mark for mark in marks if mark >= high * 0.9999)
    most = math.ceil(math.log10(above / below) / 7)
    kept = [mark for mark in marks if below <= mark <= above]
    return Axis(below, above, True, tuple(kept[:: max(1, most)] if factors == (1,) else kept))
