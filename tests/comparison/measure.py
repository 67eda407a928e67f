"""Runs a network here as a simulator ran it there, and counts the spikes on which both agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets.dialect import resolve
from nets.engine import Engine
from nets.graph import Graph
from tests.reference.dense import Dense

Array = NDArray[Any]
CHUNK = 10
"""Ticks a call, so that the ring of watched spikes never overflows."""


def play(graph: Graph, dialect: Mapping[str, Any], x: Array, dtype: Any) -> list[Array]:
    """Feed (ticks, *shape) spikes; return what each spiking layer does, (ticks, size) each."""
    engine = Engine(graph, resolve(graph, None, dialect), dtype=dtype)
    engine.watch(True)
    flat = x.reshape(len(x), -1)
    tick, index = np.nonzero(flat)
    value = flat[tick, index].astype(np.float32)
    port = next(iter(engine.inputs))
    found = [np.zeros((len(x), p.size)) for p in engine.populations]
    for first in range(0, len(x), CHUNK):
        mine = (tick >= first) & (tick < first + CHUNK)
        engine.feed(port, tick[mine] * engine.dt_ns, index[mine].astype(np.int32), value[mine])
        engine.advance((first + CHUNK) * engine.dt_ns)
        t, population, where, count = engine.watched()
        for k, spikes in enumerate(found):
            own = population == k
            np.add.at(spikes, (t[own] // engine.dt_ns - 1, where[own]), count[own])
    return found


def identical(ours: Sequence[Array], theirs: Sequence[Array]) -> float:
    """The share of spikes, of all that either side has, that both have in the same tick at the same neuron."""
    pairs = [(a, b.reshape(a.shape)) for a, b in zip(ours, theirs, strict=True)]
    same = sum(float(np.minimum(a, b).sum()) for a, b in pairs)
    return same / sum(float(np.maximum(a, b).sum()) for a, b in pairs)


def tick_by_tick(
    graph: Graph, dialect: Mapping[str, Any], x: Array, spikes: Sequence[Array], states: Sequence[Sequence[Array]]
) -> float:
    """The same share where every tick starts from the simulator's own state: by the engine's dense twin."""
    resolved = resolve(graph, None, dialect)
    order = [p.name for p in Engine(graph, resolved).populations]
    twin = Dense(graph, resolved, order)
    port = graph.of_kind(type(next(node for node in graph.nodes.values() if node.kind == "Input")))[0]
    ours = [np.zeros((len(x), int(np.prod(graph.shapes[name])))) for name in order]
    for tick, frame in enumerate(x):
        if tick > 0:
            for name, emitted, state in zip(order, spikes, states, strict=True):
                shape = graph.shapes[name]
                twin.v[name] = state[0][tick - 1].reshape(shape).astype(np.float64)
                if len(state) > 1:
                    twin.i[name] = state[1][tick - 1].reshape(shape).astype(np.float64)
                twin.past[0] = twin.past[0] | {name: emitted[tick - 1].reshape(shape).astype(np.float64)}
        result = twin.step({port: frame.astype(np.float64)})
        for row, name in zip(ours, order, strict=True):
            row[tick] = result[name].ravel()
    return identical(ours, spikes)
