"""What continuous mode costs: W1 under Poisson events, beside tick mode in the same run."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from nets import nodes as n
from nets.continuous.engine import ContinuousEngine
from nets.dialect import resolve
from nets.engine import Engine
from nets.graph import Graph

MS = 1_000_000
FIRST_SCALE = {20_000: 0.13, 100_000: 0.055, 1_000_000: 0.015}
"""Weights of the first layer at which hidden layers fire a few per cent a tick."""


def w1(kind: str, rate: int) -> Graph:
    rng = np.random.default_rng(1)
    sizes = [2312, 512, 512, 10]
    nodes: dict[str, n.Node] = {"input": n.Input((2312,))}
    for k in range(3):
        m = sizes[k + 1]
        common: dict[str, Any] = {"r": np.ones(m), "v_leak": np.zeros(m), "v_threshold": np.ones(m)}
        scale = FIRST_SCALE[rate] if k == 0 else 0.08
        nodes[f"fc{k}"] = n.Linear((rng.normal(0, scale, (m, sizes[k]))).astype(np.float32))
        nodes[f"layer{k}"] = (
            n.LIF(tau=np.full(m, 0.02), **common)
            if kind == "LIF"
            else n.CubaLIF(tau_syn=np.full(m, 0.005), tau_mem=np.full(m, 0.02), w_in=np.full(m, 4.0), **common)
        )
    nodes["output"] = n.Output((10,))
    return Graph(nodes, list(pairwise(nodes)))


def seconds(engine: Engine | ContinuousEngine, rate: int, duration_ms: int) -> float:
    """Processor time for `duration_ms` of input in packets of 1 ms, after as much again to settle."""
    rng = np.random.default_rng(2)
    count = rate * 2 * duration_ms // 1000
    t = np.sort(rng.integers(0, 2 * duration_ms * MS, count))
    index = rng.integers(0, 2312, count).astype(np.int32)
    cuts = np.searchsorted(t, np.arange(2 * duration_ms + 1) * MS)
    start = 0.0
    for k in range(2 * duration_ms):
        if k == duration_ms:
            start = time.process_time()
        engine.feed("input", t[cuts[k] : cuts[k + 1]], index[cuts[k] : cuts[k + 1]])
        engine.advance((k + 1) * MS)
    return time.process_time() - start


@pytest.mark.bench
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["LIF", "CubaLIF"])
@pytest.mark.parametrize("rate", FIRST_SCALE)
def test_w1_in_continuous_mode(kind: str, rate: int) -> None:
    graph = w1(kind, rate)
    gain = "unit" if kind == "LIF" else "decay"
    rules = {"preset": "spec", "dt_s": 1e-3, "input_gain": gain, "synapse_gain": "unit"}
    exact, tick = (make(graph, resolve(graph, None, rules)) for make in (ContinuousEngine, Engine))
    duration_ms = 150
    mine, its = seconds(exact, rate, duration_ms), seconds(tick, rate, duration_ms)
    events, fired = rate * duration_ms / 1000, exact.counters.spikes
    rates = ", ".join(f"{100 * fired[p.name] / p.size / (2 * duration_ms):.1f} %" for p in exact.populations)
    print(
        f"W1 {kind} at {rate} events/s: continuous {events / mine / 1e3:.0f} k events/s, tick mode "
        f"{events / its / 1e3:.0f} k ({mine / its:.1f} times the cost); firing a ms: {rates}"
    )
    assert exact.counters.ticks > 0
