"""N-MNIST's 40-bit events (.bin, .bs2): x (8 bits), y (8), polarity (1), time in us (23), big-endian, no header.

The layout of ATIS recordings by Orchard et al. 2015. An event at y = 240 marks an overflow of a 13-bit counter below
the time and carries no address; N-MNIST itself holds none. The time wraps at 2^23 us.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np

from runtime.core.errors import FormatError
from sensors.formats.reader import Chunk, TimeOrder, Unwrap, dvs_events, records, refuse_outside

RECORD = np.dtype(("u1", (5,)))
EXTENT = (34, 34)
OVERFLOW_ROW = 240
OVERFLOW_US = 1 << 13


class NMnistReader:
    """Reads one recording."""

    format: ClassVar[str] = "nmnist"
    streams: tuple[str, ...] = ("events",)
    frame_shape: tuple[int, ...] | None = None
    axes = ""

    def __init__(self, path: Path, extent: tuple[int, int] = EXTENT) -> None:
        self.path = path
        self.extent: tuple[int, int] | None = extent
        self.unordered = 0
        size = path.stat().st_size
        if size == 0 or size % 5:
            raise FormatError(path, f"{size} bytes, expected a positive multiple of 5 (40-bit events)", size - size % 5)

    def chunks(self, wanted: frozenset[str] | None = None) -> Iterator[Chunk]:
        if wanted is not None and "events" not in wanted:
            return
        order, clock, overflow_us = TimeOrder(), Unwrap(23), 0
        with self.path.open("rb") as file:
            for offset, rows in records(self.path, file, RECORD, 0):
                b = rows.astype(np.int64)
                t = clock.extend((b[:, 2] & 0x7F) << 16 | b[:, 3] << 8 | b[:, 4])
                marks = b[:, 1] == OVERFLOW_ROW
                if marks.any():
                    t = t + overflow_us + np.cumsum(marks) * OVERFLOW_US
                    overflow_us += int(np.count_nonzero(marks)) * OVERFLOW_US
                    t, b = t[~marks], b[~marks]
                elif overflow_us:
                    t = t + overflow_us
                x, y = b[:, 0], b[:, 1]
                refuse_outside(self.path, x, y, self.extent, offset)
                t, events = order.mend(t * 1000, dvs_events(x, y, b[:, 2] >> 7))
                self.unordered = order.unordered + clock.restarts
                if len(t):
                    yield Chunk("events", t, events, int(t[-1]))
