"""Random small networks and inputs: every node type the engine runs, every rule of every dialect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from numpy.typing import NDArray

from nets import nodes as n
from nets.dialect import Dialect, resolve
from nets.graph import Graph
from nets.thresholds import DEFAULT, Thresholds
from tests.reference.dense import layers_into, order_of

DT_NS = 1_000_000
Numbers = Literal["real", "dyadic", "dyadic leaks"]
"""Any numbers; or multiples of 1/8 and no leak, so that every sum has one value; or with leaks that halve besides."""


@dataclass(frozen=True)
class Stream:
    """The events of one port, oldest first."""

    t: NDArray[np.int64]
    index: NDArray[np.int32]
    value: NDArray[np.float32]

    def __getitem__(self, which: slice | NDArray[np.bool_]) -> Stream:
        return Stream(self.t[which], self.index[which], self.value[which])

    def of(self, tick: int) -> Stream:
        return self[self.t // DT_NS == tick]


@dataclass(frozen=True)
class Case:
    graph: Graph
    dialect: Dialect
    order: list[str]
    """The layers in order of computation."""
    graded: list[str]
    """Readouts that do not spike, computed after them, where `order` does not name them."""
    t: NDArray[np.int64]
    index: NDArray[np.int32]
    value: NDArray[np.float32]
    ticks: int
    others: Mapping[str, Stream] = field(default_factory=dict)
    """What arrives at other ports than "input"."""
    thresholds: Thresholds = DEFAULT

    @property
    def streams(self) -> dict[str, Stream]:
        """What arrives at each port."""
        return {"input": Stream(self.t, self.index, self.value), **self.others}

    def frame(self, tick: int) -> NDArray[np.float64]:
        """The input of one tick at port "input" as a dense array."""
        return self.frames(tick)["input"]

    def frames(self, tick: int) -> dict[str, NDArray[np.float64]]:
        """The inputs of one tick at all ports."""
        return {port: summed(self.graph.shapes[port], events.of(tick)) for port, events in self.streams.items()}

    def sizes(self, tick: int) -> dict[str, NDArray[np.float64]]:
        """The same of the events' absolute values: opposite ones do not cancel out."""
        return {
            port: summed(self.graph.shapes[port], replace(events, value=np.abs(events.value)).of(tick))
            for port, events in self.streams.items()
        }


def summed(shape: tuple[int, ...], events: Stream) -> NDArray[np.float64]:
    """Events as a dense array."""
    frame = np.zeros(int(np.prod(shape)))
    np.add.at(frame, events.index, events.value.astype(np.float64))
    return frame.reshape(shape)


DIALECTS = st.fixed_dictionaries(
    {
        "leak": st.sampled_from(["exponential", "euler"]),
        "input_gain": st.sampled_from(["unit", "decay"]),
        "resistance": st.sampled_from(["apply", "current", "ignore"]),
        "current": st.sampled_from(["decay_add", "add_decay", "add_use_decay", "use_old"]),
        "multi_spike": st.booleans(),
        "threshold": st.sampled_from([">", ">="]),
        "reset": st.sampled_from(["subtract", "value"]),
        "floor": st.sampled_from(["none", "-threshold", "-threshold of IF", -0.25]),
        "synapse_gain": st.sampled_from(["unit", "decay"]),
        "recurrent_delay": st.sampled_from([1, 1, 2, 3]),
        "if_gain": st.just("unit"),
        "dt_s": st.just(DT_NS * 1e-9),
    }
)
WAYS = [Thresholds(everywhere, merge) for everywhere, merge in ((0.25, 50.0), (1e-3, 1e-3), (1e8, 1e8), (1e-3, 1e8))]
"""The defaults; every layer whole and every tick merged; neither, ever; whole without merging."""
PERIODS = [0.1, 0.4, 3.0, 20.0]
"""Ticks from one event of a port to the next."""


