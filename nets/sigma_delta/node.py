"""The units of a sigma-delta network: an activation, rounded to whole quanta, of which only changes are sent.

    y = z where z > 0, slope z elsewhere            z: the sum of what arrived, or the measurement behind an Input

leak_per_s = 0, the sigma-delta unit. It holds what it sent in all, q, a whole number of quanta 1 / levels:

    q' = rint(levels y),  half to even;   sends q' - q        every receiver:  z += (q' - q) / levels W
    |q / levels - y| <= 1 / (2 levels)                        hysteresis h: where |levels y - q| > 1/2 + h only

leak_per_s > 0, proportional-derivative coding (O'Connor, Gavves & Welling 2017, arXiv 1706.04159) in continuous time:
what is sent is forgotten at this rate by every receiver, so that stale sums heal. The unit keeps a copy c of what its
receivers hold of it, and sends what the copy lacks:

    c <- c exp(-leak dt);  s = rint(levels (y - c));  c += s / levels       |c - y| <= 1 / (2 levels) at each evaluation

To the same y it sends about levels leak |y| quanta a second, to a moving one about levels |dy/dt| besides. With
kd = levels, kp = leak levels dt this is PD coding whose carry is the copy's own error, within its bound 1 / (kp + kd).

`Surface` adds up what an event brings, on a surface that leaks: x <- x exp(-leak dt) + value. Its copy leaks alike, so
between events neither needs to be touched, and nothing is sent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nets import nodes as n
from nets.errors import GraphError


@dataclass(frozen=True, eq=False, kw_only=True)
class SigmaDelta(n.SpikingModel):
    """`levels`: quanta per unit of activation; `slope` below zero: 0 is ReLU, 1 no activation, between them PReLU;
    `hysteresis` in quanta; `leak_per_s` one number for the layer.
    """

    levels: Any
    slope: Any = 0.0
    hysteresis: Any = 0.0
    leak_per_s: Any = 0.0

    STORED_AS: ClassVar[type[n.Node]] = n.IF

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least, expected in (
            ("levels", math.ulp(0.0), "above 0"),
            ("hysteresis", 0.0, "0 or more"),
            ("leak_per_s", 0.0, "0 or more"),
        ):
            value = getattr(self, name)
            if not (value >= least).all():
                raise GraphError(f"{self.kind}.{name} is {value.min()}, expected {expected}")
        if self.leak_per_s.size != 1:
            raise GraphError(f"{self.kind}.leak_per_s has shape {self.leak_per_s.shape}, expected one number")

    @property
    def activation(self) -> str:
        """What becomes of a negative sum: "relu", "none" or "prelu"."""
        kinds = {0.0: "relu", 1.0: "none"}
        values = np.unique(self.slope)
        return kinds.get(float(values[0]), "prelu") if len(values) == 1 else "prelu"


@dataclass(frozen=True, eq=False, kw_only=True)
class Surface(SigmaDelta):
    """Right behind an Input whose values are changes: event cameras, odometry ticks."""


def levels_for_noise(sigma: float) -> float:
    """The most levels that sensor noise of this standard deviation allows: a quantum of six sigma.

    It loses about a seventh of the saving that a sensor without noise would give; three sigma lose nearly half.
    """
    if not 0 < sigma < math.inf:
        raise ValueError(f"sigma is {sigma}, expected above 0")
    return 1.0 / (6.0 * sigma)
