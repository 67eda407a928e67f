"""Event Stream (.es), version 2, DVS events: a byte of time step and polarity, then x and y, 16 bits each.

A first byte of 254 or 255 is an overflow: 127 us pass and nothing else follows. Rows count from the bottom in the file.
Where each item begins depends on all before it. The chain is followed by doubling: from the items known so far, a
jump of as many items again, then the jump table is composed with itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from runtime.core.errors import FormatError
from sensors.formats.reader import CHUNK_BYTES, Chunk, TimeOrder, dvs_events, refuse_outside

MAGIC = b"Event Stream"
HEADER_BYTES = 20
KINDS = ("generic", "DVS", "ATIS", "asynchronous and frame", "color")
OVERFLOW, OVERFLOW_US = 254, 127
EVENT_BYTES = 5


class EsReader:
    """Reads one file."""

    format: ClassVar[str] = "es"
    streams: tuple[str, ...] = ("events",)
    frame_shape: tuple[int, ...] | None = None
    axes = ""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.unordered = 0
        with path.open("rb") as file:
            head = file.read(HEADER_BYTES)
        if len(head) < 16 or head[12] != 2:
            raise FormatError(path, f"Event Stream version {list(head[12:15])}, expected 2", 12)
        if head[15] != 1:
            kind = KINDS[head[15]] if head[15] < len(KINDS) else f"type {head[15]}"
            raise FormatError(path, f"holds {kind} events, expected DVS", 15)
        if len(head) < HEADER_BYTES:
            raise FormatError(path, "cut off inside the header", len(head))
        width, height = (int.from_bytes(head[i : i + 2], "little") for i in (16, 18))
        self.extent: tuple[int, int] | None = (height, width)

    def chunks(self, wanted: frozenset[str] | None = None) -> Iterator[Chunk]:
        if wanted is not None and "events" not in wanted:
            return
        assert self.extent is not None
        order, t_us, rest, offset = TimeOrder(), 0, b"", HEADER_BYTES
        with self.path.open("rb") as file:
            file.seek(HEADER_BYTES)
            while block := file.read(CHUNK_BYTES):
                block = rest + block
                b = np.frombuffer(block, np.uint8)
                items, end = _items(b)
                first = b[items]
                overflow = first >= OVERFLOW
                t = t_us + np.cumsum(np.where(overflow, OVERFLOW_US, first >> 1).astype(np.int64))
                t_us = int(t[-1]) if len(t) else t_us
                at = items[~overflow]
                x = b[at + 1] | b[at + 2].astype(np.int64) << 8
                y = b[at + 3] | b[at + 4].astype(np.int64) << 8
                refuse_outside(self.path, x, y, self.extent, offset)
                events = dvs_events(x, self.extent[0] - 1 - y, b[at] & 1)
                t, events = order.mend(t[~overflow] * 1000, events)
                rest = block[end:]
                offset += end
                if len(t):
                    yield Chunk("events", t, events, int(t[-1]))
        if rest:
            raise FormatError(self.path, f"cut off inside an event: {len(rest)} of {EVENT_BYTES} bytes", offset)


def _items(b: NDArray[np.uint8]) -> tuple[NDArray[np.int64], int]:
    """(where items that are whole begin, where the first that is not begins)."""
    n = len(b)
    size = np.where(b >= OVERFLOW, 1, EVENT_BYTES)
    step = np.arange(n) + size
    after = np.append(np.where(step <= n, step, n + 1), (n, n + 1))
    # n: the end; n + 1: past it. Both lead to themselves
    known = np.zeros(1, np.int64)
    jump = after
    while int(known[-1]) < n:
        known = np.concatenate((known, jump[known]))
        jump = jump[jump]
    begins = known[known < n]
    whole = begins[after[begins] <= n]
    return whole, int(after[whole[-1]]) if len(whole) else 0
