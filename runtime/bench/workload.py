"""The engine's two measured workloads: fixed networks, fixed-seed Poisson events, 1 ms ticks.

W1   2312-512-512-10, leaky integrate-and-fire, tau 20 ms, threshold 1, reset to 0, no delay between layers:
     v <- exp(-1/20) v + W s;  a spike where v > 1;  v <- 0.  Gaussian weights with one gain per layer and input rate,
     so that both hidden layers fire in 3 % of their neurons a tick.
W2   the trained N-MNIST network `cnn_sinabs.nir` on 2 x 34 x 34 with the same rule and without leak.
     Its biases are zero.

Events are uniform over the 2312 addresses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets import nodes as n
from nets.dialect import Dialect, resolve
from nets.graph import Graph
from nets.nir import read

TICK_NS = 1_000_000
INPUT = (2, 34, 34)
LAYERS = (2312, 512, 512, 10)
TAU_S = 20e-3
SEED = 20240917
RATES = (20_000, 100_000, 1_000_000)
GAINS = {20_000: (4.558, 2.202, 1.409), 100_000: (1.659, 2.059, 1.388), 1_000_000: (0.2454, 1.845, 1.248)}
"""Found by bisection, layer by layer: 3 % of a hidden layer's neurons fire a tick."""
RULES = {
    "leak": "exponential",
    "input_gain": "unit",
    "if_gain": "unit",
    "resistance": "ignore",
    "current": "decay_add",
    "multi_spike": False,
    "threshold": ">",
    "reset": "value",
    "floor": "none",
    "recurrent_delay": 1,
    "dt_s": TICK_NS * 1e-9,
}


@dataclass(frozen=True, eq=False)
class Stream:
    """Events in time order, and where each tick's begin: those of tick k are `cuts[k]:cuts[k + 1]`."""

    t: NDArray[np.int64]
    index: NDArray[np.int32]
    cuts: NDArray[np.int64]

    @property
    def ticks(self) -> int:
        return len(self.cuts) - 1


@dataclass(frozen=True, eq=False)
class Workload:
    """One network for one input rate."""

    name: str
    rate_hz: int
    graph: Graph
    dialect: Dialect
    weights: tuple[NDArray[np.float32], ...]
    """In NIR's own shapes, one per layer that has any."""


def stream(rate_hz: float, ticks: int, seed: int = SEED) -> Stream:
    """A Poisson process over all addresses."""
    rng = np.random.default_rng([seed, int(rate_hz)])
    end = ticks * TICK_NS
    t = np.sort(rng.integers(0, end, rng.poisson(rate_hz * end * 1e-9)))
    index = rng.integers(0, math.prod(INPUT), len(t)).astype(np.int32)
    return Stream(t, index, np.searchsorted(t, np.arange(ticks + 1) * TICK_NS))


def w1(rate_hz: int, hidden: int = 512) -> Workload:
    """The fully connected workload with the gains of a rate in `GAINS`."""
    sizes = (LAYERS[0], hidden, hidden, LAYERS[3])
    rng = np.random.default_rng(SEED + 1)
    weights = tuple(
        (rng.standard_normal((after, before)) * gain / np.sqrt(before)).astype(np.float32)
        for (before, after), gain in zip(pairwise(sizes), GAINS[rate_hz], strict=True)
    )
    nodes: dict[str, n.Node] = {"input": n.Input((sizes[0],))}
    for k, weight in enumerate(weights):
        one = np.ones(sizes[k + 1])
        nodes[f"w{k}"] = n.Linear(weight)
        nodes[f"lif{k}"] = n.LIF(tau=TAU_S * one, r=one, v_leak=0 * one, v_threshold=one)
    nodes["output"] = n.Output((sizes[3],))
    graph = Graph(nodes, list(pairwise(nodes)))
    return Workload("W1", rate_hz, graph, resolve(graph, None, RULES), weights)


def w2(rate_hz: int, file: Path) -> Workload:
    """The convolutional workload: the layers of the trained network in its own order."""
    given = read(file)
    order = _chain(given)
    nodes: dict[str, n.Node] = {}
    for name in order:
        node = given.nodes[name]
        if isinstance(node, n.IF):
            one = np.ones(given.shapes[name])
            node = n.IF(r=one, v_threshold=one)
        nodes[name] = node
    graph = Graph(nodes, list(pairwise(order)))
    weights: list[Any] = [node.weight for node in nodes.values() if isinstance(node, n.Affine | n.Linear | n.Conv2d)]
    return Workload("W2", rate_hz, graph, resolve(graph, None, RULES), tuple(weights))


def _chain(graph: Graph) -> list[str]:
    order = list(graph.of_kind(n.Input))
    while after := graph.out_of(order[-1]):
        order += after
    return order
