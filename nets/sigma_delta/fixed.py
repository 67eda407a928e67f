"""Fixed-point weights: every sum of them is a whole number of steps 2**-f, so its order does not matter at all.

A product gain w / levels is rounded to a multiple of the step. With `MOST` quanta a source and sum |w| a target, sums
stay below 2**53 steps; up to there float64 adds whole numbers exactly, and the same kernels serve.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from nets.errors import UnsupportedError
from nets.kernels import sigma_layout as L
from nets.linear import Real
from nets.lower import LARGEST_MATRIX, Stamps

EXACT_BITS = 53
WEIGHT_BITS = 31
"""A weight of more bits than this gains nothing that its levels could show."""


def folded(where: str, stamps: Stamps) -> Stamps:
    """The same stamps with gains of 1: what they were is in the weights, a copy for each place that needs its own."""
    gain, weights = stamps.gain, stamps.weights
    if len(gain) == 0 or bool((gain == gain[0]).all()):
        return replace(stamps, gain=np.ones(len(gain)), weights=weights * (gain[0] if len(gain) else 1.0))
    keys = np.stack(
        [stamps.weight, stamps.rows, stamps.run, stamps.weight_stride, gain.astype(np.float64).view(np.int64)], axis=1
    )
    kinds, which = np.unique(keys, axis=0, return_inverse=True)
    size = kinds[:, 1] * kinds[:, 2]
    start = np.concatenate([[0], np.cumsum(size)])
    if start[-1] > LARGEST_MATRIX:
        raise UnsupportedError(
            f"{where}: with a gain of its own for each place it has {start[-1]} weights, at most {LARGEST_MATRIX}"
        )
    copies = np.empty(start[-1])
    for k, (weight, rows, run, stride, bits) in enumerate(kinds):
        places = weight + np.arange(rows)[:, None] * stride + np.arange(run)
        copies[start[k] : start[k + 1]] = (weights[places] * np.int64(bits).view(np.float64)).ravel()
    which = which.ravel()
    return replace(stamps, weight=start[which], weight_stride=stamps.run, gain=np.ones(len(gain)), weights=copies)


def reach(stamps: Stamps, size: int) -> Real:
    """The sum of absolute weights into each of `size` neurons."""
    total = np.zeros(size)
    for weight, first, rows, run, stride in zip(
        stamps.weight, stamps.first, stamps.rows, stamps.run, stamps.weight_stride, strict=True
    ):
        for r in range(rows):
            to, at = first + r * stamps.neuron_stride, weight + r * stride
            total[to : to + run] += np.abs(stamps.weights[at : at + run])
    return total


def fraction_bits(where: str, largest: float, total: float) -> int:
    """How many binary places the weights and biases of a unit can have, `total` the largest sum of their sizes."""
    if total == 0.0:
        return 0
    bits = min(EXACT_BITS - 1 - math.frexp(total * L.MOST)[1], WEIGHT_BITS - math.frexp(largest)[1])
    if not -1000 < bits < 1000:
        raise UnsupportedError(f"{where}: weights of {largest:.3g} have no fixed-point form")
    return bits


def rounded(values: Real, bits: int) -> Real:
    """To the nearest multiple of 2**-bits."""
    return np.asarray(np.ldexp(np.rint(np.ldexp(values, bits)), -bits))
