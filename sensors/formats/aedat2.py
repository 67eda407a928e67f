"""AEDAT 2.0 (jAER): a `#` header, then big-endian pairs of address and time in us, 32 bits each.

DVS128: y bits 8-14, x bits 1-7, polarity bit 0 (0 is on); bit 15 marks special events. DAVIS: bit 31 clear is an event
(y bits 22-30, x bits 12-21, polarity bit 11, bit 10 set an external trigger); bit 31 set with bits 10-11 set is a word
of an inertial sample (code bits 28-30: accelerometer x y z, temperature, gyro x y z; value bits 12-27, signed), other
words of that kind are samples of the image converter and are not read. jAER counts x from the right and y from the
bottom of what the lens shows; here the origin is top left.
The file does not hold the inertial unit's ranges; those of jAER's default configuration are taken: 8 g and 1000 deg/s
full scale, that is 4096 LSB/g and 32.8 LSB per deg/s. The time is signed; it wraps at 31 or at 32 bits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from runtime.core.errors import FormatError
from runtime.core.topic import TRIGGER
from sensors.formats.reader import (
    Chunk,
    TimeOrder,
    Times,
    Unwrap,
    dvs_events,
    records,
    refuse_outside,
    together,
)
from sensors.formats.units import DEG, STANDARD_GRAVITY

MAGIC = b"#!AER-DAT2"
RECORD = np.dtype([("address", ">u4"), ("t", ">u4")])
LONGEST_HEADER = 4 << 20
EXTENTS = {"DVS128": (128, 128), "DAVIS240": (180, 240), "DAVIS346": (260, 346)}
ACCEL_LSB_PER_G = 4096.0
GYRO_LSB_PER_DEG_S = 32.8
WORDS_PER_SAMPLE = 7


class Aedat2Reader:
    """Reads one file."""

    format: ClassVar[str] = "aedat2"
    frame_shape: tuple[int, ...] | None = None

    def __init__(self, path: Path) -> None:
        self.path = path
        self.unordered = 0
        self.incomplete_samples = 0
        """Inertial samples of which words are missing; they are left out."""
        self._begin, chip = _header(path)
        self._davis = not chip.startswith("DVS128")
        extent = next((size for name, size in EXTENTS.items() if chip.startswith(name)), None)
        if extent is None:
            raise FormatError(path, f"AEChip is {chip!r}, expected one of {', '.join(EXTENTS)}", 0)
        self.extent: tuple[int, int] | None = extent
        self.streams: tuple[str, ...] = ("events", "gyro", "accel", "triggers") if self._davis else ("events",)
        self.axes = "-z,x,-y" if self._davis else ""

    def chunks(self, wanted: frozenset[str] | None = None) -> Iterator[Chunk]:
        clock = _Clock()
        orders = {stream: TimeOrder() for stream in self.streams}
        words = np.empty(0, np.uint32), np.empty(0, np.int64)
        with self.path.open("rb") as file:
            for offset, rows in records(self.path, file, RECORD, self._begin):
                address, t = rows["address"].astype(np.uint32), clock.extend(rows["t"].astype(np.int64)) * 1000
                if self._davis:
                    words = _append(words, address, t)
                    parts, words = self._davis_parts(address, t, offset, words)
                else:
                    parts = {"events": self._dvs128_events(address, t)}
                parts = {s: orders[s].mend(*part) for s, part in parts.items() if wanted is None or s in wanted}
                self.unordered = clock.restarts + sum(order.unordered for order in orders.values())
                yield from together(parts, max((int(p[0][-1]) for p in parts.values() if len(p[0])), default=0))

    def _dvs128_events(self, address: NDArray[np.uint32], t: Times) -> tuple[Times, NDArray[Any]]:
        address, t = _chosen((address & 0x8000) == 0, address, t)
        x, y = 127 - ((address >> 1) & 0x7F), 127 - ((address >> 8) & 0x7F)
        return t, dvs_events(x, y, 1 - (address & 1))

    def _davis_parts(
        self, address: NDArray[np.uint32], t: Times, offset: int, words: tuple[NDArray[np.uint32], Times]
    ) -> tuple[dict[str, tuple[Times, NDArray[Any]]], tuple[NDArray[np.uint32], Times]]:
        assert self.extent is not None
        height, width = self.extent
        is_event = address >> 31 == 0
        is_trigger = is_event & (address >> 10 & 1 == 1)
        events, t_events = _chosen(is_event & ~is_trigger, address, t)
        x, y = (events >> 12) & 0x3FF, (events >> 22) & 0x1FF
        refuse_outside(self.path, x, y, self.extent, offset)
        samples, t_samples, words = self._samples(*words)
        t_triggers = t[is_trigger]
        return {
            "events": (t_events, dvs_events(width - 1 - x, height - 1 - y, (events >> 11) & 1)),
            "accel": (t_samples, (samples[:, :3] * (STANDARD_GRAVITY / ACCEL_LSB_PER_G)).astype(np.float32)),
            "gyro": (t_samples, (samples[:, 4:] * (DEG / GYRO_LSB_PER_DEG_S)).astype(np.float32)),
            "triggers": (t_triggers, np.zeros(len(t_triggers), TRIGGER)),
        }, words

    def _samples(
        self, words: NDArray[np.uint32], t: Times
    ) -> tuple[NDArray[np.int16], Times, tuple[NDArray[np.uint32], Times]]:
        """Whole inertial samples (n, 7), their times, and the words of one not yet whole."""
        code = (words >> 28) & 7
        begins = np.flatnonzero(code == 0)
        rest = len(words)
        if len(begins) and len(words) - begins[-1] < WORDS_PER_SAMPLE:
            rest = int(begins[-1])
        elif not len(begins) and len(words) < WORDS_PER_SAMPLE:
            rest = 0
        begins = begins[begins < rest]
        begins = begins[begins + WORDS_PER_SAMPLE <= rest]
        rows = begins[:, None] + np.arange(WORDS_PER_SAMPLE)
        whole = (code[rows] == np.arange(WORDS_PER_SAMPLE)).all(axis=1)
        self.incomplete_samples += -(-(rest - int(whole.sum()) * WORDS_PER_SAMPLE) // WORDS_PER_SAMPLE)
        rows = rows[whole]
        values = ((words >> 12) & 0xFFFF).astype(np.uint16).view(np.int16)
        return values[rows], t[rows[:, 0]], (words[rest:], t[rest:])


class _Clock:
    """The signed 32-bit time in us, which some devices wrap at 31 bits, made to run on."""

    def __init__(self) -> None:
        self._base = 0
        self._last: int | None = None
        self._unwrap = Unwrap(32)

    @property
    def restarts(self) -> int:
        return self._unwrap.restarts

    def extend(self, raw: Times) -> Times:
        before = int(raw[0]) if self._last is None else self._last
        steps = np.diff(raw, prepend=before)
        self._last = int(raw[-1])
        # a counter of 31 bits falls from below 2^31 by nearly 2^31: make it look like a whole turn of 32
        half_turns = np.cumsum((steps < -(1 << 30)) & (steps >= -(1 << 31)) & (raw - steps < 1 << 31))
        t = self._unwrap.extend((raw + self._base + (half_turns << 31)) & 0xFFFFFFFF)
        self._base += int(half_turns[-1]) << 31
        return t


def _header(path: Path) -> tuple[int, str]:
    """(where the data begins, the chip's name)."""
    chip, at = "", 0
    with path.open("rb") as file:
        while file.peek(1)[:1] == b"#":
            line = file.readline(LONGEST_HEADER)
            at += len(line)
            if not line.endswith(b"\n") or at > LONGEST_HEADER:
                raise FormatError(path, "the header has no end", at)
            if named := re.match(rb"# AEChip: \S*?(\w+)\s*$", line):
                chip = named[1].decode("ascii", "replace")
            if line.startswith((b"#End Of ASCII Header", b"# End of ASCII Header")):
                break
    return at, chip


def _append(words: tuple[NDArray[np.uint32], Times], address: NDArray[np.uint32], t: Times) -> Any:
    inertial = (address >> 31 == 1) & ((address >> 10) & 3 == 3)
    return np.concatenate((words[0], address[inertial])), np.concatenate((words[1], t[inertial]))


def _chosen(mask: NDArray[np.bool_], address: NDArray[np.uint32], t: Times) -> tuple[NDArray[np.uint32], Times]:
    return address[mask], t[mask]
