"""What all engines share: checked events, queues that grow, the watch ring, snapshots as bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nets.errors import FeedError, SnapshotError
from nets.frame import StateDigest, framed, unframed
from nets.kernels import continuous_layout, layout
from nets.queues import BASE, CAPACITY, HEAD, TAIL, Events, Queues
from nets.running import WatchRing, packet_of

MAGIC, PROGRAM = b"tectum-test-1\0\0\0", bytes(range(16))


def events(*t: int) -> Events:
    return Events(np.array(t, np.int64), np.array(t, np.int32) * 2, np.array(t, np.float32) * 3)


def queues(*capacities: int) -> Queues:
    rows = np.zeros((len(capacities), 6), np.int64)
    rows[:, CAPACITY] = capacities
    return Queues(rows)


@pytest.mark.parametrize("table", [layout, continuous_layout])
def test_kernels_know_a_queue_by_the_same_columns(table: Any) -> None:
    assert (table.Q_HEAD, table.Q_TAIL, table.Q_BASE, table.Q_CAP) == (HEAD, TAIL, BASE, CAPACITY)


def test_growing_one_queue_moves_the_others_along() -> None:
    waiting = queues(2, 3, 1)
    for port, t in enumerate([(1, 2), (3, 4, 5), (6,)]):
        waiting.put(port, events(*t))
    waiting.rows[1, HEAD] = 1
    waiting.put(0, events(*range(9)))
    assert waiting.counts == [9, 2, 1]
    assert [waiting.ends(k) for k in range(3)] == [(0, 8), (4, 5), (6, 6)]
    assert [waiting.waiting(k).t.tolist() for k in range(3)] == [list(range(9)), [4, 5], [6]]
    assert [waiting.waiting(k).value.tolist() for k in (1, 2)] == [[12, 15], [18]]
    assert waiting.rows[:, CAPACITY].tolist() == [18, 3, 1]
    assert waiting.rows[:, BASE].tolist() == [0, 18, 21]
    waiting.clear()
    assert waiting.counts == [0, 0, 0]


def test_events_reach_the_kernel_as_it_wants_them() -> None:
    given = np.arange(6, dtype=np.int64)
    assert packet_of({"eye": 3}, "eye", given, [0] * 6, None)[1] is given
    number, t, index, value, has_value = packet_of({"eye": 3}, "eye", given[::2], [0, 1, 2], [1, 2, 0.5])
    assert (number, t.tolist(), index.tolist(), value.tolist(), has_value) == (
        3,
        [0, 2, 4],
        [0, 1, 2],
        [1, 2, 0.5],
        True,
    )
    assert [a.dtype.name for a in (t, index, value)] == ["int64", "int32", "float32"]
    given.flags.writeable = False
    assert packet_of({"eye": 3}, "eye", given, [0] * 6, None)[1].flags.writeable


@pytest.mark.parametrize(
    ("t", "index", "value", "message"),
    [
        ([0.5], [0], None, r"eye: t is float64\(1,\), expected int64\(n,\)"),
        ([[1]], [0], None, r"eye: t is int64\(1, 1\), expected"),
        ([1], [2**31], None, "eye: an index does not fit int32"),
        (np.array([2**63], np.uint64), [0], None, "eye: a t does not fit int64"),
        ([1], [0], ["x"], "eye: value is <U1"),
        ([1, 2], [0], None, "eye: 2 times, 1 indices"),
        ([1], [0], [1.0, 2.0], "eye: 1 times, 1 indices, 2 values"),
    ],
)
def test_what_no_kernel_takes_is_refused_in_words(t: Any, index: Any, value: Any, message: str) -> None:
    with pytest.raises(FeedError, match=message):
        packet_of({"eye": 0}, "eye", np.asarray(t), np.asarray(index), None if value is None else np.asarray(value))
    with pytest.raises(FeedError, match="no input port 'ear'; there are eye"):
        packet_of({"eye": 0}, "ear", t, index, value)


def write(ring: WatchRing, first: int, end: int) -> None:
    for k in range(first, end):
        ring.rows[k % len(ring.rows)] = k


def test_a_ring_that_overflows_keeps_the_newest_and_counts_the_rest() -> None:
    ring = WatchRing(length=8)
    ring.start(0)
    write(ring, 0, 5)
    assert ring.take(5)[0].tolist() == [0, 1, 2, 3, 4]
    write(ring, 5, 25)
    assert ring.take(25)[0].tolist() == list(range(17, 25))
    assert ring.lost == 12
    write(ring, 25, 30)
    ring.forget(30)
    assert (ring.take(30)[0].tolist(), ring.lost) == ([], 12)


def test_a_snapshot_gives_back_its_arrays_and_nothing_else() -> None:
    arrays = np.arange(5.0), np.arange(3), np.zeros(0, np.int32)
    snapshot = framed(MAGIC, PROGRAM, arrays)
    body = unframed(MAGIC, PROGRAM, snapshot)
    for array in arrays:
        np.testing.assert_array_equal(body.array(array.dtype, len(array)), array)
    body.end()
    with pytest.raises(SnapshotError, match="holds 0 more bytes, expected 8"):
        body.array(np.int64, 1)
    with pytest.raises(SnapshotError, match="holds 64 bytes more than its counts say"):
        unframed(MAGIC, PROGRAM, snapshot).end()
    with pytest.raises(SnapshotError, match="expected -8"):
        unframed(MAGIC, PROGRAM, snapshot).array(np.int64, -1)
    with pytest.raises(SnapshotError, match=r"belongs to program 0001.*, this is 6161"):
        unframed(MAGIC, b"a" * 16, snapshot)
    with pytest.raises(SnapshotError, match="not a snapshot tectum-other"):
        unframed(b"tectum-other\0\0\0\0", PROGRAM, snapshot)
    for bad in (snapshot[:-1], snapshot + b"\0", snapshot[:60] + bytes([snapshot[60] ^ 1]) + snapshot[61:]):
        with pytest.raises(SnapshotError, match="the snapshot is damaged"):
            unframed(MAGIC, PROGRAM, bad)


def test_state_is_read_again_only_where_its_version_moved() -> None:
    state, digest = np.zeros(3), StateDigest()
    first = digest.over(0, lambda: [state], 7)
    state[1] = 1.0
    assert digest.over(0, lambda: [state], 7) == first
    assert digest.over(0, lambda: [state], 8) != first
    changed = digest.over(1, lambda: [state], 7)
    assert changed != first
    state[1] = 0.0
    digest.forget()
    assert digest.over(1, lambda: [state], 7) == first
