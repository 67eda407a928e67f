"""The bus: bounded rings, stated policies, loss told in-band, urgent lanes first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest

from runtime.bus import Bus, Lane, Policy
from runtime.core.clock import VirtualClock, run_virtual
from runtime.core.errors import BusFullError, PacketError, TopicError
from runtime.core.packet import Packet, one_event
from runtime.core.topic import Topic

A = Topic("a/x", np.dtype("<f4"))
B = Topic("b/x", np.dtype("<f4"))


def packet(topic: Topic, n: int, seq: int, lost: int = 0, t: int = 0) -> Packet:
    return Packet(topic, np.full(n, t, np.int64), np.arange(n, dtype="<f4"), t + 1, seq, lost)


def on_bus(test: Callable[[Bus], Coroutine[Any, Any, None]]) -> None:
    async def main(clock: VirtualClock) -> None:
        bus = Bus(clock)
        bus.declare(A, "test")
        bus.declare(B, "test", Lane.STATE)
        await test(bus)

    run_virtual(main)


def test_slow_subscriber_sees_its_loss_and_others_do_not() -> None:
    async def test(bus: Bus) -> None:
        slow = bus.subscribe("slow", ["a/*"], capacity=2, policy="drop_oldest")
        quick = bus.subscribe("quick", ["a/*"], capacity=100, policy="drop_oldest")
        for i in range(10):
            bus.offer(packet(A, 3, 3 * i))
        got = [d.packet for d in slow.drain()]
        assert [(p.seq, p.lost) for p in got] == [(24, 24), (27, 0)]
        assert slow.stats.dropped == 8
        assert slow.stats.dropped_events == 24
        assert sum(d.packet.lost for d in quick.drain()) == 0

    on_bus(test)


def test_drop_newest_tells_the_loss_at_the_next_packet_it_takes() -> None:
    async def test(bus: Bus) -> None:
        sub = bus.subscribe("s", ["a/x"], capacity=2, policy="drop_newest")
        for i in range(4):
            bus.offer(packet(A, 1, i))
        assert [d.packet.seq for d in sub.drain()] == [0, 1]
        bus.offer(packet(A, 1, 4))
        assert [(d.packet.seq, d.packet.lost) for d in sub.drain()] == [(4, 2)]

    on_bus(test)


def test_latest_keeps_one_packet_a_topic() -> None:
    async def test(bus: Bus) -> None:
        sub = bus.subscribe("s", ["*"], capacity=10, policy="latest")
        for i in range(5):
            bus.offer(packet(A, 1, i))
            bus.offer(packet(B, 1, i))
        assert [(d.packet.topic.name, d.packet.seq, d.packet.lost) for d in sub.drain()] == [
            ("b/x", 4, 4),
            ("a/x", 4, 4),
        ]
        assert sub.stats.conflated == 8

    on_bus(test)


def test_block_makes_the_publisher_wait_and_loses_nothing() -> None:
    async def test(bus: Bus) -> None:
        sub = bus.subscribe("s", ["a/x"], capacity=2, policy="block")
        sent = 0

        async def publish() -> None:
            nonlocal sent
            for i in range(6):
                await bus.publish(packet(A, 1, i))
                sent += 1

        task = asyncio.create_task(publish())
        await asyncio.sleep(0)
        assert sent == 2
        got: list[int] = []
        while len(got) < 6:
            got += [d.packet.seq for d in await sub.get()]
            await asyncio.sleep(0)
        await task
        assert got == list(range(6))

    on_bus(test)


def test_fail_raises_at_the_publisher() -> None:
    async def test(bus: Bus) -> None:
        bus.subscribe("s", ["a/x"], capacity=1, policy="fail")
        bus.offer(packet(A, 1, 0))
        with pytest.raises(BusFullError, match="'s' is full with 1"):
            bus.offer(packet(A, 1, 1))

    on_bus(test)


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest", "latest"])
def test_bulk_never_pushes_out_state(policy: Policy) -> None:
    async def test(bus: Bus) -> None:
        sub = bus.subscribe("s", ["*"], capacity=3, policy=policy)
        bus.offer(packet(B, 1, 0))
        for i in range(50):
            bus.offer(packet(A, 1, i))
        first = sub.drain()[0].packet
        assert first.topic == B
        assert first.lost == 0

    on_bus(test)


def test_memory_is_bounded_in_bytes_too() -> None:
    async def test(bus: Bus) -> None:
        sub = bus.subscribe("s", ["a/x"], capacity=1000, policy="drop_oldest", capacity_bytes=10_000)
        for i in range(100):
            bus.offer(packet(A, 100, 100 * i))
        assert sub.depth <= 9
        assert sub.stats.dropped == 100 - sub.depth

    on_bus(test)


def test_a_gap_in_seq_is_loss_that_nobody_owned_up_to() -> None:
    async def test(bus: Bus) -> None:
        sub = bus.subscribe("s", ["a/x"], capacity=10, policy="drop_oldest")
        bus.offer(packet(A, 2, 0))
        bus.offer(packet(A, 2, 7, lost=1))
        assert [d.packet.lost for d in sub.drain()] == [0, 5]
        assert bus.topics["a/x"].lost == 5

    on_bus(test)


def test_a_restarted_publisher_goes_on_counting() -> None:
    async def test(bus: Bus) -> None:
        sub = bus.subscribe("s", ["a/x"], capacity=10, policy="drop_oldest")
        bus.offer(packet(A, 5, 0))
        bus.offer(packet(A, 5, 0))
        bus.offer(packet(A, 5, 5))
        assert [(d.packet.seq, d.packet.lost) for d in sub.drain()] == [(0, 0), (5, 0), (10, 0)]

    on_bus(test)


def test_a_closed_subscription_gives_an_empty_batch() -> None:
    async def test(bus: Bus) -> None:
        sub = bus.subscribe("s", ["a/x"], capacity=1, policy="drop_oldest")
        waiting = asyncio.create_task(sub.get())
        await asyncio.sleep(0)
        bus.unsubscribe(sub)
        assert await waiting == []

    on_bus(test)


def test_topics_are_declared_once_and_kept_to() -> None:
    async def test(bus: Bus) -> None:
        with pytest.raises(TopicError, match="already declared by test"):
            bus.declare(A, "other")
        with pytest.raises(TopicError, match="was not declared"):
            bus.offer(one_event(Topic("c/x", np.dtype("<f4")), 0, 1.0))
        with pytest.raises(PacketError, match=r"a/x: data is float64\(1,\), declared <f4\(1,\)"):
            bus.offer(Packet(A, np.zeros(1, np.int64), np.zeros(1), 1))
        with pytest.raises(PacketError, match="backwards"):
            bus.offer(Packet(A, np.array([5, 4], np.int64), np.zeros(2, "<f4"), 9))

    on_bus(test)


def test_published_arrays_are_read_only() -> None:
    async def test(bus: Bus) -> None:
        p = packet(A, 3, 0)
        bus.offer(p)
        with pytest.raises(ValueError, match="read-only"):
            p.data[0] = 1

    on_bus(test)
