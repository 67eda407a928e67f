"""The bus: every topic's packets to everyone who asked, each through a bounded ring of its own.

A subscription states its policy for a full ring where it is made. What it loses is counted and carried in-band: the
next packet of that topic it gets says so in `lost`. Within a subscription each lane has its own ring, drained safety
first, then state, then bulk, so that a burst of pixels can neither push out nor delay a command.

The bus belongs to one event loop; driver threads use `publish_threadsafe`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

from runtime.core.clock import Clock
from runtime.core.errors import BusFullError, TopicError
from runtime.core.packet import Packet, check_packet
from runtime.core.topic import Topic

Policy = Literal["drop_oldest", "drop_newest", "latest", "block", "fail"]


class Lane(IntEnum):
    """What a topic's packets are, most urgent first."""

    SAFETY = 0
    STATE = 1
    BULK = 2


class Delivery(NamedTuple):
    """A packet and when it entered the bus."""

    arrived: int
    packet: Packet


@dataclass(slots=True)
class TopicStats:
    """What went through one topic since the start."""

    topic: Topic
    source: str
    lane: Lane
    packets: int = 0
    events: int = 0
    bytes: int = 0
    lost: int = 0
    lost_unknown: int = 0
    next_seq: int = 0
    base: int = 0
    """Added to the publisher's `seq`, so that it goes on counting where a restarted publisher begins anew."""
    until: int | None = None
    arrived: int | None = None


