"""Prophesee RAW, EVT 3.0: words of 16 bits, little-endian, the type in the top four bits; the rest is state.

Types: 0 sets y; 2 is an event at x (11 bits, then polarity); 3 sets the x and polarity of vectors; 4 and 5 are
vectors of 12 and 8 events from that x on, which they move along; 6 and 8 set the lower and upper 12 bits of the time
in us; 10 is an external trigger; 7, 14 and 15 are others. The time wraps at 2^24 us. Events before the first upper
time word have no time and are skipped.

Every event word becomes a row (x, y, polarity, time, bits), state by forward filling; the set bits of all rows, row by
row, are the events.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from runtime.core.errors import FormatError
from sensors.formats.prophesee import Header
from sensors.formats.reader import Chunk, TimeOrder, Unwrap, dvs_events, records, refuse_outside

SET_Y, EVENT, SET_X, VECTOR_12, VECTOR_8, TIME_LOW, TIME_HIGH = 0, 2, 3, 4, 5, 6, 8
KNOWN = np.isin(np.arange(16), (SET_Y, EVENT, SET_X, VECTOR_12, VECTOR_8, TIME_LOW, 7, TIME_HIGH, 10, 14, 15))
BITS = np.arange(12)


class Evt3Reader:
    """Reads the events of one file."""

    format: ClassVar[str] = "evt3"
    streams: tuple[str, ...] = ("events",)
    frame_shape: tuple[int, ...] | None = None
    axes = ""

    def __init__(self, path: Path, header: Header, extent: tuple[int, int] | None) -> None:
        self.path = path
        self.extent = extent
        self.unordered = 0
        self._begin = header.end

    def chunks(self, wanted: frozenset[str] | None = None) -> Iterator[Chunk]:
        if wanted is not None and "events" not in wanted:
            return
        order, clock = TimeOrder(), Unwrap(24)
        y = low = base = 0
        high = -1
        with self.path.open("rb") as file:
            for offset, words in records(self.path, file, np.dtype("<u2"), self._begin):
                kind, value = words >> 12, (words & 0xFFF).astype(np.int64)
                if not KNOWN[kind].all():
                    i = int(np.argmin(KNOWN[kind]))
                    raise FormatError(self.path, f"word of type {kind[i]}, which EVT 3.0 has not", offset + 2 * i)
                highs = _filled(kind == TIME_HIGH, value, high)
                lows = _filled((kind == TIME_LOW) | (kind == TIME_HIGH), np.where(kind == TIME_LOW, value, 0), low)
                ys = _filled(kind == SET_Y, value, y)
                moved = np.cumsum(np.where(kind == VECTOR_12, 12, np.where(kind == VECTOR_8, 8, 0)))
                moved -= np.where(kind == VECTOR_12, 12, np.where(kind == VECTOR_8, 8, 0))
                bases = _filled(kind == SET_X, value - moved, base)
                high, low, y = int(highs[-1]), int(lows[-1]), int(ys[-1])
                base = int(bases[-1] + moved[-1]) + {VECTOR_12: 12, VECTOR_8: 8}.get(int(kind[-1]), 0)
                rows = np.flatnonzero(((kind == EVENT) | (kind == VECTOR_12) | (kind == VECTOR_8)) & (highs >= 0))
                kind, value = kind[rows], value[rows]
                start = np.where(kind == EVENT, value, bases[rows] + moved[rows])
                bits = np.where(kind == EVENT, 1, np.where(kind == VECTOR_8, value & 0xFF, value))
                row, bit = np.nonzero((bits[:, None] >> BITS) & 1)
                x = (start[row] & 0x7FF) + bit
                y_of = ys[rows][row] & 0x7FF
                refuse_outside(self.path, x, y_of, self.extent, offset)
                t = clock.extend((highs[rows] << 12 | lows[rows])[row])
                t, events = order.mend(t * 1000, dvs_events(x, y_of, start[row] >> 11 & 1))
                self.unordered = order.unordered + clock.restarts
                if len(t):
                    yield Chunk("events", t, events, int(t[-1]))


def _filled(here: NDArray[np.bool_], values: NDArray[Any], before: int) -> NDArray[np.int64]:
    """At each word the value of the latest word `here`, or `before` where the chunk has had none."""
    latest = np.maximum.accumulate(np.where(here, np.arange(len(here)), -1))
    return np.where(latest >= 0, values[latest], before)
