"""Merge: in which order the packets of several sources reach the network, and when its time moves. Sans-IO.

**Eager**: a packet is taken when it arrives; network time is the largest `until` seen. An event older than network
time is late: it acts at network time and is counted.

**Ordered**: events are taken by (t, source rank, seq) once every live source has said `until` beyond them. A source
that has said nothing for `lateness_ns` no longer holds the others; when it returns, what it brings from before
network time is late.

Network time never runs ahead of the clock: a source may promise the future, the other sources have not lived it yet.
The steps a merge decides are what a recording stores: a replay feeds them to the network as they were.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from runtime.bus import Delivery
from runtime.core.packet import Packet


@dataclass(frozen=True, slots=True)
class Source:
    """A topic in a merge. One that does not drive time (a `segment` topic) moves it no further than its events."""

    topic: str
    drives_time: bool = True


@dataclass(slots=True)
class Step:
    """Take events `lo:hi` of a packet (None: nothing), then let network time pass to `until` (None: not yet)."""

    packet: Packet | None
    lo: int
    hi: int
    arrived: int
    until: int | None


class Merge(Protocol):
    """Decides steps from deliveries."""

    def push(self, deliveries: Sequence[Delivery], now: int) -> list[Step]: ...

    def waiting(self) -> list[Delivery]:
        """Packets held back, or taken in part."""

    def poll(self, now: int) -> list[Step]:
        """Steps that became possible by the mere passing of time."""


class EagerMerge:
    """Every packet when it arrives."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._drives = {source.topic: source.drives_time for source in sources}
        self._time = -(2**62)

    def push(self, deliveries: Sequence[Delivery], now: int) -> list[Step]:
        steps = []
        for arrived, packet in deliveries:
            until: int | None = None
            if self._drives[packet.topic.name]:
                reached = min(packet.until, arrived)
                if reached > self._time:
                    self._time = until = reached
            if until is not None or len(packet):
                steps.append(Step(packet, 0, len(packet), arrived, until))
        return steps

    def waiting(self) -> list[Delivery]:
        return []

    def poll(self, now: int) -> list[Step]:
        return []


@dataclass(slots=True)
class _Queue:
    rank: int
    source: Source
    until: int
    heard: int
    waiting: deque[tuple[Packet, int, int]]
    """(packet, first event not yet taken, arrived)"""


class OrderedMerge:
    """By (t, source rank, seq), a stalled source holding the others no longer than `lateness_ns`."""

    def __init__(self, sources: Sequence[Source], lateness_ns: int, start: int) -> None:
        self._queues = {
            source.topic: _Queue(rank, source, -(2**62), start, deque()) for rank, source in enumerate(sources)
        }
        self._lateness = lateness_ns
        self._time = -(2**62)

    def push(self, deliveries: Sequence[Delivery], now: int) -> list[Step]:
        for arrived, packet in deliveries:
            queue = self._queues[packet.topic.name]
            queue.until = max(queue.until, packet.until)
            queue.heard = max(queue.heard, arrived)
            if len(packet):
                queue.waiting.append((packet, 0, arrived))
        return self.poll(now)

    def waiting(self) -> list[Delivery]:
        return [Delivery(arrived, packet) for q in self._queues.values() for packet, _, arrived in q.waiting]

    def poll(self, now: int) -> list[Step]:
        live = [q for q in self._queues.values() if now - q.heard < self._lateness]
        if live:
            watermark = min(q.until for q in live)
        else:
            watermark = max((q.until for q in self._queues.values() if q.source.drives_time), default=self._time)
        watermark = max(min(watermark, now), self._time)
        steps = self._take(watermark)
        if watermark > self._time:
            self._time = watermark
            if steps:
                steps[-1].until = watermark
            else:
                steps.append(Step(None, 0, 0, now, watermark))
        return steps

    def _take(self, watermark: int) -> list[Step]:
        """Slices of the waiting packets before `watermark`, by (t, rank); each as long as no other source is due."""
        steps: list[Step] = []
        queues = [q for q in self._queues.values() if q.waiting]
        while queues:
            heads = [(int(q.waiting[0][0].t[q.waiting[0][1]]), q.rank, q) for q in queues]
            t, rank, queue = min(heads, key=lambda head: head[:2])
            if t >= watermark:
                break
            packet, lo, arrived = queue.waiting[0]
            hi = int(np.searchsorted(packet.t, watermark, side="left"))
            for other_t, other_rank, other in heads:
                if other is not queue and other_t < watermark:
                    side = "right" if rank < other_rank else "left"
                    hi = min(hi, int(np.searchsorted(packet.t, other_t, side=side)))  # type: ignore[call-overload]
            hi = max(hi, lo + 1)
            steps.append(Step(packet, lo, hi, arrived, None))
            if hi == len(packet):
                queue.waiting.popleft()
                if not queue.waiting:
                    queues.remove(queue)
            else:
                queue.waiting[0] = (packet, hi, arrived)
        return steps
