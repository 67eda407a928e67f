"""Silent ticks at once, in float64: what the kernels' repeated squaring is for a state read from outside."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.float64]


def silent(a: Real, s: Real, c: Real, alpha: Real, e: Real, v: Real, i: Real, ticks: int) -> tuple[Real, Real]:
    """(v, i) after silent ticks, by matrix powers of the augmented one-tick map."""
    step = np.zeros((len(v), 3, 3))
    step[:, 0, 0], step[:, 0, 1], step[:, 0, 2] = a, s, c
    step[:, 1, 1], step[:, 1, 2], step[:, 2, 2] = alpha, e, 1.0
    after = np.linalg.matrix_power(step, ticks) @ np.stack([v, i, np.ones_like(v)], axis=1)[:, :, None]
    return after[:, 0, 0], after[:, 1, 0]
