"""Compiles the kernels of continuous mode ahead of their first use, by running the smallest network there is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nets import nodes as n
from nets.continuous.engine import ContinuousEngine
from nets.dialect import resolve
from nets.graph import Graph
from nets.kernels.continuous_feed import feed
from nets.kernels.continuous_run import run


def warm(progress: Callable[[str, float], None] = lambda what, done: None) -> None:
    """Compile what is not compiled yet, or load it from the cache; `progress(what, fraction done)`."""
    one = np.ones(1)
    nodes = {
        "input": n.Input((1,)),
        "neuron": n.LIF(tau=one, r=one, v_leak=0 * one, v_threshold=one),
        "output": n.Output((1,)),
    }
    graph = Graph(nodes, [("input", "neuron"), ("neuron", "output")])
    for k, dtype in enumerate((np.float32, np.float64)):
        progress(f"continuous network, {np.dtype(dtype)}", k / 2)
        engine = ContinuousEngine(graph, resolve(graph, None, {"preset": "spec", "dt_s": 1e-3}), dtype=dtype)
        engine.feed("input", np.zeros(1, np.int64), np.zeros(1, np.int32))
        engine.advance(1)
    progress("continuous kernels ready", 1.0)


def is_warm() -> bool:
    """Whether this process holds compiled code for both precisions."""
    return len(feed.signatures) >= 1 and len(run.signatures) >= 2
