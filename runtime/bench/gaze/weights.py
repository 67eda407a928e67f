"""What a unit's evaluation and an event's intake cost on this machine, in synaptic operations of the same engine.

Steps of a network that differ in one thing alone, taken in turns, the least time of each kind counting:

    synaptic operation   more of the readings have changed, over the changes and the layer's size; handling included
    evaluation           a wider layer, over its units, beyond the operations of the one change
    intake               more readings that bring nothing new, over their number
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nets import nodes as n
from nets.graph import Graph
from nets.sigma_delta.engine import SigmaDeltaEngine
from nets.sigma_delta.node import SigmaDelta
from runtime.core.clock import stopwatch_ns

UNITS, NARROW, WIDE = 128, 8, 8192
"""UNITS: the size of the layers of the one-axis network, whose work is weighed."""
FED, FEW, MANY = 256, 16, 144
ROUNDS, STEPS = 120, 50


@dataclass(frozen=True)
class Weights:
    """In synaptic operations, and one of those in ns."""

    touch: float
    event: float
    synop_ns: float

    def weighted(self, synops: float, touches: float, events: float) -> float:
        return synops + self.touch * touches + self.event * events


def weigh() -> Weights:
    """Measure all of them in turns, so that what else the machine does falls on all alike."""
    kinds = {
        "few": _steps(FED, FEW, UNITS),
        "many": _steps(FED, MANY, UNITS),
        "one": _steps(1, 1, UNITS),
        "wide": _steps(1, 1, WIDE),
        "alone": _steps(1, 1, NARROW),
        "same": _steps(1 + FED, 1, NARROW),
    }
    ns = dict.fromkeys(kinds, float("inf"))
    for _ in range(ROUNDS):
        for name, step in kinds.items():
            began = stopwatch_ns()
            for _ in range(STEPS):
                step()
            ns[name] = min(ns[name], (stopwatch_ns() - began) / STEPS)
    synop = max((ns["many"] - ns["few"]) / (MANY - FEW) / UNITS, 1e-3)
    touch = max((ns["wide"] - ns["one"]) / (WIDE - UNITS) - synop, 0.0)
    event = max((ns["same"] - ns["alone"]) / FED, 0.0)
    return Weights(touch / synop, event / synop, synop)


def _steps(fed: int, changing: int, units: int) -> Callable[[], None]:
    """Makes one step of so many readings at each call, of which some have changed."""
    random = np.random.default_rng(0)
    weight = random.normal(0, 1e-3, (units, fed)).astype(np.float32)
    nodes: dict[str, n.Node] = {
        "in": n.Input((fed,)),
        "quantiser": SigmaDelta(levels=1.0, slope=1.0),
        "product": n.Affine(weight, np.zeros(units, np.float32)),
        "layer": SigmaDelta(levels=1.0),
        "sum": n.Affine(np.zeros((1, units), np.float32), np.zeros(1, np.float32)),
        "out": n.Output((1,)),
    }
    edges = [("in", "quantiser"), ("quantiser", "product"), ("product", "layer"), ("layer", "sum"), ("sum", "out")]
    engine = SigmaDeltaEngine(Graph(nodes, edges))
    index = np.arange(fed, dtype=np.int32)
    values = [np.where(index < changing, k, 0).astype(np.float32) for k in (0, 1)]
    t = np.zeros(fed, np.int64)

    def step() -> None:
        t[:] += 1000
        engine.step("in", t, index, values[int(t[0]) // 1000 % 2], int(t[0]))

    return step
