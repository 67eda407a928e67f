"""Writes a recording from a thread of its own, so that the control loop only ever appends to a bounded queue.

What does not fit the queue is a gap: counted per channel, written in-band where it happened, and the file is marked
incomplete. A chunk is finished and brought to the disk at least every `flush_s`; a kill costs at most that much.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from mcap.data_stream import RecordBuilder
from mcap.records import DataEnd, Footer, Metadata
from mcap.writer import MCAP0_MAGIC, CompressionType, Writer

from runtime.codec import encode_map, encode_packet
from runtime.core.clock import SECOND, MonotonicClock
from runtime.core.errors import PacketError, RecordingError
from runtime.core.packet import Packet
from runtime.core.topic import Topic, describe_dtype
from runtime.recording import layout
from runtime.recording.digest import digest
from runtime.recording.sink import Sink

Compression = Literal["zstd", "lz4", "none"]

_COMPRESSION = {"zstd": CompressionType.ZSTD, "lz4": CompressionType.LZ4, "none": CompressionType.NONE}
_POLL_S = 0.05
_BREATH_S = 0.0005
_BATCH = 4  # messages between two breaths: about 0.2 ms, for which the control loop may have to wait for the GIL
_ITEM_BYTES = 200
_NEVER = 2**62


@dataclass(slots=True)
class _Item:
    channel: str
    log_time: int
    publish_time: int
    content: bytes | Packet
    index: int | None
    size: int


@dataclass(slots=True)
class _Gap:
    channel: str
    first: int
    last: int
    count: int
    reason: str


@dataclass(frozen=True, slots=True)
class RecordingStats:
    """What a recording has done so far; sizes in bytes, `backlog` and `high_water` of the queue."""

    path: str
    bytes_written: int
    messages: int
    gaps: Mapping[str, int]
    backlog: int
    high_water: int
    error: str | None


class RecordingWriter:
    """A recording being made, as a context manager. Times are ns on the runtime clock, never negative."""

    def __init__(
        self,
        path: Path | str,
        *,
        header: Mapping[str, Any] | None = None,
        attachments: Mapping[str, bytes] | None = None,
        chunk_bytes: int = 2**20,
        compression: Compression = "zstd",
        flush_s: float = 0.4,
        queue_bytes: int = 64 * 2**20,
        sync: Callable[[int], None] = os.fsync,
    ) -> None:
        self.path = Path(path)
        self.error: Exception | None = None
        self._header = dict(header or {})
        self._attachments = dict(attachments or {})
        self._chunk_bytes = chunk_bytes
        self._flush_ns = int(flush_s * SECOND)
        self._queue_bytes = queue_bytes
        self._machine = MonotonicClock()
        self._lock = threading.Lock()
        self._queue: deque[_Item | _Gap] = deque()
        self._open_gaps: dict[str, _Gap] = {}
        self._gaps: dict[str, int] = {}
        self._backlog = 0
        self._high_water = 0
        self._closing = threading.Event()
        self._sink = Sink(self.path, sync)
        self._mcap = Writer(self._sink, chunk_size=_NEVER, compression=_COMPRESSION[compression], enable_data_crcs=True)
        self._channels: dict[str, tuple[int, str]] = {}
        self._sequence: dict[int, int] = {}
        self._counts: dict[str, int] = {}
        self._messages = 0
        self._chunk_size = 0
        self._chunk_digests: list[bytes] = []
        self._chunk_channels: list[str] = []
        self._chunk_end = 0
        # A daemon: a recording that nobody closed must not keep a crashed program alive; a reader recovers it.
        self._thread = threading.Thread(target=self._run, name=f"recording {self.path.name}", daemon=True)
        try:
            self._begin()
        except BaseException:
            self._sink.close()
            self.path.unlink()
            raise
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def packet(self, arrived: int, packet: Packet, index: int | None = None) -> None:
        """Record a packet under its topic's name. It is encoded later: its arrays must not change any more."""
        published = int(packet.t[-1]) if len(packet.t) else packet.until
        size = packet.t.nbytes + packet.data.nbytes + _ITEM_BYTES
        self._append(_Item(packet.topic.name, arrived, max(published, 0), packet, index, size))

    def write(self, channel: str, log_time: int, publish_time: int, payload: bytes) -> None:
        """Record a MessagePack map."""
        if publish_time < 0:
            raise RecordingError(f"{channel}: publish_time is {publish_time}, expected at least 0")
        self._append(_Item(channel, log_time, publish_time, payload, None, len(payload) + _ITEM_BYTES))

    def stats(self) -> RecordingStats:
        with self._lock:
            gaps = dict(self._gaps)
        return RecordingStats(
            str(self.path),
            self._sink.tell(),
            self._messages,
            gaps,
            self._backlog,
            self._high_water,
            None if self.error is None else str(self.error),
        )

    def close(self) -> None:
        """Write what is queued, the index and the final mark, and wait for the disk. Blocks: not for a loop."""
        self._closing.set()
        self._thread.join()

    def _append(self, item: _Item) -> None:
        if item.log_time < 0:
            raise RecordingError(f"{item.channel}: log_time is {item.log_time}, expected at least 0")
        with self._lock:
            if self._closing.is_set() or self.error is not None:
                self._miss(item, "closed" if self.error is None else "write error")
            elif self._backlog + item.size > self._queue_bytes:
                self._miss(item, "queue full")
            else:
                self._queue.append(item)
                self._backlog += item.size
                self._high_water = max(self._high_water, self._backlog)

    def _miss(self, item: _Item, reason: str) -> None:
        self._gaps[item.channel] = self._gaps.get(item.channel, 0) + 1
        gap = self._open_gaps.get(item.channel)
        if gap is None:
            gap = self._open_gaps[item.channel] = _Gap(item.channel, item.log_time, item.log_time, 0, reason)
            self._queue.append(gap)
        gap.count += 1
        gap.last = item.log_time

    # Below: the writer's thread alone.

    def _begin(self) -> None:
        self._mcap.start(profile=layout.PROFILE, library="tectum")
        self._mcap.add_metadata(layout.HEADER, layout.to_texts(self._header))
        for name, data in self._attachments.items():
            self._mcap.add_attachment(0, 0, name, "application/octet-stream", data)
        schema = self._mcap.register_schema(layout.DIGESTS_SCHEMA, "", b"")
        self._digests_channel = self._mcap.register_channel(layout.DIGESTS, "", schema)
        self._sink.commit()

    def _run(self) -> None:
        flush_at = self._machine.now() + self._flush_ns
        pause = _POLL_S
        try:
            while True:
                closing = self._closing.wait(pause)
                emptied = self._put_batch()
                if self._machine.now() >= flush_at:
                    self._commit()
                    flush_at = self._machine.now() + self._flush_ns
                if closing and emptied:
                    break
                pause = _POLL_S if emptied else 0.0 if self._is_pressed() else _BREATH_S
            self._finish()
        except Exception as error:  # whatever it is, control goes on and the file says that it is incomplete
            self._fail(error)
        finally:
            self._sink.close()

    def _is_pressed(self) -> bool:
        return self._backlog > self._queue_bytes // 4

    def _put_batch(self) -> bool:
        """Write the next few items; True where the queue is empty."""
        for _ in range(_BATCH):
            item = self._take()
            if item is None:
                return True
            self._put(item)
            if self._chunk_size >= self._chunk_bytes:
                self._finish_chunk()
        return False

    def _take(self) -> _Item | _Gap | None:
        with self._lock:
            if not self._queue:
                return None
            item = self._queue.popleft()
            if isinstance(item, _Item):
                self._backlog -= item.size
            else:
                del self._open_gaps[item.channel]
            return item

    def _put(self, item: _Item | _Gap) -> None:
        if isinstance(item, _Gap):
            self._put_gap(item)
            return
        try:
            channel, payload = self._encode(item)
        except PacketError as error:
            with self._lock:
                self._gaps[item.channel] = self._gaps.get(item.channel, 0) + 1
            self._put_gap(_Gap(item.channel, item.log_time, item.log_time, 1, str(error)))
            return
        self._add(channel, item.log_time, item.publish_time, payload)
        self._counts[item.channel] = self._counts.get(item.channel, 0) + 1
        self._messages += 1
        self._chunk_channels.append(item.channel)

    def _encode(self, item: _Item) -> tuple[int, bytes]:
        content = item.content
        if isinstance(content, Packet):
            extras = None if item.index is None else {"index": item.index}
            frame = encode_packet(content, extras, layout.MAX_MESSAGE_BYTES)
            return self._channel(item.channel, layout.PACKET_SCHEMA, content.topic), frame
        if len(content) > layout.MAX_MESSAGE_BYTES:
            raise PacketError(f"{item.channel}: {len(content)} bytes, expected at most {layout.MAX_MESSAGE_BYTES}")
        return self._channel(item.channel, layout.RECORD_SCHEMA, None), bytes(content)

    def _put_gap(self, gap: _Gap) -> None:
        channel = self._channel(layout.GAPS, layout.RECORD_SCHEMA, None)
        fields = {
            "channel": gap.channel,
            "count": gap.count,
            "first": gap.first,
            "last": gap.last,
            "reason": gap.reason,
        }
        self._add(channel, gap.first, gap.first, encode_map(fields))

    def _channel(self, name: str, schema: str, topic: Topic | None) -> int:
        known = self._channels.get(name)
        if known is None:
            described = b"" if topic is None else layout.packet_schema(topic)
            schema_id = self._mcap.register_schema(schema, "jsonschema" if described else "", described)
            metadata = {}
            if topic is not None:
                metadata = {
                    "topic": layout.to_texts({"topic": topic.to_dict()})["topic"],
                    "dtype": str(describe_dtype(topic.dtype)["base"]),
                    "unit": topic.unit,
                }
            known = self._mcap.register_channel(name, "msgpack", schema_id, metadata), schema
            self._channels[name] = known
        channel, declared = known
        if declared != schema:
            raise PacketError(f"{name}: a message of schema {schema}, the channel has {declared}")
        return channel

    def _add(self, channel: int, log_time: int, publish_time: int, payload: bytes) -> None:
        sequence = self._sequence.get(channel, 0)
        self._sequence[channel] = (sequence + 1) & 0xFFFFFFFF
        self._chunk_digests.append(digest(channel, sequence, log_time, publish_time, payload))
        self._chunk_end = max(self._chunk_end, log_time)
        self._chunk_size += len(payload) + _ITEM_BYTES
        self._mcap.add_message(channel, log_time, payload, publish_time, sequence)

    def _finish_chunk(self) -> None:
        if not self._chunk_digests:
            return
        self._mcap.add_message(self._digests_channel, self._chunk_end, b"".join(self._chunk_digests), self._chunk_end)
        self._chunk_digests.clear()
        self._chunk_size = 0
        self._mcap.flush()
        self._sink.mark()
        self._chunk_channels.clear()

    def _commit(self) -> None:
        self._finish_chunk()
        self._sink.commit()

    def _finish(self) -> None:
        self._finish_chunk()
        self._mcap.add_metadata(layout.END, self._final_mark())
        self._mcap.finish()
        self._sink.commit()

    def _final_mark(self) -> dict[str, str]:
        with self._lock:
            gaps = dict(self._gaps)
        complete = not gaps and self.error is None
        error = None if self.error is None else str(self.error)
        return layout.to_texts({"complete": complete, "gaps": gaps, "messages": self._counts, "error": error})

    def _fail(self, error: Exception) -> None:
        """The disk refuses: go on counting what is missed until closed, then try to leave a marked, valid file."""
        with self._lock:
            self.error = error
            for channel in [*self._chunk_channels, *(item.channel for item in self._queue if isinstance(item, _Item))]:
                self._gaps[channel] = self._gaps.get(channel, 0) + 1
            for channel in self._chunk_channels:
                self._counts[channel] -= 1
            self._messages -= len(self._chunk_channels)
            self._queue.clear()
            self._open_gaps.clear()
            self._backlog = 0
        self._closing.wait()
        try:
            self._sink.take_back()
            self._sink.write(_bare_end(self._final_mark()))
            self._sink.commit()
        except OSError:
            self._cut()

    def _cut(self) -> None:
        try:
            self._sink.take_back()
        except OSError:
            return  # the reader recovers from a torn end as well


def _bare_end(mark: dict[str, str]) -> bytes:
    """The end of an MCAP file that has no index."""
    records = RecordBuilder()
    Metadata(name=layout.END, metadata=mark).write(records)
    DataEnd(0).write(records)
    Footer(summary_start=0, summary_offset_start=0, summary_crc=0).write(records)
    return bytes(records.end()) + bytes(MCAP0_MAGIC)
