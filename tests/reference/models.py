"""The slow twin of the models beyond NIR: one neuron after another in float64, straight from `nets.models`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets import models as m
from nets import nodes as n
from nets.dialect import Dialect
from nets.graph import Graph
from tests.reference.dense import Dense

Real = NDArray[np.float64]


class DenseModels(Dense):
    """`Dense` for graphs with models; `extra` holds what they have besides v and i, by name."""

    def __init__(self, graph: Graph, dialect: Dialect, order: list[str]) -> None:
        super().__init__(graph, dialect, order)
        self.extra: dict[str, dict[str, Real]] = {}
        self.largest = 1.0
        """How many thresholds high any potential stood in the last tick: rounding errors are in proportion to it."""
        for name in order:
            shape = graph.shapes[name]
            match graph.nodes[name]:
                case m.Izhikevich() as node:
                    self.v[name] = np.broadcast_to(node.c, shape).astype(np.float64)
                    self.extra[name] = {"u": node.b * self.v[name]}
                case m.HodgkinHuxley():
                    self.v[name] = np.full(shape, -65.0)
                    steady = {gate: alpha / (alpha + beta) for gate, (alpha, beta) in rates(-65.0).items()}
                    self.extra[name] = {gate: np.full(shape, value) for gate, value in steady.items()}
                case m.MaxPool2d():
                    self.extra[name] = {"count": np.zeros(graph.shapes[graph.into(name)[0]]), "out": np.zeros(shape)}
                case m.SRM():
                    self.v[name] = np.zeros(shape)
                    self.extra[name] = {"q": np.zeros(shape)}
                case m.AdaptiveLIF():
                    self.extra[name] = {"b": np.zeros(shape), "refractory": np.zeros(shape)}
                case n.SpikingModel():
                    self.extra[name] = {"refractory": np.zeros(shape)}

    def step(self, inputs: Mapping[str, Real]) -> dict[str, Real]:
        self.largest = 1.0
        return super().step(inputs)

    def _neurons(self, name: str, x: Real) -> Real:
        node = self.graph.nodes[name]
        match node:
            case m.MaxPool2d():
                return self._pool(name, node, x)
            case m.Izhikevich() | m.HodgkinHuxley():
                return self._stepped(name, node, x)
            case n.SpikingModel():
                return self._threshold(name, node, x)
        return super()._neurons(name, x)

    def _threshold(self, name: str, node: Any, x: Real) -> Real:
        d, extra, shape = self.dialect, self.extra[name], self.graph.shapes[name]
        old_v = self.v[name]
        free = old_v.copy()
        # where a plain layer would stand before it fires: one whose threshold is out of reach
        silent = m.plain(node)
        far = {key: getattr(silent, key) for key in n.parameter_names(type(silent))} | {"v_threshold": np.array(1e30)}
        graph = Graph({"i": n.Input(shape), "n": type(silent)(**far), "o": n.Output(shape)}, [("i", "n"), ("n", "o")])
        twin = Dense(graph, with_floor(d, None), ["n"])
        twin.v["n"], twin.i["n"] = old_v, self.i[name]
        twin.step({"i": x})
        free, self.i[name] = twin.v["n"], twin.i["n"]

        th = np.broadcast_to(node.v_threshold, shape).astype(np.float64)
        floor = np.full(shape, -np.inf) if isinstance(node, m.SRM) else floor_of(d, silent, th)
        held = extra["refractory"] > 0 if "refractory" in extra else np.zeros(shape, bool)
        v = np.where(held, old_v, np.maximum(free, floor))
        if isinstance(node, m.AdaptiveLIF):
            th = th + node.beta * extra["b"]
        if isinstance(node, m.SRM):
            th = th - extra["q"]
        spikes = np.zeros(shape)
        self._note(v, th, held, multi=d.multi_spike and not isinstance(node, m.SRM))
        fired = held.copy()
        candidates = ((v > th) if d.threshold == ">" else (v >= th)) & ~held
        while True:
            able = candidates & ~fired & ((v > th) if d.threshold == ">" else (v >= th))
            if not able.any() or (int(node.winners) and int((spikes > 0).sum()) == int(node.winners)):
                break
            k = first_of(np.where(able, v - th, -np.inf))
            fired[k] = True
            count = 1.0
            if not isinstance(node, m.SRM):
                if d.multi_spike:
                    count = math.ceil(v[k] / th[k]) - 1 if d.threshold == ">" else math.floor(v[k] / th[k])
                reset = np.broadcast_to(node.v_reset, shape)[k]
                v[k] = max(v[k] - count * th[k] if d.reset == "subtract" else reset, floor[k])
            spikes[k] = count
            others = np.ones(shape, bool)
            others[k] = False
            if float(node.inhibition):
                v[others] = v[others] - count * float(node.inhibition)
        self.v[name] = np.maximum(v, floor)
        if "refractory" in extra:
            hold = np.ceil(np.broadcast_to(node.refractory, shape) / d.tau_tick_s - 1e-6)
            extra["refractory"] = np.where(spikes > 0, hold, np.maximum(extra["refractory"] - 1, 0))
        if isinstance(node, m.AdaptiveLIF):
            rho = self._kept(node.tau_a)
            extra["b"] = rho * extra["b"] + (1 - rho) * spikes
        if isinstance(node, m.SRM):
            extra["q"] = self._kept(node.tau_refractory) * (extra["q"] - node.eta * spikes)
        return spikes

    def _kept(self, tau: Any) -> Any:
        h = self.dialect.tau_tick_s
        return np.exp(-h / tau) if self.dialect.leak == "exponential" else 1 - h / tau

    def _note(self, v: Real, th: Real, held: NDArray[np.bool_], *, multi: bool) -> None:
        """How near a decision came to going the other way: a threshold, or two competitors' order."""
        self.largest = max(self.largest, float(np.abs(v / th).max()), float(np.abs(v).max()))
        levels = np.abs(v / th - np.round(v / th)) if multi else np.abs(v - th)
        near = np.sort((v - th)[~held])
        self.closest = min(self.closest, float(np.where(held, np.inf, levels).min()))
        ties = np.diff(near)
        self.closest = min(self.closest, float(ties[ties > 0].min(initial=np.inf)))

    def _stepped(self, name: str, node: m.Izhikevich | m.HodgkinHuxley, x: Real) -> Real:
        shape, extra = self.graph.shapes[name], self.extra[name]
        spikes = np.zeros(shape)
        v = self.v[name].copy()
        after = {key: value.copy() for key, value in extra.items()}
        self.v[name], self.extra[name] = v, after
        for k in np.ndindex(shape):
            p = {key: float(np.broadcast_to(getattr(node, key), shape)[k]) for key in n.parameter_names(type(node))}
            state = {key: float(value[k]) for key, value in extra.items()}
            step = izhikevich if isinstance(node, m.Izhikevich) else hodgkin_huxley
            v[k], state, spikes[k], near = step(p, float(v[k]), state, p["r"] * float(x[k]), self.dialect.dt_s * 1e3)
            self.closest = min(self.closest, near)
            for key, value in state.items():
                after[key][k] = value
        return spikes

    def _pool(self, name: str, node: m.MaxPool2d, x: Real) -> Real:
        """The growing counts themselves, window by window."""
        extra = self.extra[name]
        extra["count"] = extra["count"] + x
        most = taps(node, extra["count"], self.graph.shapes[name]).max(0)
        out: Real = np.maximum(most - extra["out"], 0)
        extra["out"] = extra["out"] + out
        return out


