"""Playback on virtual time: when each packet comes, what it holds and promises, and what faults do to it."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from runtime.core.clock import MonotonicClock, VirtualClock, run_real, run_virtual
from runtime.core.errors import ConfigError, DeviceError, FormatError
from runtime.core.packet import Packet, check_packet
from runtime.core.roles import Sensor
from runtime.core.topic import DVS, SEGMENT, VECTOR3, Topic
from sensors.camera_file import CameraFile
from sensors.davis_file import DavisFile
from sensors.dvs_file import DvsFile
from sensors.formats.reader import Chunk
from sensors.formats.timemerge import TimeMerge
from sensors.imu_file import ImuFile
from sensors.playback import Playback
from sensors.playlist import Track
from sensors.score import Score, Timing
from tests.fixtures import event_files as files

MS = 1_000_000
HEARTBEAT = 10 * MS
START = 1_000 * MS

Heard = list[tuple[int, Packet]]


def hear(sensor: Playback, most: int = 10**9) -> Heard:
    """(runtime time of arrival since opening, packet), every packet checked and every topic's promises held to it."""

    async def main(clock: VirtualClock) -> Heard:
        clock.release()
        heard: Heard = []
        topics = {topic.name: topic for topic in sensor.describe()}
        seq, until = dict.fromkeys(topics, 0), dict.fromkeys(topics, 0)
        async with sensor.open(clock) as packets:
            async for packet in packets:
                name = packet.topic.name
                check_packet(packet)
                assert packet.topic == topics[name]
                assert packet.seq == seq[name] + packet.lost
                assert packet.until >= until[name]
                assert not len(packet) or packet.t[0] >= until[name]
                seq[name], until[name] = packet.seq + len(packet), packet.until
                heard.append((clock.now() - START, packet))
                if len(heard) == most:
                    break
        return heard

    return run_virtual(main, START)


def of(heard: Heard, topic: str) -> Heard:
    return [(now, packet) for now, packet in heard if packet.topic.name == topic]


def events_of(heard: Heard) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    packets = [packet for _, packet in of(heard, "eye/events")]
    return np.concatenate([p.t for p in packets]) - START, np.concatenate([p.data for p in packets])


def one_file(folder: Path, n: int = 400, seed: int = 1, name: str = "a.bs2", first_us: int = 700) -> files.Events:
    t_us, events = files.some_events(n, seed=seed)
    t_us = t_us - t_us[0] + first_us
    (folder / name).write_bytes(files.nmnist((t_us, events)))
    return t_us, events


def eye(path: Path, **fields: Any) -> DvsFile:
    return DvsFile(name="eye", path=path, **fields)


def test_a_file_plays_from_its_first_event_in_bins_of_a_millisecond(tmp_path: Path) -> None:
    t_us, events = one_file(tmp_path)
    heard = hear(eye(tmp_path / "a.bs2"))
    t, data = events_of(heard)
    assert np.array_equal(t, (t_us - t_us[0]) * 1000)
    assert np.array_equal(data, events)
    for now, packet in of(heard, "eye/events"):
        assert now == packet.until - START
        assert now % MS == 0
        assert not len(packet) or packet.t[0] - START >= now - MS


