"""AEDAT 4.0 (DV): packets of FlatBuffers, each compressed by itself; a header in XML says which stream is what.

Layout: `#!AER-DAT4.0\\r\\n`, a size-prefixed table IOHE (compression, position of the file table, XML), then packets of
stream id, size and payload until the file table. Payloads: EVTS structures of 16 bytes; FRME one table; IMUS and TRIG
vectors of tables. Times are us since the epoch. Accelerations are g, rotations deg/s; here they become m/s2 and rad/s.
Frames are grey or, from blue-green-red, red-green-blue, 8 bits a channel: of 16 bits the upper ones are kept.
A frame's time is the middle of its exposure; it is written up to a frame period later than that, hence the slack.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, ClassVar
from xml.etree import ElementTree

import lz4.frame
import numpy as np
import zstandard
from numpy.typing import NDArray

from runtime.core.errors import FormatError
from runtime.core.topic import TRIGGER
from sensors.formats import flatbuffer
from sensors.formats.reader import Chunk, Times, dvs_events, microseconds, refuse_outside
from sensors.formats.timemerge import TimeMerge
from sensors.formats.units import DEG, STANDARD_GRAVITY

MAGIC = b"#!AER-DAT4.0\r\n"
EVENT = np.dtype([("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("on", "u1"), ("pad", "V3")])
FRAME_FORMATS = {0: ("u1", ()), 2: ("<u2", ()), 16: ("u1", (3,)), 24: ("u1", (4,))}
NAMES = {"EVTS": ("events",), "FRME": ("frames",), "IMUS": ("gyro", "accel"), "TRIG": ("triggers",)}
COMPRESSIONS = ("none", "lz4", "lz4", "zstd", "zstd")
MOST_BYTES = 64 << 20
LONGEST_HEADER = 4 << 20
SLACK = 100_000_000

Item = tuple[str, Times, NDArray[Any]]


class Aedat4Reader:
    """Reads all streams of one file."""

    format: ClassVar[str] = "aedat4"
    axes = "-z,x,-y"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.unordered = 0
        with path.open("rb") as file:
            head = file.read(len(MAGIC) + 4)
            size = int.from_bytes(head[len(MAGIC) :], "little")
            if len(head) < len(MAGIC) + 4 or size > LONGEST_HEADER:
                raise FormatError(path, f"header of {size} bytes, expected at most {LONGEST_HEADER}", len(MAGIC))
            header = head[len(MAGIC) :] + file.read(size)
        self._begin = len(MAGIC) + 4 + size
        self._size = path.stat().st_size
        if self._begin > self._size:
            raise FormatError(path, f"cut off inside the header: {self._size} of {self._begin} bytes", self._size)
        try:
            table = flatbuffer.root(header)
            compression = table.scalar(0, "i", 0)
            end = table.scalar(1, "q", -1)
            info = table.raw(2, 1).decode("utf-8", "replace")
        except flatbuffer.Damaged as damage:
            raise FormatError(path, f"damaged header: {damage}", len(MAGIC)) from None
        if not 0 <= compression < len(COMPRESSIONS):
            raise FormatError(path, f"compression {compression}, expected 0 to {len(COMPRESSIONS) - 1}", len(MAGIC))
        self.compression = COMPRESSIONS[compression]
        self._end = self._size if end < 0 else end
        if not self._begin <= self._end <= self._size:
            raise FormatError(path, f"file table at {end}, expected {self._begin} to {self._size}", len(MAGIC))
        self._kinds, sizes = _described(path, info)
        self.streams: tuple[str, ...] = tuple(name for kind in NAMES if kind in sizes for name in NAMES[kind])
        self.extent: tuple[int, int] | None = sizes.get("EVTS")
        self.frame_shape = self._first_frame_shape(sizes) if "FRME" in sizes else None

    def chunks(self, wanted: frozenset[str] | None = None) -> Iterator[Chunk]:
        merge = TimeMerge(SLACK)
        for stream, t, data in self._items(frozenset(self.streams) if wanted is None else wanted):
            yield from merge.push(stream, t, data)
            self.unordered = merge.unordered
        yield from merge.finish()

    def _items(self, wanted: frozenset[str]) -> Iterator[Item]:
        """Decoded packets in the order of the file."""
        with self.path.open("rb") as file:
            for offset, kind, payload in self._packets(file, wanted):
                try:
                    yield from self._decoded(kind, payload, offset, wanted)
                except flatbuffer.Damaged as damage:
                    raise FormatError(self.path, f"damaged {kind} packet: {damage}", offset) from None

    def _packets(self, file: BinaryIO, wanted: frozenset[str]) -> Iterator[tuple[int, str, bytes]]:
        """(offset, kind, decompressed payload) of the packets that hold wanted streams."""
        offset = self._begin
        file.seek(offset)
        while offset < self._end:
            head = file.read(8)
            stream = int.from_bytes(head[:4], "little", signed=True)
            size = int.from_bytes(head[4:], "little", signed=True)
            if len(head) < 8 or not 0 <= size <= self._end - offset - 8:
                raise FormatError(self.path, f"packet of {size} bytes, {self._end - offset - 8} are left", offset)
            if stream not in self._kinds:
                raise FormatError(self.path, f"packet of stream {stream}, expected {sorted(self._kinds)}", offset)
            kind = self._kinds[stream]
            if wanted.isdisjoint(NAMES.get(kind, ())):
                file.seek(size, 1)
            else:
                payload = self._decompressed(file.read(size), offset)
                if payload[8:12] != kind.encode():
                    raise FormatError(self.path, f"payload is {payload[8:12]!r}, the header says {kind}", offset)
                yield offset, kind, payload
            offset += 8 + size

    def _decompressed(self, packed: bytes, offset: int) -> bytes:
        try:
            if self.compression == "lz4":
                unpacker = lz4.frame.LZ4FrameDecompressor()
                payload: bytes = unpacker.decompress(packed, max_length=MOST_BYTES)
                whole = unpacker.eof
            elif self.compression == "zstd":
                with zstandard.ZstdDecompressor(max_window_size=MOST_BYTES).stream_reader(packed) as reader:
                    payload = reader.read(MOST_BYTES)
                whole = len(payload) < MOST_BYTES
            else:
                payload, whole = packed, True
        except (RuntimeError, MemoryError, zstandard.ZstdError) as error:
            raise FormatError(self.path, f"{self.compression} packet does not unpack: {error}", offset) from None
        if not whole:
            raise FormatError(
                self.path, f"{self.compression} packet unpacks to over {MOST_BYTES} bytes or is cut", offset
            )
        return payload

    def _decoded(self, kind: str, payload: bytes, offset: int, wanted: frozenset[str]) -> Iterator[Item]:
        table = flatbuffer.root(payload)
        if kind == "EVTS":
            rows = np.frombuffer(table.raw(0, EVENT.itemsize), EVENT)
            x, y = rows["x"].astype(np.uint16), rows["y"].astype(np.uint16)
            refuse_outside(self.path, x, y, self.extent, offset)
            yield "events", microseconds(self.path, rows["t"], offset), dvs_events(x, y, rows["on"] != 0)
        elif kind == "FRME":
            t, image = self._frame(table, offset)
            if self.frame_shape is not None and image.shape != self.frame_shape:
                raise FormatError(self.path, f"frame of shape {image.shape}, the first was {self.frame_shape}", offset)
            yield "frames", t, image[None]
        elif kind == "IMUS":
            samples = table.tables(0)
            t = microseconds(self.path, samples.column(0, "<i8"), offset)
            for stream, field, scale in (("accel", 2, STANDARD_GRAVITY), ("gyro", 5, DEG)):
                if stream in wanted:
                    axes = [samples.column(field + i, "<f4").astype(np.float64) for i in range(3)]
                    vectors = (np.stack(axes, axis=1) * scale).astype(np.float32)
                    if not np.isfinite(vectors).all():
                        raise FormatError(self.path, f"{stream} sample is not finite", offset)
                    yield stream, t, vectors
        elif kind == "TRIG":
            samples = table.tables(0)
            triggers = np.zeros(len(samples), TRIGGER)
            triggers["source"] = samples.column(1, "u1")
            yield "triggers", microseconds(self.path, samples.column(0, "<i8"), offset), triggers

    def _frame(self, table: flatbuffer.Table, offset: int) -> tuple[Times, NDArray[Any]]:
        code, width, height = table.scalar(5, "b", 0), table.scalar(6, "h", 0), table.scalar(7, "h", 0)
        if code not in FRAME_FORMATS or width <= 0 or height <= 0:
            raise FormatError(self.path, f"frame of format {code}, {width}x{height}", offset)
        element, channels = FRAME_FORMATS[code]
        shape = (height, width, *channels)
        pixels = table.raw(10, 1)
        expected = int(np.prod(shape)) * np.dtype(element).itemsize
        if len(pixels) != expected:
            raise FormatError(self.path, f"frame of {len(pixels)} bytes, expected {expected} for {shape}", offset)
        begin, end = table.scalar(3, "q", 0), table.scalar(4, "q", 0)
        t = (begin + end) // 2 if 0 < begin <= end else table.scalar(0, "q", 0)
        image = np.frombuffer(pixels, element).reshape(shape)
        if element == "<u2":
            image = (image >> 8).astype(np.uint8)
        elif channels:
            image = np.ascontiguousarray(image[..., 2::-1])
        return microseconds(self.path, np.array([min(max(t, -(2**62)), 2**62)]), offset), image

    def _first_frame_shape(self, sizes: dict[str, tuple[int, int] | None]) -> tuple[int, ...] | None:
        """Of the first frame in the file: the XML does not tell grey from colour."""
        with self.path.open("rb") as file:
            for offset, _, payload in self._packets(file, frozenset({"frames"})):
                try:
                    return self._frame(flatbuffer.root(payload), offset)[1].shape
                except flatbuffer.Damaged as damage:
                    raise FormatError(self.path, f"damaged FRME packet: {damage}", offset) from None
        return sizes["FRME"]


def _described(path: Path, info: str) -> tuple[dict[int, str], dict[str, tuple[int, int] | None]]:
    """({stream id: kind}, {kind: (height, width) or None}) as the XML tells. The first stream of a kind counts."""
    text = info.rstrip("\0")
    if "<!" in text:
        raise FormatError(path, "the header's XML declares entities, expected none", len(MAGIC))
    try:
        nodes = ElementTree.fromstring(text).findall("./node[@name='outInfo']/node")
    except ElementTree.ParseError as error:
        raise FormatError(path, f"the header's XML does not parse: {error}", len(MAGIC)) from None
    kinds: dict[int, str] = {}
    sizes: dict[str, tuple[int, int] | None] = {}
    for node in nodes:
        name, kind = node.get("name", ""), node.findtext("./attr[@key='typeIdentifier']", "")
        if not re.fullmatch(r"[0-9]{1,9}", name):
            raise FormatError(path, f"stream id {name!r}, expected a number", len(MAGIC))
        size = [node.findtext(f"./node[@name='info']/attr[@key='{key}']", "") for key in ("sizeY", "sizeX")]
        kinds[int(name)] = kind if kind not in sizes else "again"
        if all(re.fullmatch(r"[0-9]{1,5}", number) for number in size):
            sizes.setdefault(kind, (int(size[0]), int(size[1])))
        else:
            sizes.setdefault(kind, None)
    if not set(NAMES) & set(sizes):
        raise FormatError(path, f"holds streams of {sorted(sizes)}, expected some of {', '.join(NAMES)}", len(MAGIC))
    if "EVTS" in sizes and sizes["EVTS"] is None:
        raise FormatError(path, "the header gives its events no size", len(MAGIC))
    return kinds, sizes
