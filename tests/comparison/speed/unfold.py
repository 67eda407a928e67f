"""Writes a workload and its events as the plain arrays of tests.comparison.speed.arrays."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from nets.linear import matrix
from nets.units import wire
from runtime.bench.rivals import ALPHA
from runtime.bench.workload import TICK_NS, Stream, Workload
from tests.comparison.speed.arrays import Arrays, Layer, merged, store


def merge(events: Stream, size: int) -> Stream:
    """The same stream with those events of one address and tick as one."""
    tick, index = merged(events.t // TICK_NS, events.index, size)
    return Stream(tick * TICK_NS, index, np.searchsorted(tick, np.arange(events.ticks + 1)))


def write(path: Path, workload: Workload, events: Stream) -> None:
    graph = workload.graph
    wiring = wire(graph)
    first = next(iter(graph.nodes))
    size = math.prod(graph.shapes[first])
    layers = []
    for unit in wiring.units:
        (path_in,) = [p for p in wiring.paths if p.target == unit]
        dense = matrix(graph, path_in.nodes, graph.shapes[path_in.source])
        pre, post = np.nonzero(dense)
        weight = dense[pre, post].astype(np.float32)
        layers.append(Layer(dense.shape[1], pre.astype(np.int32), post.astype(np.int32), weight))
    once = merge(events, size)
    alpha = ALPHA if workload.name == "W1" else 1.0
    tick = once.t // TICK_NS
    store(path, Arrays(size, events.ticks, alpha, tick.astype(np.int32), once.index, tuple(layers)))