def taps(node: m.MaxPool2d, counts: Real, shape: tuple[int, ...]) -> Real:
    """(taps, *shape): what each window sees, tap by tap."""
    (ky, kx), (sy, sx), (py, px) = n.pair(node.kernel_size), n.pair(node.stride), n.pair(node.padding)
    padded = np.pad(counts, ((0, 0), (py, py), (px, px)))
    seen = np.zeros((ky * kx, *shape))
    for c, y, x in np.ndindex(shape):
        seen[:, c, y, x] = padded[c, y * sy : y * sy + ky, x * sx : x * sx + kx].ravel()
    return seen


def with_floor(dialect: Dialect, floor: float | None) -> Dialect:
    """The same rules with another floor."""
    values = dialect.to_dict() | {"floor": floor}
    return Dialect(**values)


def floor_of(dialect: Dialect, plain: n.Node, th: Real) -> Real:
    """What the dialect's floor is for a layer."""
    if dialect.floor is None or (dialect.floor == "-threshold of IF" and not isinstance(plain, n.IF)):
        return np.full(th.shape, -np.inf)
    return -th if isinstance(dialect.floor, str) else np.full(th.shape, float(dialect.floor))


def first_of(excess: Real) -> tuple[int, ...]:
    """The place of the largest; of equals the first by place, then channel."""
    order = np.moveaxis(excess, 0, -1) if excess.ndim > 1 else excess
    k = np.unravel_index(int(np.argmax(order)), order.shape)
    return tuple(int(q) for q in ((k[-1], *k[:-1]) if excess.ndim > 1 else k))


