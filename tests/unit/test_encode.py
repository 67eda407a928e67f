"""Encoders: which event becomes which index, what is dropped, what is refused."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from nets.encode import AddressEncoder, FrameEncoder, LevelCrossingEncoder, SampleEncoder, make_encoder
from runtime.core.topic import DVS, VECTOR3, Topic

EYE = Topic("eye/events", DVS, extent=(6, 8))
GYRO = Topic("imu/gyro", VECTOR3, "rad/s", 1000.0)
CAMERA = Topic("camera/frames", np.dtype(("u1", (6, 8))), extent=(6, 8))


def events(*xyp: tuple[int, int, int]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    return np.arange(len(xyp), dtype=np.int64) * 10, np.array(list(xyp), DVS)


@pytest.mark.parametrize(
    ("layout", "polarity", "shape", "on_first", "channel"),
    [
        ("cyx", "split", (2, 6, 8), False, 1),
        ("cyx", "split", (2, 6, 8), True, 0),
        ("yxc", "split", (6, 8, 2), False, 1),
        ("yxc", "split", (6, 8, 2), True, 0),
        ("cyx", "merge", (1, 6, 8), False, 0),
        ("yxc", "merge", (6, 8, 1), False, 0),
        ("yx", "merge", (6, 8), False, None),
    ],
)
def test_index_is_the_address_in_the_port(
    layout: str, polarity: str, shape: tuple[int, ...], on_first: bool, channel: int | None
) -> None:
    encoder = AddressEncoder((6, 8), shape, layout=layout, polarity=polarity, on_first=on_first)
    t, data = events((3, 5, 1))
    index = encoder.encode(t, data).index
    place = {"cyx": (channel, 5, 3), "yxc": (5, 3, channel), "yx": (5, 3)}[layout]
    assert index.dtype == np.int32
    assert index.tolist() == [np.ravel_multi_index([p for p in place if p is not None], shape)]


def test_flat_port_takes_the_same_indices() -> None:
    t, data = events((3, 5, 1), (0, 0, 0), (7, 5, 0))
    shaped = AddressEncoder((6, 8), (2, 6, 8)).encode(t, data)
    flat = AddressEncoder((6, 8), (96,)).encode(t, data)
    assert flat.index.tolist() == shaped.index.tolist() == [48 + 5 * 8 + 3, 0, 47]


def test_one_polarity_drops_and_counts_the_other() -> None:
    t, data = events((0, 0, 1), (1, 0, 0), (2, 0, 1), (9, 0, 1))
    on = AddressEncoder((6, 8), (6, 8), layout="yx", polarity="on")
    off = AddressEncoder((6, 8), (6, 8), layout="yx", polarity="off")
    assert (on.encode(t, data).index.tolist(), on.counters) == ([0, 2], {"outside": 1, "other_polarity": 1})
    assert (off.encode(t, data).index.tolist(), off.counters) == ([1], {"outside": 1, "other_polarity": 2})


def test_signed_polarity_is_the_value() -> None:
    t, data = events((0, 0, 1), (1, 0, 0))
    encoded = AddressEncoder((6, 8), (6, 8), layout="yx", polarity="signed").encode(t, data)
    assert encoded.value is not None
    assert encoded.value.tolist() == [1.0, -1.0]
    assert encoded.value.dtype == np.float32


def test_events_outside_the_crop_are_dropped_with_their_times_and_counted() -> None:
    encoder = AddressEncoder((6, 8), (3, 4), layout="yx", polarity="merge", crop=(2, 3, 3, 4))
    t, data = events((3, 2, 1), (2, 2, 1), (7, 2, 1), (6, 4, 0), (6, 5, 0), (6, 1, 0))
    encoded = encoder.encode(t, data)
    assert encoded.index.tolist() == [0, 11]
    assert encoded.t.tolist() == [0, 30]
    assert encoder.counters["outside"] == 4


def test_downscale_rounds_the_port_up() -> None:
    encoder = AddressEncoder((6, 8), (2, 2, 3), downscale=3)
    t, data = events((7, 5, 0), (2, 2, 1), (3, 3, 0))
    assert encoder.encode(t, data).index.tolist() == [5, 6, 4]
    with pytest.raises(ValueError, match=r"port shape is \(2, 2, 2\), expected \(2, 2, 3\)"):
        AddressEncoder((6, 8), (2, 2, 2), downscale=3)


def test_addresses_beyond_the_sensor_never_alias_into_the_port() -> None:
    encoder = AddressEncoder((6, 8), (2, 6, 8))
    t, data = events((8, 0, 0), (65535, 0, 1), (0, 6, 1), (65535, 65535, 255))
    assert len(encoder.encode(t, data).index) == 0
    assert encoder.counters["outside"] == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout": "yx"}, "no channel for polarity 'split'"),
        ({"layout": "xyc"}, "layout is 'xyc': did you mean 'yxc'?"),
        ({"polarity": "both"}, "polarity is 'both', expected one of"),
        ({"crop": [0, 0, 7, 8]}, r"crop is \[0, 0, 7, 8\], expected \[y, x, h, w\] inside 6x8"),
        ({"crop": [0, 0, 6]}, "expected 4 whole numbers"),
        ({"downscale": 0}, "downscale is 0, expected a whole number of at least 1"),
        ({"downscale": 1.5}, "downscale is 1.5"),
        ({"on_first": 1}, "on_first is 1, expected true or false"),
        ({"polarity": "merge"}, r"port shape is \(2, 6, 8\), expected \(1, 6, 8\) or \(48,\)"),
    ],
)
def test_address_settings_that_cannot_be_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AddressEncoder((6, 8), (2, 6, 8), **options)


def test_wide_addresses_are_refused() -> None:
    data = np.zeros(1, [("x", "<i4"), ("y", "<i4"), ("on", "u1")])
    with pytest.raises(ValueError, match="x int32, y int32, expected uint16"):
        AddressEncoder((6, 8), (2, 6, 8)).encode(np.zeros(1, np.int64), data)


def test_level_crossing_sends_steps_up_and_down() -> None:
    encoder = LevelCrossingEncoder(2, [0.5, 1.0])
    t = np.array([1, 2, 3, 4], np.int64)
    data = np.array([[0.4, 0.0], [1.6, -2.0], [1.01, -2.9], [-0.5, -3.0]], np.float32)
    encoded = encoder.encode(t, data)
    assert encoded.value is not None
    sent = list(zip(encoded.t.tolist(), encoded.index.tolist(), encoded.value.tolist(), strict=True))
    assert sent == [(2, 0, 3.0), (2, 3, 2.0), (4, 1, 4.0), (4, 3, 1.0)]


def test_noise_under_half_a_step_sends_at_most_the_first_crossing() -> None:
    rng = np.random.default_rng(7)
    for level in rng.uniform(-3, 3, 20):
        encoder = LevelCrossingEncoder(1, 1.0)
        t = np.arange(5000, dtype=np.int64)
        noisy = level + rng.uniform(-0.4999, 0.4999, (5000, 1))
        assert encoder.encode(t, noisy).value is not None
        settled = encoder.encode(t, noisy)
        assert len(settled.t) == 0
    quiet = LevelCrossingEncoder(1, 1.0)
    assert len(quiet.encode(np.arange(5000), rng.uniform(-0.4999, 0.4999, (5000, 1))).t) == 0


def test_level_may_start_from_the_first_sample() -> None:
    encoder = LevelCrossingEncoder(1, 1.0, start="first")
    t = np.arange(3, dtype=np.int64)
    encoded = encoder.encode(t, np.array([100.3, 101.2, 101.4]))
    assert (encoded.t.tolist(), encoded.index.tolist()) == ([2], [0])


def test_non_finite_samples_are_counted_and_move_nothing() -> None:
    encoder = LevelCrossingEncoder(2, 1.0)
    data = np.array([[np.nan, 2.0], [np.inf, 2.0], [-np.inf, 1e300], [0.0, 2.5]])
    encoded = encoder.encode(np.arange(4, dtype=np.int64), data)
    assert (encoded.t.tolist(), encoded.index.tolist()) == ([0], [2])
    assert encoder.counters == {"refused": 4}


def test_sample_values_are_scaled_and_non_finite_ones_refused() -> None:
    encoder = SampleEncoder(3, [1.0, 2.0, -1.0])
    data = np.array([[1.0, 2.0, 3.0], [np.nan, np.inf, 0.0]], np.float32)
    encoded = encoder.encode(np.array([5, 6], np.int64), data)
    assert encoded.value is not None
    assert encoded.t.tolist() == [5, 5, 5, 6]
    assert encoded.index.tolist() == [0, 1, 2, 2]
    assert encoded.value.tolist() == [1.0, 4.0, -3.0, 0.0]
    assert encoder.counters == {"refused": 2}


def test_samples_of_the_wrong_width_are_refused() -> None:
    with pytest.raises(ValueError, match=r"samples are float32\(2, 4\), expected numbers of shape \(2, 3\)"):
        SampleEncoder(3).encode(np.zeros(2, np.int64), np.zeros((2, 4), np.float32))


def test_a_still_camera_sends_nothing_and_a_brighter_cell_sends_on() -> None:
    encoder = FrameEncoder((6, 8), (2, 2, 4), grid=(2, 4), step=0.1, intensity="linear")
    frames = np.full((3, 6, 8), 100, np.uint8)
    frames[2, 3:, 6:] = 160
    frames[2, :3, :2] = 20
    encoded = encoder.encode(np.array([1, 2, 3], np.int64), frames)
    assert encoded.value is not None
    assert encoded.t.tolist() == [3, 3]
    assert encoded.index.tolist() == [0, 8 + 7]
    assert encoded.value.tolist() == [3.0, 2.0]


def test_log_intensity_steps_are_contrast_whatever_the_light() -> None:
    sent = []
    for light in (0.1, 0.4):
        encoder = FrameEncoder((2, 2), (2, 1, 1), grid=(1, 1), step=0.1)
        frames = np.array([light, light * 1.5 + 0.5 / 255]).reshape(2, 1, 1) * np.ones((2, 2, 2))
        encoded = encoder.encode(np.array([0, 1], np.int64), frames)
        assert encoded.value is not None
        sent.append((encoded.index.tolist(), encoded.value.tolist()))
    assert sent[0] == sent[1] == ([1], [4.0])


def test_colour_frames_of_any_depth_equal_their_grey_mean() -> None:
    grey = np.random.default_rng(3).integers(0, 256, (4, 7, 9), dtype=np.uint8)
    t = np.arange(4, dtype=np.int64)
    wanted = FrameEncoder((7, 9), (2, 3, 4), grid=(3, 4)).encode(t, grey)
    colour = FrameEncoder((7, 9), (2, 3, 4), grid=(3, 4)).encode(t, np.repeat(grey[..., None], 3, axis=3))
    deep = FrameEncoder((7, 9), (2, 3, 4), grid=(3, 4)).encode(t, grey.astype(np.uint16) * 257)
    assert len(wanted.index) > 10
    assert wanted.index.tolist() == colour.index.tolist() == deep.index.tolist()


def test_cells_cover_every_pixel_once() -> None:
    frame = np.random.default_rng(4).random((1, 7, 9))
    encoder = FrameEncoder((7, 9), (2, 3, 4), grid=(3, 4), step=1e-4, intensity="linear")
    encoder.encode(np.zeros(1, np.int64), np.zeros((1, 7, 9)))
    encoded = encoder.encode(np.ones(1, np.int64), frame)
    rows, columns = [0, 2, 4, 7], [0, 2, 4, 6, 9]
    means = [frame[0, r0:r1, c0:c1].mean() for r0, r1 in pairwise(rows) for c0, c1 in pairwise(columns)]
    assert encoded.value is not None
    assert np.abs(encoded.value * 1e-4 - means).max() <= 1e-4


def test_frames_with_a_dead_pixel_refuse_only_its_cell() -> None:
    encoder = FrameEncoder((2, 4), (2, 1, 2), grid=(1, 2), step=0.1)
    frames = np.full((2, 2, 4), 0.1)
    frames[1] = 0.9
    frames[1, 0, 0] = np.nan
    assert encoder.encode(np.arange(2, dtype=np.int64), frames).index.tolist() == [3]
    assert encoder.counters == {"refused": 1}


@pytest.mark.parametrize(
    ("kind", "topic", "shape", "options", "message"),
    [
        ("adress", EYE, (2, 6, 8), {}, "eye/events: unknown encoder 'adress': did you mean 'address'?"),
        ("address", EYE, (2, 6, 8), {"polarty": "on"}, "unknown option 'polarty': did you mean 'polarity'?"),
        ("address", GYRO, (2, 6, 8), {}, "imu/gyro: encoder 'address': events are .*expected fields x, y, on"),
        ("address", Topic("eye/e", DVS), (2, 6, 8), {}, "declares no extent"),
        ("level", GYRO, (6,), {}, "imu/gyro: encoder 'level': option 'step' is missing"),
        ("level", GYRO, (5,), {"step": 0.1}, r"port shape is \(5,\), expected 6 units"),
        ("level", GYRO, (6,), {"step": [0.1, 0.2]}, "step has 2 numbers, expected 3"),
        ("level", GYRO, (6,), {"step": -1}, "step is -1, expected above 0"),
        ("level", EYE, (6,), {"step": 1}, "expected numbers"),
        ("sample", GYRO, (6,), {}, r"port shape is \(6,\), expected 3 units"),
        ("sample", GYRO, (2,), {"channels": [0, 3]}, r"channels is \[0, 3\], expected different ones of 0 to 2"),
        ("sample", GYRO, (3,), {"scale": float("nan")}, "scale is nan, expected a finite number"),
        ("frame", CAMERA, (2, 3, 4), {"grid": [3, 9]}, "grid is 3x9, expected at most the frame's 6x8"),
        ("frame", CAMERA, (2, 3, 5), {"grid": [3, 4]}, r"port shape is \(2, 3, 5\), expected \(2, 3, 4\)"),
        ("frame", EYE, (2, 3, 4), {"grid": [3, 4]}, "expected frames of 6x8"),
    ],
)
def test_factory_names_what_is_wrong(
    kind: str, topic: Topic, shape: tuple[int, ...], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        make_encoder(kind, topic, shape, options)


def test_factory_builds_each_kind() -> None:
    t, data = events((3, 5, 1))
    assert make_encoder("address", EYE, [2, 6, 8], {"layout": "cyx"}).encode(t, data).index.tolist() == [91]
    sample = np.array([[0.0, 0.3, 0.0]], np.float32)
    assert make_encoder("level", GYRO, (6,), {"step": 0.1}).encode(t, sample).index.tolist() == [2]
    assert make_encoder("sample", GYRO, (3,), {"scale": 2}).encode(t, sample).index.tolist() == [0, 1, 2]
    some = make_encoder("sample", GYRO, (2,), {"scale": [1, 10], "channels": [2, 1]}).encode(t, sample)
    assert some.value is not None
    np.testing.assert_allclose(some.value, np.array([0.0, 3.0]), rtol=1e-6)
    frame = np.zeros((1, 6, 8), np.uint8)
    assert len(make_encoder("frame", CAMERA, (2, 3, 4), {"grid": [3, 4]}).encode(t, frame).index) == 0


def test_snapshot_goes_back_only_into_the_same_settings() -> None:
    encoder = LevelCrossingEncoder(1, 1.0)
    empty = encoder.hash()
    encoder.encode(np.zeros(1, np.int64), np.array([5.5]))
    snapshot, full = encoder.snapshot(), encoder.hash()
    assert full != empty
    with pytest.raises(ValueError, match=r"snapshot is of level 1 \[1.0\] zero, expected level 1 \[2.0\] zero"):
        LevelCrossingEncoder(1, 2.0).restore(snapshot)
    with pytest.raises(ValueError, match="bytes, expected"):
        encoder.restore(snapshot + b"x")
    with pytest.raises(ValueError, match="3 bytes of something else"):
        encoder.restore(b"abc")
    assert encoder.hash() == full
    encoder.reset()
    assert encoder.hash() == empty
    encoder.restore(snapshot)
    assert encoder.hash() == full
