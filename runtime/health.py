"""Health of topics: alive, on time, complete, each against what the topic promised. Sans-IO.

alive      something (events or an empty packet) came within three periods, and no less than 50 ms, or what came last
           promised that nothing would come before a time that is still ahead
on time    what came last was measured no longer ago than that bound
complete   over the last whole second nothing was lost, and the promised rate was met to a fifth
"""

from __future__ import annotations

from dataclasses import dataclass, field

from runtime.core.clock import SECOND
from runtime.core.packet import Packet
from runtime.core.topic import Topic

LEAST_BOUND = 50_000_000
PERIODS = 3


@dataclass(frozen=True, slots=True)
class Health:
    """The verdict on one topic."""

    alive: bool
    on_time: bool
    complete: bool
    age_ns: int | None
    """Since the last packet; None: none yet."""
    event_rate_hz: float
    packet_rate_hz: float

    @property
    def good(self) -> bool:
        return self.alive and self.on_time and self.complete


@dataclass(slots=True)
class TopicHealth:
    """Watches one topic."""

    topic: Topic
    started: int
    arrived: int | None = None
    until: int = 0
    _second: int = 0
    _events: int = 0
    _packets: int = 0
    _lost: bool = False
    _last: tuple[float, float, bool] = field(default=(0.0, 0.0, True))
    _seconds: int = 0

    @property
    def bound_ns(self) -> int:
        """Silence longer than this is death."""
        period = 0 if self.topic.rate_hz is None else int(SECOND / self.topic.rate_hz)
        return max(PERIODS * period, LEAST_BOUND)

    def on_packet(self, arrived: int, packet: Packet) -> None:
        self._roll(arrived)
        self.arrived = arrived
        self.until = max(self.until, packet.until)
        self._events += len(packet)
        self._packets += 1
        self._lost |= packet.lost != 0

    def age(self, now: int) -> int:
        """Ns since the last packet, or since the start where none came."""
        return now - (self.started if self.arrived is None else self.arrived)

    def judge(self, now: int) -> Health:
        self._roll(now)
        events, packets, whole = self._last
        promised = self.topic.rate_hz
        met = promised is None or self._seconds < 2 or events >= 0.8 * promised
        return Health(
            alive=self.arrived is not None and (self.age(now) <= self.bound_ns or self.until > now),
            on_time=self.arrived is not None and self.arrived - self.until <= self.bound_ns,
            complete=whole and met,
            age_ns=None if self.arrived is None else now - self.arrived,
            event_rate_hz=events,
            packet_rate_hz=packets,
        )

    def _roll(self, now: int) -> None:
        """Close whole seconds since `started`; rates are those of the last closed one."""
        second = (now - self.started) // SECOND
        if second > self._second:
            gap = second - self._second
            counts = (float(self._events), float(self._packets), not self._lost)
            self._last = counts if gap == 1 else (0.0, 0.0, True)
            self._seconds += gap
            self._second, self._events, self._packets, self._lost = second, 0, 0, False
