"""The membrane with leak or constant drive: v <- max(a v + g x + c, floor), with c = (1 - a) v_leak + g bias."""

from __future__ import annotations

import numpy as np

from nets.kernels import layout as L
from nets.kernels.jit import op


@op
def leak(weights, real, v_at, x_at, coef, n, block, same):  # type: ignore[no-untyped-def]
    """Update one site from its drive, clear the drive, return how many neurons reached their threshold.

    Where all neurons are the `same`, coefficients stay in registers; both ways give the same bits. Short loops over
    few arrays: beyond eight pairs of them the compiler gives up proving that they do not overlap.
    """
    v = np.uint64(v_at)
    x = np.uint64(x_at)
    g = np.uint64(coef + L.K_G * n)
    compare = np.uint64(coef + L.K_CMP * n)
    floor = np.uint64(coef + L.K_FLOOR * n)
    a = np.uint64(coef + L.K_A * n)
    c = np.uint64(coef + L.K_C * n)
    zero = weights[1]
    fired = 0
    if same != 0:
        kept, gain, drive, least, bound = weights[a], weights[g], weights[c], weights[floor], weights[compare]
        for j in range(np.uint64(block)):
            u = kept * real[v + j] + gain * real[x + j] + drive
            u = least if least > u else u
            real[v + j] = u
            real[x + j] = zero
            fired += 1 if u >= bound else 0
        return fired
    for j in range(np.uint64(block)):
        real[v + j] = weights[a + j] * real[v + j] + weights[g + j] * real[x + j]
    for j in range(np.uint64(block)):
        u = real[v + j] + weights[c + j]
        least = weights[floor + j]
        real[v + j] = least if least > u else u
        real[x + j] = zero
    for j in range(np.uint64(block)):
        fired += 1 if real[v + j] >= weights[compare + j] else 0
    return fired


@op
def leak_power(weights, a, c, ticks):  # type: ignore[no-untyped-def]
    """(a, c) of `ticks` silent ticks at once, by repeated squaring of v <- a v + c."""
    ra = weights[0]
    rc = weights[1]
    while ticks > 0:
        if ticks & 1:
            rc = a * rc + c
            ra = a * ra
        c = a * c + c
        a = a * a
        ticks >>= 1
    return ra, rc


@op
def leak_catch_up(weights, real, v_at, coef, n, block, uniform, ticks):  # type: ignore[no-untyped-def]
    """Bring a site that slept through `ticks` ticks up to date, in closed form.

    The floor commutes with it: a sleeping potential moves one way only, towards c / (1 - a).
    """
    v = np.uint64(v_at)
    a = np.uint64(coef + L.K_A * n)
    c = np.uint64(coef + L.K_C * n)
    floor = np.uint64(coef + L.K_FLOOR * n)
    ra, rc = leak_power(weights, weights[a], weights[c], ticks)
    if uniform != 0:
        for j in range(np.uint64(block)):
            real[v + j] = max(ra * real[v + j] + rc, weights[floor + j])
    else:
        for j in range(np.uint64(block)):
            ra, rc = leak_power(weights, weights[a + j], weights[c + j], ticks)
            real[v + j] = max(ra * real[v + j] + rc, weights[floor + j])
