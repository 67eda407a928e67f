"""Random motion of a gaze world's base and target: rates that forget within milliseconds, angles that stay in a range.

    d rate = -(rate / tau + pull angle) dt + sd sqrt(2 / tau) dW      pull = (sd / range)^2

The rate is an Ornstein-Uhlenbeck process of deviation `sd` and correlation time `tau`; the pull is too weak to change
either and gives the angle, its integral, the deviation `range` instead of letting it drift away. Advanced once a
step of the world, with random numbers drawn ahead in blocks.
"""

from __future__ import annotations

import math

import numpy as np

BLOCK = 1024


class Sway:
    """The rate of one angle."""

    def __init__(self, sd: float, tau_s: float, range_rad: float, step_s: float, seed: tuple[int, ...]) -> None:
        self._random = np.random.default_rng(seed)
        self._keep = math.exp(-step_s / tau_s)
        self._kick = sd * math.sqrt(1.0 - self._keep**2)
        self._pull = (sd / range_rad) ** 2 * step_s
        self._rate = sd * float(self._random.standard_normal())
        self._normals: list[float] = []

    def step(self, angle: float) -> float:
        """The rate over the next step, the angle being what it is now."""
        if not self._normals:
            self._normals = self._random.standard_normal(BLOCK).tolist()
        self._rate = self._keep * self._rate - self._pull * angle + self._kick * self._normals.pop()
        return self._rate


class Bumps:
    """Pushes of a fixed rate and length and a random sign, at random times; one during another prolongs it."""

    def __init__(self, rate: float, length_steps: int, steps_between: float, seed: tuple[int, ...]) -> None:
        self._random = np.random.default_rng(seed)
        self._size = rate
        self._length = length_steps
        self._between = steps_between
        self._wait = self._next_wait()
        self._left = 0
        self._rate = 0.0

    def step(self) -> float:
        """The rate of the push over the next step; 0 for none."""
        self._wait -= 1.0
        if self._wait < 0.0:
            self._wait += self._next_wait()
            self._left = self._length
            self._rate = self._size if self._random.random() < 0.5 else -self._size
        if not self._left:
            return 0.0
        self._left -= 1
        return self._rate

    def _next_wait(self) -> float:
        return float(self._random.exponential(self._between)) if math.isfinite(self._between) else math.inf
