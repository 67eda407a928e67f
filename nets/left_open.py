"""What a NIR file leaves open, in words, with the setting that answers each question and a hint where the file has one.

A hint is never followed by itself: two simulators may write the same numbers and mean different things.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from nets import nodes as n
from nets.dialect import CHOICES, PRESETS, settled
from nets.errors import UnsupportedError
from nets.graph import Graph
from nets.units import wire

QUESTIONS: tuple[tuple[str, tuple[type[n.Node], ...], str], ...] = (
    ("dt_s", n.NEURONS, "how long a tick lasts"),
    ("tau_tick_s", (n.LIF, n.LI, n.CubaLIF, n.CubaLI), "what a tick is in the file's time constants"),
    ("leak", (n.LIF, n.LI, n.CubaLIF, n.CubaLI), "how a potential leaks in a tick"),
    (
        "input_gain",
        (n.LIF, n.LI, n.CubaLIF, n.CubaLI),
        "whether a spike moves a potential by its weight or a part of it",
    ),
    ("synapse_gain", (n.CubaLIF, n.CubaLI), "whether a spike adds its weight to a current or a part of it"),
    ("if_gain", (n.IF, n.I), "whether a spike is an impulse or a current held for a tick"),
    ("resistance", n.NEURONS, "where r counts"),
    ("current", (n.CubaLIF, n.CubaLI), "whether a current decays before or after it acts"),
    ("multi_spike", n.SPIKING, "whether a neuron fires once or several times a tick"),
    ("threshold", n.SPIKING, "whether reaching the threshold is enough"),
    ("reset", n.SPIKING, "what a spike leaves of the potential"),
    ("reset_at", n.SPIKING, "whether the reset acts at once or a tick later"),
    ("floor", n.SPIKING, "whether a potential has a lower bound"),
    ("slow_leak_s", (n.IF, n.I), "whether what does not leak shall leak slowly all the same"),
)


def left_open(graph: Graph, path: Path | str | None = None) -> dict[str, str]:
    """Each rule that this graph needs and nothing settles, as a question; hints; and what to do."""
    known = settled(graph, path)
    told = {
        key: question + _choices(key)
        for key, kinds, question in QUESTIONS
        if key not in known and graph.of_kind(*kinds)
    }
    if "recurrent_delay" not in known and any(p.delayed for p in _paths(graph)):
        told["recurrent_delay"] = "how many ticks a spike needs around a loop"
    if found := list(hints(graph)):
        told["hint"] = "; ".join(found)
    examples = {"preset": '"sinabs"', "dt_s": "1e-3"}
    if missing := [f"{key} = {value}" for key, value in examples.items() if key not in known]:
        name = "NAME" if path is None else Path(path).stem
        told["to settle it"] = (
            f"write for example {' and '.join(missing)} (presets: {', '.join(PRESETS)}) where the network is "
            f"configured or into {name}.dialect.toml beside the file; docs/dialects.md says how to choose"
        )
    return told


def hints(graph: Graph) -> Iterator[str]:
    """What the numbers look like."""
    leaky: list[Any] = [graph.nodes[name] for name in graph.of_kind(n.LIF, n.LI, n.CubaLIF, n.CubaLI)]
    plain: list[Any] = [graph.nodes[name] for name in graph.of_kind(n.IF)]
    if plain and all(node.r.min() == node.r.max() and node.r.min() >= 100 for node in plain):
        yield f"r = 1 / dt with dt = {1 / plain[0].r.max():.6g} s in IF nodes, as SpikingJelly writes it"
    if not leaky:
        return
    taus = [np.asarray(getattr(node, "tau_mem", getattr(node, "tau", None)), np.float64) for node in leaky]
    ones = all((node.r == 1).all() for node in leaky)
    low, high = min(float(tau.min()) for tau in taus), max(float(tau.max()) for tau in taus)
    if ones and low >= 1:
        yield f"time constants of {low:.3g} to {high:.3g} s are rather ticks, as Sinabs writes them"
    if ones and high < 1e-4:
        yield f"time constants of at most {high:.3g} s: Norse writes tau dt unless told dt=1.0 (tau_tick_s = dt²)"
    if not ones and (dt := _rockpool_tick(leaky, taus)) is not None:
        yield f"r = tau exp(-dt / tau) / dt with dt = {dt:.6g} s, as Rockpool writes it"


def _rockpool_tick(leaky: list[Any], taus: list[Any]) -> float | None:
    """dt from r dt / tau = exp(-dt / tau), where all neurons agree on one."""
    found = []
    for node, tau in zip(leaky, taus, strict=True):
        r = np.asarray(node.r, np.float64)
        if (r <= 0).any():
            return None
        dt = tau / (1 + r)
        for _ in range(60):  # Newton on f(dt) = r dt / tau - exp(-dt / tau), which is increasing
            decay = np.exp(-dt / tau)
            dt = dt - (r * dt / tau - decay) / (r / tau + decay / tau)
        found.append(np.ravel(dt))
    every = np.concatenate(found)
    tick = float(f"{np.median(every):.2g}")
    return tick if np.abs(every - tick).max() <= 1e-4 * tick else None


def _choices(key: str) -> str:
    return f" ({' | '.join(CHOICES[key])})" if key in CHOICES else ""


def _paths(graph: Graph) -> tuple[Any, ...]:
    try:
        return wire(graph).paths
    except UnsupportedError:
        return ()
