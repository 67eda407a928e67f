"""The network engine beside dense numpy, hand-written PyTorch and the row-add ceiling of the machine, in one run.

Workloads W1 and W2 (runtime.bench.workload), streaming: one call a 1 ms tick, state kept, output read, one thread.
Contestants take turns; a figure is the least processor time of its rounds, so that what else the machine does counts
little. The ceiling is the time of the additions alone, in the same sequence on the same weights.
"""

from __future__ import annotations

import argparse
import os
import resource
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nets.engine import Engine
from nets.kernels.build import warm
from nets.thresholds import Thresholds
from runtime.bench.ceiling import add_each, add_eight, record
from runtime.bench.engine_scaling import scaling
from runtime.bench.report import Report, Say, table
from runtime.bench.rivals import Step, numpy_dense, torch_loops
from runtime.bench.workload import INPUT, RATES, TICK_NS, Stream, Workload, stream, w1, w2

SUMMARY = "the network engine, beside PyTorch, numpy and the machine's row-add ceiling"
TARGETS = {"W1": (30.0, 20.0, 4.0), "W2": (30.0, 15.0, 3.0)}
"""Times the throughput of the best PyTorch loop, by rate."""
CEILING = {"W1": 0.6, "W2": 0.5}
"""Of the row-add ceiling, at the highest rate."""
NETWORK = Path("deploy") / "networks" / "cnn_sinabs.nir"
SLOW_TICKS = 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quick", action="store_true", help="short streams: a look, not a measurement")
    parser.add_argument("--calibrate", action="store_true", help="propose thresholds for this machine instead")
    parser.add_argument("--network", type=Path, default=None, help=f"W2's network ({NETWORK})")
    parser.add_argument("--plot", type=Path, default=None, metavar="FILE", help="write cost against activity as SVG")


def run(args: argparse.Namespace, environment: dict[str, str], say: Say) -> Report:
    warm()
    ticks, rounds = (100, 3) if args.quick else (1000, 7)
    file = args.network or _packaged()
    if args.calibrate:
        return calibrate(file, ticks, say)
    rows, lines, missed = [], [], []
    for name in ("W1", "W2"):
        for rate, target in zip(RATES, TARGETS[name], strict=True):
            found = measure(w1(rate) if name == "W1" else w2(rate, file), ticks, rounds)
            rows.append(found)
            say(f"{name}, {rate} events/s: {found['engine_us']:.2f} µs a tick")
            if "times_torch" in found and found["times_torch"] < target:
                missed.append(f"{name} {rate}: {found['times_torch']:.1f} times PyTorch, at least {target:g}")
            if rate == RATES[-1] and found["of_ceiling"] < CEILING[name]:
                missed.append(f"{name} {rate}: {found['of_ceiling']:.2f} of the ceiling, at least {CEILING[name]:g}")
            lines.append(
                (
                    f"{name} {rate // 1000} k/s",
                    f"{found['engine_us']:.2f}",
                    f"{found['synops_s'] / 1e9:.2f}",
                    f"{found['of_ceiling']:.2f}",
                    *(f"{found[key]:.1f}" if key in found else "-" for key in ("torch_us", "times_torch")),
                    f"{found['numpy_us']:.0f}",
                    f"{1000 / found['engine_us']:.0f}",
                )
            )
    more = scaling(ticks, rounds, say, args.plot)
    missed += more.missed
    head = ("workload", "µs a tick", "G synops/s", "of ceiling", "PyTorch µs", "times", "numpy µs", "x real time")
    text = f"{table(head, lines)}\n\n{more.text}"
    return Report("engine", text, {"speed": rows, "scaling": more.data}, tuple(missed))


def _packaged() -> Path:
    root = Path(__file__).resolve().parents[1]
    return next((f for f in (root.parent / NETWORK, root / NETWORK) if f.is_file()), NETWORK)