class Bus:
    """Topics are declared once, then published to; subscriptions name topics by pattern (`eye/*`)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.topics: dict[str, TopicStats] = {}
        self.subscriptions: list[Subscription] = []
        self._routes: dict[str, tuple[Subscription, ...]] = {}
        self._taps: tuple[Callable[[int, Packet], None], ...] = ()
        self._loop: asyncio.AbstractEventLoop | None = None

    def declare(self, topic: Topic, source: str, lane: Lane = Lane.BULK) -> Topic:
        """Announce a topic before anything is published to it."""
        if topic.name in self.topics:
            raise TopicError(
                f"topic {topic.name!r} of {source} is already declared by {self.topics[topic.name].source}"
            )
        self.topics[topic.name] = TopicStats(topic, source, lane)
        self._route()
        return topic

    def subscribe(
        self,
        name: str,
        topics: Sequence[str],
        *,
        capacity: int,
        policy: Policy,
        capacity_bytes: int = 64 << 20,
    ) -> Subscription:
        """A ring of `capacity` packets (and at most `capacity_bytes`) per lane for every topic that matches."""
        subscription = Subscription(self, name, tuple(topics), capacity, capacity_bytes, policy)
        self.subscriptions.append(subscription)
        self._route()
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        self.subscriptions.remove(subscription)
        subscription.close()
        self._route()

    def tap(self, function: Callable[[int, Packet], None]) -> Callable[[], None]:
        """Call `function(arrived, packet)` on every packet, in order, on the loop. Returns how to stop."""
        self._taps = (*self._taps, function)

        def untap() -> None:
            self._taps = tuple(f for f in self._taps if f is not function)

        return untap

    async def publish(self, packet: Packet) -> None:
        """Hand the packet to every subscription; waits only for rings whose policy is `block`."""
        for subscription in self._deliver(packet):
            await subscription.put(packet)

    def offer(self, packet: Packet) -> None:
        """`publish` for those who cannot wait: a full `block` ring counts the packet as lost."""
        for subscription in self._deliver(packet):
            subscription.refuse(packet)

    def publish_threadsafe(self, packet: Packet) -> None:
        """From a driver thread."""
        assert self._loop is not None, "nobody has subscribed from the bus's loop yet"
        self._loop.call_soon_threadsafe(self.offer, packet)

    def _deliver(self, packet: Packet) -> list[Subscription]:
        stats = self.topics.get(packet.topic.name)
        if stats is None or (stats.topic is not packet.topic and stats.topic != packet.topic):
            raise TopicError(f"topic {packet.topic.name!r} was not declared like this before it was published to")
        check_packet(packet)
        n = len(packet)
        lost = packet.lost
        if packet.seq + stats.base < stats.next_seq:
            stats.base = stats.next_seq + max(lost, 0) - packet.seq
        packet.seq += stats.base
        if lost < 0:
            stats.lost_unknown += 1
        else:
            gap = packet.seq - stats.next_seq - lost
            if gap > 0:  # events are missing that nobody has owned up to
                packet.lost = lost = lost + gap
            stats.lost += lost
        stats.next_seq = packet.seq + n
        stats.packets += 1
        stats.events += n
        stats.bytes += packet.data.nbytes + packet.t.nbytes
        stats.until = packet.until if stats.until is None else max(stats.until, packet.until)
        stats.arrived = arrived = self._clock.now()
        for tap in self._taps:
            tap(arrived, packet)
        delivery = Delivery(arrived, packet)
        routes = self._routes[packet.topic.name]
        full = [s for s in routes if not s.push(delivery, stats.lane)]
        for subscription in routes:
            if subscription.at_once is not None and not subscription.at_once():
                subscription.wake()
        return full

    def _route(self) -> None:
        self._routes = {
            name: tuple(s for s in self.subscriptions if any(fnmatchcase(name, pattern) for pattern in s.topics))
            for name in self.topics
        }

    def bind(self) -> None:
        """Remember the running loop, for driver threads."""
        self._loop = asyncio.get_running_loop()


@dataclass(slots=True)
class SubscriptionStats:
    """What one subscription got and lost."""

    delivered: int = 0
    dropped: int = 0
    """Packets."""
    dropped_events: int = 0
    conflated: int = 0
    high_water: int = 0


@dataclass(slots=True)
class _Ring:
    packets: deque[Delivery] = field(default_factory=deque)
    bytes: int = 0


class Subscription:
    """One consumer's rings. Await `get()` for everything that waits, oldest first within a lane."""

    def __init__(
        self, bus: Bus, name: str, topics: tuple[str, ...], capacity: int, capacity_bytes: int, policy: Policy
    ) -> None:
        if capacity < 1:
            raise ValueError(f"subscription {name!r}: capacity is {capacity}, expected at least 1")
        self.name = name
        self.topics = topics
        self.capacity = capacity
        self.policy = policy
        self.stats = SubscriptionStats()
        self.at_once: Callable[[], bool] | None = None
        """Called when every ring has its packet, still in the publisher's turn: a consumer that is idle may drain its
        ring here, say so, and save a turn of the loop. It must not raise and must not take long."""
        self._bus = bus
        self._capacity_bytes = capacity_bytes
        self._rings = {lane: _Ring() for lane in Lane}
        self._lost: dict[str, int] = {}
        self._waiter: asyncio.Future[None] | None = None
        self._space: asyncio.Event | None = None
        self._closed = False

    @property
    def depth(self) -> int:
        """Packets waiting."""
        return sum(len(ring.packets) for ring in self._rings.values())

    @property
    def oldest(self) -> int | None:
        """When the packet that waits longest arrived."""
        return min((ring.packets[0].arrived for ring in self._rings.values() if ring.packets), default=None)

    def push(self, delivery: Delivery, lane: Lane) -> bool:
        """Take a packet by the policy; False: the ring is full and the policy is to wait."""
        ring = self._rings[lane]
        size = _size(delivery.packet)
        if self.policy == "latest":
            for i, waiting in enumerate(ring.packets):
                if waiting.packet.topic.name == delivery.packet.topic.name:
                    del ring.packets[i]
                    ring.bytes -= _size(waiting.packet)
                    self._forget(waiting.packet)
                    self.stats.conflated += 1
                    break
        while ring.packets and (len(ring.packets) >= self.capacity or ring.bytes + size > self._capacity_bytes):
            if self.policy == "block":
                return False
            if self.policy == "fail":
                raise BusFullError(f"subscription {self.name!r} is full with {len(ring.packets)} packets")
            if self.policy == "drop_newest":
                self._drop(delivery.packet)
                return True
            oldest = ring.packets.popleft()
            ring.bytes -= _size(oldest.packet)
            self._drop(oldest.packet)
        if self.policy == "drop_newest":  # what was dropped is younger than all that waits: tell at this packet
            delivery = self._tell_lost(delivery)
        ring.packets.append(delivery)
        ring.bytes += size
        depth = self.depth
        if depth > self.stats.high_water:
            self.stats.high_water = depth
        if self.at_once is None:
            self.wake()
        return True

    async def put(self, packet: Packet) -> None:
        """Wait for room, then take the packet (policy `block`)."""
        lane = self._bus.topics[packet.topic.name].lane
        arrived = self._bus.topics[packet.topic.name].arrived
        assert arrived is not None
        while not self._closed and not self.push(Delivery(arrived, packet), lane):
            if self._space is None:
                self._space = asyncio.Event()
            self._space.clear()
            await self._space.wait()

    def refuse(self, packet: Packet) -> None:
        """Count a packet lost whose publisher could not wait."""
        self._drop(packet)

    async def get(self) -> list[Delivery]:
        """Everything that waits, at least one packet; an empty list once the subscription is closed."""
        while not self.depth:
            if self._closed:
                return []
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self.drain()

    def drain(self) -> list[Delivery]:
        """Everything that waits, without waiting."""
        batch: list[Delivery] = []
        for ring in self._rings.values():
            if ring.packets:
                batch.extend(ring.packets)
                ring.packets.clear()
                ring.bytes = 0
        if self._lost and self.policy != "drop_newest":
            batch = [self._tell_lost(delivery) for delivery in batch]
        self.stats.delivered += len(batch)
        if self._space is not None:
            self._space.set()
        return batch

    def peek(self) -> list[Delivery]:
        """What waits, left where it is."""
        return [delivery for ring in self._rings.values() for delivery in ring.packets]

    def close(self) -> None:
        """Whoever waits gets an empty list."""
        self._closed = True
        self.wake()
        if self._space is not None:
            self._space.set()

    def wake(self) -> None:
        """Let whoever awaits `get` look."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _drop(self, packet: Packet) -> None:
        self.stats.dropped += 1
        self.stats.dropped_events += len(packet)
        self._forget(packet)

    def _forget(self, packet: Packet) -> None:
        name = packet.topic.name
        self._lost[name] = self._lost.get(name, 0) + len(packet) + max(packet.lost, 0)

    def _tell_lost(self, delivery: Delivery) -> Delivery:
        lost = self._lost.pop(delivery.packet.topic.name, 0)
        if not lost:
            return delivery
        packet = delivery.packet
        return Delivery(delivery.arrived, replace(packet, lost=packet.lost if packet.lost < 0 else packet.lost + lost))


def _size(packet: Packet) -> int:
    return int(packet.data.nbytes + packet.t.nbytes)
