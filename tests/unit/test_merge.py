"""Merges: eager takes as it comes, ordered takes by (t, rank), neither waits for the dead."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.bus import Delivery
from runtime.core.packet import Packet
from runtime.core.topic import Topic
from runtime.merge import EagerMerge, Merge, OrderedMerge, Source, Step

TOPICS = [Topic(name, np.dtype("<i4")) for name in ("a/x", "b/x", "c/x")]
SOURCES = [Source(topic.name) for topic in TOPICS]


def packet(k: int, t: list[int], until: int, seq: int = 0) -> Packet:
    return Packet(TOPICS[k], np.array(t, np.int64), np.arange(seq, seq + len(t), dtype="<i4"), until, seq)


def taken(steps: list[Step]) -> list[tuple[int, str, int]]:
    return [
        (int(s.packet.t[i]), s.packet.topic.name, s.packet.seq + i)
        for s in steps
        if s.packet is not None
        for i in range(s.lo, s.hi)
    ]


def push(merge: Merge, arrived: int, p: Packet) -> list[Step]:
    return merge.push([Delivery(arrived, p)], arrived)


def test_eager_network_time_is_the_largest_until_seen_and_never_ahead_of_the_clock() -> None:
    merge = EagerMerge(SOURCES)
    assert [s.until for s in push(merge, 100, packet(0, [10, 20], 50))] == [50]
    assert [s.until for s in push(merge, 110, packet(1, [15], 30))] == [None]  # late: time has passed
    assert [s.until for s in push(merge, 120, packet(1, [], 500))] == [120]  # promised the future


def test_eager_a_topic_that_does_not_drive_time_moves_nothing() -> None:
    merge = EagerMerge([Source("a/x", drives_time=False), Source("b/x")])
    assert push(merge, 100, packet(0, [], 90)) == []
    assert [s.until for s in push(merge, 100, packet(0, [5], 90))] == [None]


def test_ordered_waits_until_every_live_source_has_spoken() -> None:
    merge = OrderedMerge(SOURCES[:2], lateness_ns=1000, start=0)
    assert push(merge, 100, packet(0, [10, 30, 50], 60)) == []
    steps = push(merge, 110, packet(1, [20, 30], 40))
    assert taken(steps) == [(10, "a/x", 0), (20, "b/x", 0), (30, "a/x", 1), (30, "b/x", 1)]
    assert steps[-1].until == 40


def test_ordered_a_stalled_source_holds_the_others_no_longer_than_the_bound() -> None:
    merge = OrderedMerge(SOURCES[:2], lateness_ns=1000, start=0)
    push(merge, 500, packet(0, [10], 60))
    assert merge.poll(999) == []
    steps = merge.poll(1001)
    assert taken(steps) == [(10, "a/x", 0)]
    assert steps[-1].until == 60
    late = push(merge, 1100, packet(1, [5], 20))
    assert taken(late) == [(5, "b/x", 0)]
    assert late[-1].until is None  # before network time: taken at once, and late


def runs(times: list[list[int]], sizes: list[int]) -> list[tuple[int, str, int]]:
    """All events of three sources, each cut into packets of its size, through an ordered merge."""
    end = max((t for source in times for t in source), default=0) + 1
    deliveries = []
    for k, source in enumerate(times):
        for lo in range(0, len(source), sizes[k]):
            part = source[lo : lo + sizes[k]]
            deliveries.append((part[-1], k, packet(k, part, part[-1], lo)))
        deliveries.append((end, k, packet(k, [], end, len(source))))
    merge = OrderedMerge(SOURCES, lateness_ns=10**9, start=0)
    steps: list[Step] = []
    for _, _, p in sorted(deliveries, key=lambda d: d[:2]):
        steps += merge.push([Delivery(end, p)], end)
    return taken(steps)


times = st.lists(st.integers(0, 40), max_size=12).map(sorted)


@given(st.tuples(times, times, times), st.tuples(*[st.integers(1, 5)] * 3), st.tuples(*[st.integers(1, 5)] * 3))
@settings(max_examples=300, deadline=None)
def test_ordered_does_not_depend_on_packet_sizes(
    source: tuple[list[int], list[int], list[int]], one: tuple[int, int, int], two: tuple[int, int, int]
) -> None:
    expected = sorted((t, k, i) for k, events in enumerate(source) for i, t in enumerate(events))
    got = runs(list(source), list(one))
    assert got == runs(list(source), list(two))
    assert got == [(t, TOPICS[k].name, i) for t, k, i in expected]
