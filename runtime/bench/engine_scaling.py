"""How the engine's cost scales: silence, size, activity, and one event alone."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from nets import nodes as n
from nets.dialect import resolve
from nets.engine import Engine
from nets.graph import Graph
from nets.kernels.jit import entry
from runtime.bench.report import Report, Say, targets
from runtime.bench.usage import cpu_s
from runtime.bench.workload import RULES, TICK_NS, stream, w1
from runtime.core.clock import stopwatch_ns

WINDOW_NS = 100 * TICK_NS
ACTIVITIES = (0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0)
"""Of 100 k events/s."""


@entry
def nothing(a, b, c, d, e, f, g, h, i, j, k, m, n, o, p, q, r, s, t, u, end):  # type: ignore[no-untyped-def]
    """An empty kernel with as many arguments as `run`, of the same types."""
    return 0, 0, 0


def scaling(ticks: int, rounds: int, say: Say, plot: Path | None) -> Report:
    """All of them, with their targets."""
    silent = silence_ms(rounds)
    say(f"10 s of silence: {silent:.3f} ms")
    dense, sparse = doubled(ticks, rounds)
    say(f"doubled layers: {dense:.2f}, doubled plane: {sparse:.2f}")
    points = activity(ticks, rounds)
    slope, intercept, r2 = line(points)
    at_100k = next(us for share, _, us in points if share == 1.0)
    say(f"cost against activity: R² {r2:.4f}")
    single, empty = latency()
    say(f"one event: {single:.2f} µs, empty call {empty:.2f} µs")
    text, missed = targets(
        [
            ("10 s of silence in 100 ms windows with hashes, ms", silent, 1.0),
            ("hidden layers doubled, as many fire, times", dense, 2.2),
            ("twice the plane, same events, convolution, times", sparse, 1.1),
            ("cost against activity, 1 - R²", 1 - r2, 0.02),
            ("intercept, share of the 100 k/s point", max(intercept, 0.0) / at_100k, 0.05),
            ("one event into W1, times an empty call", single / empty, 5.0),
        ]
    )
    if plot is not None:
        plot.write_text(svg(points, slope, intercept))
    data = {
        "silence_ms": silent,
        "doubled": dense,
        "doubled_plane": sparse,
        "activity": [{"share": s, "synops": o, "us": u} for s, o, u in points],
        "r2": r2,
        "intercept_us": intercept,
        "event_us": single,
        "empty_us": empty,
    }
    return Report("engine scaling", f"{text}\n\n{bars(points)}", data, missed)


def silence_ms(rounds: int) -> float:
    """W1, settled: 100 windows of 100 ms without events, each with its hash; the least of the rounds."""
    workload = w1(100_000)
    engine = Engine(workload.graph, workload.dialect)
    events = stream(100_000, 100)
    engine.feed("input", events.t, events.index, None)
    engine.advance(WINDOW_NS * 10)
    best = float("inf")
    for _ in range(rounds):
        now = engine.now
        before = cpu_s()
        for k in range(100):
            engine.advance(now + (k + 1) * WINDOW_NS)
            engine.hash()
        best = min(best, (cpu_s() - before) * 1e3)
    return best


def doubled(ticks: int, rounds: int) -> tuple[float, float]:
    """Times the cost of W1 with twice the hidden neurons, and of a convolution on twice the plane."""
    workload = w1(100_000)
    wide = _widened(workload.weights)
    pairs = (
        (Engine(workload.graph, workload.dialect), Engine(wide, workload.dialect), 1),
        (_convolution(34), _convolution(68), 2),
    )
    found = []
    for small, large, stretch in pairs:
        # few enough events on the plane that only the sites they touch are updated
        events = stream(100_000 if stretch == 1 else 5_000, ticks)
        x, rest = events.index % 34, events.index // 34
        # the same places of the plane, of which there is twice as much
        index = events.index if stretch == 1 else (rest * 68 + x).astype(np.int32)
        best = [float("inf"), float("inf")]
        for _ in range(rounds):
            for k, (engine, where) in enumerate(((small, events.index), (large, index))):
                engine.reset(0)
                engine.feed("input", events.t, where, None)
                engine.advance(0)
                before = cpu_s()
                engine.advance(ticks * TICK_NS)
                best[k] = min(best[k], cpu_s() - before)
        found.append(best[1] / best[0])
    return found[0], found[1]


def _widened(weights: Any) -> Graph:
    """W1 with twice the hidden neurons, of which the added ones receive weights too small to make them fire."""
    first, second, last = weights
    sizes = (first.shape[1], 2 * len(first), 2 * len(second), len(last))
    new = (
        np.concatenate([first, first * 1e-3]),
        np.block([[second, second], [second * 1e-3, second * 1e-3]]),
        np.concatenate([last, last], axis=1),
    )
    nodes: dict[str, n.Node] = {"input": n.Input((sizes[0],))}
    for k, weight in enumerate(new):
        one = np.ones(sizes[k + 1])
        nodes[f"w{k}"] = n.Linear(weight.astype(np.float32))
        nodes[f"lif{k}"] = n.LIF(tau=20e-3 * one, r=one, v_leak=0 * one, v_threshold=one)
    nodes["output"] = n.Output((sizes[3],))
    return Graph(nodes, list(pairwise(nodes)))


def _convolution(width: int) -> Engine:
    rng = np.random.default_rng(5)
    one = np.ones((16, 34, width))
    nodes: dict[str, n.Node] = {
        "input": n.Input((2, 34, width)),
        "conv": n.Conv2d(None, rng.normal(0, 0.2, (16, 2, 5, 5)).astype(np.float32), 1, 2, 1, 1, np.zeros(16)),
        "if": n.IF(r=one, v_threshold=one),
        "output": n.Output((16, 34, width)),
    }
    graph = Graph(nodes, list(pairwise(nodes)))
    return Engine(graph, resolve(graph, None, RULES))


def activity(ticks: int, rounds: int) -> list[tuple[float, float, float]]:
    """(share of 100 k events/s, synaptic operations a tick, µs a tick) of W1 in packets of 100 ms."""
    workload = w1(100_000)
    runs = [(share, stream(100_000 * share, ticks), Engine(workload.graph, workload.dialect)) for share in ACTIVITIES]
    best = dict.fromkeys(ACTIVITIES, float("inf"))
    for _ in range(rounds):
        for share, events, engine in runs:
            engine.reset(0)
            cuts = events.cuts
            before = cpu_s()
            for k in range(0, ticks, 100):
                end = min(k + 100, ticks)
                part = slice(int(cuts[k]), int(cuts[end]))
                engine.feed("input", events.t[part], events.index[part], None)
                engine.advance(end * TICK_NS)
            best[share] = min(best[share], (cpu_s() - before) / ticks * 1e6)
    return [(share, engine.counters.synops / ticks / rounds, best[share]) for share, _, engine in runs]


def line(points: list[tuple[float, float, float]]) -> tuple[float, float, float]:
    """(slope, intercept, R²) of µs over synaptic operations, by least squares."""
    x, y = np.array([p[1] for p in points]), np.array([p[2] for p in points])
    slope, intercept = np.polyfit(x, y, 1)
    rest = ((y - slope * x - intercept) ** 2).sum()
    return float(slope), float(intercept), float(1 - rest / ((y - y.mean()) ** 2).sum())


def latency() -> tuple[float, float]:
    """Median µs of one event into W1 with its consequences, and of an empty kernel call."""
    workload = w1(100_000)
    engine = Engine(workload.graph, workload.dialect)
    engine.advance(TICK_NS)
    arguments = engine.kernel_arguments(0)
    one = np.zeros(1, np.int64)
    index = np.zeros(1, np.int32)
    rng = np.random.default_rng(6)
    times: list[int] = []
    empty: list[int] = []
    nothing(*arguments)
    for k in range(4000):
        one[0] = engine.now
        index[0] = rng.integers(0, 2312)
        until = engine.now + TICK_NS
        a = stopwatch_ns()
        engine.step("input", one, index, None, until)
        b = stopwatch_ns()
        nothing(*arguments)
        c = stopwatch_ns()
        if k >= 100:
            times.append(b - a)
            empty.append(c - b)
    return float(np.median(times)) * 1e-3, float(np.median(empty)) * 1e-3


def bars(points: list[tuple[float, float, float]]) -> str:
    """Cost against activity as text."""
    most = max(us for _, _, us in points)
    lines = [f"{ops:>9.0f} synops a tick {us:>8.2f} µs {'#' * round(40 * us / most)}" for _, ops, us in points]
    return "cost against activity, W1\n" + "\n".join(lines)


def svg(points: list[tuple[float, float, float]], slope: float, intercept: float) -> str:
    """Cost against activity as a picture."""
    right, top = max(p[1] for p in points), max(p[2] for p in points)

    def place(x: float, y: float) -> tuple[float, float]:
        return 60 + 520 * x / right, 340 - 300 * y / top

    dots = "".join('<circle cx="{:.1f}" cy="{:.1f}" r="4"/>'.format(*place(ops, us)) for _, ops, us in points)
    (x0, y0), (x1, y1) = place(0, intercept), place(right, intercept + slope * right)
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 620 400" font-family="sans-serif" font-size="13">'
        '<path d="M60 30V340H590" fill="none" stroke="black"/>'
        f'<path d="M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}" stroke="gray"/>{dots}'
        f'<text x="590" y="362" text-anchor="end">{right:.0f} synaptic operations a tick</text>'
        f'<text x="66" y="36">{top:.1f} µs a tick</text></svg>\n'
    )
