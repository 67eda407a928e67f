"""Hodgkin and Huxley's axon, one tick of `steps` exponential Euler steps of h ms, its drive I held.

    y <- y_inf + (y - y_inf) exp(-h (alpha + beta)),  y_inf = alpha / (alpha + beta)    for y = m, h, n at the old v
    v <- v_inf + (v - v_inf) exp(-h g / c_m),  g = g_na m^3 h + g_k n^4 + g_l,
         v_inf = (g_na m^3 h e_na + g_k n^4 e_k + g_l e_l + I) / g

A spike is a step that takes v from below v_threshold to it or above. In float64 within a tick; rates are read between
-150 and 150 mV, where all are finite.
"""

from __future__ import annotations

import math

import numpy as np

from nets.kernels import layout as L
from nets.kernels import model_layout as M
from nets.kernels.izhikevich import DRIVE
from nets.kernels.jit import op


@op
def linoid(x):  # type: ignore[no-untyped-def]
    """x / (1 - exp(-x)), with its limit at 0."""
    return 1.0 + 0.5 * x if abs(x) < 1e-7 else x / (1.0 - math.exp(-x))


@op
def gate(y, alpha, beta, h):  # type: ignore[no-untyped-def]
    """One exponential Euler step of a gate."""
    rest = alpha / (alpha + beta)
    return rest + (y - rest) * math.exp(-h * (alpha + beta))


@op
def hodgkin_huxley(weights, real, di, table, pop, site, found):  # type: ignore[no-untyped-def]
    """Update one site, clear its drive, append who fired (with how many spikes); return how many."""
    size = table[pop + L.P_N]
    block = table[pop + L.P_BLOCK]
    steps = table[pop + L.P_STEPS]
    v_at = table[pop + L.P_V]
    x_at = table[pop + L.P_X]
    u_at = table[pop + L.P_U]
    index_at = table[pop + L.P_SPK_I]
    value_at = table[pop + L.P_SPK_V]
    coef = table[pop + L.P_COEF]
    dt = np.float64(table[L.H_DT]) * 1e-6 / steps
    for j in range(site * block, (site + 1) * block):
        p = coef + j
        c_m, th = np.float64(weights[p + M.H_CM * size]), np.float64(weights[p + L.K_TH * size])
        g_na, e_na = np.float64(weights[p + M.H_GNA * size]), np.float64(weights[p + M.H_ENA * size])
        g_k, e_k = np.float64(weights[p + M.H_GK * size]), np.float64(weights[p + M.H_EK * size])
        g_l, e_l = np.float64(weights[p + M.H_GL * size]), np.float64(weights[p + M.H_EL * size])
        drive = np.float64(weights[p + L.K_G * size]) * real[x_at + j] + weights[p + L.K_C * size]
        drive = min(max(drive, -DRIVE), DRIVE)
        real[x_at + j] = weights[1]
        v = np.float64(real[v_at + j])
        m = np.float64(real[u_at + j])
        h = np.float64(real[u_at + size + j])
        n = np.float64(real[u_at + 2 * size + j])
        spikes = 0
        for _ in range(steps):
            w = min(max(v, -150.0), 150.0)
            m = gate(m, linoid((w + 40.0) / 10.0), 4.0 * math.exp(-(w + 65.0) / 18.0), dt)
            h = gate(h, 0.07 * math.exp(-(w + 65.0) / 20.0), 1.0 / (1.0 + math.exp(-(w + 35.0) / 10.0)), dt)
            n = gate(n, 0.1 * linoid((w + 55.0) / 10.0), 0.125 * math.exp(-(w + 65.0) / 80.0), dt)
            na, k = g_na * m * m * m * h, g_k * n * n * n * n
            g = na + k + g_l
            rest = (na * e_na + k * e_k + g_l * e_l + drive) / g
            new = rest + (v - rest) * math.exp(-dt * g / c_m)
            if v < th and new >= th:
                spikes += 1
            v = new
        real[v_at + j] = v
        real[u_at + j] = m
        real[u_at + size + j] = h
        real[u_at + 2 * size + j] = n
        if spikes > 0:
            di[index_at + found] = j
            real[value_at + found] = spikes
            found += 1
    return found
