"""`replay`: a recording as a sensor, to feed its topics to another robot or to let the merge decide afresh.

Packets keep their topics' types and come on the clock's pace as far apart as they arrived when they were recorded. Of
a sensor named `NAME`, topic `eye/events` of the recording is published as `NAME/events` where that is unambiguous, and
as `NAME/eye/events` where two recorded topics end alike.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import Field

from runtime.core.clock import SECOND, Clock
from runtime.core.errors import ConfigError
from runtime.core.packet import Packet
from runtime.core.roles import Adapter
from runtime.core.topic import COMMAND, STATE, Topic
from runtime.recording.reader import Recorded, Recording

READ_AHEAD = 64


class Replay(Adapter):
    """Publishes the sensor topics of a recording."""

    kind: Literal["replay"] = "replay"
    path: Path
    topics: tuple[str, ...] | None = None
    """Topics of the recording to publish; all that sensors published where not given."""
    speed: float = Field(1.0, gt=0)
    loop: bool = False

    def describe(self) -> tuple[Topic, ...]:
        return tuple(self._names().values())

    @asynccontextmanager
    async def open(self, clock: Clock) -> AsyncIterator[AsyncIterator[Packet]]:
        packets = self._play(clock)
        try:
            yield packets
        finally:
            await packets.aclose()

    async def _play(self, clock: Clock) -> AsyncGenerator[Packet, None]:
        names = self._names()
        recording = Recording(self.path)
        base = dict.fromkeys(names, 0)
        while True:
            began, first, last = clock.now(), recording.start, recording.start
            seq = dict(base)
            chunks = self._read(recording, list(names))
            while batch := await asyncio.to_thread(next, chunks, None):
                for recorded in batch:
                    due = began + int((recorded.arrived - first) / self.speed)
                    await clock.sleep_until(due)
                    packet = self._moved(recorded.packet, names, began, first, seq)
                    base[recorded.packet.topic.name] = packet.seq + len(packet)
                    last = max(last, recorded.arrived)
                    yield packet
            if not self.loop:
                return
            await clock.sleep_until(began + max(int((last - first) / self.speed), SECOND // 1000))

    def _moved(self, packet: Packet, names: dict[str, Topic], began: int, first: int, base: dict[str, int]) -> Packet:
        """The packet on this run's clock, under its topic here."""
        t = began + ((packet.t - first) / self.speed).astype("int64") if self.speed != 1.0 else packet.t - first + began
        until = began + int((packet.until - first) / self.speed)
        name = packet.topic.name
        seq = packet.seq + base[name]
        if len(t):
            until = max(until, int(t[-1]))
        return replace(packet, topic=names[name], t=t, until=until, seq=seq)

    def _read(self, recording: Recording, names: list[str]) -> Iterator[list[Recorded]]:
        batch: list[Recorded] = []
        for recorded in recording.packets(names):
            batch.append(recorded)
            if len(batch) == READ_AHEAD:
                yield batch
                batch = []
        if batch:
            yield batch

    def _names(self) -> dict[str, Topic]:
        if not self.path.is_file():
            raise ConfigError(f"sensors.{self.name}.path: there is no recording {str(self.path)!r}")
        recorded = Recording(self.path).topics
        if self.topics is not None:
            for wanted in self.topics:
                if wanted not in recorded:
                    known = ", ".join(recorded)
                    raise ConfigError(
                        f"sensors.{self.name}.topics: {wanted!r} is not in the recording (it has {known})"
                    )
            chosen = {name: recorded[name] for name in self.topics}
        else:
            chosen = {name: t for name, t in recorded.items() if t.dtype not in (COMMAND, STATE)}
        ends = [name.rpartition("/")[2] for name in chosen]
        return {
            name: replace(topic, name=f"{self.name}/{end if ends.count(end) == 1 else name}")
            for (name, topic), end in zip(chosen.items(), ends, strict=True)
        }
