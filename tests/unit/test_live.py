"""What a page is shown is what passed, within the bytes and the time it may cost."""

from __future__ import annotations

import statistics
import timeit
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime import live, wire
from runtime.core.packet import Packet, no_events, one_event
from runtime.core.topic import DVS, SEGMENT, VECTOR3, Topic

MS = 1_000_000
T0 = 1_000 * MS


def eye(height: int = 34, width: int = 34) -> Topic:
    return Topic("eye/events", DVS, extent=(height, width))


def events(topic: Topic, t: Any, x: Any, y: Any, on: Any) -> Packet:
    times = np.asarray(t, np.int64)
    data = np.empty(len(times), DVS)
    data["x"], data["y"], data["on"] = x, y, on
    return Packet(topic, times, data, int(times[-1]))


def shown(reductions: live.Live, now: int) -> dict[str, Any]:
    frame = reductions.frame(now)
    assert frame is not None
    body = wire.decode(frame)
    assert isinstance(body, dict)
    return body


def planes(image: dict[str, Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    packed = np.frombuffer(image["data"], np.uint8).reshape(image["h"], image["w"])
    return packed >> 4, packed & 15


def test_nothing_is_kept_or_shown_while_nobody_watches() -> None:
    reductions = live.Live()
    reductions.on_packet(events(eye(), [T0], [1], [2], [1]))
    reductions.on_spikes(T0, "hidden", np.array([1]))
    assert reductions.frame(T0) is None
    reductions.start()
    assert set(shown(reductions, T0)) == {"t", "n"}
    reductions.on_spikes(T0, "hidden", np.array([1]))
    reductions.stop()
    reductions.start()
    assert "rasters" not in shown(reductions, T0 + 100 * MS)


def test_events_appear_where_they_were_in_the_plane_of_their_polarity_and_fade() -> None:
    reductions = live.Live()
    reductions.start()
    reductions.on_packet(events(eye(), [T0, T0 + MS], [3, 5], [7, 2], [1, 0]))
    on, off = planes(shown(reductions, T0 + MS)["images"]["eye/events"])
    assert on[7, 3] == 15
    assert off[2, 5] == 15
    assert np.count_nonzero(on) == 1
    assert np.count_nonzero(off) == 1
    on, _ = planes(shown(reductions, T0 + 50 * MS)["images"]["eye/events"])
    assert 4 <= on[7, 3] <= 7  # 15 / e
    on, off = planes(shown(reductions, T0 + 400 * MS)["images"]["eye/events"])
    assert not on.any()
    assert not off.any()
    assert "images" not in shown(reductions, T0 + 500 * MS), "a dark image that was sent is not sent again at once"
    assert "images" in shown(reductions, T0 + 1000 * MS), "but it is for the page that has just come"


def test_a_large_sensor_is_shown_smaller_and_addresses_outside_are_left_out() -> None:
    reductions = live.Live()
    reductions.start()
    topic = eye(720, 1280)
    reductions.on_packet(events(topic, [T0] * 3, [1279, 5, 0], [719, 5, 900], [1, 1, 1]))
    image = shown(reductions, T0)["images"]["eye/events"]
    assert (image["w"], image["h"]) == (320, 180)
    on, off = planes(image)
    assert on[179, 319] == 15
    assert on[1, 1] == 15
    assert np.count_nonzero(on) == 2
    assert not off.any()


def test_an_image_survives_weeks_of_watching() -> None:
    reductions = live.Live()
    reductions.start()
    day = 86_400_000 * MS
    for days in range(0, 40, 2):
        now = T0 + days * day
        reductions.on_packet(events(eye(), [now], [days % 34], [0], [1]))
        on, _ = planes(shown(reductions, now)["images"]["eye/events"])
        assert on[0, days % 34] == 15
        assert np.count_nonzero(on) == 1


@pytest.mark.parametrize("size", [10, 1000])
def test_spikes_are_counted_once_each_in_their_bin_and_row(size: int) -> None:
    reductions = live.Live({"hidden": size})
    reductions.start()
    rng = np.random.default_rng(1)
    t = np.sort(rng.integers(T0, T0 + 200 * MS, 500))
    index = rng.integers(0, size, 500)
    for part in range(0, 500, 50):
        reductions.on_spikes(t[part : part + 50], "hidden", index[part : part + 50])
    raster = shown(reductions, T0 + 200 * MS)["rasters"]["hidden"]
    rows = min(size, live.ROWS)
    counts = np.frombuffer(raster["data"], np.uint8).reshape(raster["bins"], raster["rows"])
    expected = np.zeros_like(counts)
    for when, neuron in zip(t.tolist(), index.tolist(), strict=True):
        expected[when // live.BIN - raster["first"], neuron * rows // size] += 1
    assert raster["rows"] == rows
    np.testing.assert_array_equal(counts, expected)


def test_a_frame_holds_the_past_of_those_lost_before_it() -> None:
    reductions = live.Live({"hidden": 4})
    reductions.start()
    for ms in range(0, 600, 10):
        reductions.on_spikes(T0 + ms * MS, "hidden", np.array([ms // 10 % 4]), np.array([2]))
    raster = shown(reductions, T0 + 599 * MS)["rasters"]["hidden"]
    counts = np.frombuffer(raster["data"], np.uint8).reshape(raster["bins"], raster["rows"])
    assert counts.sum() == 2 * raster["bins"]
    later = shown(reductions, T0 + 699 * MS)["rasters"]["hidden"]
    moved = np.frombuffer(later["data"], np.uint8).reshape(counts.shape)
    np.testing.assert_array_equal(moved[:-10], counts[10:])
    assert not moved[-10:].any()


def test_a_population_of_unknown_size_grows() -> None:
    reductions = live.Live()
    reductions.start()
    reductions.on_spikes(T0, "output", np.array([2]))
    reductions.on_spikes(T0, "output", np.array([9]))
    raster = shown(reductions, T0)["rasters"]["output"]
    assert raster["size"] == 10
    assert np.frombuffer(raster["data"], np.uint8).reshape(raster["bins"], 10)[-1, 9] == 1


def test_a_gyro_at_1_khz_is_thinned_to_its_newest_samples() -> None:
    topic = Topic("imu/gyro", VECTOR3, "rad/s", rate_hz=1000)
    reductions = live.Live()
    reductions.start()
    for ms in range(0, 1000, 4):
        t = T0 + np.arange(ms, ms + 4, dtype=np.int64) * MS
        reductions.on_packet(Packet(topic, t, np.repeat(t / 1e9, 3).reshape(-1, 3).astype(np.float32), int(t[-1])))
    reductions.on_packet(no_events(topic, T0 + 1000 * MS))
    trace = shown(reductions, T0 + 1000 * MS)["traces"]["imu/gyro"]
    times, values = np.frombuffer(trace["t"]), np.frombuffer(trace["v"], np.float32).reshape(-1, 3)
    assert (trace["unit"], trace["width"], len(times)) == ("rad/s", 3, len(values))
    assert times[-1] == pytest.approx(1.999)
    assert times[-1] - times[0] == pytest.approx(0.315, abs=0.005)
    np.testing.assert_allclose(values[:, 1], times, rtol=1e-6)


@pytest.mark.parametrize(
    ("dtype", "bright"), [("<f4", 1.0), ("u1", 255), ("<u2", 65535), ("?", True)], ids=["float", "byte", "word", "bool"]
)
def test_a_camera_frame_is_shown_as_bytes(dtype: str, bright: Any) -> None:
    image = np.zeros((480, 640), dtype)
    image[::2, :] = bright
    topic = Topic("eye/frame", np.dtype((dtype, (480, 640))), extent=(480, 640), rate_hz=30)
    reductions = live.Live()
    reductions.start()
    reductions.on_packet(one_event(topic, T0, image))
    sent = shown(reductions, T0)["images"]["eye/frame"]
    pixels = np.frombuffer(sent["data"], np.uint8).reshape(sent["h"], sent["w"], sent["c"])
    assert len(sent["data"]) <= 60_000
    assert pixels.shape == (160, 214, 1)
    assert set(pixels[::2].ravel().tolist()) == {255}
    assert set(pixels[1::2].ravel().tolist()) == {0}
    assert "images" not in shown(reductions, T0 + 40 * MS)


def test_events_of_every_topic_are_counted_by_their_stamp() -> None:
    gyro = Topic("imu/gyro", VECTOR3, "rad/s", rate_hz=1000)
    camera = Topic("eye/frames", np.dtype(("u1", (4, 4))), extent=(4, 4), rate_hz=30)
    reductions = live.Live()
    reductions.start()
    for ms in range(400):
        reductions.on_packet(one_event(gyro, T0 + ms * MS, (0, 0, 0)))
    for ms in (340, 373):
        reductions.on_packet(one_event(camera, T0 + ms * MS, np.zeros((4, 4))))
    times = T0 + np.array([100, 390, 391, 399]) * MS
    reductions.on_packet(events(eye(), times, [1] * 4, [1] * 4, [1] * 4))
    body = shown(reductions, T0 + 399 * MS)["activity"]
    counts = {name: np.frombuffer(activity["data"], "<u2") for name, activity in body.items()}
    assert counts["imu/gyro"].tolist() == [10] * 32
    assert np.flatnonzero(counts["eye/frames"]).tolist() == [26, 29]
    assert np.flatnonzero(counts["eye/events"]).tolist() == [2, 31]
    assert counts["eye/events"][31] == 3
    assert body["imu/gyro"]["first"] == (T0 + 80 * MS) // live.BIN
    later = shown(reductions, T0 + 2000 * MS)["activity"]["imu/gyro"]
    assert not any(later["data"])


def test_the_truth_of_a_simulated_world_is_shown_by_the_names_of_its_fields() -> None:
    pair = ("<f4", (2,))
    whole = np.dtype([("error_px", *pair), ("target_px", *pair), ("head_rad", *pair), ("base_rad_s", *pair)])
    topics = {
        "whole": Topic("gaze/truth", whole),
        "brief": Topic("other/truth", np.dtype([("target_px", *pair), ("error_px", *pair)])),
        "strange": Topic("odd/truth", np.dtype([("target_px", "<f4"), ("error_px", "<f4")])),
    }
    reductions = live.Live()
    reductions.start()
    reductions.on_packet(one_event(topics["whole"], T0, ((1, 2), (33, 34), (0, 0), (5, 6))))
    reductions.on_packet(one_event(topics["brief"], T0, ((33, 34), (1, 2))))
    reductions.on_packet(one_event(topics["strange"], T0, (33, 1)))
    body = shown(reductions, T0)["truth"]
    assert set(body) == {"gaze/truth", "other/truth"}
    assert body["gaze/truth"]["width"] == 6
    assert np.frombuffer(body["gaze/truth"]["v"], np.float32).tolist() == [1, 2, 33, 34, 5, 6]
    assert np.frombuffer(body["other/truth"]["v"], np.float32)[:4].tolist() == [1, 2, 33, 34]


def test_decisions_segments_and_angles_are_shown() -> None:
    reductions = live.Live()
    reductions.start()
    reductions.on_decision("label", T0, np.array([0.25, 0.75]), 0.6)
    reductions.on_command("pointer", T0, 1.5, 1.0)
    reductions.on_state("pointer", T0 + MS, 0.5, velocity=2.0, safe=True)
    topic = Topic("eye/segment", SEGMENT)
    reductions.on_packet(one_event(topic, T0, (3, 7, b"00007.bin")))
    body = shown(reductions, T0 + MS)
    assert body["decisions"] == {"label": {"t": 1.0, "scores": [0.25, 0.75], "value": 0.6}}
    assert body["segments"] == {"eye/segment": {"index": 3, "label": 7, "name": "00007.bin"}}
    pointer = body["actuators"]["pointer"]
    assert np.frombuffer(pointer["command"]["v"], np.float32).tolist() == [1.5, 1.0]
    assert np.frombuffer(pointer["state"]["v"], np.float32).tolist() == [0.5, 2.0, 1.0, 0.0]


def test_only_the_streams_asked_for_are_reduced() -> None:
    reductions = live.Live()
    reductions.start(["rasters", "nonsense"])
    reductions.on_packet(events(eye(), [T0], [1], [2], [1]))
    reductions.on_spikes(T0, "hidden", np.array([1]))
    reductions.on_decision("label", T0, [1.0], None)
    reductions.on_command("pointer", T0, 1.5, 1.0)
    assert set(shown(reductions, T0)) == {"t", "n", "rasters"}


def test_the_stream_keeps_to_thirty_frames_and_two_megabytes_a_second() -> None:
    rng = np.random.default_rng(2)
    small, large = live.Live(), live.Live()
    topics = eye(), eye(260, 346)
    for reductions, topic in zip((small, large), topics, strict=True):
        reductions.start()
        frames = size = 0
        for ms in range(1000):
            t = np.full(100, T0 + ms * MS)
            height, width = topic.extent or (0, 0)
            x, y = rng.integers(0, width, 100), rng.integers(0, height, 100)
            reductions.on_packet(events(topic, t, x, y, rng.integers(0, 2, 100)))
            frame = reductions.frame(T0 + ms * MS)
            if frame is not None:
                frames += 1
                size += len(frame)
        assert frames <= live.MAX_HZ
        assert frames >= (29 if topic is topics[0] else 20)
        assert size <= 1.05 * live.MAX_BYTES_S


def test_a_thousand_events_cost_under_half_a_millisecond() -> None:
    rng = np.random.default_rng(3)
    topic = eye(260, 346)
    reductions = live.Live({"hidden": 4096})
    reductions.start()
    t = np.sort(rng.integers(T0, T0 + 10 * MS, 1000))
    packet = events(topic, t, rng.integers(0, 346, 1000), rng.integers(0, 260, 1000), rng.integers(0, 2, 1000))
    index = rng.integers(0, 4096, 1000).astype(np.int32)
    of_packet = timeit.repeat(lambda: reductions.on_packet(packet), number=10, repeat=15)
    of_spikes = timeit.repeat(lambda: reductions.on_spikes(t, "hidden", index), number=10, repeat=15)
    print(f"packet {min(of_packet) * 1e5:.0f} µs, spikes {min(of_spikes) * 1e5:.0f} µs")
    assert min(of_packet) / 10 < 0.5e-3
    assert min(of_spikes) / 10 < 0.5e-3
    of_frame: list[float] = []
    for now in range(T0 + 10 * MS, T0 + 1000 * MS, 100 * MS):
        reductions.on_packet(events(topic, t + (now - int(t[-1])), *(packet.data[name] for name in DVS.names or ())))
        of_frame.append(timeit.timeit(lambda: reductions.frame(now), number=1))  # noqa: B023
    print(f"frame {statistics.median(of_frame) * 1e6:.0f} µs")
    assert min(of_frame) < 2e-3


def test_a_real_recording_is_seen(data: Path) -> None:
    files = sorted((data / "nmnist").glob("*.bs2")) if (data / "nmnist").is_dir() else []
    if not files:
        pytest.skip("needs N-MNIST files (*.bs2) under nmnist/ in TECTUM_DATA")
    raw = np.frombuffer(files[0].read_bytes(), np.uint8).reshape(-1, 5).astype(np.int64)
    t = (((raw[:, 2] & 0x7F) << 16) | (raw[:, 3] << 8) | raw[:, 4]) * 1000
    reductions = live.Live()
    reductions.start()
    reductions.on_packet(events(eye(), t, raw[:, 0], raw[:, 1], raw[:, 2] >> 7))
    on, off = planes(shown(reductions, int(t[-1]))["images"]["eye/events"])
    assert on.any()
    assert off.any()
