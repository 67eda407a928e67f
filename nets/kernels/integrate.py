"""Integrate and fire, without leak or constant drive: v <- max(v + g x, floor)."""

from __future__ import annotations

from nets.kernels.jit import op
from nets.kernels.lanes import coefficient, larger, load, reached, spread, store
from nets.kernels.layout import K_CMP, K_FLOOR, K_G


@op
def integrate(weights, real, v, x, coef, n, j, same, count):  # type: ignore[no-untyped-def]
    """Update sixteen neurons (`count` of them this site's) from their drive, clear it; return who reached threshold."""
    u = load(real, v) + coefficient(weights, coef, n, K_G, j, same) * load(real, x)
    u = larger(coefficient(weights, coef, n, K_FLOOR, j, same), u)
    store(real, v, u, count)
    store(real, x, spread(weights, 1), count)
    return reached(u, coefficient(weights, coef, n, K_CMP, j, same), count)
