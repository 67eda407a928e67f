"""Playback: a file or a folder of files, played on the runtime clock as if its sensors measured now.

Chunks are decoded off the loop, a bounded batch of packets ahead. A packet is published when the clock passes its end;
one whose end has passed is published at once: a slow consumer gets everything, later. Nothing is dropped, except by a
`Fault` on purpose, which counts what it drops.
"""

from __future__ import annotations

import asyncio
import logging
import types
from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Generator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from runtime.core.clock import SECOND, Clock
from runtime.core.errors import DeviceError
from runtime.core.packet import Packet
from runtime.core.roles import Adapter
from runtime.core.topic import SEGMENT, Topic
from sensors.formats.reader import Chunk, EventReader
from sensors.playlist import Track, read_playlist
from sensors.score import Cue, Score, Timing

log = logging.getLogger(__name__)

BATCH_PACKETS = 32
BATCH_BYTES = 4 << 20
BURST = 4


class Fault(BaseModel):
    """What goes wrong, on purpose: for tests and demonstrations. Times count from opening."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    silent_after_s: float | None = Field(None, ge=0)
    """Stops publishing but stays alive."""
    die_after_s: float | None = Field(None, ge=0)
    """Raises DeviceError."""
    drop: float = Field(0.0, ge=0, le=1)
    """Probability with which a packet that holds events is lost; the topic's next packet counts them."""
    seed: int = Field(0, ge=0)


class Playback(Adapter):
    """The fields and the playing that all file sensors share."""

    path: Path
    """A file, or a folder that is a playlist."""
    speed: float = Field(1.0, gt=0)
    """File seconds per runtime second."""
    loop: bool = False
    start_s: float = Field(0.0, ge=0)
    """Skip this much of each file."""
    stop_s: float | None = Field(None, gt=0)
    """Leave each file at this time of its own."""
    packet_s: float | None = Field(None, gt=0)
    """Packets are bins this long (default 1 ms), counted from the segment."""
    packet_events: int | None = Field(None, gt=0)
    """Packets hold this many events instead."""
    gap_s: float = Field(0.1, ge=0)
    """Pause between two files."""
    heartbeat_s: float = Field(0.01, gt=0)
    """Streams without a promised rate say at least this often that nothing happened."""
    split: str | None = None
    """Play only the files that the playlist's `labels.tsv` puts in this split."""
    fault: Fault = Fault()

    @model_validator(mode="after")
    def _consistent(self) -> Playback:
        if self.packet_s is not None and self.packet_events is not None:
            raise ValueError("packet_s and packet_events are both set, expected one of them")
        if self.stop_s is not None and self.stop_s <= self.start_s:
            raise ValueError(f"stop_s is {self.stop_s}, expected above start_s = {self.start_s}")
        return self

    @property
    @abstractmethod
    def extensions(self) -> Collection[str]:
        """Which files of a folder belong to the playlist."""

    @abstractmethod
    def topics(self) -> Mapping[str, Topic]:
        """Topic by stream, as the first file's header tells."""

    @abstractmethod
    def chunks(self, path: Path) -> Iterator[Chunk]:
        """Decode one file, in bounded memory; called off the loop."""

    def describe(self) -> tuple[Topic, ...]:
        return (*self.topics().values(), self.segment_topic())

    def segment_topic(self) -> Topic:
        return Topic(f"{self.name}/segment", SEGMENT)

    def playlist(self) -> tuple[Track, ...]:
        """The files to be played, in order. Raises ConfigError where there are none."""
        return read_playlist(self.path, self.extensions, f"sensors.{self.name}.path", self.split)

    def open(self, clock: Clock) -> AbstractAsyncContextManager[AsyncIterator[Packet]]:
        return self._open(clock)

    @asynccontextmanager
    async def _open(self, clock: Clock) -> AsyncIterator[AsyncIterator[Packet]]:
        score = await asyncio.to_thread(self._score)
        t_open = clock.now()
        published = _afflicted(_played(score.cues(t_open), clock, self.name), self, clock, t_open)
        try:
            yield published
        finally:
            await published.aclose()

    def _score(self) -> Score:
        score = Score(self.playlist(), self.chunks, self.topics(), self.segment_topic(), self._timing())
        score.prepare()
        return score

    def _timing(self) -> Timing:
        packet_s = 0.001 if self.packet_s is None and self.packet_events is None else self.packet_s
        return Timing(
            speed=self.speed,
            start=round(self.start_s * SECOND),
            stop=None if self.stop_s is None else round(self.stop_s * SECOND),
            packet=None if packet_s is None else max(round(packet_s * SECOND), 1),
            packet_events=self.packet_events,
            gap=round(self.gap_s * SECOND),
            heartbeat=max(round(self.heartbeat_s * SECOND), 1),
            loop=self.loop,
        )


