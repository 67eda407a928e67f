"""Publish to subscribe over the bus, beside an `asyncio.Queue` in the same process and run.

Both carry the same packets to one consumer task. Latency: a packet every two milliseconds, from before `publish` or
`put` to after `get`. Throughput: as fast as a producer can, with a bound of 1024 packets that makes it wait. Rounds of
queue and bus alternate; the spreads are over all rounds, the rates are the best round's.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass

import numpy as np

from runtime.bench.report import Report, Say, table
from runtime.bench.spread import Spread, spread
from runtime.bus import Bus
from runtime.core.clock import SECOND, MonotonicClock, run_real, stopwatch_ns
from runtime.core.packet import Packet
from runtime.core.topic import DVS, Topic

SUMMARY = "publish to subscribe over the bus, beside an asyncio.Queue"
SIZES = (1, 10_000)
PACED_HZ = 500.0
BOUND = 1024
TOPIC = Topic("bench/events", DVS, extent=(720, 1280))


@dataclass(frozen=True, slots=True)
class Hop:
    """One transport with packets of one size."""

    transport: str
    events: int
    latency: Spread
    packets_s: float


Send = Callable[[Packet], Awaitable[None]]
Take = Callable[[], Awaitable[int]]
"""Waits; returns how many packets came."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds (5)")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a paced round (2)")
    parser.add_argument("--packets", type=int, default=20_000, help="packets of a fast round (20000)")


def run(args: argparse.Namespace, environment: dict[str, str], say: Say) -> Report:
    return report(run_real(lambda clock: measure(clock, args.rounds, args.seconds, args.packets, say)))


async def measure(clock: MonotonicClock, rounds: int, seconds: float, packets: int, say: Say) -> list[Hop]:
    """Queue and bus for each size."""
    hops = []
    for events in SIZES:
        times: dict[str, list[int]] = {"queue": [], "bus": []}
        rates: dict[str, list[float]] = {"queue": [], "bus": []}
        for _ in range(rounds):
            for transport, make in (("queue", _queue), ("bus", _bus)):
                gc.collect()
                send, take = make(clock)
                times[transport] += await _paced(clock, send, take, make_packets(events, int(seconds * PACED_HZ)))
                send, take = make(clock)
                rates[transport].append(await _fast(send, take, make_packets(events, packets)))
        for transport in times:
            hops.append(Hop(transport, events, spread(times[transport]), max(rates[transport])))
            p99, rate = hops[-1].latency.p99_us, hops[-1].packets_s
            say(f"{transport}, {events} events: p99 {p99:.0f} µs, {rate:.0f} packets/s")
    return hops


def make_packets(events: int, count: int) -> list[Packet]:
    """Packets of DVS events, one after the other; they share their arrays, as one publisher's buffers would not."""
    t = np.arange(events, dtype=np.int64) * 100
    data = np.zeros(events, DVS)
    data["x"], data["y"] = np.arange(events) % 1280, np.arange(events) % 720
    return [Packet(TOPIC, t, data, int(t[-1]) + 1, number * events) for number in range(count)]


def _queue(clock: MonotonicClock) -> tuple[Send, Take]:
    queue: asyncio.Queue[Packet] = asyncio.Queue(BOUND)

    async def take() -> int:
        await queue.get()
        return 1

    return queue.put, take


def _bus(clock: MonotonicClock) -> tuple[Send, Take]:
    bus = Bus(clock)
    bus.declare(TOPIC, "bench")
    subscription = bus.subscribe("bench", [TOPIC.name], capacity=BOUND, policy="block", capacity_bytes=2**62)

    async def take() -> int:
        return len(await subscription.get())

    return bus.publish, take


async def _paced(clock: MonotonicClock, send: Send, take: Take, packets: list[Packet]) -> list[int]:
    sent: list[int] = []
    times: list[int] = []

    async def consume() -> None:
        while len(times) < len(packets):
            count = await take()
            now = stopwatch_ns()
            times.extend(now - at for at in sent[len(times) : len(times) + count])

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(consume(), name="consume")
        start = clock.now()
        for number, packet in enumerate(packets):
            await clock.sleep_until(start + int(number * SECOND / PACED_HZ))
            sent.append(stopwatch_ns())
            await send(packet)
    return times


async def _fast(send: Send, take: Take, packets: list[Packet]) -> float:
    async def consume() -> None:
        left = len(packets)
        while left:
            left -= await take()

    began = stopwatch_ns()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(consume(), name="consume")
        for packet in packets:
            await send(packet)
    return len(packets) * SECOND / (stopwatch_ns() - began)


def report(hops: list[Hop]) -> Report:
    """Both transports and the bus over the queue."""
    rows = [
        (f"{hop.transport}, {hop.events} events", *hop.latency.cells(), f"{hop.packets_s:.0f}", f"{_events(hop):.1f}")
        for hop in hops
    ]
    ratios, lines = {}, []
    for queue, bus in zip(hops[::2], hops[1::2], strict=True):
        ratios[str(queue.events)] = ratio = {
            "p50": bus.latency.p50_us / queue.latency.p50_us,
            "p99": bus.latency.p99_us / queue.latency.p99_us,
            "packets_s": bus.packets_s / queue.packets_s,
        }
        lines.append(
            f"bus over queue, {queue.events} events a packet: p50 x {ratio['p50']:.2f}, p99 x {ratio['p99']:.2f}, "
            f"packets/s x {ratio['packets_s']:.2f}"
        )
    head = ("hop", "n", "p50 µs", "p99 µs", "max µs", "packets/s", "M events/s")
    text = f"{table(head, rows)}\n\n" + "\n".join(lines)
    return Report("bus", text, {"hops": [asdict(hop) for hop in hops], "ratios": ratios})


def _events(hop: Hop) -> float:
    return hop.packets_s * hop.events / 1e6
