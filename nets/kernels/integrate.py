"""Integrate and fire, without leak or constant drive: v <- max(v + g x, floor)."""

from __future__ import annotations

import numpy as np

from nets.kernels import layout as L
from nets.kernels.jit import op


@op
def integrate(weights, real, v_at, x_at, coef, n, block, same):  # type: ignore[no-untyped-def]
    """Update one site from its drive, clear the drive, return how many neurons reached their threshold.

    Where all neurons are the `same`, coefficients stay in registers; both ways give the same bits.
    """
    v = np.uint64(v_at)
    x = np.uint64(x_at)
    g = np.uint64(coef + L.K_G * n)
    compare = np.uint64(coef + L.K_CMP * n)
    floor = np.uint64(coef + L.K_FLOOR * n)
    zero = weights[1]
    fired = 0
    if same != 0:
        gain, least, bound = weights[g], weights[floor], weights[compare]
        for j in range(np.uint64(block)):
            u = real[v + j] + gain * real[x + j]
            u = least if least > u else u
            real[v + j] = u
            real[x + j] = zero
            fired += 1 if u >= bound else 0
        return fired
    for j in range(np.uint64(block)):
        real[v + j] = real[v + j] + weights[g + j] * real[x + j]
    for j in range(np.uint64(block)):
        u = real[v + j]
        least = weights[floor + j]
        real[v + j] = least if least > u else u
        real[x + j] = zero
    for j in range(np.uint64(block)):
        fired += 1 if real[v + j] >= weights[compare + j] else 0
    return fired