def izhikevich(
    p: dict[str, float], v: float, state: dict[str, float], drive: float, dt_ms: float
) -> tuple[float, dict[str, float], int, float]:
    """One tick; also how near v came to its peak, in 100 mV."""
    u, spikes, near = state["u"], 0, math.inf
    steps = math.ceil(dt_ms / 0.5 - 1e-6)
    for _ in range(steps):
        v = v + dt_ms / steps * (0.04 * v**2 + 5 * v + 140 - u + drive)
        near = min(near, abs(v - p["v_peak"]) / 100)
        u = u + dt_ms / steps * p["a"] * (p["b"] * min(v, p["v_peak"]) - u)
        if v >= p["v_peak"]:
            v, u, spikes = p["c"], u + p["d"], spikes + 1
    return v, {"u": u}, spikes, near


def rates(v: float) -> dict[str, tuple[float, float]]:
    """alpha and beta of each gate, per ms; read between -150 and 150 mV."""
    v = float(np.clip(v, -150.0, 150.0))

    def ratio(x: float) -> float:
        return x / (1 - math.exp(-x)) if x else 1.0

    return {
        "m": (ratio((v + 40) / 10), 4 * math.exp(-(v + 65) / 18)),
        "h": (0.07 * math.exp(-(v + 65) / 20), 1 / (1 + math.exp(-(v + 35) / 10))),
        "n": (0.1 * ratio((v + 55) / 10), 0.125 * math.exp(-(v + 65) / 80)),
    }


def hodgkin_huxley(
    p: dict[str, float], v: float, state: dict[str, float], drive: float, dt_ms: float
) -> tuple[float, dict[str, float], int, float]:
    """One tick; also how near v ended a step to its threshold, in 100 mV."""
    spikes, near = 0, math.inf
    steps = math.ceil(dt_ms / 0.01 - 1e-6)
    h = dt_ms / steps
    for _ in range(steps):
        for gate, (alpha, beta) in rates(v).items():
            decay = math.exp(-h * (alpha + beta))
            state = state | {gate: state[gate] * decay + alpha / (alpha + beta) * (1 - decay)}
        na, k = p["g_na"] * state["m"] ** 3 * state["h"], p["g_k"] * state["n"] ** 4
        g = na + k + p["g_l"]
        decay = math.exp(-h * g / p["c_m"])
        new = v * decay + (na * p["e_na"] + k * p["e_k"] + p["g_l"] * p["e_l"] + drive) / g * (1 - decay)
        spikes += v < p["v_threshold"] <= new
        near = min(near, abs(new - p["v_threshold"]) / 100)
        v = new
    return v, state, spikes, near
