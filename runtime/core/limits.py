"""Limits: the range and the slew rate a set-point must keep, in the actuator's own unit."""

from __future__ import annotations

import math
from dataclasses import dataclass

from runtime.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Limits:
    """`min <= set-point <= max`, moving at most `slew` a second; infinities mean unlimited."""

    min: float
    max: float
    slew: float

    def __post_init__(self) -> None:
        if not self.min <= self.max:
            raise ConfigError(f"limits are [{self.min}, {self.max}], expected min <= max")
        if not self.slew > 0:
            raise ConfigError(f"slew rate is {self.slew}, expected above 0")

    def clip(self, value: float) -> float:
        """The nearest value within the range; raises ValueError for one that is not a number."""
        if math.isnan(value):
            raise ValueError("nan is not a set-point, expected a number")
        return min(max(value, self.min), self.max)
