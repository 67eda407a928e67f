"""The gaze world's sensors: one pose gives all their signals, each with the flaws it was told to have."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from runtime.core.clock import SECOND
from sensors.gaze_camera import GazeCamera, Imager
from sensors.gaze_definition import GazeWorld
from sensors.gaze_dvs import GazeDvs, Retina
from sensors.gaze_gyro import GazeGyro, Gyroscope
from sensors.gaze_rig import Rig
from sensors.gaze_truth import TRUTH, truth
from sensors.gaze_world import World

MS = 1_000_000
TEXTURE = GazeWorld(target_log_contrast=0.0, log_contrast=0.4)
AT_REST = GazeWorld(base_sd_rad_s=0.0, target_sd_rad_s=0.0, bump_hz=0.0)
PERFECT: dict[str, Any] = {
    "gyro": GazeGyro(name="gyro", noise_density=0.0, bias_walk=0.0),
    "camera": GazeCamera(name="camera", rate_hz=50.0, exposure_s=0.0, exposure_samples=1, noise=0.0, level=70.0),
    "dvs": GazeDvs(
        name="dvs", mismatch=0.0, log_noise=0.0, refractory_s=0.0, noise_hz=0.0, hot_pixels=0, threshold=0.1
    ),
}


def steered(rig: Rig, seconds: float) -> Rig:
    """The rig after its head was turned by its motors as well as by its base."""
    for k in range(round(seconds * 100)):
        rig.command("pan", k * 10 * MS, 3.0 * np.sin(k / 3))
        rig.command("tilt", k * 10 * MS, 2.0 * np.cos(k / 5))
    return rig


def turned(t: NDArray[np.int64], rates: NDArray[np.float32], since: int, until: int) -> tuple[float, float]:
    """By how many pixels, right and down, the view moved over the world, by the gyro alone."""
    within = (t > since) & (t <= until)
    _, tilt, pan = rates[within].astype(float).sum(axis=0) * 0.001
    return -pan * 80.0, tilt * 80.0


def best_shift(before: NDArray[Any], after: NDArray[Any], reach: int = 12) -> tuple[float, float]:
    """The shift (right, down) of the view that makes one image of the other, by trying them all."""
    a, b = np.log(np.maximum(before.astype(float), 1)), np.log(np.maximum(after.astype(float), 1))
    inner = b[reach:-reach, reach:-reach]
    offsets = range(-reach, reach + 1)
    h, w = inner.shape
    cost = np.array(
        [[((a[reach + dy :, reach + dx :][:h, :w] - inner) ** 2).mean() for dx in offsets] for dy in offsets]
    )
    best = int(cost[1:-1, 1:-1].argmin())
    y, x = best // (2 * reach - 1) + 1, best % (2 * reach - 1) + 1
    return x - reach + vertex(*cost[y, x - 1 : x + 2]), y - reach + vertex(*cost[y - 1 : y + 2, x])


def vertex(left: float, middle: float, right: float) -> float:
    """Where the parabola through three points has its least value."""
    return float(0.5 * (left - right) / (left - 2 * middle + right))


def test_the_gyro_foretells_how_the_image_shifts() -> None:
    rig = steered(Rig(TEXTURE, **PERFECT), 1.0)
    t, rates = rig.gyro(SECOND)
    frames = rig.camera_frames(SECOND)
    moved = 0
    for before, after in pairwise(frames):
        right, down = turned(t, rates, before.t, after.t)
        if max(abs(right), abs(down)) > 10:
            continue
        moved += max(abs(right), abs(down)) > 1
        assert best_shift(before.grey, after.grey) == pytest.approx((right, down), abs=0.25)
    assert moved > 20


def test_the_gyro_and_a_frame_foretell_the_events() -> None:
    fine = PERFECT["dvs"].model_copy(update={"threshold": 0.05})
    rig = steered(Rig(TEXTURE, **{**PERFECT, "dvs": fine}), 0.5)
    t, rates = rig.gyro(SECOND // 2)
    event_t, events = rig.dvs(SECOND // 2)
    compared = 0
    for before, after in pairwise(rig.camera_frames(SECOND // 2)):
        right, down = turned(t, rates, before.t, after.t)
        if max(abs(right), abs(down)) > 10:
            continue
        within = (event_t >= before.t) & (event_t < after.t)
        counted = np.zeros((64, 64))
        np.add.at(counted, (events["y"][within], events["x"][within]), np.where(events["on"][within], 0.05, -0.05))
        start = np.log(np.maximum(before.grey.astype(float), 1))
        change = (shifted(start, right, down) - start)[12:-12, 12:-12]
        counted = counted[12:-12, 12:-12]
        assert np.percentile(np.abs(counted - change), 99) < 2 * 0.05 + 0.03, "left over before, after, rounding"
        if change.std() > 0.15:
            assert np.corrcoef(counted.ravel(), change.ravel())[0, 1] > 0.95
            compared += 1
    assert compared > 10


def shifted(image: NDArray[Any], right: float, down: float) -> NDArray[Any]:
    """What lies `right` and `down` of each pixel, bilinearly; the rim repeats itself."""
    x = np.clip(np.arange(64) + right, 0, 62.999)
    y = np.clip(np.arange(64) + down, 0, 62.999)
    i, j = y.astype(int)[:, None], x.astype(int)[None, :]
    a, b = y[:, None] - i, x[None, :] - j
    above = image[i, j] * (1 - b) + image[i, j + 1] * b
    below = image[i + 1, j] * (1 - b) + image[i + 1, j + 1] * b
    result: NDArray[Any] = above * (1 - a) + below * a
    return result


def test_the_truth_is_where_the_camera_sees_the_target() -> None:
    rig = steered(Rig(GazeWorld(log_contrast=0.0, in_sight_px=20.0), **PERFECT), 1.0)
    for frame in rig.camera_frames(SECOND):
        row = np.array([truth(rig.world, frame.t)], TRUTH)[0]
        light = frame.grey.astype(float) - 70
        x = (light.sum(axis=0) @ np.arange(64)) / light.sum()
        y = (light.sum(axis=1) @ np.arange(64)) / light.sum()
        assert (x, y) == pytest.approx(row["target_px"].tolist(), abs=0.15)
        assert row["error_px"] == pytest.approx(80.0 * row["error_rad"] * (-1, 1))
        assert row["target_px"] - row["error_px"] == pytest.approx([31.5, 31.5])


def test_the_gyro_adds_up_to_the_heads_angle() -> None:
    rig = steered(Rig(GazeWorld(), **PERFECT), 2.0)
    _, rates = rig.gyro(2 * SECOND)
    pose = rig.pose(2 * SECOND)
    total = rates.astype(float).sum(axis=0) * 0.001
    assert len(rates) == 2000
    assert total == pytest.approx([0.0, pose.tilt.head, pose.pan.head], abs=2e-3)
    assert abs(pose.pan.joint) > 0.01


@pytest.mark.parametrize("rate_hz", [250.0, 4000.0])
def test_the_gyros_noise_has_its_density_and_its_bias_walks(rate_hz: float) -> None:
    noisy = GazeGyro(name="gyro", world=AT_REST, rate_hz=rate_hz, noise_density=1e-2, bias_walk=0.0)
    n = round(20 * rate_hz)
    _, rates = Gyroscope(noisy, World(AT_REST), 0).samples(n)
    assert rates.std(axis=0) == pytest.approx([1e-2 * rate_hz**0.5] * 3, rel=0.05)
    walking = [
        Gyroscope(noisy.model_copy(update={"noise_density": 0.0, "bias_walk": 0.1, "seed": seed}), World(AT_REST), 0)
        for seed in range(12)
    ]
    ends = np.concatenate([gyro.samples(round(rate_hz))[1][-1] for gyro in walking])
    assert ends.std() == pytest.approx(0.1, rel=0.4)


def test_the_gyro_keeps_its_range_and_its_steps() -> None:
    gyro = GazeGyro(name="gyro", world=TEXTURE, range_rad_s=1.0, noise_density=0.0, bias_walk=0.0)
    _, rates = Gyroscope(gyro, World(TEXTURE), 0).samples(500)
    assert rates.min() == -1.0
    assert rates.max() == pytest.approx(1.0 - 1 / 32768)
    assert np.abs(rates * 32768 - np.rint(rates * 32768)).max() < 1e-2


def test_a_frame_is_the_mean_over_its_exposure_stamped_in_its_middle() -> None:
    long = GazeCamera(name="camera", world=TEXTURE, exposure_s=0.02, exposure_samples=8, noise=0.0)
    world = World(TEXTURE)
    t, grey = Imager(long, world, 0).frame()
    assert t == 10 * MS
    at = [round((k + 0.5) * 20 * MS / 8) for k in range(8)]
    mean = np.mean([np.exp(world.log_intensity(x)) for x in at], axis=0) * 45
    assert np.abs(grey.ravel() - mean).max() <= 0.5 + 1e-3
    sharp = np.exp(world.log_intensity(t)) * 45
    assert np.abs(grey.ravel() - sharp).max() > 3


def test_frames_are_late_by_their_delay_and_bear_noise() -> None:
    rig = Rig(AT_REST, camera=GazeCamera(name="camera", noise=0.02))
    assert rig.camera_frames(38 * MS) == []
    (first,) = rig.camera_frames(39 * MS)
    assert (first.t, first.arrived) == (4 * MS, 39 * MS)
    frames = np.stack([frame.grey for frame in rig.camera_frames(3 * SECOND)]).astype(float)
    assert len(frames) == 88
    assert frames.std(axis=0, ddof=1).mean() == pytest.approx(0.02 * 255, rel=0.05)


def test_a_frame_that_would_arrive_before_its_exposure_ends_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"delay_s is 0\.001"):
        GazeCamera(name="camera", delay_s=0.001)


def one_pixel(levels: NDArray[np.float32], th: float) -> list[tuple[int, int]]:
    """(t, on) of one pixel by definition: from the last event's level, an event at every threshold crossed."""
    reference, events = np.float32(levels[0]), []
    for k, (old, new) in enumerate(pairwise(levels)):
        while abs(new - reference) >= np.float32(th):
            sign = np.float32(1 if new > reference else -1)
            reference = np.float32(reference + sign * np.float32(th))
            part = min(max(float(reference - old) / float(new - old), 0.0), 1.0)
            events.append((k * MS + min(int(part * MS), MS - 1), int(sign > 0)))
    return events


