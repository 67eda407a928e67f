"""Random small networks and inputs for continuous mode: every neuron and node it runs, and the rules that matter."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets import models as m
from nets import nodes as n
from nets.dialect import Dialect, resolve
from nets.graph import Graph


@dataclass(frozen=True)
class Case:
    graph: Graph
    dialect: Dialect
    order: list[str]
    t: NDArray[np.int64]
    index: NDArray[np.int32]
    value: NDArray[np.float32]
    until: int


def one_neuron(seed: int) -> Case:
    """A single neuron that listens to one or two inputs: what a prediction has to get right."""
    rng = np.random.default_rng(seed)
    inputs = int(rng.integers(1, 3))
    bias = rng.uniform(-0.5, 1.5, 1) if rng.random() < 0.4 else np.zeros(1)
    node = neuron(rng, (1,), [n.CubaLIF, n.CubaLIF, m.RefractoryCubaLIF, n.LIF, m.RefractoryLIF, n.IF, m.RefractoryIF])
    nodes = {
        "input": n.Input((inputs,)),
        "fc": n.Affine(rng.uniform(-1.0, 2.0, (1, inputs)) * rng.choice([0.3, 1.0, 3.0]), bias),
        "first": node,
        "output": n.Output((1,)),
    }
    graph = Graph(nodes, [("input", "fc"), ("fc", "first"), ("first", "output")])
    return _case(rng, graph, ["first"], inputs, count=int(rng.integers(1, 8)), until=int(rng.integers(1, 60)) * 10**6)


def network(seed: int) -> Case:
    """Two or three layers, perhaps convolved, pooled, delayed, recurrent, biased."""
    rng = np.random.default_rng(seed)
    kinds: list[type[n.Node]] = [n.CubaLIF, n.LIF, n.IF, m.RefractoryCubaLIF, m.RefractoryLIF, m.RefractoryIF]
    nodes: dict[str, n.Node] = {}
    shape: tuple[int, ...] = (int(rng.integers(1, 4)),)
    image = rng.random() < 0.4
    if image:
        shape = (2, 4, 3)
        stride, padding = (int(rng.integers(1, 3)), 1), (int(rng.integers(0, 2)), 1)
        weight = rng.uniform(-0.6, 1.2, (2, 2, 2, 2))
        nodes["conv"] = n.Conv2d(None, weight, stride, padding, 1, 1, rng.uniform(-0.2, 0.3, 2) * rng.integers(0, 2))
        size = [(shape[1 + k] + 2 * padding[k] - 2) // stride[k] + 1 for k in range(2)]
        nodes["first"] = neuron(rng, (2, size[0], size[1]), kinds)
        chain, width = ["input", "conv", "first"], int(2 * size[0] * size[1])
        if min(size) >= 2 and rng.random() < 0.5:
            nodes["pool"] = rng.choice(np.array([n.SumPool2d, n.AvgPool2d]))(2, 1, 0)
            chain.append("pool")
            width = 2 * (size[0] - 1) * (size[1] - 1)
        nodes["flat"] = n.Flatten()
        chain.append("flat")
    else:
        width = 3
        nodes["fc0"] = n.Affine(rng.uniform(-0.6, 1.5, (3, shape[0])), rng.uniform(-0.3, 0.6, 3) * rng.integers(0, 2))
        nodes["first"] = neuron(rng, (3,), kinds)
        chain = ["input", "fc0", "first"]
        if rng.random() < 0.5:
            nodes["wait"] = n.Delay(rng.choice([0.0, 1e-3, 2.5e-3], 3))
            chain.append("wait")
        if rng.random() < 0.3:
            nodes["scale"] = n.Scale(rng.uniform(0.5, 2.0, 3))
            chain.append("scale")
    nodes["input"] = n.Input(shape)
    nodes["fc1"] = n.Linear(rng.uniform(-0.6, 1.5, (2, width)))
    chain.append("fc1")
    if rng.random() < 0.4:
        nodes["later"] = n.Delay(rng.choice([0.0, 3e-4, 1e-3], 2))
        chain.append("later")
    nodes["second"] = neuron(rng, (2,), kinds)
    nodes["output"] = n.Output((2,))
    chain += ["second", "output"]
    order = ["first", "second"]
    edges = list(pairwise(chain))
    if rng.random() < 0.2:
        nodes["gate"] = n.Threshold(rng.uniform(0.5, 2.5, 2))
        edges += [("fc1", "gate"), ("gate", "output")]
        order.append("gate")
    if rng.random() < 0.5:
        back = "second" if image or rng.random() < 0.5 else "first"
        nodes["back"] = n.Linear(rng.uniform(-0.8, 0.4, (2 if back == "second" else 3, 2)))
        edges += [("second", "back"), ("back", back)]
    nodes["input"] = n.Input(shape)
    graph = Graph(nodes, edges)
    return _case(rng, graph, order, int(np.prod(shape)), count=int(rng.integers(1, 25)), until=30 * 10**6)


def neuron(rng: np.random.Generator, shape: tuple[int, ...], kinds: list[type[n.Node]]) -> Any:
    """A layer whose parameters are all alike or all different, with every relation of the time constants."""
    alike = rng.random() < 0.5

    def p(low: float, high: float) -> Any:
        return np.full(shape, rng.uniform(low, high)) if alike else rng.uniform(low, high, shape)

    common = {"r": p(0.5, 2.0), "v_threshold": p(0.5, 1.5), "v_reset": p(-0.3, 0.3)}
    kind: Any = kinds[int(rng.integers(len(kinds)))]
    if issubclass(kind, n.SpikingModel):
        common["refractory"] = rng.choice([0.0, 0.5e-3, 1e-3, 3.7e-3], shape)
    if kind in (n.IF, m.RefractoryIF):
        return kind(**common)
    leak = p(-0.5, 0.4) if rng.random() < 0.7 else p(0.3, 2.0)
    tau = p(0.003, 0.02)
    if kind in (n.LIF, m.RefractoryLIF):
        return kind(tau=tau, v_leak=leak, **common)
    ratio = [0.5, 1.0, 1.0 + 1e-9, 1.0 - 1e-6, 1.001, 2.0, rng.uniform(0.05, 0.9), rng.uniform(1.1, 4.0)]
    return kind(
        tau_syn=tau * ratio[int(rng.integers(len(ratio)))], tau_mem=tau, v_leak=leak, w_in=p(0.5, 2.0), **common
    )


def _case(rng: np.random.Generator, graph: Graph, order: list[str], inputs: int, count: int, until: int) -> Case:
    based = any(isinstance(node, n.CubaLIF | m.RefractoryCubaLIF) for node in graph.nodes.values())
    rules = {
        "preset": "spec",
        "dt_s": 1e-3,
        "tau_tick_s": float(rng.choice([1e-3, 1e-3, 2e-3])),
        "input_gain": str(rng.choice(["unit", "unit", "decay"])),
        "synapse_gain": "unit",
        "if_gain": "unit",
        "resistance": str(rng.choice(["apply", "current", "ignore"])),
        "threshold": str(rng.choice([">", ">="])),
        "reset": str(rng.choice(["subtract", "value"])),
        "multi_spike": bool(rng.random() < 0.5),
        "floor": "none" if based else [-0.25, "-threshold", "none"][int(rng.integers(3))],
        "recurrent_delay": int(rng.integers(1, 3)),
        "slow_leak_s": ["none", "none", 0.01][int(rng.integers(3))],
    }
    if based and rules["input_gain"] == "unit":
        rules["synapse_gain"] = "decay"
    t = np.sort(rng.integers(0, max(until * 3 // 4, 1), count)).astype(np.int64)
    if rng.random() < 0.5:
        t = t // 10**6 * 10**6  # coincidences
    index = rng.integers(0, inputs, count).astype(np.int32)
    value = np.ones(count, np.float32) if rng.random() < 0.5 else rng.choice([-1, 0.5, 1, 2], count).astype(np.float32)
    return Case(graph, resolve(graph, None, rules), order, t, index, value, until)
