"""The network engine beside dense numpy, hand-written PyTorch and the row-add ceiling of the machine, in one run.

Workloads W1 and W2 (runtime.bench.workload), streaming: one call a 1 ms tick, state kept, output read, one thread.
Contestants take turns; a figure is the least processor time of its rounds, so that what else the machine does counts
little. The ceiling is the time of the additions alone, in the same sequence on the same weights.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
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
from runtime.bench.rivals import Loop, numpy_dense, one_blas_thread, torch_loops
from runtime.bench.usage import cpu_s
from runtime.bench.workload import INPUT, RATES, TICK_NS, Stream, Workload, stream, w1, w2

SUMMARY = "the network engine, beside PyTorch, numpy and the machine's row-add ceiling"
TARGETS = {"W1": (30.0, 20.0, 4.0), "W2": (30.0, 15.0, 3.0)}
"""Times the throughput of the best PyTorch loop, or of numpy's where PyTorch is not installed; by rate."""
CEILING = {"W1": 0.6, "W2": 0.5}
"""Of the row-add ceiling, at the highest rate."""
NETWORK = Path("deploy") / "networks" / "cnn_sinabs.nir"
SLOW_TICKS = 200
CANDIDATES = {
    "everywhere": (0.05, 0.1, 0.5, 1.0),
    "merge": (12.0, 25.0, 100.0, 1e6),
    "sort": (4.0, 8.0, 32.0, 128.0),
}
"""What calibration tries beside the default of each threshold."""
NOTES = """µs a tick: a call a tick, with what Python and copied outputs cost; in one call: the same ticks without that.
ceiling: the additions alone, the faster of row by row and eight rows at once, in the order of the events.
target µs: what the target leaves for a tick; where that is below the ceiling this machine cannot reach it."""
WORTH = 0.03
"""The least share of time a proposal must save: a smaller one is noise."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quick", action="store_true", help="short streams: a look, not a measurement")
    parser.add_argument("--calibrate", action="store_true", help="propose thresholds for this machine instead")
    parser.add_argument("--network", type=Path, default=None, help=f"W2's network ({NETWORK})")
    parser.add_argument("--plot", type=Path, default=None, metavar="FILE", help="write cost against activity as SVG")


def run(args: argparse.Namespace, environment: dict[str, str], say: Say) -> Report:
    warm()
    one_blas_thread()
    ticks, rounds = (100, 3) if args.quick else (1000, 7)
    file = args.network or _packaged()
    if args.calibrate:
        return calibrate(file, ticks, rounds, say)
    rows, lines, missed = [], [], []
    for name in ("W1", "W2"):
        for rate, target in zip(RATES, TARGETS[name], strict=True):
            found = measure(w1(rate) if name == "W1" else w2(rate, file), ticks, rounds)
            rows.append(found)
            say(f"{name}, {rate} events/s: {found['engine_us']:.2f} µs a tick")
            if found["times"] < target:
                missed.append(f"{name} {rate}: {found['times']:.1f} times {found['rival']}, at least {target:g}")
            if rate == RATES[-1] and found["of_ceiling"] < CEILING[name]:
                missed.append(f"{name} {rate}: {found['of_ceiling']:.2f} of the ceiling, at least {CEILING[name]:g}")
            lines.append(
                (
                    f"{name} {rate // 1000} k/s",
                    f"{found['engine_us']:.2f}",
                    f"{found['us_a_tick']['engine, one call']:.2f}",
                    f"{found['ceiling_us']:.2f}",
                    f"{found['of_ceiling']:.2f}",
                    found["rival"],
                    f"{found['rival_us']:.0f}",
                    f"{found['times']:.1f}",
                    f"{found['rival_us'] / target:.2f}",
                    f"{1000 / found['engine_us']:.0f}",
                )
            )
    more = scaling(ticks, rounds, say, args.plot)
    missed += more.missed
    head = (
        *("workload", "µs a tick", "in one call", "ceiling", "of ceiling"),
        *("rival", "its µs", "times", "target µs", "x real time"),
    )
    text = f"{table(head, lines)}\n\n{NOTES}\n\n{more.text}"
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
        "engine, one call": (lambda: at_once(engine, events), ticks),
        "ceiling, row by row": (lambda: add_each(rows.drive, rows.weights, rows.to, rows.start, rows.run), ticks),
    }
    if whole:
        contestants["ceiling, eight rows"] = (
            lambda: add_eight(rows.drive, rows.weights, rows.to, rows.start, rows.run),
            ticks,
        )
    few = min(ticks, SLOW_TICKS)
    short = replace(events, cuts=events.cuts[: few + 1])
    for name, loop in {"numpy dense": numpy_dense(workload), **torch_loops(workload)}.items():
        contestants[name] = (_stepped(loop, short), few)
    best = race(contestants, rounds)
    ceiling = min(us for name, us in best.items() if name.startswith("ceiling"))
    rivals = [name for name in best if name.startswith("torch")] or ["numpy dense"]
    rival = min(rivals, key=lambda name: best[name])
    return {
        "workload": workload.name,
        "rate_hz": workload.rate_hz,
        "ticks": ticks,
        "us_a_tick": best,
        "engine_us": best["engine"],
        "synops_s": rows.additions / ticks / best["engine"] * 1e6,
        "ceiling_us": ceiling,
        "of_ceiling": ceiling / best["engine"],
        "rival": rival,
        "rival_us": best[rival],
        "times": best[rival] / best["engine"],
        "load": list(os.getloadavg()),
    }


def make(workload: Workload, thresholds: Thresholds | None = None) -> Engine:
    """An engine of the workload at rest."""
    return Engine(workload.graph, workload.dialect, thresholds=thresholds or Thresholds())


def at_once(engine: Engine, events: Stream) -> int:
    """All ticks in one call from an empty state; returns the output events."""
    engine.reset(0)
    return len(engine.step("input", events.t, events.index, None, events.ticks * TICK_NS))


def streamed(engine: Engine, events: Stream) -> int:
    """One call a tick from an empty state; returns the output events."""
    engine.reset(0)
    cuts = events.cuts.tolist()
    t, index = events.t, events.index
    out = 0
    for k in range(events.ticks):
        first, end = cuts[k], cuts[k + 1]
        out += len(engine.step("input", t[first:end], index[first:end], None, (k + 1) * TICK_NS))
    return out


def race(contestants: Mapping[str, tuple[Callable[[], object], int]], rounds: int) -> dict[str, float]:
    """The least processor time a tick of each, in µs, over rounds in which all take turns."""
    best = dict.fromkeys(contestants, float("inf"))
    for _ in range(rounds):
        for name, (go, ticks) in contestants.items():
            before = cpu_s()
            go()
            best[name] = min(best[name], (cpu_s() - before) / ticks * 1e6)
    return best


def _stepped(loop: Loop, events: Stream) -> Callable[[], object]:
    cuts = events.cuts.tolist()
    size = int(np.prod(INPUT))

    def go() -> None:
        for k in range(events.ticks):
            loop.step(np.bincount(events.index[cuts[k] : cuts[k + 1]], minlength=size).astype(np.float32))

    return go


def calibrate(file: Path, ticks: int, rounds: int, say: Say) -> Report:
    """Thresholds with less time over both workloads and all rates than the defaults, one after the other."""
    chosen = Thresholds()
    data: dict[str, Any] = {}
    workloads = [w1(rate) for rate in RATES] + [w2(rate, file) for rate in RATES]
    events = {rate: stream(rate, ticks) for rate in RATES}
    for name, candidates in CANDIDATES.items():
        before = float(getattr(chosen, name))
        cost = dict.fromkeys((before, *candidates), 0.0)
        for workload in workloads:
            engines = {str(value): make(workload, replace(chosen, **{name: value})) for value in cost}
            passes = {key: (partial(streamed, e, events[workload.rate_hz]), ticks) for key, e in engines.items()}
            found = race(passes, rounds)
            for value in cost:
                cost[value] += found[str(value)] / found[str(before)] / len(workloads)
        best = min(cost, key=lambda value: cost[value])
        proposed = best if cost[best] < 1 - WORTH else before
        chosen = replace(chosen, **{name: proposed})
        data[name] = {
            "default": before,
            "proposed": proposed,
            "time_over_default": {f"{value:g}": share for value, share in cost.items()},
        }
        say(f"{name}: {proposed:g}, {cost[proposed]:.2f} of the time with {before:g}")
    lines = [
        (name, f"{d['default']:g}", f"{d['proposed']:g}", f"{d['time_over_default'][format(d['proposed'], 'g')]:.2f}")
        for name, d in data.items()
    ]
    text = table(("threshold", "default", "proposed", "time over default"), lines)
    held = "\n".join(f"{name} = {d['proposed']!r}" for name, d in data.items())
    return Report("engine-thresholds", f"{text}\n\n[network.thresholds]\n{held}", {"thresholds": data})
