"""Max pooling by running count, one tick, over the P_STEPS taps of each window.

    out <- max(max_t (x_t - behind_t), 0)        behind_t <- behind_t + out - x_t

behind_t is what tap t lacks on all that came out so far: it stays bounded where counts would grow for ever.
"""

from __future__ import annotations

from nets.kernels import layout as L
from nets.kernels.jit import op


@op
def max_pool(weights, real, di, table, pop, site, found):  # type: ignore[no-untyped-def]
    """Update one site, clear its drive, append the windows that pass something on; return how many."""
    n = table[pop + L.P_N]
    block = table[pop + L.P_BLOCK]
    taps = table[pop + L.P_STEPS]
    x_at = table[pop + L.P_X]
    behind_at = table[pop + L.P_U]
    index_at = table[pop + L.P_SPK_I]
    value_at = table[pop + L.P_SPK_V]
    zero = weights[1]
    for j in range(site * block, (site + 1) * block):
        out = zero
        for t in range(taps):
            out = max(out, real[x_at + j * taps + t] - real[behind_at + t * n + j])
        for t in range(taps):
            real[behind_at + t * n + j] += out - real[x_at + j * taps + t]
            real[x_at + j * taps + t] = zero
        if out > zero:
            di[index_at + found] = j
            real[value_at + found] = out
            found += 1
    return found