@st.composite
def cases(draw: st.DrawFn, *, numbers: Numbers = "real", loops: bool = True) -> Case:
    """A network with its input; without `loops` one that only feeds forward."""
    sketch = _Sketch(draw, numbers)
    trunk = draw(st.sampled_from([_flat, _flat, _line, _image]))
    last = trunk(sketch, loops)
    last = _layers(sketch, last, loops)
    _further_inputs(sketch)
    _outputs(sketch, last)
    graph = Graph(sketch.nodes, sketch.edges)
    order = order_of(graph)
    assume(not _closes_a_cycle_at_once(graph, order, sketch.rules["tau_tick_s"]))
    ticks = draw(st.integers(1, 40))
    streams = {port: sketch.events(int(np.prod(graph.shapes[port])), ticks) for port in graph.of_kind(n.Input)}
    first = streams.pop("input")
    dialect, ways = resolve(graph, None, sketch.rules), draw(st.sampled_from(WAYS))
    return Case(graph, dialect, order, [], first.t, first.index, first.value, ticks, streams, ways)


class _Sketch:
    """A graph as it grows, and how its numbers are drawn."""

    def __init__(self, draw: st.DrawFn, numbers: Numbers) -> None:
        self.draw = draw
        self.rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        self.dyadic = numbers != "real"
        self.rules: dict[str, Any] = dict(draw(DIALECTS))
        plain = self.rules["reset"] == "subtract" and not self.rules["multi_spike"] and self.rules["floor"] == "none"
        if plain:
            self.rules["reset_at"] = draw(st.sampled_from(["spike", "next_tick"]))
        self.rules["tau_tick_s"] = draw(st.sampled_from([self.rules["dt_s"], 1.0]))
        if not self.dyadic:
            self.rules["slow_leak_s"] = draw(st.sampled_from(["none", 0.02]))
            self.rules["if_gain"] = draw(st.sampled_from(["unit", "unit", "dt"]))
        if numbers == "dyadic leaks":
            self.rules["leak"] = "euler"
        leaks = numbers != "dyadic"
        self.kinds = ["IF", "LIF", "CubaLIF"] if leaks else ["IF"]
        self.graded = ["I", "LI", "CubaLI"] if leaks else ["I"]
        self.nodes: dict[str, n.Node] = {}
        self.edges: list[tuple[str, str]] = []
        self.layers: dict[str, int] = {}
        """Flat layers and their sizes, in the order of the trunk."""

    def add(self, name: str, node: n.Node, *sources: str) -> str:
        self.nodes[name] = node
        self.edges += [(source, name) for source in sources]
        return name

    def often(self, times: int = 2) -> bool:
        """True once in so many times; what shrinks is False."""
        return self.draw(st.integers(0, times - 1)) == times - 1

    def weights(self, *shape: int) -> NDArray[np.float64]:
        w = self.rng.uniform(-0.6, 1.0, shape)
        return np.round(w * 8) / 8 if self.dyadic else w

    def bias(self, size: int) -> NDArray[np.float64]:
        bias = self.rng.uniform(-0.3, 0.3, size) * self.draw(st.integers(0, 1))
        return np.round(bias * 8) / 8 if self.dyadic else bias

    def parameter(self, shape: tuple[int, ...], low: float, high: float) -> NDArray[np.float64]:
        """One for each neuron, or the same for all."""
        values = np.full(shape, self.rng.uniform(low, high))
        if self.often():
            values = self.rng.uniform(low, high, shape)
        return np.round(values * 4) / 4 if self.dyadic else values

    def tau(self, shape: tuple[int, ...], low: float, high: float) -> NDArray[np.float64]:
        """Time constants of so many ticks; of two where they shall halve."""
        ticks = np.full(shape, 2.0) if self.dyadic else self.parameter(shape, low, high)
        return np.asarray(ticks * self.rules["tau_tick_s"])

    def resistance(self, shape: tuple[int, ...], low: float, high: float) -> NDArray[np.float64]:
        return np.ones(shape) if self.dyadic else self.parameter(shape, low, high)

    def layer(self, shape: tuple[int, ...]) -> n.Node:
        """A layer of any type with a threshold, or now and then one that is graded."""
        p = self.parameter
        kind = self.draw(st.sampled_from([*self.kinds, "Threshold", *(self.graded if self.often(8) else ())]))
        if kind in self.graded:
            return self.readout(kind, shape)
        if kind == "Threshold":
            low = -0.5 if self.often(3) else 0.5
            return n.Threshold(p(shape, low, 2))
        fire: dict[str, Any] = {"v_threshold": p(shape, 0.5, 2), "v_reset": p(shape, -0.2, 0.2)}
        if kind == "IF":
            per_tick = self.rules["tau_tick_s"] if self.rules["if_gain"] == "dt" else 1.0
            return n.IF(r=self.resistance(shape, 0.5, 2) / per_tick, **fire)
        fire["r"] = self.resistance(shape, 0.5, 3)
        if kind == "LIF":
            leak = p(shape, -0.5, 0.4) if self.draw(st.booleans()) else p(shape, 0.3, 2.5)
            return n.LIF(tau=self.tau(shape, 2, 20), v_leak=leak, **fire)
        leak = p(shape, -0.3, 0.3) * self.draw(st.sampled_from([0, 1, 5]))
        tau_syn, tau_mem = self.tau(shape, 2, 10), self.tau(shape, 2, 20)
        return n.CubaLIF(tau_syn=tau_syn, tau_mem=tau_mem, v_leak=leak, w_in=p(shape, 0.5, 2), **fire)

    def readout(self, kind: str, shape: tuple[int, ...]) -> n.Node:
        one, rest = np.ones(shape), self.draw(st.sampled_from([0.0, 0.25])) * np.ones(shape)
        tau = self.tau(shape, 2, 20)
        match kind:
            case "I":
                return n.I(one)
            case "LI":
                return n.LI(tau=tau, r=one, v_leak=rest)
        return n.CubaLI(tau_syn=self.tau(shape, 2, 10), tau_mem=tau, r=one, v_leak=rest, w_in=2 * one)

    def delay(self, shape: tuple[int, ...], least: int) -> n.Delay:
        """From `least` ticks on, each neuron its own or all the same; not always whole ticks."""
        longest = self.draw(st.sampled_from([least, 3, 7]))
        ticks: Any = self.rng.integers(least, longest + 1, shape if self.often() else (1,))
        beside = self.rng.uniform(-0.4, 0.4, ticks.shape) * self.draw(st.integers(0, 1))
        return n.Delay(np.maximum(ticks + beside, 0) * self.rules["tau_tick_s"])

    def relayed(self, name: str, shape: tuple[int, ...], source: str) -> str:
        """The source itself, or behind a Delay or a Threshold."""
        match self.draw(st.sampled_from(["", "", "Delay", "Threshold"])):
            case "Delay":
                return self.add(f"{name}_wait", self.delay(shape, 0), source)
            case "Threshold":
                return self.add(f"{name}_bound", n.Threshold(self.parameter(shape, 0.5, 1.5)), source)
        return source

    def events(self, size: int, ticks: int) -> Stream:
        """Events of one port: regular or at random, at a rate of its own."""
        period, end = self.draw(st.sampled_from(PERIODS)) * DT_NS, ticks * DT_NS
        if self.draw(st.booleans()):
            t = np.arange(self.rng.uniform(0, period), end, period).astype(np.int64)
        else:
            t = np.sort(self.rng.integers(0, end, self.rng.poisson(end / period))).astype(np.int64)
        index = self.rng.integers(0, size, len(t)).astype(np.int32)
        value = np.ones(len(t), np.float32)
        if self.draw(st.booleans()):
            value = self.rng.choice([-1, 0.5, 1, 2], len(t)).astype(np.float32)
        return Stream(t, index, value)


