"""The gaze robot, its network run by events and in every dense way: what error is left, how late, at what cost.

All ways have the same weights and worlds of the same seeds, and sit in the same seat of the same service, on virtual
time. Levels were fixed in training, in worlds of other seeds. Error: root mean square of what is left between gaze and
target, half a second after the start and later. Latency: from a bump's onset until the command has answered half of it,
event time. Operations a second: graded, one for each weight that a change or a pass meets; adds, one for each weight
and quantum; touches, units evaluated; all, graded plus touches and values fed, both weighted by what they cost this
machine. Zeros skipped: what of a dense pass lies behind a value that is not 0. Network: time in the network alone, of
tectum with its intake, of a dense rival only the passes of ONNX Runtime in one thread. Process: all of it, the world's
simulation included.
"""

from __future__ import annotations

import argparse
import math
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nets.kernels.build import part, warm
from runtime.bench.gaze.robot import Gaze, Measured, measure
from runtime.bench.gaze.scaled import wider
from runtime.bench.gaze.ways import (
    ABLATED,
    CACHED,
    DENSE,
    FINENESS,
    FRAMES,
    GYRO_HZ,
    NONE,
    SLOWER,
    TECTUM,
    WORN,
    Way,
    activities,
)
from runtime.bench.gaze.weights import Weights, weigh
from runtime.bench.report import Report, Say, table
from runtime.bench.svg import Chart, page
from runtime.commands.common import deploy_folder, use_kernel_cache
from runtime.core.errors import ConfigError

SUMMARY = "the gaze robot by events and dense at several rates: error, latency, work"
SEEDS = (0, 1, 2)
"""Worlds from 90000 on were for training."""
LEAST_HURT, MOST_ERROR, MOST_WORN = 1.3, 1.02, 1.1
FEWER = {"(i)": 12.0, "(i')": 5.0, "(i'')": 2.5}
LEAST_CPU, PERIOD_US = 5.0, 1000.0
WIDTHS = (1, 2, 3, 4)


@dataclass
class Row:
    """A way, over all seeds."""

    name: str
    runs: list[Measured]

    def mean(self, what: str) -> float:
        return float(np.mean([getattr(run, what) for run in self.runs]))

    @property
    def rms(self) -> float:
        return math.sqrt(float(np.mean([run.rms_px**2 for run in self.runs])))

    def latency(self, percent: float) -> float:
        """ms; a bump that was not answered counts as later than any."""
        found = [100.0 if math.isnan(ms) else ms for run in self.runs for ms in run.latency_ms]
        return float(np.percentile(found, percent)) if found else math.nan

    def period_us(self, percent: float) -> float:
        return float(np.percentile([us for run in self.runs for us in run.periods_us], percent))

    def work(self, weights: Weights) -> float:
        return weights.weighted(self.mean("synops"), self.mean("touches"), self.mean("events_in"))

    def plain(self, weights: Weights) -> dict[str, Any]:
        found = {
            key: self.mean(key) for key in asdict(self.runs[0]) if key not in ("latency_ms", "periods_us", "rms_px")
        }
        return found | {
            "way": self.name,
            "rms_px": self.rms,
            "latency_ms": {"p50": self.latency(50), "p95": self.latency(95)},
            "period_us": {"p50": self.period_us(50), "p99": self.period_us(99)},
            "work": self.work(weights),
            "rms_px_by_seed": [run.rms_px for run in self.runs],
        }


@dataclass
class Pair:
    """Both at one value of what is varied."""

    at: float
    tectum: Row
    dense: Row

    def plain(self, what: str, weights: Weights) -> dict[str, Any]:
        return {what: self.at, "tectum": self.tectum.plain(weights), "dense": self.dense.plain(weights)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quick", action="store_true", help="one seed, short runs: a look, not a measurement")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each run")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw error and latency against work")
    parser.add_argument("--axes", type=int, choices=(1, 2), help="only the robot of one axis, or of two")


def run(args: argparse.Namespace, environment: dict[str, str], say: Say) -> Report:
    if args.plot is not None and args.plot.suffix != ".svg":
        raise ConfigError(f"--plot {args.plot}: expected a file that ends in .svg")
    use_kernel_cache(environment)
    warm(parts=[part("sigma-delta", np.float32)])
    seconds = min(args.seconds, 3.0) if args.quick else args.seconds
    seeds = SEEDS[:1] if args.quick else SEEDS
    weights = weigh()
    bench = _Bench(weights, seeds, seconds, say)
    if args.axes != 2:
        bench.one_axis(read_gaze("gaze_small.toml"))
    if args.axes != 1:
        bench.two_axes(read_gaze("gaze.toml"))
    if args.plot is not None:
        args.plot.write_text(page(bench.charts()))
        say(f"drawn to {args.plot}")
    return bench.report()


