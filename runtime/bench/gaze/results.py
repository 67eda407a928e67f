"""What all runs come to: tables, charts and the targets."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from runtime.bench.gaze.rows import Pair, Row
from runtime.bench.gaze.ways import ABLATED, CACHED, DENSE, FINENESS, FRAMES, SLOWER, TECTUM, WORN
from runtime.bench.gaze.weights import Weights
from runtime.bench.report import Check, table
from runtime.bench.svg import Chart

LEAST_HURT, MOST_ERROR, MOST_WORN = 1.3, 1.02, 1.1
FEWER = {"(i)": 12.0, "(i')": 5.0, "(i'')": 2.5}
LEAST_CPU, PERIOD_US = 5.0, 1000.0


@dataclass
class Results:
    """Filled run by run."""

    weights: Weights
    floor_px: float = math.nan
    """What the base moves, unknown to anybody, while the news of it is late as in WORN; RMS of one axis."""
    one_axis: dict[str, Row] = field(default_factory=dict)
    motion: list[Pair] = field(default_factory=list)
    gyro: list[Pair] = field(default_factory=list)
    two_axes: dict[str, Row] = field(default_factory=dict)
    widths: list[Pair] = field(default_factory=list)

    def data(self) -> dict[str, Any]:
        w = self.weights
        return {
            "weights": asdict(w),
            "one_axis": [row.plain(w) for row in self.one_axis.values()],
            "motion": [pair.plain("share", w) for pair in self.motion],
            "gyro": [pair.plain("hz", w) for pair in self.gyro],
            "two_axes": [row.plain(w) for row in self.two_axes.values()],
            "widths": [pair.plain("width", w) for pair in self.widths],
        }

    def text(self) -> list[str]:
        """Paragraphs."""
        w = self.weights
        found = [
            f"One synaptic operation takes {w.synop_ns:.2f} ns; a unit's evaluation {w.touch:.1f} operations, "
            f"a value's intake {w.event:.0f}."
        ]
        if self.one_axis:
            found.append("One axis, 1 x 64 pixels\n" + self._table(self.one_axis))
            found.append(
                f"In the 25 ms that everything is late on average at least, the base moves {self.floor_px:.1f} px "
                "(RMS) that no controller can know of."
            )
            found += [self._motion(), self._gyro()]
        if self.two_axes:
            found += ["Two axes, 64 x 64 pixels\n" + self._table(self.two_axes), self._widths()]
        return found

    def _table(self, rows: Mapping[str, Row]) -> str:
        head = (
            "way", "px", "late p50", "p95 ms", "M graded", "skipping 0", "M adds", "M touches", "M all", "network ms/s",
            "process", "input k/s",
        )  # fmt: skip
        lines = [
            (
                row.name, f"{row.rms:.2f}", _or_none(row.latency(50), ".1f"), _or_none(row.latency(95), ".1f"),
                f"{row.mean('synops') / 1e6:.2f}", _or_none(row.mean("nonzero") / 1e6, ".2f"),
                f"{row.mean('adds') / 1e6:.2f}", f"{row.mean('touches') / 1e6:.2f}",
                f"{row.work(self.weights) / 1e6:.2f}",
                f"{row.mean('network_s') * 1e3:.1f}", f"{row.mean('process_s') * 1e3:.0f}",
                f"{row.mean('input_events') / 1e3:.1f}",
            )
            for row in rows.values()
        ]  # fmt: skip
        return table(head, lines)

    def _motion(self) -> str:
        head = ("motion", "px", "dense px", "input k/s", "M ops/s", "dense M ops/s", "fewer")
        lines = []
        for pair in self.motion:
            share, mine, dense = pair.at, pair.tectum, pair.dense
            work = mine.work(self.weights), dense.work(self.weights)
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
        for pair in self.gyro:
            hz, mine, dense = pair.at, pair.tectum, pair.dense
            work = mine.work(self.weights), dense.work(self.weights)
            works.append(work)
            cells = (f"{work[0] / 1e6:.2f}", f"{work[1] / 1e6:.1f}", f"{work[1] / work[0]:.1f}")
            lines.append((f"{hz:g}", f"{mine.rms:.2f}", *cells))
        slope = [
            float(np.polyfit(np.log([pair.at for pair in self.gyro]), np.log([each[k] for each in works]), 1)[0])
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
        for pair in self.widths:
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

    def checks(self) -> list[Check]:
        found = self._one_axis_checks() if self.one_axis else []
        return found + (self._two_axes_checks() if self.two_axes else [])

    def _one_axis_checks(self) -> list[Check]:
        rows, w = self.one_axis, self.weights
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

    def _two_axes_checks(self) -> list[Check]:
        mine, dense = self.two_axes[TECTUM.name], self.two_axes[DENSE.name]
        faster = dense.mean("network_s") / mine.mean("network_s")
        return [
            ("two axes: error, of dense at 1 kHz", mine.rms / dense.rms, "at most", MOST_ERROR),
            ("two axes: times less network time than dense at 1 kHz", faster, "at least", LEAST_CPU),
            ("two axes: p99 of the network's time in a gyro period, us", mine.period_us(99), "at most", PERIOD_US),
        ]

    def charts(self) -> list[Chart]:
        """Error, latency, motion, gyro's rate; and width."""
        found = []
        if self.one_axis:
            w = self.weights
            error = Chart("Error against work", "M operations/s", "gaze error, px", log_x=True, log_y=True)
            late = Chart("Latency against work", "M operations/s", "bump to command, ms (p95)", log_x=True)
            dense = [self.one_axis[way.name] for way in (DENSE, *SLOWER)]
            events = sorted((self.one_axis[way.name] for way in (TECTUM, *FINENESS)), key=lambda row: row.work(w))
            groups = {
                "dense, 1 kHz to 50 Hz": dense,
                "dense, cached": [self.one_axis[way.name] for way in CACHED],
                "dense, per frame": [self.one_axis[FRAMES.name]],
                "tectum, three levels": events,
            }
            for name, rows in groups.items():
                work = [row.work(w) / 1e6 for row in rows]
                error.line(name, work, [row.rms for row in rows])
                late.line(name, work, [row.latency(95) for row in rows])
            motion = Chart("Work against motion", "share of the usual motion", "M operations/s", log_y=True)
            rate = Chart("Work against the gyro's rate", "Hz", "M operations/s", log_x=True, log_y=True)
            for chart, pairs in ((motion, self.motion), (rate, self.gyro)):
                at = [pair.at for pair in pairs]
                chart.line("tectum", at, [pair.tectum.work(w) / 1e6 for pair in pairs])
                chart.line("dense", at, [pair.dense.work(w) / 1e6 for pair in pairs])
            found += [error, late, motion, rate]
        if self.widths:
            width = Chart(
                "Network time against size", "M multiply-adds of a pass", "ms a second", log_x=True, log_y=True
            )
            sizes = [pair.dense.mean("synops") / 1e9 for pair in self.widths]
            width.line("tectum", sizes, [pair.tectum.mean("network_s") * 1e3 for pair in self.widths])
            width.line("dense", sizes, [pair.dense.mean("network_s") * 1e3 for pair in self.widths])
            width.bound("all of a core", 1000.0)
            found.append(width)
        return found


def _or_none(value: float, form: str) -> str:
    return "-" if math.isnan(value) else format(value, form)