def _flat(sketch: _Sketch, loops: bool) -> str:
    """The input is a row of channels."""
    width = sketch.draw(st.integers(1, 6))
    sketch.add("input", n.Input((width,)))
    last = sketch.relayed("input", (width,), "input")
    sketch.layers[last] = width
    return last


def _line(sketch: _Sketch, loops: bool) -> str:
    """The input is a few lines, convolved along them."""
    draw, groups = sketch.draw, sketch.draw(st.sampled_from([1, 1, 2]))
    shape = (2, draw(st.integers(3, 8)))
    sketch.add("input", n.Input(shape))
    source = sketch.relayed("input", shape, "input")
    taps, dilation = draw(st.integers(1, 3)), draw(st.sampled_from([1, 1, 2]))
    stride, padding = draw(st.sampled_from([(1, "same"), (1, "valid"), (1, 1), (2, 0), (3, 2)]))
    if dilation * (taps - 1) + 1 > shape[1]:
        dilation = 1
    weight = sketch.weights(4, 2 // groups, taps)
    sketch.add("conv", n.Conv1d(None, weight, stride, padding, dilation, groups, sketch.bias(4)), source)
    around = 2 * padding if isinstance(padding, int) else dilation * (taps - 1) * (padding == "same")
    out = (4, (shape[1] + around - dilation * (taps - 1) - 1) // stride + 1)
    sketch.add("first", sketch.layer(out), "conv")
    return _flattened(sketch, "first", out)


def _image(sketch: _Sketch, loops: bool) -> str:
    """The input is an image of two channels, convolved once or twice, pooled between."""
    draw = sketch.draw
    shape = (2, draw(st.integers(3, 6)), draw(st.integers(3, 6)))
    sketch.add("input", n.Input(shape))
    source = sketch.relayed("input", shape, "input")
    if sketch.often(3):
        sketch.add("beside", n.Input(shape))
        sketch.edges.append(("beside", "conv"))
    kernel = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    dilation = draw(st.sampled_from([1, 1, 1, 2])) if max(kernel) < 3 else 1
    if sketch.often(5):
        stride: Any = (1, 1)
        padding: Any = "same"
        size: tuple[int, ...] = shape[1:]
    else:
        stride, padding = (draw(st.integers(1, 3)), draw(st.integers(1, 2))), (draw(st.integers(0, 2)), 1)
        size = tuple((shape[1 + k] + 2 * padding[k] - dilation * (kernel[k] - 1) - 1) // stride[k] + 1 for k in (0, 1))
    groups = draw(st.sampled_from([1, 1, 2]))
    weight = sketch.weights(4, 2 // groups, *kernel)
    sketch.add("conv", n.Conv2d(None, weight, stride, padding, dilation, groups, sketch.bias(4)), source)
    image: tuple[int, ...] = (4, *size)
    last = sketch.add("first", sketch.layer(image), "conv")
    if loops and isinstance(sketch.nodes["first"], n.SPIKING) and sketch.often(4):
        back = n.Conv2d(None, sketch.weights(4, 4, 3, 3) * 0.125, 1, 1, 1, 1, np.zeros(4))
        sketch.edges.append((sketch.add("back", back, "first"), "first"))
    if min(size) >= 2 and sketch.often():
        pool = draw(st.sampled_from([n.SumPool2d, n.AvgPool2d]))
        step, around = draw(st.integers(1, 2)), (draw(st.integers(0, 1)), 0)
        last = sketch.add("pool", pool((2, 2) if sketch.dyadic else (2, draw(st.integers(1, 2))), step, around), last)
        wide = n.pair(sketch.nodes["pool"].kernel_size)  # type: ignore[attr-defined]  # both pools have one
        image = (4, *((size[k] + 2 * around[k] - wide[k]) // step + 1 for k in (0, 1)))
    if sketch.often(3):
        last = sketch.relayed("second", image, last)
        again = n.Conv2d(None, sketch.weights(3, 4, 2, 2) * 0.5, 1, 1, 1, 1, sketch.bias(3))
        image = (3, image[1] + 1, image[2] + 1)
        last = sketch.add("second", sketch.layer(image), sketch.add("conv2", again, last))
    return _flattened(sketch, last, image)


def _flattened(sketch: _Sketch, last: str, shape: tuple[int, ...]) -> str:
    last = sketch.add("flat", n.Flatten(), last)
    sketch.layers[last] = int(np.prod(shape))
    return last


def _layers(sketch: _Sketch, last: str, loops: bool) -> str:
    """Up to three flat layers, each from the one before and perhaps from an earlier one, perhaps with a way back."""
    draw = sketch.draw
    if sketch.often():
        width = sketch.layers[last]
        scale = np.full((1,), 0.5) if draw(st.booleans()) else np.round(sketch.rng.uniform(0.25, 2, width) * 4) / 4
        sketch.layers["scale"] = width
        last = sketch.add("scale", n.Scale(scale), last)
    for k in range(draw(st.integers(1, 3))):
        width, out = sketch.layers[last], draw(st.integers(1, 5))
        source = sketch.relayed(f"fc{k}", (width,), last)
        into = sketch.add(f"fc{k}", n.Affine(sketch.weights(out, width), sketch.bias(out)), source)
        if sketch.often(4):
            into = sketch.add(f"mix{k}", n.Linear(sketch.weights(out, out)), into)
        name = sketch.add(f"layer{k}", sketch.layer((out,)), into)
        if sketch.often(4):
            earlier = draw(st.sampled_from(list(sketch.layers)))
            skipped = sketch.relayed(f"skip{k}", (sketch.layers[earlier],), earlier)
            skip = n.Linear(sketch.weights(out, sketch.layers[earlier]))
            sketch.edges.append((sketch.add(f"skip{k}", skip, skipped), name))
        sketch.layers[name] = out
        if loops and sketch.often():
            _loop(sketch, k)
        last = name
    return last


def _loop(sketch: _Sketch, k: int) -> None:
    """A way back from layer k to itself or one before it, perhaps through a Delay at either end."""
    back = sketch.draw(st.sampled_from([name for name in sketch.layers if name.startswith("layer")]))
    if not any(isinstance(sketch.nodes[name], n.SPIKING) for name in (back, f"layer{k}")):
        return
    source, out, into = f"layer{k}", sketch.layers[f"layer{k}"], sketch.layers[back]
    if sketch.often(4):
        source = sketch.add(f"early{k}", sketch.delay((out,), 1), source)
    source = sketch.add(f"rec{k}", n.Linear(sketch.weights(into, out) * 0.25), source)
    if sketch.often(4):
        source = sketch.add(f"late{k}", sketch.delay((into,), 1), source)
    sketch.edges.append((source, back))


def _further_inputs(sketch: _Sketch) -> None:
    """Up to two more Inputs, each into one of the flat layers."""
    targets = [name for name in sketch.layers if name.startswith("layer")]
    for k in range(sketch.draw(st.integers(0, 2))):
        width, target = sketch.draw(st.integers(1, 4)), sketch.draw(st.sampled_from(targets))
        source = sketch.relayed(f"side{k}", (width,), sketch.add(f"side{k}", n.Input((width,))))
        into = n.Linear(sketch.weights(sketch.layers[target], width))
        sketch.edges.append((sketch.add(f"from_side{k}", into, source), target))


def _outputs(sketch: _Sketch, last: str) -> None:
    """The last layer, what is read out of it, or a plain sum leaves; perhaps an earlier layer too."""
    width = sketch.layers[last]
    match sketch.draw(st.sampled_from(["", "graded", "Delay", "sum"])):
        case "graded":
            kind = sketch.draw(st.sampled_from(sketch.graded))
            last = sketch.add("readout", sketch.readout(kind, (width,)), last)
        case "Delay":
            last = sketch.add("late", sketch.delay((width,), 0), last)
        case "sum":
            last = sketch.add("sum", n.Affine(sketch.weights(2, width), sketch.bias(2)), last)
            width = 2
    sketch.add("output", n.Output((width,)), last)
    if sketch.often(4):
        other = sketch.draw(st.sampled_from(list(sketch.layers)))
        sketch.add("probe", n.Output((sketch.layers[other],)), other)


def _closes_a_cycle_at_once(graph: Graph, order: list[str], tick_s: float) -> bool:
    """Whether the edge that closes a cycle comes from a Delay that does not delay: such graphs are refused."""
    for place, target in enumerate(order):
        for source in layers_into(graph, target):
            node = graph.nodes[source]
            if isinstance(node, n.Delay) and order.index(source) >= place and (node.delay < tick_s / 2).any():
                return True
    return False
