"""The membrane with leak or constant drive: v <- max(a v + g x + c, floor), with c = (1 - a) v_leak + g bias."""

from __future__ import annotations

import numpy as np

from nets.kernels import layout as L
from nets.kernels.jit import op
from nets.kernels.lanes import coefficient, larger, load, reached, spread, store


@op
def leak(weights, real, v, x, coef, n, j, same, count):  # type: ignore[no-untyped-def]
    """Update sixteen neurons (`count` of them this site's) from their drive, clear it; return who reached threshold."""
    a, g, c = (
        coefficient(weights, coef, n, L.K_A, j, same),
        coefficient(weights, coef, n, L.K_G, j, same),
        coefficient(weights, coef, n, L.K_C, j, same),
    )
    u = a * load(real, v) + g * load(real, x) + c
    u = larger(coefficient(weights, coef, n, L.K_FLOOR, j, same), u)
    store(real, v, u, count)
    store(real, x, spread(weights, 1), count)
    return reached(u, coefficient(weights, coef, n, L.K_CMP, j, same), count)


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