def test_the_segment_comes_first_with_label_and_promises_the_end(tmp_path: Path) -> None:
    t_us, _ = one_file(tmp_path, name="7.bs2")
    (tmp_path / "labels.tsv").write_text("id\tlabel\tsplit\n7\t3\ttrain\n")
    heard = hear(eye(tmp_path / "7.bs2"))
    now, segment = heard[0]
    assert (now, segment.topic.name, segment.t.tolist()) == (0, "eye/segment", [START])
    assert segment.data.tolist() == [(0, 3, b"7.bs2")]
    end = heard[-1][1].until
    assert segment.until == end == START + (int(t_us[-1] - t_us[0]) // 1000 + 1) * MS + HEARTBEAT
    assert len(of(heard, "eye/segment")) == 1


def test_a_folder_plays_in_natural_order_with_gaps(tmp_path: Path) -> None:
    spans = {}
    for seed, name in enumerate(("10.bs2", "9.bs2", "100.bs2")):
        t_us, _ = one_file(tmp_path, seed=seed, name=name)
        spans[name] = (int(t_us[-1] - t_us[0]) // 1000 + 1) * MS
    heard = hear(eye(tmp_path, gap_s=0.05))
    segments = [packet for _, packet in of(heard, "eye/segment") if len(packet)]
    assert [packet.data["name"][0].decode() for packet in segments] == ["9.bs2", "10.bs2", "100.bs2"]
    assert [int(packet.data["index"][0]) for packet in segments] == [0, 1, 2]
    assert [int(packet.data["label"][0]) for packet in segments] == [-1, -1, -1]
    begins = [int(packet.t[0]) - START for packet in segments]
    assert begins == [0, spans["9.bs2"] + 50 * MS, spans["9.bs2"] + spans["10.bs2"] + 100 * MS]
    assert [packet.until - START for packet in segments[:2]] == begins[1:]
    order = [packet for _, packet in heard]
    for segment in segments:
        after = order[next(i for i, packet in enumerate(order) if packet is segment) + 1]
        assert after.topic.name == "eye/events"
        assert len(after)
        assert after.t[0] == segment.t[0]


def test_an_event_camera_says_something_every_ten_milliseconds(tmp_path: Path) -> None:
    t_us = np.array([0, 100, 95_050, 95_060])
    (tmp_path / "1.bs2").write_bytes(files.nmnist((t_us, files.some_events(4)[1])))
    (tmp_path / "2.bs2").write_bytes(files.nmnist((t_us, files.some_events(4)[1])))
    for fields in ({}, {"packet_events": 2}, {"packet_s": 0.003}):
        heard = hear(eye(tmp_path, **fields))
        times = [0, *(now for now, _ in of(heard, "eye/events"))]
        assert max(np.diff(times)) <= 10 * MS
        assert len(events_of(heard)[0]) == 8


def test_packets_by_count_hold_that_many_and_promise_their_last_time(tmp_path: Path) -> None:
    t_us, events = files.some_events(400, step_us=10)
    (tmp_path / "a.bs2").write_bytes(files.nmnist((t_us, events)))
    heard = hear(eye(tmp_path / "a.bs2", packet_events=64))
    packets = [packet for _, packet in of(heard, "eye/events") if len(packet)]
    assert [len(packet) for packet in packets] == [64] * 6 + [16]
    assert all(packet.until == packet.t[-1] for packet in packets[:-1])
    assert np.array_equal(events_of(heard)[1], events)


def test_speed_scales_file_time(tmp_path: Path) -> None:
    t_us, _ = one_file(tmp_path)
    t, _ = events_of(hear(eye(tmp_path / "a.bs2", speed=4.0)))
    assert np.array_equal(t, (t_us - t_us[0]) * 250)


def test_start_and_stop_cut_each_file(tmp_path: Path) -> None:
    t_us, events = one_file(tmp_path)
    t_ms = (t_us - t_us[0]) / 1000
    chosen = (t_ms >= 10) & (t_ms < 20)
    heard = hear(eye(tmp_path / "a.bs2", start_s=0.01, stop_s=0.02))
    t, data = events_of(heard)
    assert np.array_equal(data, events[chosen])
    assert np.allclose(t / MS, t_ms[chosen] - 10)
    assert heard[0][1].until == heard[-1][1].until == START + 10 * MS + HEARTBEAT


def test_a_loop_goes_on_counting(tmp_path: Path) -> None:
    t_us, events = one_file(tmp_path)
    heard = hear(eye(tmp_path / "a.bs2", loop=True, gap_s=0.0), most=300)
    segments = [packet for _, packet in of(heard, "eye/segment")]
    assert [int(packet.data["index"][0]) for packet in segments] == list(range(len(segments)))
    assert len(segments) > 2
    begin = int(segments[1].t[0])
    second = [p for _, p in of(heard, "eye/events") if begin < p.until <= segments[2].t[0]]
    assert second[0].seq == len(t_us)
    assert np.array_equal(np.concatenate([p.data for p in second]), events)


def test_a_long_file_refreshes_its_segment(tmp_path: Path) -> None:
    t_us, events = files.some_events(300_000, step_us=2)
    (tmp_path / "a.dat").write_bytes(files.dat((t_us, events)))
    heard = hear(eye(tmp_path / "a.dat"))
    said = [packet.until - START for _, packet in of(heard, "eye/segment")]
    assert said[0] == 0
    assert max(np.diff(said)) <= 10 * MS
    assert len(events_of(heard)[0]) == 300_000


def test_a_split_plays_only_its_files(tmp_path: Path) -> None:
    for i in (1, 2, 3):
        one_file(tmp_path, seed=i, name=f"{i}.bs2")
    (tmp_path / "labels.tsv").write_text("id\tlabel\tsplit\n1\t5\ttrain\n2\t6\ttest\n3\t7\ttrain\n")
    heard = hear(eye(tmp_path, split="train"))
    assert [int(p.data["label"][0]) for _, p in of(heard, "eye/segment") if len(p)] == [5, 7]
    with pytest.raises(ConfigError, match=r"split 'tset', expected one of \['test', 'train'\]"):
        eye(tmp_path, split="tset").describe()


def test_a_slow_consumer_gets_everything_late(tmp_path: Path) -> None:
    _, events = one_file(tmp_path)

    async def main(clock: VirtualClock) -> tuple[int, int]:
        clock.release()
        count = 0
        async with eye(tmp_path / "a.bs2").open(clock) as packets:
            async for packet in packets:
                if packet.topic.name == "eye/events":
                    count += len(packet)
                    if count < 100:
                        await clock.sleep_until(clock.now() + 7 * MS)
        return count, clock.now() - START

    count, _ = run_virtual(main, START)
    assert count == len(events)


def test_a_player_that_catches_up_lets_others_run(tmp_path: Path) -> None:
    one_file(tmp_path)

    async def main(clock: VirtualClock) -> int:
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                future = asyncio.get_running_loop().create_future()
                asyncio.get_running_loop().call_soon(future.set_result, None)
                await future

        async with eye(tmp_path / "a.bs2").open(clock) as packets:
            await clock.advance_to(START + 10_000 * MS)
            task = asyncio.create_task(other(), name="other")
            async for _ in packets:
                pass
            task.cancel()
        return turns

    assert run_virtual(main, START) >= 8


def test_dropped_packets_are_counted_and_seeded(tmp_path: Path) -> None:
    _, events = one_file(tmp_path)
    sensor = eye(tmp_path / "a.bs2", fault={"drop": 0.3, "seed": 4})
    heard = hear(sensor)
    t, _ = events_of(heard)
    lost = sum(packet.lost for _, packet in of(heard, "eye/events"))
    assert 0 < lost == len(events) - len(t)
    assert [p.until for _, p in hear(sensor)] == [p.until for _, p in heard]


def test_a_dying_sensor_raises_device_error(tmp_path: Path) -> None:
    one_file(tmp_path)
    with pytest.raises(DeviceError, match=r"eye: died 0.02 s after opening"):
        hear(eye(tmp_path / "a.bs2", fault={"die_after_s": 0.02}))


def test_a_silent_sensor_stays_alive(tmp_path: Path) -> None:
    one_file(tmp_path)

    async def main(clock: VirtualClock) -> tuple[int, bool]:
        last = 0

        async def consume() -> None:
            nonlocal last
            async with eye(tmp_path / "a.bs2", loop=True, fault={"silent_after_s": 0.02}).open(clock) as packets:
                async for packet in packets:
                    last = max(last, packet.until if packet.topic.name == "eye/events" else 0)

        task = asyncio.create_task(consume(), name="consume")
        await clock.advance_to(START + 5_000 * MS)
        alive = not task.done()
        task.cancel()
        await asyncio.wait((task,))
        return last, alive

    assert run_virtual(main, START) == (START + 19 * MS, True)


def test_times_that_ran_backwards_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.bs2").write_bytes(files.nmnist((np.array([0, 90, 50, 120]), files.some_events(4)[1])))
    hear(eye(tmp_path / "a.bs2"))
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / 'a.bs2'}: 1 times ran backwards; they were sorted within their chunk or moved up to its beginning"
    ]


