"""Reads a recording, whatever happened to it: finished, killed half-way, cut off, or with bytes changed.

Messages come in the order in which they were written. What cannot be trusted is reported in `problems` and, where it
can still be read, handed out with `ok` False.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from mcap.records import Channel
from mcap.writer import MCAP0_MAGIC

from runtime.codec import decode_frame, decode_map
from runtime.core.errors import FormatError, PacketError, TectumError
from runtime.core.packet import Packet
from runtime.core.topic import Topic
from runtime.recording import layout
from runtime.recording.chunk import ChunkContent, ChunkHead, RawMessage, read_content
from runtime.recording.digest import digest, split
from runtime.recording.index import read_data_checksums, read_index, walk


@dataclass(frozen=True, slots=True)
class Message:
    """One message; `ok` is False where its digest does not fit, or is missing and its chunk is damaged."""

    channel: str
    log_time: int
    publish_time: int
    payload: bytes
    ok: bool
    sequence: int


@dataclass(frozen=True, slots=True)
class Recorded:
    """One packet with its arrival (ns), its extras (`index`: order of consumption) and whether it is as written."""

    packet: Packet
    arrived: int
    extras: Mapping[str, Any]
    ok: bool

    @property
    def index(self) -> int | None:
        """Order of consumption, where it was recorded."""
        return self.extras.get("index")


@dataclass(frozen=True, slots=True)
class Gap:
    """Messages the recorder missed: how many of which channel, logged from `first` to `last`, and why."""

    channel: str
    count: int
    first: int
    last: int
    reason: str


class Recording:
    """A recording on disk. Opening reads the index, or walks over the file where there is none."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._found: dict[str, None] = {}
        self.damage: list[tuple[int, int, str]] = []
        """Chunks that could not be read whole: log times of the first and last message, and what is wrong."""
        with self.path.open("rb") as file:
            magic = file.read(len(MCAP0_MAGIC))
            if magic != MCAP0_MAGIC:
                raise FormatError(self.path, f"begins with {magic!r}, expected an MCAP file", 0)
            index = read_index(file)
            self.indexed = index is not None
            self._index = index if index is not None else walk(file)
            for problem in self._index.problems:
                self._report(problem)
            if not self.indexed:
                self._learn_channels(file)
        self._channels = self._index.channels
        self._marks = {metadata.name: layout.from_texts(metadata.metadata) for metadata in self._index.metadata}
        if layout.END not in self._marks:
            self._report("no final mark: the recording was not closed")
        self.cut_at = self._index.cut_at
        self.header: dict[str, Any] = self._marks.get(layout.HEADER, {})
        self.attachments: dict[str, bytes] = {a.name: a.data for a in self._index.attachments}
        self.topics: dict[str, Topic] = {}
        for channel in self._channels.values():
            self._learn_topic(channel)

    @property
    def problems(self) -> list[str]:
        """What was found wrong so far: by opening, and by reading what has been read."""
        return list(self._found)

    @property
    def complete(self) -> bool:
        """True where the recording was closed, is whole and missed nothing."""
        return (
            self._index.has_footer and self.cut_at is None and self._marks.get(layout.END, {}).get("complete") is True
        )

    @property
    def chunks(self) -> tuple[ChunkHead, ...]:
        """The chunks in the order of the file."""
        return tuple(self._index.chunks)

    @property
    def start(self) -> int:
        """Log time of the first message; 0 where there is none."""
        return min((chunk.start for chunk in self._index.chunks), default=0)

    @property
    def end(self) -> int:
        """Log time of the last message; 0 where there is none."""
        return max((chunk.end for chunk in self._index.chunks), default=0)

    @property
    def duration(self) -> int:
        """From the first message to the last, ns."""
        return self.end - self.start

    @property
    def counts(self) -> dict[str, int]:
        """Messages per channel."""
        counts = self._index.counts or {}
        named = {c.topic: counts.get(c.id, 0) for c in self._channels.values()}
        return {name: n for name, n in named.items() if name not in (layout.DIGESTS, layout.GAPS)}

    @property
    def gaps(self) -> list[Gap]:
        """Where messages are missing because the recorder could not keep up."""
        found = []
        for message in self.messages([layout.GAPS]):
            try:
                fields = decode_map(message.payload)
                found.append(
                    Gap(
                        str(fields["channel"]),
                        int(fields["count"]),
                        int(fields["first"]),
                        int(fields["last"]),
                        str(fields["reason"]),
                    )
                )
            except (PacketError, KeyError, TypeError, ValueError) as error:
                self._report(f"{layout.GAPS} at log time {message.log_time}: cannot be read: {error}")
        return found

    def messages(
        self, channels: Collection[str] | None = None, start: int | None = None, stop: int | None = None
    ) -> Iterator[Message]:
        """Messages logged in [`start`, `stop`), of the channels named, or of all but our own marks."""
        named = {
            channel.id for channel in self._channels.values() if channels is not None and channel.topic in channels
        }
        with self.path.open("rb") as file:
            for head in self._index.chunks:
                if (start is not None and head.end < start) or (stop is not None and head.start >= stop):
                    continue
                inside = self._index.in_chunk.get(head.data_offset)
                if channels is not None and inside is not None and not (named & inside):
                    continue
                content = self._read_chunk(file, head)
                for raw, channel, ok in self._check(head, content):
                    wanted = channel.id in named if channels is not None else channel.topic != layout.GAPS
                    early = start is not None and raw.log_time < start
                    late = stop is not None and raw.log_time >= stop
                    if wanted and not early and not late:
                        yield Message(
                            channel.topic, raw.log_time, raw.publish_time, bytes(raw.payload), ok, raw.sequence
                        )

    def packets(
        self, channels: Collection[str] | None = None, start: int | None = None, stop: int | None = None
    ) -> Iterator[Recorded]:
        """Packets of the topics named, or of all; one that cannot be decoded is reported and left out."""
        wanted = [name for name in self.topics if channels is None or name in channels]
        for message in self.messages(wanted, start, stop):
            try:
                frame = decode_frame(message.payload, self.topics[message.channel], layout.MAX_MESSAGE_BYTES)
            except PacketError as error:
                self._report(f"{message.channel} at log time {message.log_time}: cannot be decoded: {error}")
                continue
            yield Recorded(frame.packet, message.log_time, frame.extras, message.ok)

    def verify(self) -> list[str]:
        """Read everything; return all problems, an empty list where every byte is as written."""
        for message in self.messages():
            topic = self.topics.get(message.channel)
            if topic is not None and message.ok:
                try:
                    decode_frame(message.payload, topic, layout.MAX_MESSAGE_BYTES)
                except PacketError as error:
                    self._report(f"{message.channel} at log time {message.log_time}: cannot be decoded: {error}")
        self._verify_checksum()
        return self.problems

    def describe(self) -> dict[str, Any]:
        """The recording as plain values, for people."""
        counts = self.counts
        chunks = self._index.chunks
        gaps = self.gaps
        return {
            "path": str(self.path),
            "bytes": self.path.stat().st_size,
            "complete": self.complete,
            "indexed": self.indexed,
            "cut_at": self.cut_at,
            "start": self.start,
            "end": self.end,
            "duration_s": self.duration / 1e9,
            "messages": sum(counts.values()),
            "chunks": len(chunks),
            "compression": sorted({chunk.compression or "none" for chunk in chunks}),
            "uncompressed_bytes": sum(chunk.size for chunk in chunks),
            "channels": {
                name: {"messages": n, **(self.topics[name].to_dict() if name in self.topics else {})}
                for name, n in counts.items()
            },
            "gaps": [{"channel": g.channel, "count": g.count, "first": g.first, "reason": g.reason} for g in gaps],
            "missed": self._marks.get(layout.END, {}).get("gaps", {}),
            "error": self._marks.get(layout.END, {}).get("error"),
            "header": self.header,
            "attachments": {name: len(data) for name, data in self.attachments.items()},
            "problems": self.problems,
        }

    def _verify_checksum(self) -> None:
        end = self._index.data_end
        if end is None:
            return
        with self.path.open("rb") as file:
            got, stated = read_data_checksums(file, end)
        if stated and got != stated:
            self._report(
                f"checksum over the first {end} bytes differs: what is not located above is in the file's heads"
            )

    def _learn_channels(self, file: BinaryIO) -> None:
        """Without a summary the channels, their counts and the true end are only in the chunks."""
        counts: Counter[int] = Counter()
        chunks = []
        for head in self._index.chunks:
            content = self._read_chunk(file, head)
            self._index.channels.update({channel.id: channel for channel in content.channels})
            counts.update(message.channel_id for message in content.messages)
            times = [message.log_time for message in content.messages]
            self._index.in_chunk[head.data_offset] = frozenset(message.channel_id for message in content.messages)
            if not _is_torn(file, head):
                chunks.append(head)
            elif times:
                chunks.append(replace(head, start=min(times), end=max(times)))
        self._index.chunks[:] = chunks
        self._index.counts = dict(counts)

    def _read_chunk(self, file: BinaryIO, head: ChunkHead) -> ChunkContent:
        file.seek(head.data_offset)
        data = file.read(head.data_length)
        content = read_content(head, data)
        if len(data) < head.data_length:
            content.problems.append(
                f"torn: {len(data)} of {head.data_length} bytes, {len(content.messages)} messages recovered"
            )
        for problem in content.problems:
            self.damage.append((head.start, head.end, problem))
            self._report(f"chunk at byte {head.data_offset}, log times {head.start} to {head.end}: {problem}")
        return content

    def _check(self, head: ChunkHead, content: ChunkContent) -> Iterator[tuple[RawMessage, Channel, bool]]:
        digests: list[bytes] = []
        last = content.messages[-1] if content.messages else None
        if last is not None and self._name(last) == layout.DIGESTS:
            digests = list(split(bytes(last.payload)))
            content.messages.pop()
        told = bool(digests)
        if told and len(digests) != len(content.messages):
            self._report(
                f"chunk at byte {head.data_offset}, log times {head.start} to {head.end}: "
                f"{len(content.messages)} messages, expected {len(digests)}"
            )
        for position, raw in enumerate(content.messages):
            channel = self._channels.get(raw.channel_id)
            ok = not content.problems
            if told:
                expected = digests[position] if position < len(digests) else b""
                got = digest(raw.channel_id, raw.sequence, raw.log_time, raw.publish_time, raw.payload)
                ok = got == expected
            if not ok and told:
                name = "of no known channel" if channel is None else channel.topic
                self._report(f"message {name}, log time {raw.log_time}, sequence {raw.sequence}: its digest differs")
            if channel is not None:
                yield raw, channel, ok
            elif ok:
                self._report(f"message at log time {raw.log_time}: channel {raw.channel_id} is not declared")

    def _name(self, raw: RawMessage) -> str | None:
        channel = self._channels.get(raw.channel_id)
        return None if channel is None else channel.topic

    def _learn_topic(self, channel: Channel) -> None:
        text = channel.metadata.get("topic")
        if text is None:
            return
        try:
            self.topics[channel.topic] = Topic.from_dict(layout.from_texts({"topic": text})["topic"])
        except (TectumError, LookupError, TypeError, ValueError, AttributeError) as error:
            self._report(f"channel {channel.topic}: its topic cannot be read: {error}")

    def _report(self, problem: str) -> None:
        self._found.setdefault(problem)


def _is_torn(file: BinaryIO, head: ChunkHead) -> bool:
    return head.data_offset + head.data_length > file.seek(0, os.SEEK_END)