def read_streams(reader: EventReader, wanted: frozenset[str]) -> Iterator[Chunk]:
    """The reader's chunks; at their end the log says what had to be mended."""
    yield from reader.chunks(wanted)
    if reader.unordered:
        log.warning(
            "%s: %d times ran backwards; they were sorted within their chunk or moved up to its beginning",
            reader.path,
            reader.unordered,
        )


async def _played(cues: Iterator[Cue], clock: Clock, name: str) -> AsyncGenerator[Cue, None]:
    """Cues at their times, decoded one batch ahead."""

    def decode() -> asyncio.Task[list[Cue]]:
        return asyncio.create_task(asyncio.to_thread(_batch, cues), name=f"{name} decode")

    ahead = decode()
    late = 0
    try:
        while True:
            await asyncio.wait((ahead,))
            batch = ahead.result()
            if not batch:
                return
            ahead = decode()
            for cue in batch:
                late = late + 1 if cue.due <= clock.now() else 0
                if late >= BURST:
                    late = 0
                    await _give_way()
                await clock.sleep_until(cue.due)
                yield cue
    finally:
        await asyncio.wait((ahead,))
        if not ahead.cancelled():
            ahead.exception()


async def _afflicted(
    cues: AsyncGenerator[Cue, None], playback: Playback, clock: Clock, t_open: int
) -> AsyncGenerator[Packet, None]:
    """The packets of the cues, less what the fault takes."""
    fault = playback.fault
    random = np.random.default_rng(fault.seed)
    lost: dict[str, int] = {}
    death, silence = (
        2**62 if s is None else t_open + round(s * SECOND) for s in (fault.die_after_s, fault.silent_after_s)
    )
    try:
        async for cue in cues:
            packet = cue.packet
            if cue.due >= min(death, silence):
                if silence < death:
                    await _stay_silent(clock, death)
                await clock.sleep_until(death)
                raise DeviceError(f"{playback.name}: died {fault.die_after_s} s after opening, as its fault says")
            topic = packet.topic.name
            if fault.drop and len(packet) and packet.topic.dtype != SEGMENT and random.random() < fault.drop:
                lost[topic] = lost.get(topic, 0) + len(packet)
                continue
            packet.lost += lost.pop(topic, 0)
            yield packet
    finally:
        await cues.aclose()


async def _stay_silent(clock: Clock, death: int) -> None:
    """Alive, saying nothing, until death or for ever."""
    if death < 2**62:
        await clock.sleep_until(death)
    else:
        await asyncio.get_running_loop().create_future()


def _batch(cues: Iterator[Cue]) -> list[Cue]:
    """The next packets, bounded in number and size; empty at the end."""
    batch: list[Cue] = []
    size = 0
    for cue in cues:
        batch.append(cue)
        size += cue.packet.data.nbytes + cue.packet.t.nbytes
        if len(batch) >= BATCH_PACKETS or size >= BATCH_BYTES:
            break
    return batch


@types.coroutine
def _give_way() -> Generator[None, None, None]:
    """Let everything else that is ready run once."""
    yield
