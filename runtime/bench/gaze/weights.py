"""What a unit's evaluation and an event's intake cost on this machine, in synaptic operations of the same engine.

Steps of a network as wide as the one-axis gaze network's layers, each of the same number of readings: where more of
them have changed, the rise over the layer's size is a synaptic operation, what handles the change included; where the
layer is wider, the rise beyond those is an evaluation; where more readings bring nothing new, the rise is an intake.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nets import nodes as n
from nets.graph import Graph
from nets.sigma_delta.engine import SigmaDeltaEngine
from nets.sigma_delta.node import SigmaDelta
from runtime.core.clock import stopwatch_ns

UNITS, NARROW, SOURCES, CHANGED = 128, 8, 64, 9
BLOCKS, STEPS = 60, 100


@dataclass(frozen=True)
class Weights:
    """In synaptic operations, and one of those in ns."""

    touch: float
    event: float
    synop_ns: float

    def weighted(self, synops: float, touches: float, events: float) -> float:
        return synops + self.touch * touches + self.event * events


def weigh() -> Weights:
    """Least of many blocks of steps, so that other work on the machine does not count."""
    one = _step_ns(SOURCES, 1, UNITS)
    synop_ns = max((_step_ns(SOURCES, CHANGED, UNITS) - one) / (CHANGED - 1) / UNITS, 1e-3)
    touch_ns = max((one - _step_ns(SOURCES, 1, NARROW)) / (UNITS - NARROW) - synop_ns, 0.0)
    event_ns = max((_step_ns(SOURCES, 1, NARROW) - _step_ns(1, 1, NARROW)) / (SOURCES - 1), 0.0)
    return Weights(touch_ns / synop_ns, event_ns / synop_ns, synop_ns)


def _step_ns(fed: int, changing: int, units: int) -> float:
    """One step of so many readings, of which some have changed: every unit is looked at."""
    random = np.random.default_rng(0)
    weight = random.normal(0, 1e-3, (units, SOURCES)).astype(np.float32)
    nodes: dict[str, n.Node] = {
        "in": n.Input((SOURCES,)),
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
    best = float("inf")
    t = 0
    for _ in range(BLOCKS):
        began = stopwatch_ns()
        for k in range(STEPS):
            t += 1000
            engine.step("in", np.full(fed, t), index, values[k % 2], t)
        best = min(best, (stopwatch_ns() - began) / STEPS)
    return best
