"""Where the records of a recording lie: from the summary at its end, or by walking over a file that has none.

The walk reads only lengths and the heads of chunks, so a file of any size takes little memory.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from typing import BinaryIO, TypeVar

from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Attachment, AttachmentIndex, Channel, ChunkIndex, Header, Metadata, MetadataIndex, Statistics
from mcap.writer import MCAP0_MAGIC

from runtime.recording.chunk import HEAD_BYTES, ChunkHead, read_head

_RECORD = struct.Struct("<BQ")
_DATA_END = struct.Struct("<BQI")
_FOOTER = struct.Struct("<BQQQI")
_MAX_RECORD = 2**30
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Span:
    """A record: position of its body in the file, and the body's length."""

    offset: int
    length: int


@dataclass(slots=True)
class Index:
    """Chunks, attachments and metadata of a file in the order in which they were written."""

    profile: str = ""
    chunks: list[ChunkHead] = field(default_factory=list)
    channels: dict[int, Channel] = field(default_factory=dict)
    counts: dict[int, int] | None = None
    attachments: list[Attachment] = field(default_factory=list)
    metadata: list[Metadata] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    has_footer: bool = False
    cut_at: int | None = None
    data_end: int | None = None
    """Position of the record that ends the data and holds its checksum."""
    in_chunk: dict[int, frozenset[int]] = field(default_factory=dict)
    """Data offset of a chunk -> the channels in it, where the summary tells."""


def read_index(file: BinaryIO) -> Index | None:
    """The index from the file's summary; None where there is none, or it does not fit its checksum."""
    size = file.seek(0, os.SEEK_END)
    tail_length = _FOOTER.size + len(MCAP0_MAGIC)
    if size < tail_length + len(MCAP0_MAGIC):
        return None
    file.seek(size - tail_length)
    tail = file.read(tail_length)
    opcode, length, start, _, crc = _FOOTER.unpack_from(tail)
    if tail[-8:] != MCAP0_MAGIC or opcode != Opcode.FOOTER or length != 20 or not 8 <= start < size - tail_length:
        return None
    file.seek(start)
    summary = file.read(size - tail_length - start)
    if zlib.crc32(tail[: _FOOTER.size - 4], zlib.crc32(summary)) != crc:
        return None
    index = _from_summary(file, summary)
    if index is not None:
        index.data_end = start - _DATA_END.size
    return index


def read_data_checksums(file: BinaryIO, data_end: int) -> tuple[int, int]:
    """(checksum over everything before `data_end`, the checksum the file states; 0 where it states none)."""
    file.seek(0)
    got, left = 0, data_end
    while left and (block := file.read(min(left, 2**20))):
        got = zlib.crc32(block, got)
        left -= len(block)
    end = file.read(_DATA_END.size)
    opcode, length, stated = _DATA_END.unpack(end) if len(end) == _DATA_END.size else (0, 0, 0)
    return got, stated if (opcode, length) == (Opcode.DATA_END, 4) else got ^ 1


def walk(file: BinaryIO) -> Index:
    """The index by walking over the records, up to where the file is cut."""
    index = Index()
    size = file.seek(0, os.SEEK_END)
    position = len(MCAP0_MAGIC)
    while True:
        file.seek(position)
        head = file.read(_RECORD.size)
        if len(head) < _RECORD.size:
            index.cut_at = position
            break
        opcode, length = _RECORD.unpack(head)
        body = Span(position + _RECORD.size, length)
        position = body.offset + length
        if opcode == Opcode.CHUNK:
            _walk_chunk(file, body, size, index)
        if opcode not in _KNOWN or position > size:
            index.cut_at = body.offset - _RECORD.size
            break
        if opcode == Opcode.DATA_END:
            index.data_end = body.offset - _RECORD.size
            _walk_end(file, position, size, index)
            break
        _walk_record(file, opcode, body, index)
    if index.cut_at is not None:
        index.problems.append(f"cut at byte {index.cut_at} of {size}: everything before was recovered")
    return index


def _walk_end(file: BinaryIO, position: int, size: int, index: Index) -> None:
    """Every message lies before; what follows is only the summary."""
    tail_length = _FOOTER.size + len(MCAP0_MAGIC)
    tail = _read(file, Span(max(position, size - tail_length), tail_length))
    index.has_footer = len(tail) == tail_length and tail[0] == Opcode.FOOTER and tail[-8:] == MCAP0_MAGIC
    if not index.has_footer:
        index.cut_at = position
    elif size - position > tail_length:
        index.problems.append(f"summary at byte {position} does not fit its checksum: the file was read without it")


_KNOWN = frozenset(int(opcode) for opcode in Opcode)


