"""Events as text: a header naming t with its unit, x, y and p (or `on`, `polarity`), in any order, then a row an event.

Polarity is 1 for brighter and 0 or -1 for darker.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from runtime.core.errors import FormatError
from sensors.formats.reader import Chunk, TimeOrder, dvs_events, refuse_outside
from sensors.formats.table import TIME_NS, Column, read_blocks

TIME_NAMES = ("t", "time", "timestamp", "ts")
POLARITY_NAMES = ("p", "on", "pol", "polarity")


class CsvEventReader:
    """Reads one file."""

    format: ClassVar[str] = "csv"
    streams: tuple[str, ...] = ("events",)
    frame_shape: tuple[int, ...] | None = None
    axes = ""

    def __init__(self, path: Path, columns: Sequence[Column], extent: tuple[int, int] | None) -> None:
        self.path = path
        self.extent = extent
        self.unordered = 0
        self._count = len(columns)
        self._t = find_column(path, columns, TIME_NAMES)
        self._unit = time_unit(path, columns[self._t])
        self._x, self._y = (find_column(path, columns, (name,)) for name in ("x", "y"))
        self._on = find_column(path, columns, POLARITY_NAMES)

    def chunks(self, wanted: frozenset[str] | None = None) -> Iterator[Chunk]:
        if wanted is not None and "events" not in wanted:
            return
        order = TimeOrder()
        for block in read_blocks(self.path, self._count):
            t = block.times(self._t, self._unit)
            x, y, on = (block.integers(column) for column in (self._x, self._y, self._on))
            if int(min(x.min(), y.min())) < 0 or int(max(x.max(), y.max())) > 0xFFFF:
                raise FormatError(self.path, f"an address from line {block.lines[0]} on is not within 0 to 65535")
            if int(on.min()) < -1 or int(on.max()) > 1:
                raise FormatError(self.path, f"a polarity from line {block.lines[0]} on is not -1, 0 or 1")
            refuse_outside(self.path, x, y, self.extent, None)
            t, events = order.mend(t, dvs_events(x, y, (on > 0).astype(np.uint8)))
            self.unordered = order.unordered
            yield Chunk("events", t, events, int(t[-1]))


def find_column(path: Path, columns: Sequence[Column], names: Sequence[str]) -> int:
    """Index of the one column with one of the names."""
    found = [i for i, column in enumerate(columns) if column.name in names]
    if len(found) != 1:
        got = ", ".join(column.name for column in columns)
        raise FormatError(path, f"columns are {got[:200]}; expected one of {' or '.join(names)}", 0)
    return found[0]


def time_unit(path: Path, column: Column) -> str:
    """The unit of a time column, which must be named: a guess would be wrong by thousands."""
    if column.unit not in TIME_NS:
        raise FormatError(path, f"column {column.name!r} has unit {column.unit!r}, expected {', '.join(TIME_NS)}", 0)
    return column.unit
