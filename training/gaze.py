"""Trains the gaze network and writes it: `python -m training.gaze --axes 1|2 --out FILE --seed N`.

Rounds: recordings of random and of good control, then recordings of the network in control, several times. Seeds of
worlds below 1000 are never trained on. The same seed gives the same file.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nets.models import ExportWarning
from nets.nir import write
from sensors.gaze_definition import GazeWorld
from training.gaze_bench import Bench
from training.gaze_data import Pairs, join, record, steer_kicks, steer_open, steer_teacher
from training.gaze_export import graph_of
from training.gaze_fit import fit
from training.gaze_loop import Result, Steering, Way, hold
from training.gaze_network import LEVELS, GazeNetwork, Layer, line, plane

WORLD: Mapping[str, Any] = {
    "base_sd_rad_s": 3.0, "bump_rad_s": 8.0, "target_log_contrast": 1.0, "log_contrast": 0.3,
}  # fmt: skip
"""Shaken hard, and a target that does not outshine the texture: no sensor can be spared."""
THRESHOLD = 0.4
"""Of the event camera."""
TRAINED = 100_000
TUNED = 90_000
"""First seeds of the worlds that the network is trained in, and that its gains are chosen in."""
GAINS = ((1.0, 160.0), (2.0, 160.0), (2.0, 250.0), (3.0, 250.0))
FINENESS = (0.5, 1.0)
"""Times the levels of training: from coarse to fine."""
AS_WELL = 1.01
"""Times the error without rounding."""


@dataclass(frozen=True)
class Plan:
    """How much of everything."""

    shape: tuple[int, int]
    layers: tuple[Layer, ...]
    worlds: int
    milliseconds: int
    every: int
    steps: tuple[int, ...]
    size: int
    rate: float
    price: float
    blanked: Mapping[str, float]
    """The share of samples that each sensor is blanked in."""
    cut: tuple[str, ...]
    """Sensors that the first worlds lack, one each, while the network is in control."""
    seen: Mapping[str, float] = field(default_factory=dict)
    """What is otherwise in the world."""
    handling: float = 1.0
    """Operations that a change costs besides those of its targets."""
    kick_rad_s: float = 0.0
    """What pushes the gaze off the target now and then while the network is in control: it must find it again."""

    def world(self, seed: int) -> GazeWorld:
        return GazeWorld(shape=self.shape, seed=seed, **self.table)

    @property
    def table(self) -> dict[str, Any]:
        return {**WORLD, **self.seen}


PLANS = {
    1: Plan(
        (1, 64), line(128), worlds=100, milliseconds=2_000, every=4, steps=(2000, 2000, 4000), size=256, rate=2e-3,
        price=2e-4, blanked={"camera": 0.08, "dvs": 0.08, "gyro": 0.0}, cut=("camera", "dvs") * 4,
    ),
    2: Plan(
        (64, 64), plane(), worlds=60, milliseconds=2_400, every=8, steps=(2500, 2500, 3000, 7000), size=32, rate=1.5e-3,
        price=1e-5, blanked={"camera": 0.08, "dvs": 0.08, "gyro": 0.05}, cut=("camera", "dvs", "gyro") * 4,
        seen={"target_log_contrast": 1.5}, handling=64.0, kick_rad_s=10.0,
    ),
}  # fmt: skip


def train(plan: Plan, seed: int, say: Any) -> GazeNetwork:
    """All rounds."""
    torch.manual_seed(seed)
    network = GazeNetwork(plan.shape, plan.layers, plan.handling)
    say(f"{sum(network.macs.values())} multiply-adds a pass, {sum(p.numel() for p in network.parameters())} parameters")
    axes = len(plan.world(0).axes)
    n, first = plan.worlds, TRAINED + 1000 * seed
    half = n // 2
    parts: list[Pairs] = [
        record(_worlds(plan, first, half), plan.milliseconds, plan.every, steer_open(half, axes, seed), THRESHOLD),
        record(
            _worlds(plan, first + 100, n), plan.milliseconds, plan.every,
            steer_teacher(n, axes, 2.0, 160.0, seed), THRESHOLD,
        ),
    ]  # fmt: skip
    for k, steps in enumerate(plan.steps):
        if k:
            worlds = _worlds(plan, first + 100 + 100 * k, n)
            parts.append(_student(plan, network, worlds, seed + k))
        say(f"round {k + 1}: {sum(len(p) for p in parts)} pairs, error {_rms(parts[-1]):.2f} px in the newest")
        fit(
            network, join(parts), steps=steps, rate=plan.rate * (0.6 if k else 1.0),
            price=plan.price * (1.0 if k else 0.3), blanked=plan.blanked, size=plan.size, seed=seed + k, say=say,
        )  # fmt: skip
        parts[0] = _half(parts[0])
    return network


def _student(plan: Plan, network: GazeNetwork, worlds: Sequence[GazeWorld], seed: int) -> Pairs:
    """The network in control, without one sensor in three of the worlds, with dither in some."""
    without: list[tuple[str, ...]] = [(sensor,) for sensor in plan.cut]
    without += [()] * (len(worlds) - len(without))
    gains = [GAINS[k % len(GAINS)] for k in range(len(worlds))]
    network_steers = Steering(network, [Way("", gain=g, pull=p) for g, p in gains], 1)
    dither = steer_open(len(worlds), len(worlds[0].axes), seed)
    kicks = steer_kicks(len(worlds), len(worlds[0].axes), plan.kick_rad_s, seed)

    def steer(bench: Bench) -> NDArray[np.float64]:
        dithered = (bench.time // 500_000_000 % 2) * 0.5 * dither(bench)
        return network_steers(bench) + dithered + kicks(bench)

    return record(worlds, plan.milliseconds, plan.every, steer, THRESHOLD, without)


def choose(plan: Plan, network: GazeNetwork, say: Any) -> Way:
    """The gains that hold best, then the coarsest levels that hold as well as none would, in worlds of neither training
    nor evaluation.
    """
    worlds = _worlds(plan, TUNED, 6)

    def tried(ways: Sequence[Way]) -> list[Result]:
        results = hold(network, ways, worlds, 8.0, THRESHOLD)
        for result in results:
            say(f"{result.way.name}: {result.rms_px:.3f} px, {result.operations / 1e6:.2f} M operations/s")
        return results

    ways = [Way(f"gain {g}, pull {p}", gain=g, pull=p) for g, p in GAINS]
    best = min(tried(ways), key=lambda result: result.rms_px).way
    levels = [replace(best, name=f"levels {LEVELS * f:g}", fineness=f) for f in FINENESS]
    endless, *results = tried([replace(best, name="endless levels", fineness=0.0), *levels])
    return next((r.way for r in results if r.rms_px <= AS_WELL * endless.rms_px), levels[-1])


def _worlds(plan: Plan, first: int, n: int) -> list[GazeWorld]:
    return [plan.world(first + k) for k in range(n)]


def _half(pairs: Pairs) -> Pairs:
    names = ("frame", "dvs", "gyro", "turn", "error_px", "rate")
    return Pairs(pairs.frames, *(getattr(pairs, name)[::2] for name in names))


def _rms(pairs: Pairs) -> float:
    return float((pairs.error_px.astype(float) ** 2).mean() ** 0.5)


def evaluate(plan: Plan, network: GazeNetwork, chosen: Way, seeds: Sequence[int], seconds: float) -> str:
    """The table of all ways of running it."""
    ways = [Way("no control", 0.0, steered=False), Way("dense 1 kHz", 0.0)]
    ways += [Way(f"dense 1 kHz, cached, DVS {1000 // p} Hz", 0.0, dvs_period=p, cached=True) for p in (1, 10)]
    ways += [Way(f"dense {1000 // p} Hz", 0.0, period=p) for p in (2, 5, 10, 20)]
    f = chosen.fineness
    ways += [Way(f"sigma-delta L x {by:g}", f * by) for by in (0.5, 1.0, 2.0)]
    ways += [Way(f"sigma-delta without {s}", f, without=(s,)) for s in ("camera", "dvs", "gyro")]
    ways += [Way("sigma-delta, hysteresis 0.25", f, hysteresis=0.25)]
    ways = [replace(way, gain=chosen.gain, pull=chosen.pull) for way in ways]
    results = hold(network, ways, [plan.world(seed) for seed in seeds], seconds, THRESHOLD)
    return "\n".join([_HEAD, *(_row(r) for r in results)])


_HEAD = "way                                px   M ops/s  zeros skipped  M touches/s  k readings/s"


def _row(r: Result) -> str:
    parts = " ".join(f"{name} {rate / 1e6:.2f}" for name, rate in r.by_source.items())
    return (
        f"{r.way.name:32} {r.rms_px:5.2f} {r.operations / 1e6:9.2f} {r.zeros_skipped / 1e6:14.2f} "
        f"{r.touches / 1e6:12.2f} {r.readings / 1e3:13.1f}  {parts}"
    ).rstrip()


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, write, and say how well it holds."""
    parser = argparse.ArgumentParser(prog="python -m training.gaze", description="Train the gaze network.")
    parser.add_argument("--axes", type=int, choices=(1, 2), required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--weights", type=Path, help="evaluate these, written beside FILE before, and train nothing")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each evaluated world; 0: no evaluation")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    plan = PLANS[options.axes]

    def say(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    if options.weights:
        network = GazeNetwork(plan.shape, plan.layers, plan.handling)
        network.load_state_dict(torch.load(options.weights))
    else:
        network = train(plan, options.seed, say)
        torch.save(network.state_dict(), options.out.with_suffix(".pt"))
    way = choose(plan, network, say)
    metadata = {"world": {**plan.table, "shape": list(plan.shape)}, "dvs_threshold": THRESHOLD}
    scale = plan.world(0).pixels_per_rad
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExportWarning)
        write(options.out, graph_of(network, way, scale, {"gaze": json.dumps(metadata)}))
    say(f"{options.out}: {way.name}, gain {way.gain}, pull {way.pull}")
    if options.seconds:
        say(evaluate(plan, network, way, (0, 1, 2), options.seconds))


if __name__ == "__main__":
    main()
