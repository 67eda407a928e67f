"""The one shape every event file is read through: chunks of one stream at a time, in time order, in bounded memory.

Times are int64 ns as the file tells them (its own epoch). Where a file's times run backwards the events of a chunk are
sorted (stably) and those older than the chunk before are moved up to its end; `unordered` counts the backward steps.
Streams and the data of one item: `events` DVS, `frames` one image, `gyro` rad/s and `accel` m/s2 `<f4 (n, 3)` in the
device's own axes, `triggers` TRIGGER.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from runtime.core.errors import FormatError
from runtime.core.topic import DVS

Times = NDArray[np.int64]

LAST_US = 2**52
"""Times beyond 142 years in microseconds are damage: they would overflow ns."""

RESTART_US = 1_000_000

CHUNK_BYTES = 1 << 17


class Chunk(NamedTuple):
    """Items of one stream, oldest first. No item of any stream before `until` follows in a later chunk."""

    stream: str
    t: Times
    data: NDArray[Any]
    until: int


class EventReader(Protocol):
    """A file opened for reading: its header is known, its items come from `chunks`."""

    format: ClassVar[str]

    @property
    def path(self) -> Path: ...

    @property
    def streams(self) -> tuple[str, ...]:
        """The streams the file may hold, of events, frames, gyro, accel, triggers."""

    @property
    def extent(self) -> tuple[int, int] | None:
        """(height, width) of the addresses, or None where the header does not say."""

    @property
    def frame_shape(self) -> tuple[int, ...] | None:
        """Shape of one frame, where the file has frames and its header says."""

    @property
    def axes(self) -> str:
        """How the device's axes make REP-103's: a mapping as `sensors.axes` reads it."""

    @property
    def unordered(self) -> int:
        """How many times ran backwards so far."""

    def chunks(self, wanted: frozenset[str] | None = None) -> Iterator[Chunk]:
        """All items from the beginning, of the wanted streams. Raises FormatError where the file is damaged."""


class TimeOrder:
    """Makes the times of one stream never decrease, chunk after chunk, and counts what it had to mend."""

    def __init__(self) -> None:
        self.unordered = 0
        self.last = -(2**62)

    def mend(self, t: Times, data: NDArray[Any]) -> tuple[Times, NDArray[Any]]:
        if not len(t):
            return t, data
        backwards = int(np.count_nonzero(t[1:] < t[:-1])) + int(t[0] < self.last)
        if backwards:
            self.unordered += backwards
            order = np.argsort(t, kind="stable")
            t, data = np.maximum(t[order], self.last), data[order]
        self.last = int(t[-1])
        return t, data


class Unwrap:
    """Times in us of a counter of `bits` bits, made to run on.

    A step back by more than half its range is a wrap. One by more than a second is a restart of the device's counter:
    time goes on from the event before it. `restarts` counts those.
    """

    def __init__(self, bits: int) -> None:
        self._period = 1 << bits
        self._base = 0
        self._last: int | None = None
        self.restarts = 0

    def extend(self, raw: Times) -> Times:
        if not len(raw):
            return raw
        before = int(raw[0]) if self._last is None else self._last
        steps = np.diff(raw, prepend=before)
        self._last = int(raw[-1])
        back = steps < -RESTART_US
        if not back.any():
            return raw + self._base
        wraps = steps < -(self._period // 2)
        self.restarts += int(np.count_nonzero(back & ~wraps))
        forward = np.cumsum(np.where(wraps, self._period, np.where(back, -steps, 0)))
        t: Times = raw + self._base + forward
        self._base += int(forward[-1])
        return t


def together(parts: Mapping[str, tuple[Times, NDArray[Any]]], until: int) -> Iterator[Chunk]:
    """Items of several streams that span the same time, as chunks: the one that begins first comes first."""
    filled = sorted(((int(t[0]), stream) for stream, (t, _) in parts.items() if len(t)))
    for i, (_, stream) in enumerate(filled):
        yield Chunk(stream, *parts[stream], until if i == len(filled) - 1 else filled[0][0])


def records(path: Path, stream: BinaryIO, dtype: np.dtype[Any], offset: int) -> Iterator[tuple[int, NDArray[Any]]]:
    """(byte offset, array) of fixed-size records from `offset` to the end of the file."""
    stream.seek(offset)
    per_chunk = max(CHUNK_BYTES // dtype.itemsize, 1) * dtype.itemsize
    while block := stream.read(per_chunk):
        whole = len(block) - len(block) % dtype.itemsize
        if whole:
            yield offset, np.frombuffer(block, dtype, count=whole // dtype.itemsize)
        if whole != len(block):
            raise FormatError(
                path, f"cut off inside a record: {len(block) - whole} of {dtype.itemsize} bytes", offset + whole
            )
        offset += len(block)


def dvs_events(x: NDArray[Any], y: NDArray[Any], on: NDArray[Any]) -> NDArray[Any]:
    """Columns as one array of DVS events."""
    events = np.empty(len(x), DVS)
    events["x"], events["y"], events["on"] = x, y, on
    return events


def outside(x: NDArray[Any], y: NDArray[Any], extent: tuple[int, int] | None) -> int | None:
    """Index of the first address that lies outside `extent`, or None."""
    if extent is None or not len(x):
        return None
    height, width = extent
    if int(x.max()) < width and int(y.max()) < height:
        return None
    return int(np.argmax((x >= width) | (y >= height)))


def refuse_outside(
    path: Path, x: NDArray[Any], y: NDArray[Any], extent: tuple[int, int] | None, offset: int | None
) -> None:
    """Raise FormatError naming the first address outside the sensor; `offset` is that of the chunk."""
    if (i := outside(x, y, extent)) is not None and extent is not None:
        got, expected = f"x={x[i]}, y={y[i]}", f"{extent[1]}x{extent[0]}"
        raise FormatError(path, f"event {i} of the chunk is at {got}, outside the sensor's {expected}", offset)


def microseconds(path: Path, t_us: Times, offset: int | None) -> Times:
    """Times in ns, or FormatError where they cannot be times."""
    if len(t_us) and (int(t_us.min()) < -LAST_US or int(t_us.max()) > LAST_US):
        raise FormatError(path, f"time {int(t_us[np.argmax(np.abs(t_us))])} us is out of range", offset)
    return t_us * 1000
