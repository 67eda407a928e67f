"""When a membrane will reach its threshold, given no further input.

Measured from rest, u = v - v_inf, j = r (i - i_inf), h = threshold - v_inf, and a = 1 / tau_mem, b = 1 / tau_syn:

    u(t) = e^-at (u + j p(t)),    p(t) = a (1 - e^-(b - a)t) / (b - a),    u' = a (j e^-bt - u)

A jump or a leak towards rest alone is monotonic; with a current above rest, u rises to one peak, concave all the way.
Roots of u(t) = h: a quadratic in e^-at where tau_mem = 2 tau_syn, Lambert's W where they are equal, else Newton's
method, which approaches a concave rise from the left and never oversteps. (Rotter & Diesmann 1999; Brette 2007.)
"""

from __future__ import annotations

import math

from nets.kernels.jit import op

NEVER = math.inf


@op
def response(t, a, b):  # type: ignore[no-untyped-def]
    """e^-at p(t): the potential after t of one unit of current, without cancellation however close a and b are."""
    d = abs(b - a) * t
    shape = -math.expm1(-d) / d if d > 0.0 else 1.0
    return math.exp(-min(a, b) * t) * a * t * shape


@op
def ahead(t, u, j, a, b):  # type: ignore[no-untyped-def]
    """u(t)."""
    return math.exp(-a * t) * u + j * response(t, a, b)


@op
def peak_time(u, j, a, b):  # type: ignore[no-untyped-def]
    """When u'(t) = 0 for j > 0: below 0 where u only falls, NEVER where it only rises."""
    d = b - a
    if abs(d) <= 1e-9 * a:
        return (1.0 - u / j) / a
    x = d / a * (u / j)
    if x <= -1.0:
        return NEVER if j > u else -1.0
    return -(math.log1p(x) + math.log1p(-d / b)) / d


@op
def lambert(x):  # type: ignore[no-untyped-def]
    """W0(x) for -1/e <= x < 0, by Halley's iteration from the series about the branch point or about 0."""
    q = math.sqrt(max(2.0 * (math.e * x + 1.0), 0.0))
    w = -1.0 + q - q * q / 3.0 + 11.0 / 72.0 * q * q * q if x < -0.25 else x * (1.0 - x + 1.5 * x * x)
    for _ in range(40):
        e = math.exp(w)
        f = w * e - x
        slope = e * (w + 1.0)
        if f == 0.0 or slope <= 0.0:
            break
        step = f / (slope - (w + 2.0) * f / (2.0 * w + 2.0))
        w -= step
        if abs(step) <= 1e-16 * (1.0 + abs(w)):
            break
    return w


@op
def root(low, high, start, u, j, h, a, b):  # type: ignore[no-untyped-def]
    """The one t in [low, high] where u(t) climbs through h: Newton's method, or halving where it leaves the bracket."""
    t = start
    for _ in range(200):
        f = ahead(t, u, j, a, b) - h
        if f >= 0.0:
            high = t
        else:
            low = t
        slope = a * (j * math.exp(-b * t) - f - h)
        following = t - f / slope if slope > 0.0 else NEVER
        if not (low <= following <= high):
            following = 0.5 * (low + high)
        if abs(following - t) <= 2e-16 * t or following == t:
            return following
        t = following
    return t


@op
def quadratic(u, j, h, a):  # type: ignore[no-untyped-def]
    """tau_mem = 2 tau_syn: j s^2 - (u + j) s + h = 0 in s = e^-at; the earliest root is the largest s below 1."""
    m = u + j
    square = m * m - 4.0 * j * h
    if square < 0.0 or (h == 0.0 and m <= 0.0):
        return NEVER
    q = math.sqrt(square)
    s = (m + q) / (2.0 * j) if m > 0.0 else 2.0 * h / (m - q)
    return -math.log(s) / a if 0.0 < s < 1.0 else NEVER


@op
def with_current(u, j, h, a, b):  # type: ignore[no-untyped-def]
    """Seconds until u(t) first reaches h, from below; NEVER, or 0 where it stands there and rises."""
    if u >= h:
        return 0.0 if j > u else NEVER
    if h >= 0.0 and j <= 0.0:
        return NEVER
    if b == 2.0 * a and j != 0.0:
        return quadratic(u, j, h, a)
    if j > 0.0:
        top = peak_time(u, j, a, b)
        if h > 0.0:
            if top <= 0.0 or top == NEVER or ahead(top, u, j, a, b) < h:
                return NEVER
            if a == b and u > -700.0 * j:
                x = -(h / j) * math.exp(-u / j)
                if x >= -1.0 / math.e:
                    t = (-u / j - lambert(x)) / a
                    if 0.0 < t <= top:
                        return root(0.0, top, t, u, j, h, a, b)
            return root(0.0, top, 0.0, u, j, h, a, b)
        if h == 0.0 and top == NEVER:
            return NEVER
        return root(0.0, beyond(top, u, j, h, a, b), 0.0, u, j, h, a, b)
    low = math.log(u / h) / a
    return low if j == 0.0 else root(low, beyond(low, u, j, h, a, b), low, u, j, h, a, b)


@op
def beyond(t, u, j, h, a, b):  # type: ignore[no-untyped-def]
    """A time at which u is at or above an h below 0, which it approaches from below."""
    if t == NEVER or t <= 0.0:
        t = 1.0 / a
    while ahead(t, u, j, a, b) < h and t < 1e15:
        t *= 2.0
    return t


@op
def with_current_earliest(u, j, h, a, peak):  # type: ignore[no-untyped-def]
    """Seconds before which u cannot reach h: NEVER for most, else where the tangent of the rise does.

    Quick reject: max(u, 0) + max(j, 0) peak < h. Without branches, so that a loop over neurons vectorises; the margin
    covers rounding.
    """
    j = max(j, 0.0)
    rate = a * (j - u)
    seconds = max(h - u, 0.0) * (1.0 - 1e-12) / (rate if rate > 0.0 else 1.0)
    possible = (u >= h) | ((rate > 0.0) & (max(u, 0.0) + j * peak >= h))
    return seconds if possible else NEVER


@op
def without_current(v, rest, threshold, a):  # type: ignore[no-untyped-def]
    """Seconds until a constant drive alone takes v to threshold; without leak (a = 0) `rest` is the slope."""
    if a == 0.0:
        if rest <= 0.0:
            return 0.0 if v > threshold else NEVER
        return max(threshold - v, 0.0) / rest
    if rest <= threshold:
        return 0.0 if v > threshold else NEVER
    if v >= threshold:
        return 0.0
    return math.log1p((threshold - v) / (rest - threshold)) / a
