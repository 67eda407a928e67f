"""Random small networks and inputs: every node type the engine runs, every rule of every dialect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from nets import nodes as n
from nets.dialect import Dialect, resolve
from nets.graph import Graph

DT_NS = 1_000_000


@dataclass(frozen=True)
class Case:
    graph: Graph
    dialect: Dialect
    order: list[str]
    """The spiking layers in order of computation."""
    graded: list[str]
    """Readouts that do not spike, computed after them."""
    t: NDArray[np.int64]
    index: NDArray[np.int32]
    value: NDArray[np.float32]
    ticks: int

    def frame(self, tick: int) -> NDArray[np.float64]:
        """The input of one tick as a dense array."""
        shape = self.graph.shapes["input"]
        frame = np.zeros(int(np.prod(shape)))
        mine = self.t // DT_NS == tick
        np.add.at(frame, self.index[mine], self.value[mine].astype(np.float64))
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


@st.composite
def cases(draw: st.DrawFn, *, exact: bool = False) -> Case:
    """A network with its input. `exact`: integrate-and-fire on dyadic numbers, so that every sum has one value."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rules = draw(DIALECTS)
    kinds = ["IF"] if exact else ["IF", "LIF", "CubaLIF"]

    def weights(*shape: int) -> NDArray[np.float64]:
        w = rng.uniform(-0.6, 1.0, shape)
        return np.round(w * 8) / 8 if exact else w

    def neuron(shape: tuple[int, ...]) -> n.Node:
        one = draw(st.booleans())

        def p(low: float, high: float) -> Any:
            values = np.full(shape, rng.uniform(low, high)) if one else rng.uniform(low, high, shape)
            return np.round(values * 4) / 4 if exact else values

        match draw(st.sampled_from(kinds)):
            case "IF":
                r = np.ones(shape) if exact else p(0.5, 2)
                return n.IF(r=r, v_threshold=p(0.5, 2), v_reset=p(-0.2, 0.2))
            case "LIF":
                leak = p(-0.5, 0.4) if draw(st.booleans()) else p(0.3, 2.5)
                return n.LIF(tau=p(0.002, 0.02), r=p(0.5, 3), v_leak=leak, v_threshold=p(0.5, 2), v_reset=p(-0.2, 0.2))
            case _:
                tau = {"tau_syn": p(0.002, 0.01), "tau_mem": p(0.002, 0.02)}
                leak = p(-0.3, 0.3) * draw(st.sampled_from([0, 1, 5]))
                return n.CubaLIF(
                    **tau, r=p(0.5, 3), v_leak=leak, v_threshold=p(0.5, 2), v_reset=p(-0.2, 0.2), w_in=p(0.5, 2)
                )

    nodes: dict[str, n.Node] = {}
    edges: list[tuple[str, str]] = []
    order: list[str] = []
    shape: tuple[int, ...]
    if draw(st.booleans()):
        groups = draw(st.sampled_from([1, 1, 2]))
        shape = (2, draw(st.integers(3, 6)), draw(st.integers(3, 6)))
        kernel = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
        dilation = draw(st.sampled_from([1, 1, 1, 2])) if max(kernel) < 3 and min(shape) > 1 else 1
        stride, padding = (draw(st.integers(1, 3)), draw(st.integers(1, 2))), (draw(st.integers(0, 2)), 1)
        bias = weights(4) * (0.2 if not exact else 0.5) * draw(st.integers(0, 1))
        nodes["input"] = n.Input(shape)
        nodes["conv"] = n.Conv2d(None, weights(4, 2 // groups, *kernel), stride, padding, dilation, groups, bias)
        size = [(shape[1 + k] + 2 * padding[k] - dilation * (kernel[k] - 1) - 1) // stride[k] + 1 for k in range(2)]
        image = (4, size[0], size[1])
        nodes["first"] = neuron(image)
        edges += [("input", "conv"), ("conv", "first")]
        order.append("first")
        last = "first"
        if min(size) >= 2 and draw(st.booleans()):
            pool = draw(st.sampled_from([n.SumPool2d, n.AvgPool2d]))
            nodes["pool"] = pool(2, draw(st.integers(1, 2)), 0)
            edges.append((last, "pool"))
            step = nodes["pool"].stride  # type: ignore[attr-defined]  # both pools have one
            image = (4, (size[0] - 2) // step + 1, (size[1] - 2) // step + 1)
            last = "pool"
        nodes["flat"] = n.Flatten()
        edges.append((last, "flat"))
        last, width = "flat", int(np.prod(image))
    else:
        width = draw(st.integers(1, 6))
        shape = (width,)
        nodes["input"] = n.Input(shape)
        last = "input"
    if draw(st.booleans()):
        scale = np.full((1,), 0.5) if draw(st.booleans()) else np.round(rng.uniform(0.25, 2, width) * 4) / 4
        nodes["scale"] = n.Scale(scale)
        edges.append((last, "scale"))
        last = "scale"
    for k in range(draw(st.integers(1, 2))):
        out = draw(st.integers(1, 5))
        bias = np.round(rng.uniform(-0.3, 0.3, out) * 8) / 8 * draw(st.integers(0, 1))
        nodes[f"fc{k}"] = n.Affine(weights(out, width), bias)
        nodes[f"layer{k}"] = neuron((out,))
        edges += [(last, f"fc{k}"), (f"fc{k}", f"layer{k}")]
        order.append(f"layer{k}")
        if draw(st.booleans()):
            back = draw(st.sampled_from([name for name in order if name.startswith("layer")]))
            into = nodes[back].v_threshold.shape[0]  # type: ignore[attr-defined]  # a spiking layer
            nodes[f"rec{k}"] = n.Linear(weights(into, out) * 0.5)
            edges += [(f"layer{k}", f"rec{k}"), (f"rec{k}", back)]
        last, width = f"layer{k}", out
    graded = []
    readout = draw(st.sampled_from(["none", "I"] if exact else ["none", "I", "LI", "CubaLI"]))
    if readout != "none":
        tau, one, rest = rng.uniform(0.002, 0.02, width), np.ones(width), draw(st.sampled_from([0.0, 0.25]))
        nodes["readout"] = {
            "I": n.I(one),
            "LI": n.LI(tau=tau, r=one, v_leak=rest * one),
            "CubaLI": n.CubaLI(tau_syn=tau * 0.7, tau_mem=tau, r=one, v_leak=rest * one, w_in=2 * one),
        }[readout]
        edges.append((last, "readout"))
        graded.append("readout")
        last = "readout"
    nodes["output"] = n.Output((width,))
    edges.append((last, "output"))
    graph = Graph(nodes, edges)

    ticks = draw(st.integers(1, 25))
    rate = draw(st.sampled_from([0.3, 2.0, 12.0]))
    count = rng.poisson(rate * ticks)
    t = np.sort(rng.integers(0, ticks * DT_NS, count)).astype(np.int64)
    index = rng.integers(0, int(np.prod(shape)), count).astype(np.int32)
    value = np.ones(count, np.float32) if draw(st.booleans()) else rng.choice([-1, 0.5, 1, 2], count).astype(np.float32)
    return Case(graph, resolve(graph, None, rules), order, graded, t, index, value, ticks)
