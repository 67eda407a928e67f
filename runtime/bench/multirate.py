"""The gaze robot, its network run by events and in every dense way: what error is left, how late, at what cost.

All ways have the same weights and worlds of the same seeds, and sit in the same seat of the same service, on virtual
time. Levels were fixed in training, in worlds of other seeds. Error: root mean square of what is left between gaze and
target, half a second after the start and later. Latency: from a bump's onset until the command has answered half of it,
event time. Operations a second: graded, one for each weight that a change or a pass meets; adds, one for each weight
and quantum; touches, units evaluated; all, graded plus touches and values fed, both weighted by what they cost this
machine. Zeros skipped: what of a dense pass lies behind a value that is not 0. Network: time in the network alone, of
tectum with its intake of events, of a dense rival only the passes of ONNX Runtime in one thread. Process: all of it,
the world's simulation included.
"""

from __future__ import annotations

import argparse
import math
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from nets.kernels.build import part, warm
from runtime.bench.gaze.passes import check_available
from runtime.bench.gaze.results import Results
from runtime.bench.gaze.robot import Gaze, measure
from runtime.bench.gaze.rows import Pair, Row
from runtime.bench.gaze.scaled import wider
from runtime.bench.gaze.ways import (
    ABLATED,
    CACHED,
    DENSE,
    FINENESS,
    FRAMES,
    GYRO_HZ,
    LATE_S,
    NONE,
    SLOWER,
    TECTUM,
    WORN,
    WORN_DENSE,
    Way,
    activities,
)
from runtime.bench.gaze.weights import weigh
from runtime.bench.report import Report, Say, judged
from runtime.bench.svg import page
from runtime.commands.common import deploy_folder, use_kernel_cache
from runtime.config import make_robot
from runtime.core.errors import ConfigError

SUMMARY = "the gaze robot by events and dense at several rates: error, latency, work"
SEEDS = (0, 1, 2)
"""Worlds from 90000 on were for training."""
WIDTHS = (1, 2, 3, 4)
SHORT_S, SHORTEST_S = 6.0, 3.0
"""Runs that show how something grows."""
SHORTEST_RUN_S = 0.1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quick", action="store_true", help="one seed, short runs: a look, not a measurement")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each run")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw error and latency against work")
    parser.add_argument("--axes", type=int, choices=(1, 2), help="only the robot of one axis, or of two")


def run(args: argparse.Namespace, environment: dict[str, str], say: Say) -> Report:
    if args.plot is not None and args.plot.suffix != ".svg":
        raise ConfigError(f"--plot {args.plot}: expected a file that ends in .svg")
    if args.plot is not None and not args.plot.absolute().parent.is_dir():
        raise ConfigError(f"--plot {args.plot}: there is no folder {args.plot.parent}")
    if not SHORTEST_RUN_S <= args.seconds <= 3600:
        raise ConfigError(f"--seconds {args.seconds:g}: expected {SHORTEST_RUN_S:g} to 3600")
    check_available()
    use_kernel_cache(environment)
    warm(parts=[part("sigma-delta", np.float32)])
    seconds = min(args.seconds, SHORTEST_S) if args.quick else args.seconds
    runs = _Runs(SEEDS[:1] if args.quick else SEEDS, seconds, Results(weigh()), say)
    if args.axes != 2:
        runs.one_axis(read_gaze("gaze_small.toml"))
    if args.axes != 1:
        runs.two_axes(read_gaze("gaze.toml"))
    results = runs.results
    if args.plot is not None:
        args.plot.write_text(page(results.charts()))
        say(f"drawn to {args.plot}")
    lines, missed = judged(results.checks())
    head = f"{len(runs.seeds)} seeds of {seconds:g} s, two axes half as long."
    return Report("multirate", "\n\n".join([head, *results.text(), lines]), results.data(), missed)


def read_gaze(name: str) -> Gaze:
    """A gaze robot of the deploy folder."""
    folder = deploy_folder()
    return Gaze(tomllib.loads((folder / name).read_text()), folder)


