"""Turns frames of a remote topic into packets of the local bus: checked, on our clock, gaps counted, loss in-band."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from runtime.codec import decode_frame
from runtime.core.errors import PacketError
from runtime.core.packet import Packet, check_packet
from runtime.core.topic import Topic
from runtime.links.clockmap import ClockMap

_LATEST = 2**62


@dataclass(slots=True)
class Inbox:
    """One remote topic. Sans-IO."""

    remote: str
    topic: Topic
    clock_id: str
    received: int = 0
    gaps: int = 0
    """Messages missing, by the sender's own numbers."""
    unmapped: int = 0
    """Packets of senders that name no clock: stamped on arrival."""
    sessions: int = 0
    clock: ClockMap = field(default_factory=ClockMap)
    _session: str | None = None
    _number: int | None = None
    _base: int = 0
    _next_seq: int = 0

    def take(self, frame: bytes, arrived: int, max_bytes: int) -> Packet | None:
        """The packet of a frame that came at `arrived`; None for one that came twice. Raises PacketError."""
        declared = Topic(self.remote, self.topic.dtype)
        decoded = decode_frame(frame, declared, max_bytes)
        packet, extras = decoded.packet, decoded.extras
        session, number, sent = extras.get("session"), extras.get("number"), extras.get("sent")
        lost = packet.lost
        if self._session is None or (session or "") != self._session:
            lost = self._begin(packet, session, extras.get("clock"), lost)
        if isinstance(number, int):
            if self._number is not None and number <= self._number:
                return None
            self.gaps += 0 if self._number is None else number - self._number - 1
            self._number = number
        if isinstance(sent, int) and isinstance(extras.get("clock"), str):
            if not 0 <= sent < _LATEST:
                raise PacketError(f"{self.remote}: sent is {sent}, expected ns on a clock")
            self.clock.observe(sent, arrived)
        self.unmapped += self.clock.offset is None
        t, until = self.clock.map(packet.t, packet.until, arrived)
        seq = max(packet.seq + self._base, self._next_seq)
        self._next_seq = seq + len(packet)
        self.received += 1
        return check_packet(Packet(self.topic, t, packet.data, until, seq, lost))

    def stats(self) -> dict[str, Any]:
        return {
            "received": self.received,
            "gaps": self.gaps,
            "sessions": self.sessions,
            "stamped_on_arrival": self.unmapped,
            "offset_ns": self.clock.offset,
            "uncertainty_ns": self.clock.uncertainty,
            "clamped": self.clock.clamped,
        }

    def _begin(self, packet: Packet, session: Any, clock: Any, lost: int) -> int:
        """A publisher that was not there before: its numbers begin anew, ours go on."""
        again = self.sessions > 0
        self.sessions += 1
        self._base = self._next_seq - packet.seq + max(lost, 0)
        self.clock = ClockMap(same_clock=clock == self.clock_id, promised=self.clock.promised)
        self._session = session if isinstance(session, str) else ""
        self._number = None
        return -1 if again else lost