def measure(workload: Workload, ticks: int, rounds: int, thresholds: Thresholds | None = None) -> dict[str, Any]:
    """All contestants on one stream, in turns."""
    events = stream(workload.rate_hz, ticks)
    engine = make(workload, thresholds)
    rows, whole = record(make(workload, thresholds), events)
    contestants: dict[str, tuple[Callable[[], object], int]] = {
        "engine": (lambda: streamed(engine, events), ticks),
        "ceiling, row by row": (lambda: add_each(rows.drive, rows.weights, rows.to, rows.start, rows.run), ticks),
    }
    if whole:
        contestants["ceiling, eight rows"] = (
            lambda: add_eight(rows.drive, rows.weights, rows.to, rows.start, rows.run),
            ticks,
        )
    few = min(ticks, SLOW_TICKS)
    short = replace(events, cuts=events.cuts[: few + 1])
    for name, step in {"numpy dense": numpy_dense(workload), **torch_loops(workload)}.items():
        contestants[name] = (_stepped(step, short), few)
    best = race(contestants, rounds)
    found = {
        "workload": workload.name,
        "rate_hz": workload.rate_hz,
        "ticks": ticks,
        "us_a_tick": best,
        "engine_us": best["engine"],
        "numpy_us": best["numpy dense"],
        "synops_s": rows.additions / ticks / best["engine"] * 1e6,
        "of_ceiling": min(us for name, us in best.items() if name.startswith("ceiling")) / best["engine"],
        "load": list(os.getloadavg()),
    }
    rivals = [us for name, us in best.items() if name.startswith("torch")]
    if rivals:
        found |= {"torch_us": min(rivals), "times_torch": min(rivals) / best["engine"]}
    return found


def make(workload: Workload, thresholds: Thresholds | None = None) -> Engine:
    """An engine whose first tick, in which every layer proves that it may sleep, lies behind it."""
    return Engine(workload.graph, workload.dialect, thresholds=thresholds or Thresholds())


def streamed(engine: Engine, events: Stream) -> int:
    """One feed and one advance a tick from an empty state; returns the output events."""
    engine.reset(0)
    cuts = events.cuts.tolist()
    t, index = events.t, events.index
    out = 0
    for k in range(events.ticks):
        first, end = cuts[k], cuts[k + 1]
        engine.feed("input", t[first:end], index[first:end], None)
        out += len(engine.advance((k + 1) * TICK_NS))
    return out


def race(contestants: dict[str, tuple[Callable[[], object], int]], rounds: int) -> dict[str, float]:
    """The least processor time a tick of each, in µs, over rounds in which all take turns."""
    best = dict.fromkeys(contestants, float("inf"))
    for _ in range(rounds):
        for name, (go, ticks) in contestants.items():
            before = cpu_s()
            go()
            best[name] = min(best[name], (cpu_s() - before) / ticks * 1e6)
    return best


def cpu_s() -> float:
    """Processor time of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _stepped(step: Step, events: Stream) -> Callable[[], object]:
    cuts = events.cuts.tolist()
    size = int(np.prod(INPUT))

    def go() -> None:
        for k in range(events.ticks):
            step(np.bincount(events.index[cuts[k] : cuts[k + 1]], minlength=size).astype(np.float32))

    return go


def calibrate(file: Path, ticks: int, say: Say) -> Report:
    """The thresholds with the least time over both workloads and all rates, one after the other."""
    chosen = Thresholds()
    data: dict[str, Any] = {}
    workloads = [w1(rate) for rate in RATES] + [w2(rate, file) for rate in RATES]
    events = {rate: stream(rate, ticks) for rate in RATES}
    for name, candidates in {
        "everywhere": (0.05, 0.1, 0.25, 0.5, 1.0),
        "merge": (12.0, 25.0, 50.0, 100.0, 1e6),
    }.items():
        cost: dict[float, float] = dict.fromkeys(candidates, 0.0)
        for workload in workloads:
            contestants: dict[str, tuple[Callable[[], object], int]] = {}
            for value in candidates:
                engine = make(workload, replace(chosen, **{name: value}))
                contestants[str(value)] = (partial(streamed, engine, events[workload.rate_hz]), ticks)
            found = race(contestants, 3)
            least = min(found.values())
            for value in candidates:
                cost[value] += found[str(value)] / least
        best = min(cost, key=lambda value: cost[value])
        chosen = replace(chosen, **{name: best})
        data[name] = {"chosen": best, "mean_time_over_best": {str(v): c / len(workloads) for v, c in cost.items()}}
        say(f"{name}: {best:g}")
    lines = [(name, f"{d['chosen']:g}") for name, d in data.items()]
    return Report("engine thresholds", table(("threshold", "proposed"), lines), data)