def test_a_damaged_file_stops_the_sensor_with_its_error(tmp_path: Path) -> None:
    one_file(tmp_path, name="1.bs2")
    (tmp_path / "2.bs2").write_bytes(b"123")
    with pytest.raises(FormatError, match=r"2\.bs2"):
        hear(eye(tmp_path))


def test_a_later_file_of_a_larger_sensor_is_refused(tmp_path: Path) -> None:
    (tmp_path / "1.dat").write_bytes(files.dat(files.some_events()))
    (tmp_path / "2.dat").write_bytes(files.dat(files.some_events(extent=(64, 64)), extent=(64, 64)))
    with pytest.raises(FormatError, match=r"2\.dat: an event is at .* outside eye/events's"):
        hear(eye(tmp_path))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"packet_s": 0.001, "packet_events": 5}, "packet_s and packet_events are both set"),
        ({"start_s": 2.0, "stop_s": 1.0}, r"stop_s is 1\.0, expected above start_s"),
        ({"speed": 0.0}, "speed"),
        ({"pace": 2}, "pace"),
        ({"fault": {"drops": 1}}, "drops"),
    ],
)
def test_an_impossible_configuration_is_refused(fields: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=message):
        eye(tmp_path, **fields)


def test_a_missing_path_names_the_field(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"sensors\.eye\.path: .*nowhere is neither a file nor a folder"):
        eye(tmp_path / "nowhere").describe()
    with pytest.raises(ConfigError, match=r"sensors\.eye\.path: folder .* holds no file ending in"):
        eye(tmp_path).describe()


