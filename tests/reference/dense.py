"""The slow twin of the engine: clock-driven, dense, in float64, straight from the equations of `nets.dialect`.

Every neuron is updated every tick; convolutions are summed patch by patch; nothing is folded, skipped or tabulated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets import nodes as n
from nets.dialect import Dialect
from nets.graph import Graph

Real = NDArray[np.float64]


class Dense:
    """`order` lists the neuron layers in order of computation; an edge from a later or the same layer is delayed."""

    def __init__(self, graph: Graph, dialect: Dialect, order: list[str]) -> None:
        self.graph, self.dialect, self.order = graph, dialect, order
        floor = dialect.floor if isinstance(dialect.floor, float) else -np.inf
        self.v = {name: np.full(graph.shapes[name], max(0.0, floor)) for name in order}
        self.i = {name: np.zeros(graph.shapes[name]) for name in order}
        silent = {name: np.zeros(graph.shapes[name]) for name in order}
        self.past = [silent for _ in range(dialect.recurrent_delay)]
        self.closest = np.inf
        """How near to its threshold any neuron came in the last tick."""

    def step(self, inputs: Mapping[str, Real]) -> dict[str, Real]:
        """One tick; returns what each neuron layer emits and what each Output receives."""
        now: dict[str, Real] = {}
        self.closest = np.inf
        for name in self.order:
            now[name] = self._neurons(name, self._into(name, name, inputs, now))
        result = dict(now)
        for name in self.graph.of_kind(n.Output):
            result[name] = self._into(name, None, inputs, now)
        self.past = [now, *self.past[:-1]]
        return result

    def _into(self, name: str, layer: str | None, inputs: Mapping[str, Real], now: Mapping[str, Real]) -> Real:
        total: Any = 0.0
        for source in self.graph.into(name):
            node = self.graph.nodes[source]
            if isinstance(node, n.Input):
                value = inputs[source]
            elif isinstance(node, n.UNITS):
                late = layer is not None and self.order.index(source) >= self.order.index(layer)
                value = self.past[-1][source] if late else now[source]
            else:
                value = linear(node, self._into(source, layer, inputs, now))
            total = total + value
        return np.asarray(total, np.float64)

    def _neurons(self, name: str, x: Real) -> Real:
        node: Any = self.graph.nodes[name]
        d = self.dialect
        based = isinstance(node, n.CubaLI | n.CubaLIF)
        counts = d.resistance == "apply" or (d.resistance == "current" and based)
        r = np.float64(1.0) if not counts else node.r.astype(np.float64)

        def leak(tau: Any) -> Any:
            tau = tau.astype(np.float64)
            return np.exp(-d.tau_tick_s / tau) if d.leak == "exponential" else 1 - d.tau_tick_s / tau

        v = self.v[name]
        if isinstance(node, n.I | n.IF):
            kept = 1.0 if d.slow_leak_s is None else float(np.exp(-d.dt_s / d.slow_leak_s))
            v = kept * v + r * x * (d.tau_tick_s if d.if_gain == "dt" else 1.0)
        else:
            a = leak(node.tau_mem if based else node.tau)
            gain = 1.0 if d.input_gain == "unit" else 1 - a
            used = x
            if based:
                alpha = leak(node.tau_syn)
                i, w = self.i[name], node.w_in * (1.0 if d.synapse_gain == "unit" else 1 - alpha)
                match d.current:
                    case "decay_add":
                        used = i = alpha * i + w * x
                    case "add_decay":
                        used = i = alpha * (i + w * x)
                    case "add_use_decay":
                        used = i + w * x
                        i = alpha * used
                    case "use_old":
                        used, i = i, alpha * i + w * x
                self.i[name] = i
            v = node.v_leak + a * (v - node.v_leak) + gain * r * used
        if isinstance(node, n.GRADED):
            self.v[name] = v
            return np.asarray(v)
        th = np.broadcast_to(node.v_threshold.astype(np.float64), v.shape)
        floor = -np.inf if d.floor is None else -th if isinstance(d.floor, str) else d.floor
        if d.floor == "-threshold of IF" and not isinstance(node, n.IF):
            floor = -np.inf
        v = np.maximum(v, floor)
        levels = np.abs(v / th - np.round(v / th)) if d.multi_spike else np.abs(v - th)
        self.closest = min(self.closest, float(levels.min()))
        fires = v > th if d.threshold == ">" else v >= th
        spikes = np.zeros(v.shape)
        for k in np.ndindex(v.shape):
            if fires[k]:
                spikes[k] = 1
                if d.multi_spike:
                    spikes[k] = np.ceil(v[k] / th[k]) - 1 if d.threshold == ">" else np.floor(v[k] / th[k])
        reset = np.broadcast_to(node.v_reset.astype(np.float64), v.shape)
        # what the next tick shall take away in full is more now, by what leaks until then
        step = th / (kept if isinstance(node, n.IF) else a) if d.reset_at == "next_tick" else th
        v = v - spikes * step if d.reset == "subtract" else np.where(fires, reset, v)
        self.v[name] = np.maximum(v, floor)
        return spikes


def linear(node: n.Node, x: Real) -> Real:
    """One linear node on one value, the obvious way."""
    match node:
        case n.Linear():
            return np.array([float(np.dot(row, x)) for row in node.weight.astype(np.float64)])
        case n.Affine():
            product = np.array([float(np.dot(row, x)) for row in node.weight.astype(np.float64)])
            return np.asarray(product + node.bias)
        case n.Scale():
            return np.asarray(x * node.scale)
        case n.Flatten():
            end = node.end_dim % x.ndim
            return np.reshape(x, (*x.shape[: node.start_dim], -1, *x.shape[end + 1 :]))
        case n.Conv2d():
            return convolve(node, x)
        case n.SumPool2d() | n.AvgPool2d():
            (ky, kx), (sy, sx), (py, px) = n.pair(node.kernel_size), n.pair(node.stride), n.pair(node.padding)
            p = np.pad(x, ((0, 0), (py, py), (px, px)))
            rows, columns = range(0, p.shape[1] - ky + 1, sy), range(0, p.shape[2] - kx + 1, sx)
            total = np.array([[p[:, y : y + ky, z : z + kx].sum((1, 2)) for z in columns] for y in rows])
            return np.moveaxis(total, -1, 0) / (ky * kx if isinstance(node, n.AvgPool2d) else 1)
    raise AssertionError(f"the twin has no {node.kind}")


def convolve(node: n.Conv2d, x: Real) -> Real:
    """Patch by patch, channel by channel."""
    (sy, sx), (py, px), (dy, dx) = n.pair(node.stride), n.pair(node.padding), n.pair(node.dilation)
    weight = node.weight.astype(np.float64)
    c_out, per_group, ky, kx = weight.shape
    p = np.pad(x, ((0, 0), (py, py), (px, px)))
    height = (p.shape[1] - dy * (ky - 1) - 1) // sy + 1
    width = (p.shape[2] - dx * (kx - 1) - 1) // sx + 1
    y = np.zeros((c_out, height, width))
    for o, row, column in np.ndindex(y.shape):
        first = o // (c_out // node.groups) * per_group
        top, left = row * sy, column * sx
        patch = p[first : first + per_group, top : top + dy * (ky - 1) + 1 : dy, left : left + dx * (kx - 1) + 1 : dx]
        y[o, row, column] = (patch * weight[o]).sum() + np.broadcast_to(node.bias, (c_out,))[o]
    return y