def read_gaze(name: str) -> Gaze:
    """A gaze robot of the deploy folder."""
    folder = deploy_folder()
    return Gaze(tomllib.loads((folder / name).read_text()), folder)


class _Bench:
    def __init__(self, weights: Weights, seeds: Sequence[int], seconds: float, say: Say) -> None:
        self._weights, self._seeds, self._seconds, self._say = weights, seeds, seconds, say
        self._rows: dict[str, Row] = {}
        self._active: list[Pair] = []
        self._rates: list[Pair] = []
        self._two: dict[str, Row] = {}
        self._wide: list[Pair] = []

    def one_axis(self, gaze: Gaze) -> None:
        """Every way, then more and less motion, then a slower and a faster gyro."""
        for way in (NONE, DENSE, *CACHED, *SLOWER, FRAMES, TECTUM, *FINENESS, *ABLATED, WORN, _worn_dense()):
            self._rows[way.name] = self._row(gaze, way, self._seeds, self._seconds)
        short = min(self._seconds, 6.0)
        for share, world in activities(_defaults(gaze)):
            ways = [way.but(f"{way.name}, motion x {share:g}", world=world) for way in (TECTUM, DENSE)]
            self._active.append(Pair(share, *(self._row(gaze, way, self._seeds[:1], short) for way in ways)))
        for hz in GYRO_HZ:
            faster = Gaze(_with_turn(gaze.tables, hz), gaze.folder)
            sensors = {"gyro": {"rate_hz": float(hz)}}
            ways = [
                TECTUM.but(f"tectum, gyro {hz} Hz", sensors=sensors),
                DENSE.but(f"dense at the gyro's {hz} Hz", sensors=sensors, period_ms=1000.0 / hz),
            ]
            self._rates.append(Pair(hz, *(self._row(faster, way, self._seeds[:1], short) for way in ways)))

    def two_axes(self, gaze: Gaze) -> None:
        """The robot of `make run`, and wider networks of the same function."""
        for way in (NONE, DENSE, TECTUM, *ABLATED):
            self._two[way.name] = self._row(gaze, way, self._seeds, self._seconds / 2, "two axes, ")
        for width in WIDTHS:
            wide = replace(gaze, network=wider(gaze.graph, width))
            seconds, prefix = min(self._seconds, 3.0), f"width x {width}, "
            rows = (self._row(wide, way, self._seeds[:1], seconds, prefix) for way in (TECTUM, DENSE))
            self._wide.append(Pair(width, *rows))

    def _row(self, gaze: Gaze, way: Way, seeds: Sequence[int], seconds: float, prefix: str = "") -> Row:
        runs = [measure(gaze, way, seed, seconds) for seed in seeds]
        row = Row(way.name, runs)
        self._say(
            f"{prefix}{way.name}: {row.rms:.2f} px, {row.work(self._weights) / 1e6:.2f} M operations/s, "
            f"network {row.mean('network_s') * 1e3:.0f} ms/s"
        )
        return row

    # what it comes to

    def report(self) -> Report:
        text, checks = [], []
        w = self._weights
        text.append(
            f"{len(self._seeds)} seeds of {self._seconds:g} s. One synaptic operation takes {w.synop_ns:.2f} ns; "
            f"a unit's evaluation {w.touch:.1f} operations, a value's intake {w.event:.0f}."
        )
        if self._rows:
            text += ["One axis, 1 x 64 pixels\n" + _table(list(self._rows.values()), w), self._activity(), self._gyro()]
            checks += self._one_axis_checks()
        if self._two:
            text += ["Two axes, 64 x 64 pixels\n" + _table(list(self._two.values()), w), self._widths()]
            checks += self._two_axes_checks()
        lines, missed = _judged(checks)
        text.append(lines)
        data = {
            "weights": asdict(w),
            "one_axis": [row.plain(w) for row in self._rows.values()],
            "motion": [pair.plain("share", w) for pair in self._active],
            "gyro": [pair.plain("hz", w) for pair in self._rates],
            "two_axes": [row.plain(w) for row in self._two.values()],
            "widths": [pair.plain("width", w) for pair in self._wide],
        }
        return Report("multirate", "\n\n".join(text), data, missed)

    def _one_axis_checks(self) -> list[tuple[str, float, str, float]]:
        rows, w = self._rows, self._weights
        mine, dense = rows[TECTUM.name], rows[DENSE.name]
        checks = [("error, of dense at 1 kHz", mine.rms / dense.rms, "at most", MOST_ERROR)]
        checks += [
            (f"error {way.name.split(' ', 1)[1]}, of all three", rows[way.name].rms / mine.rms, "at least", LEAST_HURT)
            for way in ABLATED
        ]
        equal = [rows[way.name] for way in SLOWER if rows[way.name].rms <= mine.rms * MOST_ERROR] or [dense]
        slowest = min(equal, key=lambda row: row.work(w))
        cached = min((rows[way.name] for way in CACHED), key=lambda row: row.work(w))
        for what, rival in (("(i)", dense), ("(i')", cached), ("(i'')", slowest)):
            checks.append(
                (f"times fewer operations than {rival.name}", rival.work(w) / mine.work(w), "at least", FEWER[what])
            )
        for percent in (50, 95):
            later = mine.latency(percent) - dense.latency(percent)
            checks.append((f"latency p{percent}, ms later than dense at 1 kHz", later, "at most", 0.0))
        worn = rows[WORN.name].rms
        checks.append(("error with 0-50 ms late and 1 % lost, of without", worn / mine.rms, "at most", MOST_WORN))
        largest = max(run.largest for row in rows.values() for run in row.runs)
        checks.append(("largest command that passed, of its limit", largest, "at most", 1.0))
        return checks

    def _two_axes_checks(self) -> list[tuple[str, float, str, float]]:
        mine, dense = self._two[TECTUM.name], self._two[DENSE.name]
        faster = dense.mean("network_s") / mine.mean("network_s")
        checks = [
            ("two axes: error, of dense at 1 kHz", mine.rms / dense.rms, "at most", MOST_ERROR),
            ("two axes: times less network time than dense at 1 kHz", faster, "at least", LEAST_CPU),
            ("two axes: p99 of the network's time in a gyro period, us", mine.period_us(99), "at most", PERIOD_US),
        ]
        return checks

    def _activity(self) -> str:
        head = ("motion", "px", "dense px", "input k/s", "M ops/s", "dense M ops/s", "fewer")
        lines = []
        for pair in self._active:
            share, mine, dense = pair.at, pair.tectum, pair.dense
            work = mine.work(self._weights), dense.work(self._weights)
            lines.append(
                (
                    f"x {share:g}", f"{mine.rms:.2f}", f"{dense.rms:.2f}", f"{mine.mean('input_events') / 1e3:.1f}",
                    *(f"{each / 1e6:.2f}" for each in work), f"{work[1] / work[0]:.1f}",
                )
            )  # fmt: skip
        return "Work against motion of base and target, one seed; the last row is the worst case\n" + table(head, lines)

    def _gyro(self) -> str:
        head = ("gyro Hz", "px", "M ops/s", "dense at that rate", "fewer")
        lines, works = [], []
        for pair in self._rates:
            hz, mine, dense = pair.at, pair.tectum, pair.dense
            work = mine.work(self._weights), dense.work(self._weights)
            works.append(work)
            cells = (f"{work[0] / 1e6:.2f}", f"{work[1] / 1e6:.1f}", f"{work[1] / work[0]:.1f}")
            lines.append((f"{hz:g}", f"{mine.rms:.2f}", *cells))
        slope = [
            float(np.polyfit(np.log([pair.at for pair in self._rates]), np.log([each[k] for each in works]), 1)[0])
            for k in (0, 1)
        ]
        note = f"work grows as the rate to the power {slope[0]:.2f}; dense {slope[1]:.2f}"
        return f"Work against the gyro's rate, one seed\n{table(head, lines)}\n{note}"

    def _widths(self) -> str:
        head = (
            "width",
            "M multiply-adds a pass",
            "ms/s",
            "p99 us",
            "dense ms/s",
            "dense p50 us",
            "times less",
            "holds 1 kHz",
        )
        lines = []
        for pair in self._wide:
            width, mine, dense = pair.at, pair.tectum, pair.dense
            holds = [name for name, row in (("tectum", mine), ("dense", dense)) if row.period_us(99) <= PERIOD_US]
            per_pass = dense.mean("synops") / 1000.0 / 1e6
            lines.append(
                (
                    f"x {width:g}", f"{per_pass:.1f}",
                    f"{mine.mean('network_s') * 1e3:.0f}", f"{mine.period_us(99):.0f}",
                    f"{dense.mean('network_s') * 1e3:.0f}", f"{dense.period_us(50):.0f}",
                    f"{dense.mean('network_s') / mine.mean('network_s'):.1f}", ", ".join(holds) or "neither",
                )
            )  # fmt: skip
        return (
            f"Wider networks of the same function, one seed; 1000 us are one period of the gyro\n{table(head, lines)}"
        )

    def charts(self) -> list[Chart]:
        """Error, latency, motion, gyro's rate; and width."""
        found = []
        if self._rows:
            w = self._weights
            error = Chart("Error against work", "M operations/s", "gaze error, px", log_x=True, log_y=True)
            late = Chart("Latency against work", "M operations/s", "bump to command, ms (p95)", log_x=True)
            dense = [self._rows[way.name] for way in (DENSE, *SLOWER)]
            events = sorted((self._rows[way.name] for way in (TECTUM, *FINENESS)), key=lambda row: row.work(w))
            groups = {
                "dense, 1 kHz to 50 Hz": dense,
                "dense, cached": [self._rows[way.name] for way in CACHED],
                "dense, per frame": [self._rows[FRAMES.name]],
                "tectum, three levels": events,
            }
            for name, rows in groups.items():
                work = [row.work(w) / 1e6 for row in rows]
                error.line(name, work, [row.rms for row in rows])
                late.line(name, work, [row.latency(95) for row in rows])
            motion = Chart("Work against motion", "share of the usual motion", "M operations/s", log_y=True)
            rate = Chart("Work against the gyro's rate", "Hz", "M operations/s", log_x=True, log_y=True)
            for chart, pairs in ((motion, self._active), (rate, self._rates)):
                at = [pair.at for pair in pairs]
                chart.line("tectum", at, [pair.tectum.work(w) / 1e6 for pair in pairs])
                chart.line("dense", at, [pair.dense.work(w) / 1e6 for pair in pairs])
            found += [error, late, motion, rate]
        if self._wide:
            width = Chart(
                "Network time against size", "M multiply-adds of a pass", "ms a second", log_x=True, log_y=True
            )
            sizes = [pair.dense.mean("synops") / 1e9 for pair in self._wide]
            width.line("tectum", sizes, [pair.tectum.mean("network_s") * 1e3 for pair in self._wide])
            width.line("dense", sizes, [pair.dense.mean("network_s") * 1e3 for pair in self._wide])
            width.bound("all of a core", 1000.0)
            found.append(width)
        return found


