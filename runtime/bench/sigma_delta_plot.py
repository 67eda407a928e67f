"""The figures of `tectum bench sigma-delta` as charts: error against work and time, and work against frame rate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from runtime.bench.svg import Chart, page

Row = dict[str, Any]


def plot(
    rows: Sequence[Row], rates: Sequence[Row], slid: Sequence[Row], most_error: float, least_agreement: float
) -> str:
    """One page of SVG."""
    return page([_work(rows, most_error), _time(rows, most_error), _rate(rates), _digits(slid, least_agreement)])


def _work(rows: Sequence[Row], most_error: float) -> Chart:
    chart = Chart(
        "Error against work (labels: levels)", "operations a frame", "error, % of the dense output", log_x=True
    )
    _ladders(chart, rows, lambda row: row["graded"])
    for name, last in _by_clip(rows).items():
        chart.points("dense pass", [last[-1]["dense"]], [0.0], [name] if len({r["dense"] for r in rows}) > 1 else [])
    chart.bound(f"at most {100 * most_error:g} %", 100 * most_error)
    return chart


def _time(rows: Sequence[Row], most_error: float) -> Chart:
    chart = Chart("Error against time (labels: levels)", "wall clock, ms a frame", "error, % of the dense output")
    _ladders(chart, rows, lambda row: row["wall_ms"])
    for name, found in _by_clip(rows).items():
        chart.points("dense pass", [min(row["dense_wall_ms"] for row in found)], [0.0], [name])
    chart.bound(f"at most {100 * most_error:g} %", 100 * most_error)
    return chart


def _rate(rates: Sequence[Row]) -> Chart:
    chart = Chart("Work against frame rate", "frames a second", "operations a second", log_x=True, log_y=True)
    for row in rates:
        seconds = row["frames"] / row["rate_hz"]
        hertz = [row["rate_hz"] * times for times in row["times"]]
        chart.line(row["clip"], hertz, [spent / seconds for spent in row["operations"]])
    fastest = max(rates, key=lambda row: float(row["rate_hz"]))
    hertz = [fastest["rate_hz"] * times for times in fastest["times"]]
    chart.line("dense pass", hertz, [fastest["dense"] * rate for rate in hertz])
    return chart


def _digits(slid: Sequence[Row], least: float) -> Chart:
    chart = Chart("Sliding digits (labels: levels)", "times fewer operations than dense", "agreement with dense, %")
    levels = [str(row["levels"]) for row in slid]
    agreement = [100 * row["agreement"] for row in slid]
    chart.line("graded operations", [row["fewer"] for row in slid], agreement, levels)
    chart.line("single additions", [row["fewer_adds"] for row in slid], agreement, levels)
    chart.bound(f"at least {100 * least:g} %", 100 * least)
    return chart


def _by_clip(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["clip"], []).append(row)
    return found


def _ladders(chart: Chart, rows: Sequence[Row], across: Callable[[Row], float]) -> None:
    for name, found in _by_clip(rows).items():
        chart.line(
            name,
            [across(row) for row in found],
            [100 * row["error"] for row in found],
            [str(row["levels"]) for row in found],
        )
