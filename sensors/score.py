"""The score of a playlist: every packet it makes, with the runtime time at which each is due. No clock, no async.

A file begins at its segment. The earliest item of the file's played streams (plus `start_s`) is due exactly there, and
so is the first packet's beginning: bins of `packet` ns count from the segment, as training code slices a recording
from its first event. Event time t_file becomes t_segment + (t_file - t_first - start) / speed. A file ends with the
bin of its last item; the next begins `gap` after that. The playlist ends one heartbeat after its last file, so that
whoever works in ticks can close the tick of its last event.
Streams that promise no rate say "nothing until here" whenever `heartbeat` ns have passed since they last spoke.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.core.errors import FormatError
from runtime.core.packet import Packet
from runtime.core.topic import DVS, Topic
from sensors.formats.reader import Chunk, outside
from sensors.playlist import Track

KNOWN_LENGTH_BYTES = 2_000_000
"""Files up to this size are decoded whole before they are played, so that their segment can promise their end."""

NEVER = 2**62


@dataclass(frozen=True, slots=True)
class Timing:
    """How file time becomes packets; all in ns. Exactly one of `packet` and `packet_events` is set."""

    speed: float
    start: int
    stop: int | None
    packet: int | None
    packet_events: int | None
    gap: int
    heartbeat: int
    loop: bool


@dataclass(frozen=True, slots=True)
class Cue:
    """A packet and when to publish it."""

    due: int
    packet: Packet


class Score:
    """Turns tracks into cues. `chunks(path)` decodes a file; `topics` maps its streams to what is published."""

    def __init__(
        self,
        tracks: Sequence[Track],
        chunks: Callable[[Path], Iterator[Chunk]],
        topics: Mapping[str, Topic],
        segment: Topic,
        timing: Timing,
    ) -> None:
        self._tracks = tracks
        self._chunks = chunks
        self._topics = topics
        self._timing = timing
        self._segment = _Lane(segment, whole_items=False)
        self._lanes = {
            stream: _Lane(topic, whole_items=stream == "frames", counted=stream == "events")
            for stream, topic in topics.items()
        }
        self._first: _Decoded | None = None

    def prepare(self) -> None:
        """Decode the beginning of the first file, so that playing can start at once."""
        self._first = self._decode(self._tracks[0])

    def cues(self, t_open: int) -> Iterator[Cue]:
        """Every packet from `t_open` on, in the order in which they are due."""
        begin = t_open
        for lane in self._all_lanes():
            lane.said = begin
        passes = itertools.repeat(self._tracks) if self._timing.loop else iter((self._tracks,))
        index = 0
        for tracks in passes:
            for position, track in enumerate(tracks):
                decoded = self._first or self._decode(track)
                self._first = None
                last = not self._timing.loop and position == len(tracks) - 1
                begin = yield from self._play(track, decoded, index, begin, last)
                index += 1

    def _all_lanes(self) -> tuple[_Lane, ...]:
        return (self._segment, *self._lanes.values())

    def _decode(self, track: Track) -> _Decoded:
        return _Decoded(self._chunks(track.path), track.path)

    def _play(self, track: Track, decoded: _Decoded, index: int, begin: int, last: bool) -> Generator[Cue, None, int]:
        """Play one file from `begin`; returns when the next may begin."""
        timing = self._timing
        start = decoded.first + timing.start
        stop = NEVER if timing.stop is None else decoded.first + timing.stop
        gap = timing.heartbeat if last else timing.gap
        promise = begin
        if decoded.last is not None:
            promise = self._end(begin, self._on_runtime(min(decoded.last, stop - 1), start, begin)) + gap
        event = np.zeros(1, self._segment.topic.element)
        event["index"], event["label"], event["name"] = index, track.label, _short(track.path.name)
        self._segment.push(np.array([begin], np.int64), event)
        yield Cue(begin, self._segment.take_all(max(promise, begin)))
        end = begin
        for chunk in decoded:
            lane = self._lanes.get(chunk.stream)
            low, high = (int(i) for i in np.searchsorted(chunk.t, (start, stop)))
            if lane is not None and high > low:
                _refuse_unlike(chunk, lane.topic, track.path)
                t = self._map(chunk.t[low:high], start, begin)
                lane.push(t, chunk.data[low:high])
                end = max(end, int(t[-1]))
            if chunk.until > start:
                yield from self._cut(begin, self._on_runtime(min(chunk.until, stop), start, begin))
            if chunk.until >= stop:
                break
        speakers = self._lanes.values() if promise > begin else self._all_lanes()
        end = max(self._end(begin, end), *(lane.said for lane in speakers))
        yield from self._cut(begin, end)
        for lane in self._lanes.values():
            if len(lane) or (lane.beats and lane.said < end):
                yield from lane.cut(end)
        following = max(end + gap, promise)
        if gap:
            yield from self._cut(end, following)
        return following

    def _on_runtime(self, t: int, start: int, begin: int) -> int:
        return begin + (t - start if self._timing.speed == 1.0 else int((t - start) / self._timing.speed))

    def _map(self, t: NDArray[np.int64], start: int, begin: int) -> NDArray[np.int64]:
        if self._timing.speed == 1.0:
            return t - (start - begin)
        return begin + ((t - start) / self._timing.speed).astype(np.int64)

    def _end(self, begin: int, last: int) -> int:
        """The end of the bin that holds `last`: one after it where packets are cut by count."""
        if self._timing.packet is None:
            return max(last, begin) + 1
        return begin + ((max(last, begin) - begin) // self._timing.packet + 1) * self._timing.packet

    def _cut(self, begin: int, watermark: int) -> Iterator[Cue]:
        """Every cue due up to `watermark`, before which no further item will come."""
        while True:
            nth, end = self._next_cut(begin)
            if end > watermark:
                return
            for lane in self._all_lanes():
                if nth and lane.counted:
                    yield from lane.cut_count(nth)
                elif lane.head < end or (lane.beats and end >= lane.said + self._beat(begin, lane)):
                    yield from lane.cut(end)

    def _next_cut(self, begin: int) -> tuple[int, int]:
        """(count of events to take or 0, time of the next cut)."""
        packet, count = self._timing.packet, self._timing.packet_events
        end, nth = NEVER, 0
        if packet is not None:
            head = min(lane.head for lane in self._lanes.values())
            if head < NEVER:
                end = begin + ((head - begin) // packet + 1) * packet
        elif count is not None:
            for lane in self._lanes.values():
                if lane.counted and len(lane) >= count:
                    end, nth = lane.time_of(count - 1), count
        beat = min((lane.said + self._beat(begin, lane) for lane in self._all_lanes() if lane.beats), default=NEVER)
        if beat < end:
            return 0, beat
        return nth, end

    def _beat(self, begin: int, lane: _Lane) -> int:
        """How long after it last spoke the lane speaks again: to the last bin end within the heartbeat, or the next."""
        packet = self._timing.packet
        if packet is None:
            return self._timing.heartbeat
        bins = (lane.said + self._timing.heartbeat - begin) // packet
        end = begin + bins * packet
        return (end if end > lane.said else end + packet) - lane.said


class _Decoded:
    """The chunks of one file, whose first time is known, and whose last is too if the file is small."""

    def __init__(self, chunks: Iterator[Chunk], path: Path) -> None:
        self._chunks = chunks
        head: list[Chunk] = []
        self.last: int | None = None
        small = path.is_file() and path.stat().st_size <= KNOWN_LENGTH_BYTES
        for chunk in chunks:
            head.append(chunk)
            if len(chunk.t) and not small:
                break
        filled = [chunk for chunk in head if len(chunk.t)]
        if not filled:
            raise FormatError(path, "holds no items of the streams to be played")
        self.first = int(filled[0].t[0])
        if small:
            self.last = max(int(chunk.t[-1]) for chunk in filled)
        self._head = deque(head)

    def __iter__(self) -> Iterator[Chunk]:
        while self._head:
            yield self._head.popleft()
        yield from self._chunks


class _Lane:
    """Items of one topic that wait to be cut into packets."""

    def __init__(self, topic: Topic, whole_items: bool, counted: bool = False) -> None:
        self.topic = topic
        self.counted = counted
        self.beats = topic.rate_hz is None
        self.said = 0
        self.seq = 0
        self._whole_items = whole_items
        self._parts: deque[tuple[NDArray[np.int64], NDArray[Any]]] = deque()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def head(self) -> int:
        return int(self._parts[0][0][0]) if self._parts else NEVER

    def time_of(self, n: int) -> int:
        for t, _ in self._parts:
            if n < len(t):
                return int(t[n])
            n -= len(t)
        raise IndexError(n)

    def push(self, t: NDArray[np.int64], data: NDArray[Any]) -> None:
        self._parts.append((t, data))
        self._count += len(t)

    def cut(self, end: int) -> Iterator[Cue]:
        """Everything before `end`, and the promise that it was everything."""
        n = 0
        for t, _ in self._parts:
            k = int(np.searchsorted(t, end))
            n += k
            if k < len(t):
                break
        if self._whole_items and n:
            t, data = self._take(n)
            until = [*(int(x) for x in t[1:]), end]
            for i in range(n):
                yield Cue(end, self._packet(t[i : i + 1], data[i : i + 1], until[i]))
        else:
            yield Cue(end, self._packet(*self._take(n), end))

    def cut_count(self, n: int) -> Iterator[Cue]:
        """The oldest `n`; their last time is also the promise."""
        t, data = self._take(n)
        yield Cue(int(t[-1]), self._packet(t, data, int(t[-1])))

    def take_all(self, until: int) -> Packet:
        return self._packet(*self._take(self._count), until)

    def _take(self, n: int) -> tuple[NDArray[np.int64], NDArray[Any]]:
        taken: list[tuple[NDArray[np.int64], NDArray[Any]]] = []
        self._count -= n
        while n:
            t, data = self._parts.popleft()
            if len(t) > n:
                self._parts.appendleft((t[n:], data[n:]))
                t, data = t[:n], data[:n]
            taken.append((t, data))
            n -= len(t)
        if len(taken) == 1:
            return taken[0]
        if not taken:
            return np.empty(0, np.int64), np.empty((0, *self.topic.shape), self.topic.element)
        return np.concatenate([t for t, _ in taken]), np.concatenate([data for _, data in taken])

    def _packet(self, t: NDArray[np.int64], data: NDArray[Any], until: int) -> Packet:
        packet = Packet(self.topic, t, data, until, self.seq)
        self.seq += len(t)
        self.said = until
        return packet


def _refuse_unlike(chunk: Chunk, topic: Topic, path: Path) -> None:
    """Raise FormatError where a later file's items are not what the first file's made the topic promise."""
    if chunk.data.dtype != topic.element or chunk.data.shape[1:] != topic.shape:
        got = f"{chunk.data.dtype}{chunk.data.shape[1:]}"
        raise FormatError(path, f"its {chunk.stream} are {got}, {topic.name} is {topic.element}{topic.shape}")
    if topic.dtype == DVS and (i := outside(chunk.data["x"], chunk.data["y"], topic.extent)) is not None:
        x, y, extent = chunk.data["x"][i], chunk.data["y"][i], topic.extent
        raise FormatError(path, f"an event is at x={x}, y={y}, outside {topic.name}'s (height, width) {extent}")


def _short(name: str) -> bytes:
    """The file's name as a segment holds it: at most 64 bytes, cut at the front where the numbers are not."""
    return name.encode()[-64:]
