"""What every sensor promises, whatever its kind: one table, the same tests for all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from runtime.core.clock import SECOND, VirtualClock, run_virtual
from runtime.core.packet import Packet, check_packet, no_events
from runtime.core.roles import Sensor
from runtime.core.topic import DVS, Topic
from runtime.recording.writer import RecordingWriter
from runtime.registry import adapter
from runtime.registry import kinds as registered

MS = 1_000_000
HORIZON = 300 * MS
COVERAGE = 10 * MS
"""A stream without a promised rate says at least this often how far it has come."""

Recorded = list[tuple[int, Packet]]
Build = Callable[[pytest.FixtureRequest], dict[str, Any]]


@dataclass(frozen=True)
class Case:
    """How to configure one kind so that all its topics say something within the horizon."""

    kind: str
    build: Build
    silence: dict[str, Any] | None = field(default_factory=lambda: {"fault": {"silent_after_s": 0.1}})
    """What makes it go silent after 0.1 s; None where the kind cannot be made to."""
    label: str = ""


def nmnist(request: pytest.FixtureRequest) -> dict[str, Any]:
    deploy: Path = request.getfixturevalue("deploy")
    return {"path": str(deploy / "recordings" / "nmnist"), "extent": [34, 34]}


def davis(request: pytest.FixtureRequest) -> dict[str, Any]:
    data: Path = request.getfixturevalue("data")
    return {"path": str(data / "events" / "davis346.aedat4")}


def euroc(request: pytest.FixtureRequest) -> dict[str, Any]:
    data: Path = request.getfixturevalue("data")
    return {"path": str(data / "euroc" / "mav0" / "cam0")}


def recording(request: pytest.FixtureRequest) -> dict[str, Any]:
    tmp_path: Path = request.getfixturevalue("tmp_path")
    path = tmp_path / "short.mcap"
    if not path.exists():
        random = np.random.default_rng(7)
        topic = Topic("eye/events", DVS, extent=(34, 34))
        with RecordingWriter(path, header={"robot": "conformance"}) as writer:
            seq = 0
            for k in range(200):
                start = SECOND + k * 2 * MS
                n = int(random.integers(0, 5))
                t = np.sort(random.integers(start, start + 2 * MS, n))
                content = np.zeros(n, DVS)
                content["x"], content["y"] = random.integers(0, 34, (2, n))
                writer.packet(start + 2 * MS, Packet(topic, t, content, start + 2 * MS, seq), index=k)
                seq += n
    return {"path": str(path)}


LATE: dict[str, Any] = {"world": {"shape": [1, 64]}, "rate_hz": 2000.0, "fault": {"late_s": 0.004, "skew": -1e-3}}
"""Late by so little that what is still on its way at the horizon is not missed."""

CASES = (
    Case("gyro.sim", lambda request: {"burst": 5}),
    Case("gyro.sim", lambda request: {"fault": {"drop": 0.2}}, {"fault": {"drop": 0.2, "silent_after_s": 0.1}}, "drop"),
    Case("camera.sim", lambda request: {}),
    Case("dvs.sim", lambda request: {}),
    Case("dvs.sim", lambda request: {"scene": {"motion": []}, "noise_hz": 0.0, "step_s": 0.01}, label="still"),
    Case("dvs.file", nmnist),
    Case("camera.file", davis),
    Case("camera.file", euroc, label="euroc"),
    Case("imu.file", davis),
    Case("davis.file", davis),
    Case("gaze.gyro", lambda request: {}),
    Case("gaze.gyro", lambda request: LATE, {"fault": {**LATE["fault"], "silent_after_s": 0.1}}, "late"),
    Case("gaze.camera", lambda request: {}),
    Case("gaze.dvs", lambda request: {}),
    Case("gaze.dvs", lambda request: {"world": {"shape": [1, 64]}, "noise_hz": 5.0}, label="line"),
    Case("gaze.truth", lambda request: {}),
    Case("timer", lambda request: {"period_s": 0.01}, silence=None),
    Case("replay", recording, silence=None),
)
IDS = [f"{case.kind}-{case.label}".rstrip("-") for case in CASES]


def build(case: Case, request: pytest.FixtureRequest, extra: dict[str, Any] | None = None) -> Sensor:
    fields = {"name": "eye", "kind": case.kind, **case.build(request), **(extra or {})}
    sensor: Sensor = adapter("sensors", case.kind).model_validate(fields)
    return sensor


def record(sensor: Sensor, steps: int = 1, horizon: int = HORIZON) -> Recorded:
    """Everything it says until `horizon` after opening, with times of arrival; virtual time moves in `steps`."""

    async def main(clock: VirtualClock) -> Recorded:
        said: Recorded = []

        async def consume() -> None:
            async with sensor.open(clock) as stream:
                async for packet in stream:
                    said.append((clock.now(), check_packet(packet)))

        task = asyncio.create_task(consume())
        start = clock.now()
        for k in range(1, steps + 1):
            await clock.advance_to(start + horizon * k // steps)
        task.cancel()
        outcome = (await asyncio.gather(task, return_exceptions=True))[0]
        assert outcome is None or isinstance(outcome, asyncio.CancelledError), repr(outcome)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"left running: {left}"
        return said

    return run_virtual(main)


def by_topic(said: Recorded) -> dict[str, Recorded]:
    streams: dict[str, Recorded] = {}
    for arrival, packet in said:
        streams.setdefault(packet.topic.name, []).append((arrival, packet))
    return streams


def assert_same(one: Recorded, other: Recorded) -> None:
    assert len(one) == len(other)
    for (arrival_a, a), (arrival_b, b) in zip(one, other, strict=True):
        assert (arrival_a, a.topic, a.until, a.seq, a.lost) == (arrival_b, b.topic, b.until, b.seq, b.lost)
        assert a.t.tobytes() == b.t.tobytes()
        assert a.data.tobytes() == b.data.tobytes()


@pytest.fixture(params=CASES, ids=IDS)
def case(request: pytest.FixtureRequest) -> Case:
    chosen: Case = request.param
    return chosen


@pytest.fixture
def sensor(case: Case, request: pytest.FixtureRequest) -> Sensor:
    return build(case, request)


def test_every_registered_kind_is_in_the_table() -> None:
    assert set(registered("sensors")) == {case.kind for case in CASES}


def test_it_is_a_sensor_and_its_topics_carry_its_name(sensor: Sensor, case: Case) -> None:
    assert isinstance(sensor, Sensor)
    topics = sensor.describe()
    assert topics
    assert len({topic.name for topic in topics}) == len(topics)
    if case.kind != "replay":  # a replay says what was recorded, under the names of then
        assert all(topic.name.startswith("eye/") for topic in topics)
    assert sensor.describe() == topics


def test_its_configuration_is_strict_and_frozen(case: Case, request: pytest.FixtureRequest) -> None:
    with pytest.raises(ValidationError, match="no_such_key"):
        build(case, request, {"no_such_key": 1})
    with pytest.raises(ValidationError, match="frozen"):
        build(case, request).name = "other"  # type: ignore[misc]


def test_what_comes_is_what_it_describes(sensor: Sensor) -> None:
    described = {topic.name: topic for topic in sensor.describe()}
    streams = by_topic(record(sensor))
    assert set(streams) <= set(described)
    for name, stream in streams.items():
        assert all(packet.topic == described[name] for _, packet in stream)
    silent = set(described) - set(streams)
    assert not silent, f"described but never heard of: {silent}"


def test_times_run_forward_and_nothing_comes_before_it_happened(sensor: Sensor) -> None:
    for stream in by_topic(record(sensor)).values():
        until = 0
        for arrival, packet in stream:
            assert packet.until >= until
            if len(packet):
                assert packet.t[0] >= until
                assert packet.t[-1] <= arrival
            until = packet.until


def test_seq_and_lost_account_for_every_event(sensor: Sensor) -> None:
    for stream in by_topic(record(sensor)).values():
        expected = 0
        for _, packet in stream:
            if packet.lost >= 0:
                assert packet.seq == expected + packet.lost
            assert packet.seq >= expected
            expected = packet.seq + len(packet)


def test_streams_without_a_rate_say_every_10_ms_how_far_they_are(sensor: Sensor) -> None:
    streams = by_topic(record(sensor))
    for topic in sensor.describe():
        if topic.rate_hz is not None:
            continue
        covered = SECOND
        for arrival, packet in streams[topic.name]:
            assert arrival - covered <= COVERAGE, f"{topic.name}: silent from {covered} to {arrival}"
            covered = max(covered, packet.until)
        assert SECOND + HORIZON - covered <= COVERAGE


def test_streams_with_a_rate_keep_it(sensor: Sensor) -> None:
    streams = by_topic(record(sensor))
    for topic in sensor.describe():
        if topic.rate_hz is None:
            continue
        events = sum(len(packet) + max(packet.lost, 0) for _, packet in streams[topic.name])
        expected = topic.rate_hz * HORIZON / SECOND
        assert abs(events - expected) <= 0.05 * expected + 1, f"{topic.name}: {events} events, promised {expected}"


def test_the_same_configuration_says_the_same_again(sensor: Sensor, case: Case, request: pytest.FixtureRequest) -> None:
    assert_same(record(sensor), record(build(case, request)))


def test_one_step_of_time_or_97_make_no_difference(sensor: Sensor) -> None:
    assert_same(record(sensor, steps=1), record(sensor, steps=97))


@pytest.mark.parametrize("mute", [case for case in CASES if case.silence is not None], ids=lambda case: case.kind)
def test_it_says_nothing_when_silent_and_does_not_end(mute: Case, request: pytest.FixtureRequest) -> None:
    case = mute
    said = record(build(case, request, case.silence))
    heard = record(build(case, request))
    assert said
    assert max(arrival for arrival, _ in said) <= SECOND + 100 * MS
    assert_same(said, heard[: len(said)])


def test_cancelled_at_any_read_it_leaves_nothing_and_opens_again(sensor: Sensor) -> None:
    async def main(clock: VirtualClock) -> None:
        for reads in (0, 1, 3):
            heard: list[Packet] = []

            async def consume(limit: int = reads, heard: list[Packet] = heard) -> None:
                async with sensor.open(clock) as stream:
                    async for packet in stream:
                        heard.append(packet)
                        if len(heard) > limit:
                            await clock.sleep_until(2**62)

            task = asyncio.create_task(consume())
            await (clock.settle() if reads == 0 else clock.advance_to(clock.now() + 100 * MS))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, f"left running: {left}"
        assert heard

    run_virtual(main)


def test_packets_share_no_memory(sensor: Sensor) -> None:
    for stream in by_topic(record(sensor, horizon=100 * MS)).values():
        full = [packet for _, packet in stream if len(packet)]
        for a, b in pairwise(full):
            assert not np.may_share_memory(a.data, b.data)


def test_the_checks_would_notice() -> None:
    topic = Topic("eye/events", DVS)
    with pytest.raises(AssertionError):
        assert_same([(1, no_events(topic, 1))], [(1, no_events(topic, 2))])
