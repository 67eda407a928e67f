"""The coefficients of a layer's tick: what a dialect makes of its parameters, and how its sites may sleep.

    v <- max(a v + s i + g x + c, floor)        i <- alpha i + h x + e        x: the tick's weighted spikes

A site may sleep where it provably cannot fire, or meet its floor, without input (DESIGN: work follows events, exactly).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nets import nodes as n
from nets.dialect import Dialect
from nets.errors import UnsupportedError
from nets.kernels import layout as L
from nets.linear import Real

MARGIN = 1e-3
"""Relative distance from a bound below which a site stays awake: far above the rounding of float32."""


@dataclass(frozen=True, eq=False)
class Extra:
    """What a model beyond NIR has besides a potential."""

    names: tuple[str, ...]
    initial: Real
    """(names, n)."""
    steps: int = 1
    """Steps a tick, or taps a neuron."""
    inputs: int = 1
    """Places of drive a neuron listens at."""
    winners: int | None = None
    """How many may fire a tick, 0 for any number; None where the layer does not compete."""
    inhibition: float = 0.0


@dataclass(frozen=True, eq=False)
class Rule:
    """Coefficients (K_* of the layout, n) in float64 and the choices that go with them."""

    kind: int
    sleep: int
    graded: bool
    coefficients: Real
    multi: bool
    strict: bool
    subtract: bool
    start: Real
    """The potential after a reset."""
    extra: Extra | None = None


def rule_of(name: str, node: n.Node, size: int, drive: Real, dialect: Dialect, dtype: type) -> Rule:
    """The rule of one unit with a constant `drive` from biases; an Output stands for a plain sum."""

    def parameter(key: str, default: float = 0.0) -> Real:
        return np.broadcast_to(np.asarray(getattr(node, key, default), np.float64).ravel(), (size,)).copy()

    def leak(tau: Real) -> Real:
        h = dialect.tau_tick_s
        return np.exp(-h / tau) if dialect.leak == "exponential" else 1.0 - h / tau

    unit = dialect.input_gain == "unit"
    based = isinstance(node, n.CubaLI | n.CubaLIF)
    counts = dialect.resistance == "apply" or (dialect.resistance == "current" and based)
    r = parameter("r", 1.0) if counts else np.ones(size)
    v_leak = parameter("v_leak")
    alpha = s = h = e = np.zeros(size)
    if isinstance(node, n.Output):
        a, g, c = np.zeros(size), np.ones(size), drive
    elif isinstance(node, n.I | n.IF):
        a = np.full(size, 1.0 if dialect.slow_leak_s is None else np.exp(-dialect.dt_s / dialect.slow_leak_s))
        g = r * (1.0 if dialect.if_gain == "unit" else dialect.tau_tick_s)
        c = g * drive
    else:
        a = leak(parameter("tau_mem" if based else "tau"))
        _check_stable(name, "tau_mem" if based else "tau", a, dialect)
        gain = r if unit else r * (1.0 - a)
        c = (1.0 - a) * v_leak
        if based:
            alpha = leak(parameter("tau_syn"))
            _check_stable(name, "tau_syn", alpha, dialect)
            w = parameter("w_in", 1.0) * (1.0 if dialect.synapse_gain == "unit" else 1.0 - alpha)
            one, none = np.ones(size), np.zeros(size)
            used_old, used_new, kept_new = {
                "decay_add": (alpha, one, one),
                "add_decay": (alpha, alpha, alpha),
                "add_use_decay": (one, one, alpha),
                "use_old": (one, none, one),
            }[dialect.current]
            s, g, h = gain * used_old, gain * used_new * w, kept_new * w
            e = h * drive
        else:
            g = gain
        c = c + g * drive
    graded = not isinstance(node, n.SPIKING)
    strict = dialect.threshold == ">"
    real = np.dtype(dtype).type
    threshold = parameter("v_threshold", np.inf) if not graded else np.full(size, np.inf)
    check_fits(name, np.stack([a, g, c, s, alpha, h, e, parameter("v_reset"), 0 * a if graded else threshold]), dtype)
    compare = threshold.astype(real)
    if strict and not graded:
        compare = np.nextafter(compare, real(np.inf))
    floor = np.full(size, -np.inf)
    if not graded and dialect.floor is not None and (dialect.floor != "-threshold of IF" or isinstance(node, n.IF)):
        floor = -threshold if isinstance(dialect.floor, str) else np.full(size, float(dialect.floor))
        if (floor >= threshold).any():
            raise UnsupportedError(f"{name}: the floor {floor.max()} is not below the threshold {threshold.min()}")
    if dialect.multi_spike and not (threshold > 0).all():
        raise UnsupportedError(f"{name}: several spikes a tick need thresholds above 0, got {threshold.min()}")
    if based:
        kind = L.KIND_CURRENT
    elif isinstance(node, n.I | n.IF) and not c.any() and not graded and (a == 1).all():
        kind = L.KIND_INTEGRATE
    else:
        kind = L.KIND_LEAK
    rows = np.zeros((L.COEFFICIENTS[kind], size))
    step = threshold
    if dialect.reset_at == "next_tick" and not graded:
        if (a == 0).any():
            raise UnsupportedError(f"{name}: a reset in the next tick needs a potential that lasts until then")
        step = threshold / a  # a (v - threshold / a) = a v - threshold: the subtraction counts one tick late
    rows[L.K_G], rows[L.K_CMP], rows[L.K_TH], rows[L.K_FLOOR] = g, compare, step, floor
    rows[L.K_RESET] = parameter("v_reset")
    if kind != L.KIND_INTEGRATE:
        rows[L.K_A], rows[L.K_C] = a, c
    sleep = L.SLEEP_NEVER
    if graded:
        sleep = L.SLEEP_ZERO if not c.any() and not e.any() else L.SLEEP_NEVER
    elif kind == L.KIND_INTEGRATE:
        sleep = L.SLEEP_BELOW if (compare > np.maximum(floor, 0)).all() else L.SLEEP_NEVER
    elif kind == L.KIND_LEAK:
        sleep = _leak_sleep(a, c, compare.astype(np.float64))
    if kind == L.KIND_CURRENT:
        rows[L.K_S], rows[L.K_ALPHA], rows[L.K_H], rows[L.K_E] = s, alpha, h, e
        if not graded and ((a >= 0) & (a < 1) & (alpha >= 0) & (alpha < 1) & (s >= 0)).all():
            sleep = L.SLEEP_BOUND
            i_inf = e / (1.0 - alpha)
            v_inf = (c + s * i_inf) / (1.0 - a)
            rows[L.K_VINF], rows[L.K_IINF] = v_inf, i_inf
            rows[L.K_KAPPA] = _peak(a, s, alpha)
            rows[L.K_ROOM] = (compare - v_inf) - MARGIN * (np.abs(compare - v_inf) + np.abs(v_inf))
            depth = np.where(np.isinf(floor), 0.0, v_inf - floor)
            nearest = MARGIN * (np.abs(depth) + np.abs(v_inf)) - depth
            rows[L.K_DROOM] = np.where(np.isinf(floor), -np.inf, nearest)
    start = np.maximum(floor, 0.0)
    return Rule(kind, sleep, graded, rows, dialect.multi_spike, strict, dialect.reset == "subtract", start)


def check_fits(name: str, values: Real, dtype: Any) -> None:
    """What was finite in a file must be finite in the arithmetic that runs it."""
    limit = float(np.finfo(dtype).max)
    if not (np.abs(values) <= limit).all():
        worst, kind = np.abs(values).max(), np.dtype(dtype)
        raise UnsupportedError(f"{name}: a weight or coefficient is {worst:.3g}, {kind} holds at most {limit:.3g}")


def _check_stable(name: str, parameter: str, factor: Real, dialect: Dialect) -> None:
    """An Euler step over twice its time constant grows without bound."""
    if (np.abs(factor) > 1).any():
        tau = dialect.tau_tick_s / (1.0 - factor.min())
        raise UnsupportedError(
            f"{name}: {parameter} is {tau:.3g} s, an Euler step of {dialect.tau_tick_s:.3g} s diverges above twice it"
        )


def _leak_sleep(a: Real, c: Real, compare: Real) -> int:
    """Below threshold and moving one way, towards a rest below threshold, or down."""
    rest = np.divide(c, 1.0 - a, out=np.zeros_like(c), where=a != 1.0)
    bounded = (a >= 0) & (a < 1) & (rest + MARGIN * (np.abs(rest) + np.abs(compare)) < compare)
    falling = (a == 1) & (c <= 0)
    return L.SLEEP_BELOW if (bounded | falling).all() else L.SLEEP_NEVER


def _peak(a: Real, s: Real, alpha: Real) -> Real:
    """The largest potential one unit of current ever causes, by the discrete update itself."""
    peak = np.zeros_like(a)
    v, i = np.zeros_like(a), np.ones_like(a)
    for _ in range(1_000_000):
        v, i = a * v + s * i, alpha * i
        if not (v > peak).any():
            return peak * (1.0 + MARGIN)
        peak = np.maximum(peak, v)
    return np.full_like(a, np.inf)