class _Runs:
    def __init__(self, seeds: Sequence[int], seconds: float, results: Results, say: Say) -> None:
        self.seeds, self.seconds, self.results, self._say = seeds, seconds, results, say

    def one_axis(self, gaze: Gaze) -> None:
        """Every way, then more and less motion, then a slower and a faster gyro."""
        for way in (NONE, DENSE, *CACHED, *SLOWER, FRAMES, TECTUM, *FINENESS, *ABLATED, WORN, WORN_DENSE):
            self.results.one_axis[way.name] = self._row(gaze, way, self.seeds, self.seconds)
        short = min(self.seconds, SHORT_S)
        world = _defaults(gaze)
        self.results.floor_px = floor_px(world, LATE_S / 2)
        for share, moving in activities(world):
            ways = [way.but(f"{way.name}, motion x {share:g}", world=moving) for way in (TECTUM, DENSE)]
            self.results.motion.append(Pair(share, *(self._row(gaze, way, self.seeds[:1], short) for way in ways)))
        for hz in GYRO_HZ:
            faster = Gaze(_with_turn(gaze.tables, hz), gaze.folder)
            sensors = {"gyro": {"rate_hz": float(hz)}}
            ways = [
                TECTUM.but(f"tectum, gyro {hz} Hz", sensors=sensors),
                DENSE.but(f"dense at the gyro's {hz} Hz", sensors=sensors, period_ms=1000.0 / hz),
            ]
            self.results.gyro.append(Pair(hz, *(self._row(faster, way, self.seeds[:1], short) for way in ways)))

    def two_axes(self, gaze: Gaze) -> None:
        """The robot of `make run`, and wider networks of the same function."""
        for way in (NONE, DENSE, TECTUM, *ABLATED):
            self.results.two_axes[way.name] = self._row(gaze, way, self.seeds, self.seconds / 2, "two axes, ")
        for width in WIDTHS:
            wide = replace(gaze, network=wider(gaze.graph, width))
            seconds, prefix = min(self.seconds, SHORTEST_S), f"width x {width}, "
            rows = (self._row(wide, way, self.seeds[:1], seconds, prefix) for way in (TECTUM, DENSE))
            self.results.widths.append(Pair(width, *rows))

    def _row(self, gaze: Gaze, way: Way, seeds: Sequence[int], seconds: float, prefix: str = "") -> Row:
        runs = [measure(gaze, way, seed, seconds) for seed in seeds]
        row = Row(way.name, runs)
        self._say(
            f"{prefix}{way.name}: {row.rms:.2f} px, {row.work(self.results.weights) / 1e6:.2f} M operations/s, "
            f"network {row.mean('network_s') * 1e3:.0f} ms/s"
        )
        return row


def _defaults(gaze: Gaze) -> dict[str, Any]:
    """The world as its adapters read it, defaults filled in."""
    robot = make_robot(dict(gaze.tables), gaze.folder, "gaze")
    found: dict[str, Any] = robot.sensors["truth"].model_dump()["world"]
    return found


def _with_turn(tables: Any, hz: int) -> dict[str, Any]:
    """Of a faster gyro each sample adds less to how far the head turned."""
    inputs = [dict(entry) for entry in tables["inputs"]]
    for entry in inputs:
        if entry["port"] == "turn":
            entry["encode"] = entry["encode"] | {"scale": entry["encode"]["scale"] * 1000.0 / hz}
    return dict(tables) | {"inputs": inputs}


def floor_px(world: dict[str, Any], late_s: float) -> float:
    """What the base's own motion, an Ornstein-Uhlenbeck rate, adds up to in this time beyond any forecast; RMS, px.

    variance = (sd tau)^2 (2 a - 3 + 4 e^-a - e^-2a), a = late / tau
    """
    a = late_s / world["base_tau_s"]
    share = 2 * a - 3 + 4 * math.exp(-a) - math.exp(-2 * a)
    return float(world["pixels_per_rad"] * world["base_sd_rad_s"] * world["base_tau_s"] * math.sqrt(share))
