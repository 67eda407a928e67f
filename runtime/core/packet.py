"""A packet: events of one topic, oldest first, as arrays.

Invariants, checked once where an adapter's packets enter the bus:
`t` is int64 ns on the runtime clock and does not decrease; `data` has one row an event and the topic's dtype;
`until` says that no event of this topic before it is still to come (so `until >= t[-1]`, and a packet of no events
still moves time); `seq` is the lifetime index of the first event; `lost` counts events lost just before these (-1:
unknown how many).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.core.errors import PacketError
from runtime.core.topic import Topic, describe_dtype


@dataclass(slots=True, eq=False)
class Packet:
    """Events of one topic. Arrays are read-only once published and shared by reference."""

    topic: Topic
    t: NDArray[np.int64]
    data: NDArray[Any]
    until: int
    seq: int = 0
    lost: int = 0

    def __len__(self) -> int:
        return len(self.t)


def one_event(topic: Topic, t: int, value: object, seq: int = 0, lost: int = 0) -> Packet:
    """A packet of a single event that also ends its topic's past: `until` is just after it."""
    data = np.empty((1, *topic.shape), topic.element)
    data[0] = value
    return Packet(topic, np.array([t], np.int64), data, t + 1, seq, lost)


def no_events(topic: Topic, until: int, seq: int = 0, lost: int = 0) -> Packet:
    """A packet that says only: nothing happened before `until`."""
    return Packet(topic, np.empty(0, np.int64), np.empty((0, *topic.shape), topic.element), until, seq, lost)


def check_packet(packet: Packet) -> Packet:
    """Return the packet with its arrays made read-only, or raise `PacketError` naming what is wrong with it."""
    topic, t, data = packet.topic, packet.t, packet.data
    n = len(t)
    if t.dtype != np.int64 or t.ndim != 1:
        raise PacketError(f"{topic.name}: times are {t.dtype}{t.shape}, expected int64(n,)")
    if data.dtype != topic.element or data.shape != (n, *topic.shape):
        got, declared = f"{data.dtype}{data.shape}", f"{describe_dtype(topic.dtype)['base']}{(n, *topic.shape)}"
        raise PacketError(f"{topic.name}: data is {got}, declared {declared}")
    if n and (t[-1] > packet.until or (n > 1 and bool((t[1:] < t[:-1]).any()))):
        raise PacketError(
            f"{topic.name}: times run backwards or past until={packet.until} (t[0]={t[0]}, t[-1]={t[-1]})"
        )
    if packet.lost < -1 or packet.seq < 0:
        raise PacketError(f"{topic.name}: seq={packet.seq}, lost={packet.lost}; expected seq >= 0, lost >= -1")
    t.flags.writeable = False
    data.flags.writeable = False
    return packet
