"""The coefficients of the models beyond NIR: what `nets.neuron` is to NIR's own.

A threshold model takes over its NIR node's rows under the dialect, so that it leaks, gains and resets as that would.
Its times are counted in ticks of `tau_tick_s`, as the file's others are.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from nets import models as m
from nets import nodes as n
from nets.dialect import Dialect
from nets.errors import UnsupportedError
from nets.kernels import layout as L
from nets.kernels import model_layout as M
from nets.linear import Real
from nets.neuron import Extra, Rule, rule_of
from nets.sigma_delta.node import SigmaDelta

IZHIKEVICH_STEP_S = 0.5e-3
HODGKIN_HUXLEY_STEP_S = 0.01e-3
NEVER_SHORTER = 1e-6
"""A time this small a part of a tick above a whole number of ticks is rounding, not a further tick."""


def model_rule(name: str, node: m.Model, size: int, drive: Real, dialect: Dialect, dtype: type) -> Rule:
    """The rule of one unit beyond NIR with a constant `drive` from biases."""
    match node:
        case SigmaDelta():
            raise UnsupportedError(f"{name}: {node.kind} runs in a sigma-delta network alone")
        case m.MaxPool2d():
            return _max_pool(name, node, size, drive)
        case m.Izhikevich():
            return _izhikevich(node, size, drive, dialect)
        case m.HodgkinHuxley():
            return _hodgkin_huxley(node, size, drive, dialect)
        case m.SRM():
            return _srm(name, node, size, drive, dialect, dtype)
        case _:
            return _refractory(name, node, size, drive, dialect, dtype)


def _refractory(
    name: str,
    node: m.RefractoryIF | m.RefractoryLIF | m.RefractoryCubaLIF,
    size: int,
    drive: Real,
    dialect: Dialect,
    dtype: type,
) -> Rule:
    base = _base(name, node, size, drive, dialect, dtype)
    hold = np.ceil(_wide(node.refractory, size) / dialect.tau_tick_s - NEVER_SHORTER)
    if (hold >= 1 << 24).any():
        raise UnsupportedError(f"{name}: a refractory time of {hold.max():.3g} ticks, at most {1 << 24}")
    if isinstance(node, m.RefractoryCubaLIF):
        rows = _rows(M.KIND_REFRACTORY, base)
        rows[M.R_HOLD] = hold
        return _threshold(node, base, M.KIND_REFRACTORY, rows, ("i", "refractory"))
    rows = _rows(M.KIND_ADAPTIVE, base)
    if base.kind == L.KIND_INTEGRATE:
        rows[L.K_A] = 1.0
    rows[M.A_HOLD] = hold
    if isinstance(node, m.AdaptiveLIF):
        rows[M.A_BETA], rows[M.A_RHO] = _wide(node.beta, size), _decay(name, "tau_a", node.tau_a, size, dialect)
    return _threshold(node, base, M.KIND_ADAPTIVE, rows, ("b", "refractory"))


def _srm(name: str, node: m.SRM, size: int, drive: Real, dialect: Dialect, dtype: type) -> Rule:
    base = _base(name, node, size, drive, replace(dialect, floor=None), dtype)
    rows = _rows(M.KIND_SRM, base)
    rows[M.S_RHO] = _decay(name, "tau_refractory", node.tau_refractory, size, dialect)
    rows[M.S_ETA] = _wide(node.eta, size)
    return _threshold(node, base, M.KIND_SRM, rows, ("i", "q"))


def _base(name: str, node: m.Model, size: int, drive: Real, dialect: Dialect, dtype: type) -> Rule:
    if dialect.reset_at != "spike":
        raise UnsupportedError(f"{name}: {node.kind} resets at its spike, the dialect says {dialect.reset_at!r}")
    return rule_of(name, m.plain(node), size, drive, dialect, dtype)


def _rows(kind: int, base: Rule) -> Real:
    rows = np.zeros((M.ROWS[kind], base.coefficients.shape[1]))
    shared = min(len(base.coefficients), len(rows), L.COEFFICIENTS[base.kind])
    rows[:shared] = base.coefficients[:shared]
    return rows


def _threshold(
    node: m.RefractoryIF | m.RefractoryLIF | m.RefractoryCubaLIF | m.SRM,
    base: Rule,
    kind: int,
    rows: Real,
    names: tuple[str, ...],
) -> Rule:
    winners, inhibition = int(node.winners), float(node.inhibition)
    extra = Extra(
        names,
        np.zeros((2, rows.shape[1])),
        winners=winners if winners or inhibition else None,
        inhibition=inhibition,
    )
    return replace(base, kind=kind, coefficients=rows, extra=extra)


def _decay(name: str, parameter: str, tau: n.Array, size: int, dialect: Dialect) -> Real:
    h = dialect.tau_tick_s
    rho = np.exp(-h / _wide(tau, size)) if dialect.leak == "exponential" else 1.0 - h / _wide(tau, size)
    if (rho < 0).any():
        raise UnsupportedError(f"{name}: {parameter} is {tau.min():.3g} s, an Euler step of {h:.3g} s overshoots it")
    return rho


def _izhikevich(node: m.Izhikevich, size: int, drive: Real, dialect: Dialect) -> Rule:
    rows = _stepped(M.KIND_IZHIKEVICH, node.r, node.v_peak, size, drive)
    rows[L.K_RESET] = _wide(node.c, size)
    rows[M.I_A], rows[M.I_B], rows[M.I_D] = _wide(node.a, size), _wide(node.b, size), _wide(node.d, size)
    start = rows[L.K_RESET].copy()
    extra = Extra(("u",), (rows[M.I_B] * start)[None], steps=_steps(dialect, IZHIKEVICH_STEP_S))
    return Rule(M.KIND_IZHIKEVICH, L.SLEEP_NEVER, False, rows, False, False, False, start, extra)


def _hodgkin_huxley(node: m.HodgkinHuxley, size: int, drive: Real, dialect: Dialect) -> Rule:
    rows = _stepped(M.KIND_HODGKIN_HUXLEY, node.r, node.v_threshold, size, drive)
    for row, parameter in (
        (M.H_CM, "c_m"),
        (M.H_GNA, "g_na"),
        (M.H_GK, "g_k"),
        (M.H_GL, "g_l"),
        (M.H_ENA, "e_na"),
        (M.H_EK, "e_k"),
        (M.H_EL, "e_l"),
    ):
        rows[row] = _wide(getattr(node, parameter), size)
    rest = -65.0
    rates = (
        (0.1 * (rest + 40) / (1 - math.exp(-(rest + 40) / 10)), 4.0),
        (0.07, 1 / (1 + math.exp(-(rest + 35) / 10))),
        (0.01 * (rest + 55) / (1 - math.exp(-(rest + 55) / 10)), 0.125),
    )
    gates = np.array([[alpha / (alpha + beta)] * size for alpha, beta in rates])
    extra = Extra(("m", "h", "n"), gates, steps=_steps(dialect, HODGKIN_HUXLEY_STEP_S))
    start = np.full(size, rest)
    return Rule(M.KIND_HODGKIN_HUXLEY, L.SLEEP_NEVER, False, rows, False, False, False, start, extra)


def _stepped(kind: int, r: n.Array, threshold: n.Array, size: int, drive: Real) -> Real:
    rows = np.zeros((M.ROWS[kind], size))
    rows[L.K_G], rows[L.K_C] = _wide(r, size), _wide(r, size) * drive
    rows[L.K_TH] = rows[L.K_CMP] = _wide(threshold, size)
    rows[L.K_FLOOR] = -np.inf
    return rows


def _steps(dialect: Dialect, longest_s: float) -> int:
    return max(1, math.ceil(dialect.dt_s / longest_s - NEVER_SHORTER))


def _max_pool(name: str, node: m.MaxPool2d, size: int, drive: Real) -> Rule:
    if drive.any():
        raise UnsupportedError(f"{name}: MaxPool2d counts spikes, a bias drives it by {drive[drive != 0][0]} a tick")
    taps = math.prod(n.pair(node.kernel_size))
    rows = np.zeros((M.ROWS[M.KIND_MAX_POOL], size))
    names = tuple(f"behind{t}" for t in range(taps))
    extra = Extra(names, np.zeros((taps, size)), steps=taps, inputs=taps)
    return Rule(M.KIND_MAX_POOL, L.SLEEP_BELOW, False, rows, False, False, False, np.zeros(size), extra)


def _wide(value: n.Array, size: int) -> Real:
    return np.broadcast_to(np.asarray(value, np.float64).ravel(), (size,))
