"""The simulated camera: exposure, read-out, noise, and that it sees the motion the gyro measures."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from pydantic import ValidationError

from runtime.core.clock import SECOND, VirtualClock, run_virtual
from runtime.core.packet import Packet, check_packet
from sensors.camera_sim import CameraSim
from sensors.gyro_sim import GyroSim
from sensors.motion import Sine, angles
from sensors.scene import Image, Scene, View

MS = 1_000_000
STILL = Scene(motion=(), target=None)
TURNING = Scene(motion=(Sine(axis="z", amplitude_rad_s=2.0, frequency_hz=0.1),), target=None, finest_px=8.0)


def read(camera: CameraSim, n: int, pause_after: int = 0, pause_ns: int = 0) -> list[tuple[int, Packet]]:
    """The first `n` packets with their times of arrival."""

    async def main(clock: VirtualClock) -> list[tuple[int, Packet]]:
        clock.release()
        packets: list[tuple[int, Packet]] = []
        async with camera.open(clock) as stream:
            async for packet in stream:
                packets.append((clock.now(), check_packet(packet)))
                if len(packets) == n:
                    break
                if len(packets) == pause_after:
                    await clock.sleep_until(clock.now() + pause_ns)
        return packets

    return run_virtual(main)


def shift(before: Image, after: Image) -> tuple[float, float]:
    """How far (down, right) a picture moved, by the gradient equation over all pixels but the border."""
    mean = (before.astype(np.float64) + after) / 2
    gy, gx = np.gradient(mean, axis=0), np.gradient(mean, axis=1)
    difference = after - before
    inner = (slice(2, -2), slice(2, -2))
    a = np.stack([gy[inner].ravel(), gx[inner].ravel()], axis=1)
    down, right = np.linalg.lstsq(a, -difference[inner].ravel(), rcond=None)[0]
    return float(down), float(right)


def test_a_frame_arrives_late_with_the_stamp_of_its_middle() -> None:
    camera = CameraSim(name="eye", rate_hz=30.0, exposure_s=0.01, readout_s=0.02)
    for k, (arrival, packet) in enumerate(read(camera, 10)):
        shutter = SECOND + round(k * SECOND / 30)
        assert packet.t[0] == shutter + 5 * MS
        assert arrival == shutter + 30 * MS


def test_exposure_averages_motion_away() -> None:
    sharp = CameraSim(name="eye", exposure_s=0.0, scene=TURNING, shot_noise=0.0, read_noise=0.0)
    blurred = sharp.model_copy(update={"exposure_s": 0.03, "exposure_samples": 16})
    (_, a), (_, b) = read(sharp, 1)[0], read(blurred, 1)[0]
    assert np.diff(b.data[0].astype(float), axis=1).std() < 0.9 * np.diff(a.data[0].astype(float), axis=1).std()
    samples = [
        np.exp(View(TURNING, (64, 64)).log_intensity(SECOND + round((j + 0.5) * 30 * MS / 16))) for j in range(16)
    ]
    expected = np.clip(np.mean(samples, axis=0) * blurred.level, 0, 255)
    assert np.abs(b.data[0] - expected).max() <= 0.51


def test_noise_has_its_variance() -> None:
    camera = CameraSim(name="eye", scene=Scene(motion=(), target=None, log_contrast=0.0), read_noise=2.0)
    data = np.stack([packet.data[0] for _, packet in read(camera, 40)]).astype(float)
    assert data.mean() == pytest.approx(camera.level, abs=0.1)
    assert data.var() == pytest.approx(0.1 * camera.level + 4.0 + 1 / 12, rel=0.03)


def test_the_picture_moves_as_the_head_turns() -> None:
    view = View(TURNING.model_copy(update={"finest_px": 16.0}), (64, 64))
    t = np.array([SECOND, SECOND + 2 * MS])
    yaw = np.diff(angles(TURNING.motion, t)[:, 2])[0]
    down, right = shift(*(view.log_intensity(int(at)) for at in t))
    assert right == pytest.approx(yaw * TURNING.pixels_per_rad, rel=0.05)
    assert abs(down) < 0.05 * abs(right)


def test_the_gyro_predicts_how_the_picture_moves() -> None:
    scene = TURNING.model_copy(update={"finest_px": 16.0})
    camera = CameraSim(name="eye", scene=scene, rate_hz=100.0, exposure_s=0.004, shot_noise=0.01, read_noise=0.2)
    frames = [packet for _, packet in read(camera, 10)]

    async def main(clock: VirtualClock) -> list[Packet]:
        clock.release()
        packets = []
        async with GyroSim(name="imu", motion=scene.motion, burst=10).open(clock) as stream:
            async for packet in stream:
                packets.append(packet)
                if len(packets) == 12:
                    break
        return packets

    gyro = run_virtual(main)
    t, rate = np.concatenate([p.t for p in gyro]), np.concatenate([p.data for p in gyro])[:, 2]
    for a, b in pairwise(frames):
        during = (t > a.t[0]) & (t <= b.t[0])
        predicted = rate[during].sum() * 1e-3 * scene.pixels_per_rad
        pictures = [np.log(np.maximum(p.data[0], 1).astype(np.float32)) for p in (a, b)]
        assert shift(*pictures)[1] == pytest.approx(predicted, rel=0.1)
        assert abs(predicted) > 0.5


def test_nose_down_moves_the_picture_up() -> None:
    scene = Scene(motion=(Sine(axis="y", amplitude_rad_s=2.0, frequency_hz=0.1),), target=None, finest_px=16.0)
    view = View(scene, (64, 64))
    down, _ = shift(*(view.log_intensity(at) for at in (SECOND, SECOND + 4 * MS)))
    assert down < -0.3


def test_the_texture_has_its_contrast_and_no_finer_waves_than_told() -> None:
    scene = Scene(motion=(), target=None, log_contrast=0.4, finest_px=8.0)
    image = View(scene, (256, 256)).log_intensity(SECOND)
    assert image.std() == pytest.approx(0.4, rel=1e-3)
    spectrum = np.abs(np.fft.fft2(image.astype(np.float64)))
    frequency = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256)[None, :])
    assert spectrum[frequency > 1 / 8 + 1e-9].max() < 1e-3 * spectrum.max()


def test_the_target_is_bright_and_moves() -> None:
    scene = Scene(motion=(), log_contrast=0.0)
    view = View(scene, (64, 64))
    places = {np.unravel_index(int(view.log_intensity(k * SECOND).argmax()), (64, 64)) for k in range(5)}
    assert len(places) > 3


def test_a_late_reader_loses_the_oldest_frames_and_is_told() -> None:
    packets = [packet for _, packet in read(CameraSim(name="eye", buffers=2), 5, pause_after=2, pause_ns=310 * MS)]
    assert packets[2].lost == 7
    assert [packet.seq for packet in packets] == [0, 1, 9, 10, 11]


def test_a_large_frame_is_the_same_kind_of_frame() -> None:
    camera = CameraSim(name="eye", height=200, width=300, scene=STILL)
    (_, packet) = read(camera, 1)[0]
    assert packet.data.shape == (1, 200, 300)
    assert camera.describe()[0].extent == (200, 300)


def test_exposure_longer_than_a_period_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"exposure_s is 0\.05"):
        CameraSim(name="eye", rate_hz=30.0, exposure_s=0.05)
