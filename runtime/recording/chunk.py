"""One chunk of an MCAP file, taken apart as far as its bytes allow."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO

import lz4.frame
import zstandard
from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Channel

from runtime.recording.layout import MAX_MESSAGE_BYTES

_HEAD = struct.Struct("<QQQII")
_RECORD = struct.Struct("<BQ")
_MESSAGE = struct.Struct("<HIQQ")
_LENGTH = struct.Struct("<Q")
MAX_CHUNK_BYTES = 2 * MAX_MESSAGE_BYTES


@dataclass(frozen=True, slots=True)
class ChunkHead:
    """What a chunk record says of itself, and where in the file its records lie."""

    start: int
    end: int
    size: int
    crc: int
    compression: str
    data_offset: int
    data_length: int


@dataclass(frozen=True, slots=True)
class RawMessage:
    """A message record; `payload` is a view into the chunk."""

    channel_id: int
    sequence: int
    log_time: int
    publish_time: int
    payload: memoryview


@dataclass(slots=True)
class ChunkContent:
    """The records of a chunk, and what is wrong with it."""

    messages: list[RawMessage] = field(default_factory=list)
    channels: list[Channel] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def read_head(head: bytes, offset: int) -> ChunkHead | None:
    """The head of the chunk record whose body begins at file position `offset`; None where `head` is too short."""
    if len(head) < _HEAD.size:
        return None
    start, end, size, crc, name_length = _HEAD.unpack_from(head)
    data_at = _HEAD.size + name_length + _LENGTH.size
    if name_length > 16 or len(head) < data_at:
        return None
    compression = head[_HEAD.size : _HEAD.size + name_length].decode("ascii", "replace")
    (data_length,) = _LENGTH.unpack_from(head, _HEAD.size + name_length)
    return ChunkHead(start, end, size, crc, compression, offset + data_at, data_length)


HEAD_BYTES = _HEAD.size + 16 + _LENGTH.size


def read_content(head: ChunkHead, data: bytes) -> ChunkContent:
    """The chunk's records; a torn chunk (less data than `head` says) gives those that are whole."""
    content = ChunkContent()
    if head.size > MAX_CHUNK_BYTES:
        content.problems.append(f"chunk says it holds {head.size} bytes, expected at most {MAX_CHUNK_BYTES}")
        return content
    torn = len(data) < head.data_length
    try:
        records = _unpack(head, data, torn)
    except (zstandard.ZstdError, RuntimeError, MemoryError, ValueError) as error:
        content.problems.append(f"chunk does not decompress: {error}")
        return content
    if not torn and head.crc and zlib.crc32(records) != head.crc:
        content.problems.append(f"chunk's checksum is {zlib.crc32(records):#010x}, expected {head.crc:#010x}")
    for opcode, body in _split(memoryview(records), torn, content.problems):
        if opcode == Opcode.MESSAGE and len(body) >= _MESSAGE.size:
            channel_id, sequence, log_time, publish_time = _MESSAGE.unpack_from(body)
            content.messages.append(RawMessage(channel_id, sequence, log_time, publish_time, body[_MESSAGE.size :]))
        elif opcode == Opcode.CHANNEL:
            try:
                content.channels.append(Channel.read(ReadDataStream(BytesIO(body))))
            except (McapError, struct.error, ValueError) as error:
                content.problems.append(f"channel record cannot be read: {error or type(error).__name__}")
        elif opcode != Opcode.SCHEMA:
            content.problems.append(f"record of unknown kind {opcode:#04x} inside a chunk")
    return content


def _unpack(head: ChunkHead, data: bytes, torn: bool) -> bytes:
    if head.compression == "":
        return data
    if head.compression == "zstd":
        told = zstandard.get_frame_parameters(data).content_size
        if told != head.size:
            raise ValueError(f"its frame says {told} bytes, the chunk {head.size}")
        if torn:
            return zstandard.ZstdDecompressor().decompressobj().decompress(data)
        return zstandard.decompress(data, head.size)
    if head.compression == "lz4":
        decompressor = lz4.frame.LZ4FrameDecompressor()
        unpacked: bytes = decompressor.decompress(data, max_length=head.size)
        return unpacked
    raise ValueError(f"compression {head.compression!r}, expected zstd, lz4 or none")


def _split(records: memoryview, torn: bool, problems: list[str]) -> Iterator[tuple[int, memoryview]]:
    position = 0
    while position + _RECORD.size <= len(records):
        opcode, length = _RECORD.unpack_from(records, position)
        end = position + _RECORD.size + length
        if end > len(records):
            if not torn:
                problems.append(f"record at byte {position} of the chunk takes {length} bytes, past the chunk's end")
            return
        yield opcode, records[position + _RECORD.size : end]
        position = end
    if position < len(records) and not torn:
        problems.append(f"{len(records) - position} bytes after the chunk's last record")
