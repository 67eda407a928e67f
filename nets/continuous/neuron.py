"""The coefficients of a layer in continuous time: NIR's own equations, and what its dialect says of a spike.

    LIF      tau dv/dt = v_leak - v + R S          CubaLIF   tau_mem dv/dt = v_leak - v + R i
    IF       dv/dt = R S                                     tau_syn di/dt = -i + w_in S

The leak is exact whatever the dialect's tick did. A spike of value x arriving with weight w is an impulse:

    input_gain = decay   S is x w for the length dt of a tick: v jumps by x w R dt / tau, i by x w w_in dt / tau_syn
    input_gain = unit    v jumps by x w R, i by x w w_in, and R i is what the potential gains in a tick dt
    synapse_gain         the same choice for i alone
    if_gain              v jumps by x w R, or x w R h
    slow_leak_s          I and IF leak with this time constant

Times of the file (time constants, refractory times, delays) count in units of h / dt seconds, where h = tau_tick_s is
the tick the file counts in; slow_leak_s is in real seconds. A bias is a constant S; it moves v_inf (the slope, without
leak). leak, current and reset_at say what a tick does in which order; there is none here.

Refractory models fire once (as often as multi_spike lets them), then hold for exactly their time: to the nanosecond
after a jump, from the crossing itself where the threshold is met in between. A Threshold sums what arrives in one
nanosecond. What has no closed form is refused by name.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets import models as m
from nets import nodes as n
from nets.dialect import Dialect
from nets.errors import UnsupportedError
from nets.kernels import continuous_layout as L
from nets.linear import Real
from nets.sigma_delta.node import SigmaDelta

MARGIN = 1e-12
"""Relative safety of the quick reject: above the rounding of its sum."""
LONGEST_S = 1e9
REFUSED: dict[type[n.Node], str] = {
    m.AdaptiveLIF: "its threshold moves between spikes",
    m.SRM: "its threshold moves between spikes",
    m.Izhikevich: "its equations are stepped",
    m.HodgkinHuxley: "its equations are stepped",
    m.MaxPool2d: "its windows compare the counts of ticks",
}


@dataclass(frozen=True, eq=False)
class Flow:
    """Coefficients (K_* of the layout, n) and the choices that go with them."""

    kind: int
    graded: bool
    driven: bool
    """Whether a threshold may be crossed between events."""
    coefficients: Real
    several: bool
    strict: bool
    subtract: bool
    start: NDArray[np.float64]

    @property
    def sampled(self) -> bool:
        """Whether the potential leaves the layer at the end of each tick."""
        return self.graded and self.kind != L.KIND_SUM

    @property
    def holds(self) -> bool:
        return bool(self.coefficients[L.K_HOLD].any())


def flow_of(name: str, node: n.Node, size: int, drive: Real, dialect: Dialect) -> Flow:
    """The flow of one unit with a constant `drive` from biases; an Output stands for a plain sum."""
    match node:
        case n.Output() | n.Threshold():
            return _sum(name, node, size, drive, dialect)
        case m.RefractoryIF() | m.RefractoryLIF() | m.RefractoryCubaLIF() if type(node) not in REFUSED:
            return _refractory(name, node, size, drive, dialect)
        case n.I() | n.IF() | n.LI() | n.LIF() | n.CubaLI() | n.CubaLIF():
            return _membrane(name, node, size, drive, dialect)
    if isinstance(node, SigmaDelta):
        raise UnsupportedError(f"{name}: {node.kind} runs in mode 'sigma-delta' alone")
    why = REFUSED.get(type(node), "it has no equation")
    raise UnsupportedError(f"{name}: {node.kind} does not run in continuous mode, {why}; run it with mode 'tick'")


def nanoseconds(what: str, given: n.Array, dialect: Dialect) -> NDArray[np.int64]:
    """Times of the file, in its seconds, to the nearest nanosecond."""
    seconds = given.astype(np.float64) * (dialect.dt_s / dialect.tau_tick_s)
    if (seconds > LONGEST_S).any():
        raise UnsupportedError(f"{what} is {seconds.max():.3g} s, at most {LONGEST_S:.0e}")
    return np.asarray(np.rint(seconds * 1e9), np.int64)


def _sum(name: str, node: n.Output | n.Threshold, size: int, drive: Real, dialect: Dialect) -> Flow:
    if drive.any():
        raise UnsupportedError(f"{name}: a bias into {node.kind} without neurons has no events in continuous mode")
    threshold, strict = _wide(getattr(node, "threshold", np.inf), size), dialect.threshold == ">"
    compare = np.nextafter(threshold, np.inf) if strict else threshold
    if (compare <= 0).any():
        raise UnsupportedError(f"{name}: without any event a Threshold of {threshold.min()} is met at every moment")
    rows = np.zeros((L.COEFFICIENTS, size))
    rows[L.K_G], rows[L.K_CMP], rows[L.K_TH] = 1.0, compare, threshold
    return Flow(L.KIND_SUM, isinstance(node, n.Output), False, rows, False, strict, False, np.zeros(size))


def _refractory(
    name: str,
    node: m.RefractoryIF | m.RefractoryLIF | m.RefractoryCubaLIF,
    size: int,
    drive: Real,
    dialect: Dialect,
) -> Flow:
    if float(node.winners) or float(node.inhibition):
        raise UnsupportedError(
            f"{name}: {node.kind} with winners or inhibition does not run in continuous mode, "
            "its neurons compete within a tick; run it with mode 'tick'"
        )
    flow = _membrane(name, m.plain(node), size, drive, dialect)
    flow.coefficients[L.K_HOLD] = nanoseconds(f"{name}: refractory", _wide(node.refractory, size), dialect)
    left_above = flow.subtract and not flow.several and flow.holds
    return replace(flow, driven=flow.driven or left_above)


def _membrane(name: str, node: Any, size: int, drive: Real, dialect: Dialect) -> Flow:
    def parameter(key: str, default: float = 0.0) -> Real:
        return _wide(getattr(node, key, default), size)

    def seconds(key: str) -> Real:
        return parameter(key) * (dialect.dt_s / dialect.tau_tick_s)

    dt, unit, direct = dialect.dt_s, dialect.input_gain == "unit", dialect.synapse_gain == "unit"
    based = isinstance(node, n.CubaLI | n.CubaLIF)
    counts = dialect.resistance == "apply" or (dialect.resistance == "current" and based)
    r = parameter("r", 1.0) if counts else np.ones(size)
    rows = np.zeros((L.COEFFICIENTS, size))
    if isinstance(node, n.I | n.IF):
        kind = L.KIND_FLAT if dialect.slow_leak_s is None else L.KIND_LEAK
        rows[L.K_G] = r * (1.0 if dialect.if_gain == "unit" else dialect.tau_tick_s)
        rows[L.K_REST] = rows[L.K_G] * drive / dt
        if dialect.slow_leak_s is not None:
            rows[L.K_RATE] = 1.0 / dialect.slow_leak_s
            rows[L.K_REST] *= dialect.slow_leak_s
    elif based:
        kind = L.KIND_CURRENT
        tau, tau_syn, w = seconds("tau_mem"), seconds("tau_syn"), parameter("w_in", 1.0)
        rows[L.K_RATE], rows[L.K_SYN] = 1.0 / tau, 1.0 / tau_syn
        rows[L.K_R] = r * (tau / dt if unit else 1.0)
        rows[L.K_G] = w * (1.0 if direct else dt / tau_syn)
        rows[L.K_IREST] = w * drive * (tau_syn / dt if direct else 1.0)
        rows[L.K_REST] = parameter("v_leak") + rows[L.K_R] * rows[L.K_IREST]
        rows[L.K_PEAK] = _peak(tau, tau_syn) * (1.0 + MARGIN)
    else:
        kind = L.KIND_LEAK
        tau = seconds("tau")
        rows[L.K_RATE] = 1.0 / tau
        rows[L.K_G] = r * (1.0 if unit else dt / tau)
        rows[L.K_REST] = parameter("v_leak") + r * drive * (tau / dt if unit else 1.0)
    graded, strict, subtract = not isinstance(node, n.SPIKING), dialect.threshold == ">", dialect.reset == "subtract"
    threshold = np.full(size, np.inf) if graded else parameter("v_threshold")
    compare = np.nextafter(threshold, np.inf) if strict and not graded else threshold
    floor = np.full(size, -np.inf)
    if not graded:
        if dialect.floor is not None and (dialect.floor != "-threshold of IF" or isinstance(node, n.IF)):
            floor = _floor(name, kind, threshold, dialect.floor)
        _check_reset(name, threshold, compare, parameter("v_reset"), dialect)
    rows[L.K_CMP], rows[L.K_TH], rows[L.K_FLOOR] = compare, threshold, floor
    rows[L.K_RESET] = np.maximum(parameter("v_reset"), floor)
    start = np.maximum(floor, 0.0)
    driven = not graded and (
        kind == L.KIND_CURRENT
        or bool((rows[L.K_REST] > (0.0 if kind == L.KIND_FLAT else threshold)).any() or (start >= compare).any())
    )
    return Flow(kind, graded, driven, rows, dialect.multi_spike, strict, subtract, start)


def _wide(value: Any, size: int) -> Real:
    return np.broadcast_to(np.asarray(value, np.float64).ravel(), (size,)).copy()


def _floor(name: str, kind: int, threshold: Real, stated: float | str) -> Real:
    if kind == L.KIND_CURRENT:
        raise UnsupportedError(
            f"{name}: a floor ({stated}) under a synaptic current has no closed form; "
            "set floor = 'none' for continuous mode, or run with mode 'tick'"
        )
    floor = -threshold if isinstance(stated, str) else np.full(len(threshold), float(stated))
    if (floor >= threshold).any():
        raise UnsupportedError(f"{name}: the floor {floor.max()} is not below the threshold {threshold.min()}")
    return floor


def _check_reset(name: str, threshold: Real, compare: Real, reset: Real, dialect: Dialect) -> None:
    """A neuron that its reset leaves at threshold would fire for ever in one moment."""
    if (dialect.reset == "subtract" or dialect.multi_spike) and not (threshold > 0).all():
        raise UnsupportedError(f"{name}: several spikes at once need thresholds above 0, got {threshold.min()}")
    if dialect.reset == "value" and (reset >= compare).any():
        worst = int(np.argmax(reset - compare))
        raise UnsupportedError(f"{name}: v_reset {reset[worst]} is not below the threshold {threshold[worst]}")


def _peak(tau: Real, tau_syn: Real) -> Real:
    """The largest value of a e^-at p(t): r^(1 / (1 - r)) with r = tau_syn / tau_mem, 1 / e where they are equal."""
    x = (tau_syn - tau) / tau
    near = np.abs(x) < 1e-6
    safe = np.where(near, 1.0, x)
    return np.asarray(np.where(near, np.exp(-1.0 + x / 2.0), np.exp(-np.log1p(safe) / safe)) * (1.0 + 1e-12 * near))
