"""The slow twin of the engine: clock-driven, dense, in float64, straight from the equations of `nets.dialect`.

Every neuron is updated every tick; convolutions are summed patch by patch; nothing is folded, skipped or tabulated.
Beside each potential stands its scale, the sum of the absolute values of everything that was added up to make it:
whoever rounds differently may be wrong by a part of that, and by no more.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets import nodes as n
from nets.dialect import Dialect
from nets.graph import Graph

Real = NDArray[np.float64]
LAYERS = (*n.UNITS, n.Delay, n.Threshold)
"""What has a place in the order of computation; everything else is a linear node or an end of the graph."""


class Dense:
    """`order` lists the layers in order of computation; an edge from a later or the same layer is delayed."""

    def __init__(self, graph: Graph, dialect: Dialect, order: list[str]) -> None:
        self.graph, self.dialect, self.order = graph, dialect, order
        floor = dialect.floor if isinstance(dialect.floor, float) else -np.inf
        self.v = {name: np.full(graph.shapes[name], max(0.0, floor)) for name in order}
        self.i = {name: np.zeros(graph.shapes[name]) for name in order}
        silent = {name: np.zeros(graph.shapes[name]) for name in order}
        self.past = [silent for _ in range(dialect.recurrent_delay)]
        self.received: dict[str, list[Real]] = {name: [] for name in graph.of_kind(n.Delay)}
        """What each Delay took in, tick by tick from the first."""
        self.tick = 0
        self.closest = np.inf
        """How near to its threshold any neuron came in the last tick."""
        self.margin: dict[str, Real] = {}
        """How near each neuron came in the last tick to a potential at which it fires more or less often."""
        self.scale: dict[str, Real] = {}
        """The scale of each potential, and of what each Output received, in the last tick."""
        self.scale_i: dict[str, Real] = {}
        """The same of each current."""
        self._plain = dict(graph.nodes)
        self._absolute = {name: absolute(node) for name, node in graph.nodes.items()}
        self._drive_scale: dict[str, Real] = {}

    def step(self, inputs: Mapping[str, Real]) -> dict[str, Real]:
        """One tick; returns what each layer emits (a Delay: takes in) and what each Output receives."""
        return self.follow(inputs, inputs, {})

    def follow(
        self, inputs: Mapping[str, Real], sizes: Mapping[str, Real], emitted: Mapping[str, Real]
    ) -> dict[str, Real]:
        """One tick beside another engine: where it `emitted` something else, later layers and ticks receive that.

        `sizes` are the sums of the absolute values of the events that `inputs` are the sums of.
        """
        result: dict[str, Real] = {}
        now: dict[str, Real] = {}
        self.closest = np.inf
        for name in self.order:
            x = self._received_by(name, name, inputs, now, sizes)
            result[name] = self._neurons(name, x)
            now[name] = emitted.get(name, result[name])
            if isinstance(self.graph.nodes[name], n.Delay):
                self.received[name].append(now[name])
        for name in self.graph.of_kind(n.Output):
            result[name] = self._received_by(name, None, inputs, now, sizes)
            self.scale[name] = self._drive_scale[name]
        self.past = [now, *self.past[:-1]]
        self.tick += 1
        return result

    def _received_by(
        self,
        name: str,
        layer: str | None,
        inputs: Mapping[str, Real],
        now: Mapping[str, Real],
        sizes: Mapping[str, Real],
    ) -> Real:
        def arriving(source: str) -> Real:
            node = self.graph.nodes[source]
            if isinstance(node, n.Input):
                return inputs[source]
            if isinstance(node, n.Delay):
                return self._handed_on(source, node)
            late = layer is not None and self.order.index(source) >= self.order.index(layer)
            return self.past[-1][source] if late else now[source]

        def size(source: str) -> Real:
            return np.abs(sizes[source] if source in sizes else arriving(source))

        self._drive_scale[name] = self._sum(name, self._absolute, size)
        return self._sum(name, self._plain, arriving)

    def _sum(self, name: str, nodes: Mapping[str, n.Node], arriving: Callable[[str], Real]) -> Real:
        total: Any = 0.0
        for source in self.graph.into(name):
            if isinstance(nodes[source], (n.Input, *LAYERS)):
                total = total + arriving(source)
            else:
                total = total + linear(nodes[source], self._sum(source, nodes, arriving))
        return np.asarray(total, np.float64)

    def _handed_on(self, name: str, node: n.Delay) -> Real:
        """What a Delay received as many ticks ago as each element waits."""
        value = np.zeros(self.graph.shapes[name])
        ticks = np.broadcast_to(np.round(node.delay.astype(np.float64) / self.dialect.tau_tick_s), value.shape)
        for k in np.ndindex(value.shape):
            then = self.tick - int(ticks[k])
            if then >= 0:
                value[k] = self.received[name][then][k]
        return value

    def _neurons(self, name: str, x: Real) -> Real:
        node: Any = self.graph.nodes[name]
        d, size = self.dialect, self._drive_scale[name]
        if isinstance(node, n.Delay | n.Threshold):
            return self._relay(name, node, x)
        based = isinstance(node, n.CubaLI | n.CubaLIF)
        counts = d.resistance == "apply" or (d.resistance == "current" and based)
        r = np.float64(1.0) if not counts else node.r.astype(np.float64)

        def leak(tau: Any) -> Any:
            tau = tau.astype(np.float64)
            return np.exp(-d.tau_tick_s / tau) if d.leak == "exponential" else 1 - d.tau_tick_s / tau

        v = self.v[name]
        if isinstance(node, n.I | n.IF):
            kept = 1.0 if d.slow_leak_s is None else float(np.exp(-d.dt_s / d.slow_leak_s))
            gain = d.tau_tick_s if d.if_gain == "dt" else 1.0
            self.scale[name] = np.abs(kept * v) + np.abs(r * gain) * size
            v = kept * v + r * x * gain
        else:
            a = leak(node.tau_mem if based else node.tau)
            gain = 1.0 if d.input_gain == "unit" else 1 - a
            used = x
            if based:
                alpha = leak(node.tau_syn)
                i, w = self.i[name], node.w_in * (1.0 if d.synapse_gain == "unit" else 1 - alpha)
                size_i = np.abs(i)
                match d.current:
                    case "decay_add":
                        used = i = alpha * i + w * x
                        size = size_i = np.abs(alpha) * size_i + np.abs(w) * size
                    case "add_decay":
                        used = i = alpha * (i + w * x)
                        size = size_i = np.abs(alpha) * (size_i + np.abs(w) * size)
                    case "add_use_decay":
                        used = i + w * x
                        i = alpha * used
                        size = size_i + np.abs(w) * size
                        size_i = np.abs(alpha) * size
                    case "use_old":
                        used, i = i, alpha * i + w * x
                        size, size_i = size_i, np.abs(alpha) * size_i + np.abs(w) * size
                self.i[name], self.scale_i[name] = i, size_i
            self.scale[name] = np.abs(a * v) + np.abs((1 - a) * node.v_leak) + np.abs(gain * r) * size
            v = node.v_leak + a * (v - node.v_leak) + gain * r * used
        if isinstance(node, n.GRADED):
            self.v[name] = v
            return np.asarray(v)
        th = np.broadcast_to(node.v_threshold.astype(np.float64), v.shape)
        floor = -np.inf if d.floor is None else -th if isinstance(d.floor, str) else d.floor
        if d.floor == "-threshold of IF" and not isinstance(node, n.IF):
            floor = -np.inf
        v = np.maximum(v, floor)
        levels = np.abs(v / th - np.maximum(np.round(v / th), 1)) if d.multi_spike else np.abs(v - th)
        self.closest = min(self.closest, float(levels.min()))
        self.margin[name] = levels * th if d.multi_spike else levels
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

    def _relay(self, name: str, node: n.Delay | n.Threshold, x: Real) -> Real:
        self.scale[name] = self._drive_scale[name]
        if isinstance(node, n.Delay):
            self.v[name] = x
            return x
        bound = np.broadcast_to(node.threshold.astype(np.float64), x.shape)
        self.margin[name] = np.abs(x - bound)
        self.closest = min(self.closest, float(self.margin[name].min()))
        return (x > bound if self.dialect.threshold == ">" else x >= bound).astype(np.float64)


def order_of(graph: Graph) -> list[str]:
    """The layers in order of computation.

    First what receives from no layer that is left. Where there is none, a cycle that nothing outside it leads into
    opens at the layer that is the fewest layers away from an Input, the first by name of those.
    """
    left = sorted(graph.of_kind(*LAYERS))
    sources = {name: layers_into(graph, name) for name in left}
    away: dict[str, int] = {name: 1 for name in left if sources[name] - set(left)}
    for distance in range(2, len(left) + 1):
        for name in left:
            if name not in away and any(away.get(source) == distance - 1 for source in sources[name]):
                away[name] = distance
    order: list[str] = []
    while left:
        leads = np.array([[a in sources[b] or a == b for b in left] for a in left])
        for _ in left:
            leads = leads @ leads
        # nothing leads here that is not led to from here
        first = [b for k, b in enumerate(left) if (leads[k] | ~leads[:, k]).all()]
        alone = [b for b in first if not sources[b] & (set(left) - {b})]
        chosen = min(alone or first, key=lambda name: (away[name], name))
        order.append(chosen)
        left.remove(chosen)
    return order


def layers_into(graph: Graph, name: str) -> set[str]:
    """The layers and Inputs that a layer receives from."""
    found: set[str] = set()
    for source in graph.into(name):
        direct = isinstance(graph.nodes[source], (n.Input, *LAYERS))
        found |= {source} if direct else layers_into(graph, source)
    return found


def absolute(node: n.Node) -> n.Node:
    """A linear node with the absolute values of its weights and biases; any other as it is."""
    held = {p: getattr(node, p) for p in ("weight", "bias", "scale") if hasattr(node, p)}
    return dataclasses.replace(node, **{p: np.abs(value) for p, value in held.items()}) if held else node


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
        case n.Conv1d():
            return convolve_line(node, x)
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
    """Patch by patch, group by group."""
    (sy, sx), (dy, dx) = n.pair(node.stride), n.pair(node.dilation)
    weight = node.weight.astype(np.float64)
    c_out, per_group, ky, kx = weight.shape
    reach = dy * (ky - 1), dx * (kx - 1)
    if isinstance(node.padding, str):
        before = (reach[0] // 2, reach[1] // 2) if node.padding == "same" else (0, 0)
        after = (reach[0] - before[0], reach[1] - before[1]) if node.padding == "same" else (0, 0)
    else:
        before = after = n.pair(node.padding)
    p = np.pad(x, ((0, 0), (before[0], after[0]), (before[1], after[1])))
    height = (p.shape[1] - reach[0] - 1) // sy + 1
    width = (p.shape[2] - reach[1] - 1) // sx + 1
    y = np.zeros((c_out, height, width))
    each = c_out // node.groups
    for group, row, column in np.ndindex(node.groups, height, width):
        mine = slice(group * each, (group + 1) * each)
        top, left = row * sy, column * sx
        patch = p[group * per_group :, top : top + reach[0] + 1 : dy, left : left + reach[1] + 1 : dx][:per_group]
        y[mine, row, column] = (patch * weight[mine]).sum((1, 2, 3))
    return np.asarray(y + np.broadcast_to(node.bias, (c_out,))[:, None, None])


def convolve_line(node: n.Conv1d, x: Real) -> Real:
    """Tap by tap, one output after another."""
    stride, dilation = (int(np.ravel(value)[0]) for value in (node.stride, node.dilation))
    weight = node.weight.astype(np.float64)
    c_out, per_group, taps = weight.shape
    reach = dilation * (taps - 1)
    if isinstance(node.padding, str):
        before, after = (reach // 2, reach - reach // 2) if node.padding == "same" else (0, 0)
    else:
        before = after = int(np.ravel(node.padding)[0])
    p = np.pad(x, ((0, 0), (before, after)))
    y = np.zeros((c_out, (p.shape[1] - reach - 1) // stride + 1))
    for o, place in np.ndindex(y.shape):
        first = o // (c_out // node.groups) * per_group
        for channel, tap in np.ndindex(per_group, taps):
            y[o, place] += weight[o, channel, tap] * p[first + channel, place * stride + tap * dilation]
    return np.asarray(y + np.broadcast_to(node.bias, (c_out,))[:, None])
