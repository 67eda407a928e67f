"""The current-based membrane, one tick: v <- max(a v + s i + g x + c, floor);  i <- alpha i + h x + e."""

from __future__ import annotations

from nets.kernels import layout as L
from nets.kernels.jit import op
from nets.kernels.lanes import coefficient, larger, load, reached, spread, store


@op
def current(weights, real, v, i, x, coef, n, j, same, count):  # type: ignore[no-untyped-def]
    """Update sixteen neurons (`count` of them this site's) from their drive, clear it; return who reached threshold."""
    a, s, g, c = (
        coefficient(weights, coef, n, L.K_A, j, same),
        coefficient(weights, coef, n, L.K_S, j, same),
        coefficient(weights, coef, n, L.K_G, j, same),
        coefficient(weights, coef, n, L.K_C, j, same),
    )
    alpha, h, e = (
        coefficient(weights, coef, n, L.K_ALPHA, j, same),
        coefficient(weights, coef, n, L.K_H, j, same),
        coefficient(weights, coef, n, L.K_E, j, same),
    )
    drive, old = load(real, x), load(real, i)
    u = a * load(real, v) + s * old + g * drive + c
    u = larger(coefficient(weights, coef, n, L.K_FLOOR, j, same), u)
    store(real, v, u, count)
    store(real, i, alpha * old + h * drive + e, count)
    store(real, x, spread(weights, 1), count)
    return reached(u, coefficient(weights, coef, n, L.K_CMP, j, same), count)


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
