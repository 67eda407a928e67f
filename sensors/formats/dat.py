"""Prophesee DAT, version 2: a text header, a byte of type and one of size, then 8 bytes an event, little-endian.

An event is its time in us (32 bits, wraps), x (14 bits), y (14) and polarity (4).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np

from runtime.core.errors import FormatError
from sensors.formats.prophesee import Header
from sensors.formats.reader import Chunk, TimeOrder, Unwrap, dvs_events, records, refuse_outside

RECORD = np.dtype([("t", "<u4"), ("address", "<u4")])
EVENT_TYPES = (0x00, 0x0C)


class DatReader:
    """Reads one file."""

    format: ClassVar[str] = "dat"
    streams: tuple[str, ...] = ("events",)
    frame_shape: tuple[int, ...] | None = None
    axes = ""

    def __init__(self, path: Path, header: Header, extent: tuple[int, int] | None) -> None:
        self.path = path
        self.unordered = 0
        version = header.fields.get("version", "1")
        if version != "2":
            raise FormatError(path, f"DAT version {version}, expected 2", 0)
        with path.open("rb") as file:
            file.seek(header.end)
            shape = file.read(2)
        if len(shape) < 2 or shape[0] not in EVENT_TYPES or shape[1] != RECORD.itemsize:
            raise FormatError(path, f"events of type and size {list(shape)}, expected [0 or 12, 8]", header.end)
        self._begin = header.end + 2
        width, height = header.fields.get("width", ""), header.fields.get("height", "")
        self.extent = (int(height), int(width)) if width.isdecimal() and height.isdecimal() else extent

    def chunks(self, wanted: frozenset[str] | None = None) -> Iterator[Chunk]:
        if wanted is not None and "events" not in wanted:
            return
        order, clock = TimeOrder(), Unwrap(32)
        with self.path.open("rb") as file:
            for offset, rows in records(self.path, file, RECORD, self._begin):
                address = rows["address"]
                x, y, on = address & 0x3FFF, (address >> 14) & 0x3FFF, address >> 28
                refuse_outside(self.path, x, y, self.extent, offset)
                if int(on.max()) > 1:
                    i = int(np.argmax(on > 1))
                    raise FormatError(self.path, f"polarity {on[i]}, expected 0 or 1", offset + RECORD.itemsize * i)
                t = clock.extend(rows["t"].astype(np.int64))
                t, events = order.mend(t * 1000, dvs_events(x, y, on))
                self.unordered = order.unordered + clock.restarts
                yield Chunk("events", t, events, int(t[-1]))
