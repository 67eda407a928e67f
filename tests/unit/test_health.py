"""Health: alive, on time, complete, against what the topic promised."""

from __future__ import annotations

import numpy as np

from runtime.core.clock import SECOND
from runtime.core.packet import Packet
from runtime.core.topic import VECTOR3, Topic
from runtime.health import TopicHealth

GYRO = Topic("imu/gyro", VECTOR3, "rad/s", 1000.0)
MS = SECOND // 1000


def feed(health: TopicHealth, start_ms: int, stop_ms: int, each: int = 1, lost: int = 0, behind_ms: int = 0) -> None:
    for k in range(start_ms, stop_ms):
        t = np.full(each, (k - behind_ms) * MS, np.int64)
        health.on_packet(k * MS, Packet(GYRO, t, np.zeros((each, 3), "<f4"), int(t[-1]) if each else k * MS, 0, lost))


def test_a_stream_that_keeps_its_promise_is_good() -> None:
    health = TopicHealth(GYRO, 0)
    feed(health, 0, 3000)
    judged = health.judge(3000 * MS)
    assert judged.good
    assert judged.event_rate_hz == 1000


def test_silence_is_death_after_three_periods_but_no_less_than_fifty_ms() -> None:
    health = TopicHealth(GYRO, 0)
    feed(health, 0, 1000)
    assert health.judge(1040 * MS).alive
    assert not health.judge(1060 * MS).alive
    slow = TopicHealth(Topic("cam/frames", VECTOR3, rate_hz=10.0), 0)
    assert slow.bound_ns == 300 * MS


def test_loss_and_a_missed_rate_make_it_incomplete() -> None:
    lossy = TopicHealth(GYRO, 0)
    feed(lossy, 0, 2000)
    feed(lossy, 2000, 2001, lost=3)
    feed(lossy, 2001, 3001)
    assert not lossy.judge(3001 * MS).complete
    feed(lossy, 3001, 4001)
    assert lossy.judge(4001 * MS).complete
    sparse = TopicHealth(GYRO, 0)
    for k in range(0, 4000, 2):
        feed(sparse, k, k + 1)
    assert not sparse.judge(4000 * MS).complete


def test_old_measurements_are_not_on_time() -> None:
    health = TopicHealth(GYRO, 0)
    feed(health, 200, 400, behind_ms=100)
    judged = health.judge(400 * MS)
    assert judged.alive
    assert not judged.on_time


def test_a_topic_that_never_spoke_is_not_alive() -> None:
    health = TopicHealth(GYRO, 0)
    assert not health.judge(0).alive
    assert health.age(70 * MS) == 70 * MS
