"""Prophesee RAW, EVT 2.0: words of 32 bits, little-endian, the type in the top four bits.

Types: 0 and 1 an event off or on (time 6 bits, x 11, y 11), 8 the upper 28 bits of the time, 10 an external trigger,
14 and 15 others. The time is 34 bits of us. Words before the first time word have no time and are skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np

from runtime.core.errors import FormatError
from sensors.formats.prophesee import Header
from sensors.formats.reader import Chunk, TimeOrder, Unwrap, dvs_events, records, refuse_outside

TIME_HIGH = 8
KNOWN = np.isin(np.arange(16), (0, 1, TIME_HIGH, 10, 14, 15))


class Evt2Reader:
    """Reads the events of one file."""

    format: ClassVar[str] = "evt2"
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
        order, clock, high = TimeOrder(), Unwrap(34), -1
        with self.path.open("rb") as file:
            for offset, words in records(self.path, file, np.dtype("<u4"), self._begin):
                kind = words >> 28
                if not KNOWN[kind].all():
                    i = int(np.argmin(KNOWN[kind]))
                    raise FormatError(self.path, f"word of type {kind[i]}, which EVT 2.0 has not", offset + 4 * i)
                # forward fill: index of the latest time word at or before each word, -1 for the chunk before
                latest = np.maximum.accumulate(np.where(kind == TIME_HIGH, np.arange(len(words)), -1))
                highs = np.where(latest >= 0, words[latest] & 0xFFFFFFF, high).astype(np.int64)
                high = int(highs[-1])
                event = (kind <= 1) & (highs >= 0)
                words, kind = words[event], kind[event]
                x, y = (words >> 11) & 0x7FF, words & 0x7FF
                refuse_outside(self.path, x, y, self.extent, offset)
                t = clock.extend(highs[event] << 6 | ((words >> 22) & 0x3F).astype(np.int64))
                t, events = order.mend(t * 1000, dvs_events(x, y, kind))
                self.unordered = order.unordered + clock.restarts
                if len(t):
                    yield Chunk("events", t, events, int(t[-1]))
