"""The current-based membrane, one tick: v <- max(a v + s i + g x + c, floor);  i <- alpha i + h x + e."""

from __future__ import annotations

import numpy as np

from nets.kernels import layout as L
from nets.kernels.jit import op


@op
def current(weights, real, v_at, i_at, x_at, coef, n, block, same):  # type: ignore[no-untyped-def]
    """Update one site from its drive, clear the drive, return how many neurons reached their threshold.

    Where all neurons are the `same`, coefficients stay in registers; both ways give the same bits.
    """
    v = np.uint64(v_at)
    i = np.uint64(i_at)
    x = np.uint64(x_at)
    k = np.uint64(coef)
    m = np.uint64(n)
    a, s, g, c = k + np.uint64(L.K_A) * m, k + np.uint64(L.K_S) * m, k + np.uint64(L.K_G) * m, k + np.uint64(L.K_C) * m
    alpha, h, e = k + np.uint64(L.K_ALPHA) * m, k + np.uint64(L.K_H) * m, k + np.uint64(L.K_E) * m
    floor, compare = k + np.uint64(L.K_FLOOR) * m, k + np.uint64(L.K_CMP) * m
    zero = weights[1]
    fired = 0
    if same != 0:
        kept, used, gain, drive = weights[a], weights[s], weights[g], weights[c]
        slow, into, constant = weights[alpha], weights[h], weights[e]
        least, bound = weights[floor], weights[compare]
        for j in range(np.uint64(block)):
            old = real[i + j]
            u = kept * real[v + j] + used * old
            u = u + gain * real[x + j] + drive
            u = least if least > u else u
            real[v + j] = u
            real[i + j] = slow * old + into * real[x + j] + constant
            real[x + j] = zero
            fired += 1 if u >= bound else 0
        return fired
    for j in range(np.uint64(block)):
        real[v + j] = weights[a + j] * real[v + j] + weights[s + j] * real[i + j]
    for j in range(np.uint64(block)):
        real[v + j] = real[v + j] + weights[g + j] * real[x + j]
    for j in range(np.uint64(block)):
        u = real[v + j] + weights[c + j]
        least = weights[floor + j]
        real[v + j] = least if least > u else u
    for j in range(np.uint64(block)):
        real[i + j] = weights[alpha + j] * real[i + j] + weights[h + j] * real[x + j]
    for j in range(np.uint64(block)):
        real[i + j] = real[i + j] + weights[e + j]
        real[x + j] = zero
    for j in range(np.uint64(block)):
        fired += 1 if real[v + j] >= weights[compare + j] else 0
    return fired


@op
def current_power(weights, a, s, c, alpha, e, ticks):  # type: ignore[no-untyped-def]
    """The map (v, i) -> (a v + s i + c, alpha i + e) applied `ticks` times, by repeated squaring.

    Only sums of products of one sign: no cancellation where tau_mem and tau_syn are close.
    """
    ra = weights[0]
    rs = weights[1]
    rc = weights[1]
    ralpha = weights[0]
    re = weights[1]
    while ticks > 0:
        if ticks & 1:
            rc = a * rc + s * re + c
            rs = a * rs + s * ralpha
            ra = a * ra
            re = alpha * re + e
            ralpha = alpha * ralpha
        c = a * c + s * e + c
        s = a * s + s * alpha
        a = a * a
        e = alpha * e + e
        alpha = alpha * alpha
        ticks >>= 1
    return ra, rs, rc, ralpha, re


@op
def current_catch_up(weights, real, v_at, i_at, coef, n, block, uniform, ticks):  # type: ignore[no-untyped-def]
    """Bring a site that slept through `ticks` ticks up to date, in closed form (its floor was out of reach)."""
    for j in range(block):
        p = coef + j
        if j == 0 or uniform == 0:
            a, s, c = weights[p + L.K_A * n], weights[p + L.K_S * n], weights[p + L.K_C * n]
            alpha, e = weights[p + L.K_ALPHA * n], weights[p + L.K_E * n]
            ra, rs, rc, ralpha, re = current_power(weights, a, s, c, alpha, e, ticks)
        real[v_at + j] = ra * real[v_at + j] + rs * real[i_at + j] + rc
        real[i_at + j] = ralpha * real[i_at + j] + re


@op
def current_awake(weights, real, v_at, i_at, coef, n, block):  # type: ignore[no-untyped-def]
    """Whether any neuron could still fire or meet its floor without input.

    asleep:  max(v - v_inf, 0) + max(i - i_inf, 0) kappa < threshold - v_inf
             min(v - v_inf, 0) + min(i - i_inf, 0) kappa > floor - v_inf
    with kappa the peak of the discrete response to one unit of current.
    """
    zero = weights[1]
    for j in range(block):
        p = coef + j
        dv = real[v_at + j] - weights[p + L.K_VINF * n]
        di = real[i_at + j] - weights[p + L.K_IINF * n]
        kappa = weights[p + L.K_KAPPA * n]
        if not max(dv, zero) + max(di, zero) * kappa < weights[p + L.K_ROOM * n]:
            return True
        if not min(dv, zero) + min(di, zero) * kappa > weights[p + L.K_DROOM * n]:
            return True
    return False
