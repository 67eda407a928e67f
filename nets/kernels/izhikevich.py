"""Izhikevich's neuron, one tick of `steps` Euler steps of h ms, its drive held.

    v <- v + h (0.04 v^2 + 5 v + 140 - u + r x);  v >= v_peak: v <- v_peak, z;  u <- u + h a (b v - u)
    z: v <- c, u <- u + d

In float64 within a tick. The peak is cut off before u sees it, so that no drive can make the numbers grow for ever.
"""

from __future__ import annotations

import numpy as np

from nets.kernels import layout as L
from nets.kernels import model_layout as M
from nets.kernels.jit import op

DRIVE = 1e6
"""The drive is limited to this much either way."""


@op
def izhikevich(weights, real, di, table, pop, site, found):  # type: ignore[no-untyped-def]
    """Update one site, clear its drive, append who fired (with how many spikes); return how many."""
    n = table[pop + L.P_N]
    block = table[pop + L.P_BLOCK]
    steps = table[pop + L.P_STEPS]
    v_at = table[pop + L.P_V]
    x_at = table[pop + L.P_X]
    u_at = table[pop + L.P_U]
    index_at = table[pop + L.P_SPK_I]
    value_at = table[pop + L.P_SPK_V]
    coef = table[pop + L.P_COEF]
    h = np.float64(table[L.H_DT]) * 1e-6 / steps
    for j in range(site * block, (site + 1) * block):
        p = coef + j
        a, b = np.float64(weights[p + M.I_A * n]), np.float64(weights[p + M.I_B * n])
        c, d = np.float64(weights[p + L.K_RESET * n]), np.float64(weights[p + M.I_D * n])
        peak = np.float64(weights[p + L.K_TH * n])
        drive = np.float64(weights[p + L.K_G * n]) * real[x_at + j] + weights[p + L.K_C * n]
        drive = min(max(drive, -DRIVE), DRIVE)
        real[x_at + j] = weights[1]
        v = np.float64(real[v_at + j])
        u = np.float64(real[u_at + j])
        spikes = 0
        for _ in range(steps):
            v = min(v + h * ((0.04 * v + 5.0) * v + 140.0 - u + drive), peak)
            u = u + h * a * (b * v - u)
            if v >= peak:
                v = c
                u = u + d
                spikes += 1
        real[v_at + j] = v
        real[u_at + j] = u
        if spikes > 0:
            di[index_at + found] = j
            real[value_at + found] = spikes
            found += 1
    return found
