"""The motion of a simulated robot's head: body rates that are sums of sines, with their angles in closed form.

    rate(t) = sum a cos(2 pi f t + phase)      angle(t) = sum a / (2 pi f) sin(2 pi f t + phase)

Axes as in REP-103: x forward, y left, z up. Time is the runtime clock's, so every simulated sensor given the same
motion sees the same head at the same moment.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from runtime.core.clock import SECOND


class Sine(BaseModel):
    """One sine of the rate about one axis."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    axis: Literal["x", "y", "z"]
    amplitude_rad_s: float
    frequency_hz: float = Field(gt=0)
    phase_rad: float = 0.0


Motion = tuple[Sine, ...]

LOOKING_AROUND: Motion = (
    Sine(axis="z", amplitude_rad_s=0.8, frequency_hz=0.5),
    Sine(axis="z", amplitude_rad_s=0.3, frequency_hz=1.7, phase_rad=1.0),
    Sine(axis="y", amplitude_rad_s=0.4, frequency_hz=0.8, phase_rad=0.5),
    Sine(axis="x", amplitude_rad_s=0.1, frequency_hz=1.1),
)
AXES = ("x", "y", "z")


def rates(motion: Motion, t: NDArray[np.int64]) -> NDArray[np.float64]:
    """Body rates (n, 3) in rad/s at times in ns."""
    return _sum(motion, t, math.pi / 2, integrate=False)


def angles(motion: Motion, t: NDArray[np.int64]) -> NDArray[np.float64]:
    """Angles (n, 3) in rad at times in ns, each the integral of its rate."""
    return _sum(motion, t, 0.0, integrate=True)


def _sum(motion: Motion, t: NDArray[np.int64], shift: float, integrate: bool) -> NDArray[np.float64]:
    total = np.zeros((len(t), 3))
    seconds = t / SECOND
    for sine in motion:
        omega = 2 * math.pi * sine.frequency_hz
        amplitude = sine.amplitude_rad_s / omega if integrate else sine.amplitude_rad_s
        total[:, AXES.index(sine.axis)] += amplitude * np.sin(omega * seconds + sine.phase_rad + shift)
    return total