@pytest.mark.parametrize("shape", [(1, 64), (64, 64)])
def test_every_pixel_follows_the_definition(shape: tuple[int, int]) -> None:
    world = GazeWorld(shape=shape, log_contrast=0.6, seed=5)
    rig = Rig(world, **PERFECT)
    t, events = rig.dvs(120 * MS)
    levels = np.stack([rig.world.log_intensity(k * MS) for k in range(121)])
    assert len(t) > 3 * shape[0] * shape[1]
    assert (np.diff(t) >= 0).all()
    differing, looked = 0, range(0, shape[0] * shape[1], max(shape[0] // 8, 1) * 3)
    for pixel in looked:
        y, x = divmod(pixel, 64)
        mine = (events["x"] == x) & (events["y"] == y)
        got = list(zip(t[mine].tolist(), events["on"][mine].tolist(), strict=True))
        expected = one_pixel(levels[:, pixel], 0.1)
        differing += not (
            len(got) == len(expected)
            and all(a[1] == b[1] and abs(a[0] - b[0]) < 20_000 for a, b in zip(got, expected, strict=True))
        )
    assert differing <= max(len(looked) // 50, 1), "more than rounding at a threshold explains"


def test_thresholds_differ_as_told() -> None:
    off, on = Retina(GazeDvs(name="dvs", mismatch=0.05), World(GazeWorld()), 0).thresholds
    assert on.std() == pytest.approx(0.2 * 0.05, rel=0.06)
    assert off.mean() == pytest.approx(0.2, rel=0.01)
    assert abs(np.corrcoef(on, off)[0, 1]) < 0.06


def test_no_pixel_fires_again_within_its_refractory_period() -> None:
    free = {"noise_hz": 0.0, "hot_pixels": 0, "threshold": 0.05}
    gaps = {}
    for refractory_s in (0.0, 0.003):
        dvs = GazeDvs.model_validate({"name": "dvs", **free, "refractory_s": refractory_s})
        t, events = Rig(GazeWorld(), dvs=dvs).dvs(200 * MS)
        address = events["y"].astype(int) * 64 + events["x"]
        order = np.lexsort((t, address))
        same = np.diff(address[order]) == 0
        gaps[refractory_s] = (np.diff(t[order])[same].min(), len(t))
    assert gaps[0.0][0] < 3 * MS <= gaps[0.003][0]
    assert gaps[0.003][1] < gaps[0.0][1]


def test_noise_and_hot_pixels_fire_in_a_still_scene_at_their_rates() -> None:
    quiet = {"name": "dvs", "log_noise": 0.0, "hot_pixels": 0, "noise_hz": 0.0}
    assert len(Rig(AT_REST, dvs=GazeDvs.model_validate(quiet)).dvs(SECOND)[0]) == 0
    _, noise = Rig(AT_REST, dvs=GazeDvs.model_validate({**quiet, "noise_hz": 5.0})).dvs(SECOND)
    assert len(noise) == pytest.approx(5 * 4096, rel=0.05)
    assert noise["on"].mean() == pytest.approx(0.5, abs=0.03)
    assert len(np.unique(noise[["x", "y"]])) > 0.95 * 4096
    _, hot = Rig(AT_REST, dvs=GazeDvs.model_validate({**quiet, "hot_pixels": 3, "hot_hz": 100.0})).dvs(SECOND)
    assert len(np.unique(hot[["x", "y"]])) == 3
    assert len(hot) == pytest.approx(300, abs=90)
    _, own = Rig(AT_REST, dvs=GazeDvs.model_validate({**quiet, "log_noise": 0.06})).dvs(SECOND // 4)
    assert len(own) > 100


@pytest.mark.parametrize("shape", [(1, 64), (64, 64)])
def test_however_it_is_read_a_sensor_says_the_same(shape: tuple[int, int]) -> None:
    definition = GazeWorld(shape=shape)
    dvs = GazeDvs(name="dvs", noise_hz=20.0)
    whole, pieces = Rig(definition, dvs=dvs), Rig(definition, dvs=dvs)
    random, now = np.random.default_rng(1), 0
    read: list[tuple[Any, ...]] = []
    while now < 600:
        now = min(now + int(random.integers(1, 60)), 600)
        read.append((*pieces.dvs(now * MS), *pieces.gyro(now * MS)))
    joined = [np.concatenate(column) for column in zip(*read, strict=True)]
    at_once = (*whole.dvs(600 * MS), *whole.gyro(600 * MS))
    assert len(at_once[0]) > 500
    for a, b in zip(joined, at_once, strict=True):
        assert isinstance(b, np.ndarray)
        assert a.tobytes() == b.tobytes()


def test_a_late_reader_finds_what_waits_in_one_packet_and_nothing_twice() -> None:
    world, gyro, dvs = World(TEXTURE), GazeGyro(name="gyro"), GazeDvs(name="dvs", step_s=0.001)
    late_gyro, late_dvs = Gyroscope(gyro, world, 0), Retina(dvs, world, 0)
    samples, events = [late_gyro.take(behind) for behind in (0, 3 * MS, 0)], [late_dvs.take(b) for b in (0, 3 * MS, 0)]
    assert [len(packet) for packet in samples] == [1, 4, 1]
    assert [packet.until for packet in events] == [MS, 5 * MS, 6 * MS]
    rig = Rig(TEXTURE, gyro=gyro, dvs=dvs)
    np.testing.assert_array_equal(np.concatenate([packet.data for packet in samples]), rig.gyro(6 * MS)[1])
    t, data = rig.dvs(6 * MS)
    np.testing.assert_array_equal(np.concatenate([packet.t for packet in events]), t)
    np.testing.assert_array_equal(np.concatenate([packet.data for packet in events]), data)
    assert len(late_gyro.take(100 * MS)) == 5, "no long turn for the loop"
