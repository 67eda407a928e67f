"""One small network with every kind of layer, its input, and a digest of what it does: for runs in another process."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from nets import nodes as n
from nets.dialect import Dialect, resolve
from nets.engine import Engine
from nets.graph import Graph


def graph_and_dialect() -> tuple[Graph, Dialect]:
    """Convolution, pooling, IF, LIF, recurrent current-based LIF, biases, a leaky readout."""
    rng = np.random.default_rng(3)
    one = np.ones(5)
    nodes: dict[str, n.Node] = {
        "input": n.Input((2, 6, 6)),
        "conv": n.Conv2d(None, rng.normal(0.2, 0.5, (3, 2, 3, 3)), 1, 1, 1, 1, np.zeros(3)),
        "if": n.IF(r=np.ones((3, 6, 6)), v_threshold=np.ones((3, 6, 6))),
        "pool": n.SumPool2d(2, 2, 0),
        "flat": n.Flatten(),
        "w0": n.Affine(rng.normal(0.1, 0.3, (5, 27)), rng.normal(0, 0.05, 5)),
        "lif": n.LIF(tau=one * 5e-3, r=one, v_leak=0 * one, v_threshold=one),
        "w1": n.Linear(rng.normal(0.3, 0.5, (5, 5))),
        "cuba": n.CubaLIF(tau_syn=one * 3e-3, tau_mem=one * 8e-3, r=one, v_leak=0 * one, v_threshold=one),
        "back": n.Linear(rng.normal(-0.1, 0.2, (5, 5))),
        "li": n.LI(tau=one * 4e-3, r=one, v_leak=0 * one),
        "output": n.Output((5,)),
    }
    path = ["input", "conv", "if", "pool", "flat", "w0", "lif", "w1", "cuba", "li", "output"]
    edges = [*pairwise(path), ("cuba", "back"), ("back", "cuba")]
    graph = Graph(nodes, edges)
    return graph, resolve(graph, None, {"preset": "rockpool", "dt_s": 1e-3, "recurrent_delay": 2})


def events() -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """200 events over 40 ms."""
    rng = np.random.default_rng(4)
    t = np.sort(rng.integers(0, 40_000_000, 200))
    return t, rng.integers(0, 72, 200).astype(np.int32), np.ones(200, np.float32)


def result() -> str:
    """A digest of output events and final state in both precisions."""
    digest = hashlib.blake2b(digest_size=16)
    for dtype in (np.float32, np.float64):
        engine = Engine(*graph_and_dialect(), dtype=dtype)
        engine.feed("input", *events())
        spikes = engine.advance(60_000_000)
        assert len(spikes) > 0
        for array in (spikes.t, spikes.index, spikes.value):
            digest.update(array.tobytes())
        digest.update(engine.hash())
    return digest.hexdigest()
