"""Charts as SVG, in Python alone: lines and points over linear or logarithmic axes, one or several to a page.

    chart = Chart("Error against work", "operations a frame", "error %", log_x=True)
    chart.line("carphone", graded, error, ["8", "16", "32"])
    page([chart, another])

A name has one colour and one marker on all of a page.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise

from runtime.bench.axes import axis, number

WIDTH, HEIGHT = 480, 320
"""Of a chart, without its legend."""
LEFT, RIGHT, TOP, BOTTOM = 62, 18, 40, 46
FONT, SMALL, TITLE = 11, 10, 14
LEGEND_ROW, GAP = 18, 16
RADIUS = 3.6
INK, MUTED, GRID, PAPER = "#24292f", "#57606a", "#e6e8eb", "#ffffff"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a4fa3", "#5f6a72")
"""Told apart by people who see fewer colours (after Okabe & Ito)."""
SYMBOLS = ("circle", "square", "diamond", "triangle")
Box = tuple[float, float, float, float]
"""left, top, right, bottom"""
Segment = tuple[tuple[float, float], tuple[float, float]]


@dataclass(frozen=True)
class Series:
    """Points of one name; `joined` by a line or not."""

    name: str
    xs: tuple[float, ...]
    ys: tuple[float, ...]
    labels: tuple[str, ...]
    joined: bool


@dataclass
class Chart:
    """What to draw; every call adds to it."""

    title: str
    x_label: str
    y_label: str
    log_x: bool = False
    log_y: bool = False
    series: list[Series] = field(default_factory=list)
    bounds: list[tuple[str, float]] = field(default_factory=list)

    def line(self, name: str, xs: Sequence[float], ys: Sequence[float], labels: Sequence[str] = ()) -> None:
        """Points joined in their order, each with a label where there are any."""
        self._add(name, xs, ys, labels, True)

    def points(self, name: str, xs: Sequence[float], ys: Sequence[float], labels: Sequence[str] = ()) -> None:
        """Points on their own, each with a label where there are any."""
        self._add(name, xs, ys, labels, False)

    def bound(self, name: str, y: float) -> None:
        """A dashed line across: a target."""
        self._check(f"bound {name}", (), (y,))
        self.bounds.append((name, float(y)))

    def svg(self) -> str:
        """The chart as a document of its own."""
        return page([self])

    def _add(self, name: str, xs: Sequence[float], ys: Sequence[float], labels: Sequence[str], joined: bool) -> None:
        across, up = tuple(map(float, xs)), tuple(map(float, ys))
        if len(across) != len(up) or (labels and len(labels) != len(up)):
            raise ValueError(
                f"chart {self.title!r}, {name}: {len(across)} x, {len(up)} y, {len(labels)} labels; expected as many"
            )
        self._check(name, across, up)
        self.series.append(Series(name, across, up, tuple(labels), joined))

    def _check(self, name: str, xs: tuple[float, ...], ys: tuple[float, ...]) -> None:
        for which, values, log in (("x", xs, self.log_x), ("y", ys, self.log_y)):
            for value in values:
                if not math.isfinite(value) or (log and value <= 0):
                    expected = "above 0 on a logarithmic axis" if log else "finite"
                    raise ValueError(f"chart {self.title!r}, {name}: {which} is {value}, expected {expected}")


def page(charts: Sequence[Chart], columns: int = 2) -> str:
    """The charts as one document, row by row."""
    if not charts:
        raise ValueError("a page of no charts, expected at least one")
    style = {name: k for k, name in enumerate(dict.fromkeys(s.name for chart in charts for s in chart.series))}
    columns = min(columns, len(charts))
    rows = [charts[k : k + columns] for k in range(0, len(charts), columns)]
    parts: list[str] = []
    top = GAP
    for row in rows:
        for k, chart in enumerate(row):
            left = GAP + k * (WIDTH + GAP)
            parts += [f'<g transform="translate({left} {top})">', *_drawn(chart, style), "</g>"]
        top += HEIGHT + max(_legend_rows(chart) for chart in row) * LEGEND_ROW + GAP + 4
    width = GAP + columns * (WIDTH + GAP)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top}" width="{width}" height="{top}" '
        f'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif" font-size="{FONT}" '
        f'fill="{INK}">'
    )
    return "\n".join([head, f'<rect width="{width}" height="{top}" fill="{PAPER}"/>', *parts, "</svg>"]) + "\n"


def _drawn(chart: Chart, style: dict[str, int]) -> list[str]:
    if not chart.series:
        raise ValueError(f"chart {chart.title!r} has no points")
    across = axis((x for s in chart.series for x in s.xs), chart.log_x)
    up = axis([y for s in chart.series for y in s.ys] + [y for _, y in chart.bounds], chart.log_y)
    inner_w, inner_h = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def at(x: float, y: float) -> tuple[float, float]:
        return LEFT + across.share(x) * inner_w, TOP + (1 - up.share(y)) * inner_h

    parts = [_text(LEFT, 18, chart.title, size=TITLE, weight=600)]
    for tick in across.ticks:
        x, _ = at(tick, up.low)
        parts.append(_segment(x, TOP, x, TOP + inner_h, GRID))
        parts.append(_text(x, TOP + inner_h + 16, number(tick), anchor="middle", colour=MUTED))
    for tick in up.ticks:
        _, y = at(across.low, tick)
        parts.append(_segment(LEFT, y, LEFT + inner_w, y, GRID))
        parts.append(_text(LEFT - 7, y + 4, number(tick), anchor="end", colour=MUTED))
    parts.append(_segment(LEFT, TOP + inner_h, LEFT + inner_w, TOP + inner_h, MUTED))
    parts.append(_segment(LEFT, TOP, LEFT, TOP + inner_h, MUTED))
    parts.append(_text(LEFT + inner_w / 2, HEIGHT - 10, chart.x_label, anchor="middle"))
    middle = TOP + inner_h / 2
    parts.append(_text(15, middle, chart.y_label, anchor="middle", turned=True))
    for _, y_value in chart.bounds:
        _, y = at(across.low, y_value)
        parts.append(_segment(LEFT, y, LEFT + inner_w, y, MUTED, dashed=True))
    spots = {s: [at(x, y) for x, y in zip(s.xs, s.ys, strict=True)] for s in chart.series}
    taken = [(x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS) for found in spots.values() for x, y in found]
    for s, found in spots.items():
        if s.joined:
            way = " ".join(f"{x:.1f},{y:.1f}" for x, y in found)
            colour = COLOURS[style[s.name] % len(COLOURS)]
            parts.append(f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
    for s, found in spots.items():
        parts += [_marker(style[s.name], x, y) for x, y in found]
    lines = [ends for s, found in spots.items() if s.joined for ends in pairwise(found)]
    for name, y_value in chart.bounds:
        _, y = at(across.low, y_value)
        box = _beside_bound(name, y, taken, lines, inner_w)
        taken.append(box)
        parts.append(_text(box[0], y - 5, name, size=SMALL, colour=MUTED))
    for s, found in spots.items():
        for label, (x, y) in zip(s.labels, found, strict=bool(s.labels)):
            box = _free(label, x, y, taken, lines, inner_w)
            taken.append(box)
            parts.append(_text(box[0], box[3] - 2, label, size=SMALL, colour=MUTED))
    for row, names in enumerate(_legend(chart)):
        left = float(LEFT)
        for name in names:
            y = HEIGHT + row * LEGEND_ROW + 10
            parts += [_marker(style[name], left + 5, y - 4), _text(left + 15, y, name)]
            left += _legend_width(name)
    return parts


def _beside_bound(name: str, y: float, taken: list[Box], lines: list[Segment], inner_w: float) -> Box:
    """A place on a bound for its name: at one of its ends or in the middle, the rightmost that is free."""
    width = _width(name)
    starts = (LEFT + inner_w - 4 - width, LEFT + 6.0, LEFT + (inner_w - width) / 2)
    boxes = [(x, y - 5 - SMALL, x + width, y) for x in starts]
    return min(boxes, key=lambda box: _covered(box, taken, lines))


def _free(label: str, x: float, y: float, taken: list[Box], lines: list[Segment], inner_w: float) -> Box:
    """A place near a point for its label, where it covers least of what is there already."""
    width, height = _width(label), SMALL + 2.0
    offsets = (
        (7, -height / 2), (-width - 7, -height / 2), (-width / 2, -height - 5), (-width / 2, 5),
        (6, -height - 3), (6, 3), (-width - 6, -height - 3), (-width - 6, 3),
        (8, -2 * height), (8, height), (-width - 8, -2 * height), (-width - 8, height),
    )  # fmt: skip

    def cost(box: Box) -> float:
        outside = max(0.0, LEFT - box[0]) + max(0.0, box[2] - LEFT - inner_w)
        outside += max(0.0, TOP - box[1]) + max(0.0, box[3] - HEIGHT + BOTTOM)
        return 20 * outside + _covered(box, taken, lines)

    return min(((x + dx, y + dy, x + dx + width, y + dy + height) for dx, dy in offsets), key=cost)


def _covered(box: Box, taken: list[Box], lines: list[Segment]) -> float:
    """How much a box hides, in square pixels; a line through it counts as 25."""
    return sum(_overlap(box, other) for other in taken) + 25 * sum(_crosses(box, *ends) for ends in lines)


def _overlap(one: Box, other: Box) -> float:
    wide = min(one[2], other[2]) - max(one[0], other[0])
    tall = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, wide) * max(0.0, tall)


def _crosses(box: Box, start: tuple[float, float], end: tuple[float, float]) -> bool:
    """Whether a stretch of line passes through a box (clipped side by side)."""
    low, high = 0.0, 1.0
    for k in (0, 1):
        way = end[k] - start[k]
        near, far = box[k] - start[k], box[k + 2] - start[k]
        if way == 0:
            if near > 0 or far < 0:
                return False
            continue
        first, second = sorted((near / way, far / way))
        low, high = max(low, first), min(high, second)
    return low < high


def _legend(chart: Chart) -> list[list[str]]:
    """The names, row by row, as many as a row holds."""
    rows: list[list[str]] = [[]]
    left = 0.0
    for name in dict.fromkeys(s.name for s in chart.series):
        width = _legend_width(name)
        if rows[-1] and left + width > WIDTH - LEFT:
            rows.append([])
            left = 0.0
        rows[-1].append(name)
        left += width
    return rows


def _legend_rows(chart: Chart) -> int:
    return len(_legend(chart))


def _legend_width(name: str) -> float:
    return 30 + _width(name) * FONT / SMALL


def _width(text: str) -> float:
    """About how wide small text is."""
    return 0.58 * SMALL * len(text)


def _text(
    x: float,
    y: float,
    text: str,
    *,
    anchor: str = "start",
    size: int = FONT,
    weight: int = 400,
    colour: str = INK,
    turned: bool = False,
) -> str:
    turn = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turned else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}" '
        f'fill="{colour}"{turn}>{escape(text)}</text>'
    )


def _segment(x0: float, y0: float, x1: float, y1: float, colour: str, dashed: bool = False) -> str:
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    return f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" stroke="{colour}"{dash}/>'


def _marker(number_of_name: int, x: float, y: float) -> str:
    colour = COLOURS[number_of_name % len(COLOURS)]
    drawn = f'fill="{colour}" stroke="{PAPER}" stroke-width="1"'
    r = RADIUS
    corners: tuple[tuple[float, float], ...]
    match SYMBOLS[(number_of_name + number_of_name // len(COLOURS)) % len(SYMBOLS)]:
        case "circle":
            return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r}" {drawn}/>'
        case "square":
            return f'<rect x="{x - r:.1f}" y="{y - r:.1f}" width="{2 * r}" height="{2 * r}" {drawn}/>'
        case "diamond":
            corners = ((x, y - 1.3 * r), (x + 1.3 * r, y), (x, y + 1.3 * r), (x - 1.3 * r, y))
        case _:
            corners = ((x, y - 1.2 * r), (x + 1.2 * r, y + r), (x - 1.2 * r, y + r))
    way = " ".join(f"{a:.1f},{b:.1f}" for a, b in corners)
    return f'<polygon points="{way}" {drawn}/>'