def test_a_format_without_size_needs_the_extent(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(files.csv(files.some_events()))
    with pytest.raises(ConfigError, match=r"sensors\.eye\.extent: "):
        eye(tmp_path / "a.csv").describe()
    topic = eye(tmp_path / "a.csv", extent=(34, 34)).describe()[0]
    assert topic.extent == (34, 34)


def test_cancelled_in_the_middle_it_leaves_nothing_running(tmp_path: Path) -> None:
    one_file(tmp_path)

    async def main(clock: MonotonicClock) -> int:
        heard = 0

        async def consume() -> None:
            nonlocal heard
            async with eye(tmp_path / "a.bs2", loop=True).open(clock) as packets:
                async for _ in packets:
                    heard += 1

        task = asyncio.create_task(consume(), name="consume")
        await clock.sleep_until(clock.now() + 50 * MS)
        task.cancel()
        await asyncio.wait((task,))
        assert task.cancelled()
        return heard

    assert run_real(main) > 0


def test_on_the_machine_s_clock_packets_come_at_their_ends(tmp_path: Path) -> None:
    one_file(tmp_path)

    async def main(clock: MonotonicClock) -> list[int]:
        async with eye(tmp_path / "a.bs2").open(clock) as packets:
            return [clock.now() - packet.until async for packet in packets if packet.topic.name == "eye/events"]

    late = run_real(main)
    assert min(late) >= 0


TIMES = st.lists(st.integers(0, 60 * MS), max_size=40).map(sorted)


@st.composite
def timings(draw: st.DrawFn) -> Timing:
    by_count = draw(st.booleans())
    return Timing(
        speed=draw(st.sampled_from((1.0, 0.3, 3.7))),
        start=draw(st.sampled_from((0, 7 * MS + 1))),
        stop=draw(st.sampled_from((None, 20 * MS, 40 * MS + 13))),
        packet=None if by_count else draw(st.sampled_from((MS, 3 * MS, 25 * MS, 7_777))),
        packet_events=draw(st.integers(1, 9)) if by_count else None,
        gap=draw(st.sampled_from((0, 5 * MS, 33 * MS))),
        heartbeat=draw(st.sampled_from((MS, 10 * MS))),
        loop=False,
    )


@given(st.lists(st.tuples(TIMES.filter(bool), TIMES, TIMES), min_size=1, max_size=3), timings(), st.booleans())
@settings(max_examples=300, deadline=None, derandomize=True, database=None)
def test_any_recording_at_any_timing_keeps_its_promises(
    recordings: list[tuple[list[int], list[int], list[int]]], timing: Timing, small: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        check_promises(recordings, timing, small, Path(folder))


def check_promises(
    recordings: list[tuple[list[int], list[int], list[int]]], timing: Timing, small: bool, folder: Path
) -> None:
    topics = {
        "events": Topic("a/events", DVS, extent=(1, 1)),
        "gyro": Topic("a/gyro", VECTOR3, rate_hz=100.0),
        "frames": Topic("a/frames", np.dtype(("u1", (1, 1))), rate_hz=10.0),
    }

    def chunks(path: Path) -> Iterator[Chunk]:
        merge = TimeMerge(0)
        streams = zip(topics, recordings[int(path.name)], strict=True)
        items = sorted((t, stream) for stream, times in streams for t in times)
        for t, stream in items:
            data = np.zeros((1, *topics[stream].shape), topics[stream].element)
            yield from merge.push(stream, np.array([t]), data)
        yield from merge.finish()

    tracks = [Track(folder / str(i), i, "") for i in range(len(recordings))]
    for track in tracks if small else ():
        track.path.touch()
    score = Score(tracks, chunks, topics, Topic("a/segment", SEGMENT), timing)
    until: dict[str, int] = {}
    said: dict[str, int] = {}
    now, heard = START, dict.fromkeys(("a/events", "a/gyro", "a/frames", "a/segment"), 0)
    longest = max(timing.heartbeat, timing.packet or 0)
    for cue in score.cues(START):
        packet, name = check_packet(cue.packet), cue.packet.topic.name
        assert cue.due >= now
        now = cue.due
        assert now >= (packet.t[-1] if len(packet) else packet.until)
        assert packet.until >= until.get(name, START)
        assert not len(packet) or packet.t[0] >= until.get(name, START)
        assert packet.seq == heard[name]
        if name == "a/events":
            assert now - said.get(name, START) <= longest
            said[name] = now
        until[name] = packet.until
        heard[name] += len(packet)
    assert now - said["a/events"] <= longest
    expected = dict.fromkeys(heard, 0) | {"a/segment": len(recordings)}
    for recording in recordings:
        first = min(t for times in recording for t in times)
        for stream, times in zip(topics, recording, strict=True):
            stop = 2**62 if timing.stop is None else first + timing.stop
            expected[f"a/{stream}"] += sum(first + timing.start <= t < stop for t in times)
    assert heard == expected


def recording(folder: Path) -> Path:
    grey = [(t * 1000, np.full((34, 34), t, np.uint8)) for t in range(5, 100, 10)]
    samples = [(1_000 * i, (0.0, -1.0, 0.0, 0.0, 0.0, -180.0)) for i in range(100)]
    content = files.aedat4(files.some_events(1_000), frames=grey, samples=samples, triggers=[(7_000, 6)])
    (folder / "d.aedat4").write_bytes(content)
    return folder / "d.aedat4"


def test_davis_file_plays_every_stream_in_si_and_rep_103(tmp_path: Path) -> None:
    sensor = DavisFile(name="davis", path=recording(tmp_path))
    topics = {topic.name: topic for topic in sensor.describe()}
    assert topics["davis/gyro"].unit == "rad/s"
    assert (topics["davis/gyro"].rate_hz, topics["davis/frames"].rate_hz) == (1000.0, 100.0)
    assert topics["davis/frames"].extent == (34, 34)
    heard = hear(sensor)
    gyro, accel = (np.concatenate([p.data for _, p in of(heard, f"davis/{s}")]) for s in ("gyro", "accel"))
    assert len(gyro) == len(accel) == 100
    assert np.allclose(gyro, [np.pi, 0, 0])  # -180 deg/s about the device's z, which points backward
    assert np.allclose(accel, [0, 0, 9.80665])
    frames = [packet for _, packet in of(heard, "davis/frames") if len(packet)]
    assert [len(packet) for packet in frames] == [1] * 10
    assert [int(packet.data[0, 0, 0]) for packet in frames] == list(range(5, 100, 10))
    assert sum(len(packet) for _, packet in of(heard, "davis/triggers")) == 1
    assert sum(len(packet) for _, packet in of(heard, "davis/events")) == 1_000
    nows = [now for now, _ in heard]
    assert nows == sorted(nows)


def test_camera_and_imu_files_play_their_own_streams(tmp_path: Path) -> None:
    path = recording(tmp_path)
    camera, imu = CameraFile(name="cam", path=path), ImuFile(name="imu", path=path, axes="x,y,z", rate_hz=999.0)
    assert {topic.name for topic in camera.describe()} == {"cam/frames", "cam/segment"}
    assert {topic.name: topic.rate_hz for topic in imu.describe()} == {
        "imu/gyro": 999.0,
        "imu/accel": 999.0,
        "imu/segment": None,
    }
    assert sum(len(packet) for _, packet in of(hear(camera), "cam/frames")) == 10
    gyro = np.concatenate([packet.data for _, packet in of(hear(imu), "imu/gyro")])
    assert np.allclose(gyro, [0, 0, -np.pi])


def test_every_file_adapter_is_a_sensor(tmp_path: Path) -> None:
    path = recording(tmp_path)
    for sensor in (
        DvsFile(name="a", path=path),
        CameraFile(name="a", path=path),
        ImuFile(name="a", path=path),
        DavisFile(name="a", path=path),
    ):
        assert isinstance(sensor, Sensor)
        assert len(sensor.describe()) >= 2


def test_a_file_of_the_wrong_kind_says_what_it_holds(tmp_path: Path) -> None:
    one_file(tmp_path)
    for sensor, expected in (
        (CameraFile(name="cam", path=tmp_path / "a.bs2"), "frames"),
        (ImuFile(name="cam", path=tmp_path / "a.bs2"), "gyro or accel"),
    ):
        with pytest.raises(ConfigError, match=rf"sensors\.cam\.path: .*holds events, expected {expected}"):
            sensor.describe()


def test_the_real_playlist_plays_with_its_labels(data: Path) -> None:
    heard = hear(eye(data / "nmnist", split="test", stop_s=0.05), most=400)
    segments = [packet for _, packet in of(heard, "eye/segment") if len(packet)]
    assert segments[0].data["name"][0] == b"60001.bs2"
    assert all(0 <= int(packet.data["label"][0]) <= 9 for packet in segments)