def _worn_dense() -> Way:
    return DENSE.but("dense, 0-50 ms late, 1 % lost", sensors=WORN.sensors)


def _defaults(gaze: Gaze) -> dict[str, Any]:
    """The world as its adapters read it, defaults filled in."""
    from runtime.config import make_robot

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


def _table(rows: list[Row], w: Weights) -> str:
    head = (
        "way", "px", "late p50", "p95 ms", "M graded", "skipping 0", "M adds", "M touches", "M all", "network ms/s",
        "process", "input k/s",
    )  # fmt: skip
    lines = [
        (
            row.name, f"{row.rms:.2f}", _or_none(row.latency(50), ".1f"), _or_none(row.latency(95), ".1f"),
            f"{row.mean('synops') / 1e6:.2f}", _or_none(row.mean("nonzero") / 1e6, ".2f"),
            f"{row.mean('adds') / 1e6:.2f}", f"{row.mean('touches') / 1e6:.2f}", f"{row.work(w) / 1e6:.2f}",
            f"{row.mean('network_s') * 1e3:.1f}", f"{row.mean('process_s') * 1e3:.0f}",
            f"{row.mean('input_events') / 1e3:.1f}",
        )
        for row in rows
    ]  # fmt: skip
    return table(head, lines)


def _or_none(value: float, form: str) -> str:
    return "-" if math.isnan(value) else format(value, form)


def _judged(checks: list[tuple[str, float, str, float]]) -> tuple[str, tuple[str, ...]]:
    lines, missed = [], []
    for what, figure, side, bound in checks:
        met = figure <= bound if side == "at most" else figure >= bound
        line = f"{what}: {figure:.3g} ({side} {bound:g})"
        lines.append(f"{line}: {'met' if met else 'MISSED'}")
        if not met:
            missed.append(line)
    return "\n".join(lines), tuple(missed)