def _walk_chunk(file: BinaryIO, body: Span, size: int, index: Index) -> None:
    head = read_head(_read(file, Span(body.offset, min(body.length, HEAD_BYTES))), body.offset)
    if head is None:
        if body.offset + body.length <= size:
            index.problems.append(f"chunk at byte {body.offset}: its head cannot be read")
    elif head.data_offset + head.data_length > body.offset + body.length:
        index.problems.append(f"chunk at byte {body.offset}: its data does not fit its record")
    else:
        index.chunks.append(head)


def _walk_record(file: BinaryIO, opcode: int, body: Span, index: Index) -> None:
    if opcode == Opcode.HEADER:
        header = _parse(file, body, Header.read, index.problems)
        index.profile = header.profile if header else ""
    elif opcode == Opcode.METADATA:
        metadata = _parse(file, body, Metadata.read, index.problems)
        index.metadata += [metadata] if metadata else []
    elif opcode == Opcode.ATTACHMENT:
        attachment = _parse(file, body, _read_attachment(body.length), index.problems)
        index.attachments += [attachment] if attachment else []
    elif opcode == Opcode.MESSAGE:
        index.problems.append(f"message at byte {body.offset} lies outside of a chunk and is not read")


def _from_summary(file: BinaryIO, summary: bytes) -> Index | None:
    index = Index(has_footer=True)
    position = 0
    try:
        while position < len(summary):
            opcode, length = _RECORD.unpack_from(summary, position)
            body = ReadDataStream(BytesIO(summary[position + _RECORD.size : position + _RECORD.size + length]))
            position += _RECORD.size + length
            if opcode == Opcode.CHANNEL:
                channel = Channel.read(body)
                index.channels[channel.id] = channel
            elif opcode == Opcode.STATISTICS:
                index.counts = Statistics.read(body).channel_message_counts
            elif opcode == Opcode.CHUNK_INDEX:
                _from_chunk_index(file, ChunkIndex.read(body), index)
            elif opcode == Opcode.ATTACHMENT_INDEX:
                at = AttachmentIndex.read(body)
                span = Span(at.offset + _RECORD.size, at.length - _RECORD.size)
                attachment = _parse(file, span, _read_attachment(span.length), index.problems)
                index.attachments += [attachment] if attachment else []
            elif opcode == Opcode.METADATA_INDEX:
                there = MetadataIndex.read(body)
                span = Span(there.offset + _RECORD.size, there.length - _RECORD.size)
                metadata = _parse(file, span, Metadata.read, index.problems)
                index.metadata += [metadata] if metadata else []
        file.seek(len(MCAP0_MAGIC))
        _, length = _RECORD.unpack(file.read(_RECORD.size))
        header = _parse(file, Span(len(MCAP0_MAGIC) + _RECORD.size, length), Header.read, index.problems)
        index.profile = header.profile if header else ""
    except (McapError, struct.error, ValueError):
        return None
    return index


def _from_chunk_index(file: BinaryIO, told: ChunkIndex, index: Index) -> None:
    at = told.chunk_start_offset + _RECORD.size
    head = read_head(_read(file, Span(at, HEAD_BYTES)), at)
    expected = ChunkHead(
        told.message_start_time,
        told.message_end_time,
        told.uncompressed_size,
        0 if head is None else head.crc,
        told.compression,
        at + HEAD_BYTES - 16 + len(told.compression),
        told.compressed_size,
    )
    if head != expected:
        index.problems.append(
            f"chunk at byte {at}, log times {expected.start} to {expected.end}: its head differs from the index"
        )
    index.chunks.append(expected)
    index.in_chunk[expected.data_offset] = frozenset(told.message_index_offsets)


def _read_attachment(length: int) -> Callable[[ReadDataStream], Attachment]:
    def read(stream: ReadDataStream) -> Attachment:
        body = stream.read(length)
        if len(body) < 4 or zlib.crc32(body[:-4]) != int.from_bytes(body[-4:], "little"):
            raise ValueError("its checksum differs")
        return Attachment.read(ReadDataStream(BytesIO(body)))

    return read


def _parse(file: BinaryIO, span: Span, read: Callable[[ReadDataStream], T], problems: list[str]) -> T | None:
    try:
        if span.length > _MAX_RECORD:
            raise ValueError(f"{span.length} bytes, expected at most {_MAX_RECORD}")
        return read(ReadDataStream(BytesIO(_read(file, span))))
    except (McapError, struct.error, ValueError) as error:
        problems.append(f"record at byte {span.offset} cannot be read: {error or type(error).__name__}")
        return None


def _read(file: BinaryIO, span: Span) -> bytes:
    file.seek(span.offset)
    return file.read(span.length)
