"""The simulated event camera against the definition of its pixel, taken one at a time."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.core.clock import SECOND, MonotonicClock, VirtualClock, run_real, run_virtual
from runtime.core.packet import Packet, check_packet
from sensors.dvs_sim import LONGEST_STEP_NS, DvsSim, Pixels
from sensors.motion import Sine
from sensors.scene import Scene, View

MS = 1_000_000
TURNING = Scene(motion=(Sine(axis="z", amplitude_rad_s=1.0, frequency_hz=0.1),))
STILL = Scene(motion=(), target=None)


def clean(**fields: object) -> DvsSim:
    quiet = {"mismatch": 0.0, "refractory_s": 0.0, "noise_hz": 0.0, "hot_pixels": 0, "scene": TURNING}
    return DvsSim.model_validate({"name": "eye", "height": 24, "width": 32, **quiet, **fields})


def read(camera: DvsSim, n: int, pause_after: int = 0, pause_ns: int = 0) -> list[Packet]:
    async def main(clock: VirtualClock) -> list[Packet]:
        clock.release()
        packets: list[Packet] = []
        async with camera.open(clock) as stream:
            async for packet in stream:
                packets.append(check_packet(packet))
                if len(packets) == n:
                    break
                if len(packets) == pause_after:
                    await clock.sleep_until(clock.now() + pause_ns)
        return packets

    return run_virtual(main)


def one_pixel(camera: DvsSim, levels: NDArray[np.float32], step: int) -> list[tuple[int, int]]:
    """(t, on) of one pixel by definition: from the last event's level, an event at every threshold crossed."""
    reference, events, th = np.float32(levels[0]), [], np.float32(camera.threshold)
    for k, (old, new) in enumerate(pairwise(levels)):
        while abs(new - reference) >= th:
            sign = np.float32(1 if new > reference else -1)
            reference = np.float32(reference + sign * th)
            part = min(max(float(reference - old) / float(new - old), 0.0), 1.0)
            events.append((SECOND + k * step + min(int(part * step), step - 1), int(sign > 0)))
    return events


def test_every_pixel_follows_the_definition() -> None:
    camera, n, step = clean(), 100, 2 * MS
    packets = read(camera, n)
    t, data = np.concatenate([p.t for p in packets]), np.concatenate([p.data for p in packets])
    view = View(TURNING, (24, 32))
    levels = np.stack([view.log_intensity(SECOND + k * step) for k in range(n + 1)])
    assert len(t) > 1000
    differing = 0
    for y in range(24):
        for x in range(32):
            mine = (data["x"] == x) & (data["y"] == y)
            expected = one_pixel(camera, levels[:, y, x], step)
            got = list(zip(t[mine].tolist(), data["on"][mine].tolist(), strict=True))
            same = len(got) == len(expected) and all(
                a[1] == b[1] and abs(a[0] - b[0]) < 50_000 for a, b in zip(got, expected, strict=True)
            )
            differing += not same
    assert differing <= 8, "more than rounding at a threshold explains"


def test_a_still_scene_makes_no_events_but_says_so_every_step() -> None:
    packets = read(clean(scene=STILL), 50)
    assert sum(len(packet) for packet in packets) == 0
    assert [packet.until for packet in packets] == [SECOND + (k + 1) * 2 * MS for k in range(50)]


def test_thresholds_differ_as_told() -> None:
    pixels = Pixels(clean(height=100, width=100, mismatch=0.05), SECOND)
    assert pixels._on_threshold.std() == pytest.approx(0.2 * 0.05, rel=0.05)
    assert pixels._on_threshold.mean() == pytest.approx(0.2, rel=0.01)
    assert abs(np.corrcoef(pixels._on_threshold.ravel(), pixels._off_threshold.ravel())[0, 1]) < 0.05


def test_no_pixel_fires_again_within_its_refractory_period() -> None:
    fast = Scene(motion=(Sine(axis="z", amplitude_rad_s=8.0, frequency_hz=1.0),))
    free = read(clean(scene=fast, threshold=0.05), 100)
    held = read(clean(scene=fast, threshold=0.05, refractory_s=0.003), 100)
    assert least_gap(free) < 3 * MS <= least_gap(held)
    assert sum(map(len, held)) < sum(map(len, free))


def least_gap(packets: list[Packet]) -> int:
    t, data = np.concatenate([p.t for p in packets]), np.concatenate([p.data for p in packets])
    address = data["y"].astype(np.int64) * 1000 + data["x"]
    order = np.lexsort((t, address))
    same = address[order][1:] == address[order][:-1]
    return int(np.diff(t[order])[same].min())


def test_noise_comes_at_its_rate_from_everywhere_in_both_polarities() -> None:
    packets = read(clean(scene=STILL, noise_hz=5.0), 500)
    data = np.concatenate([p.data for p in packets])
    expected = 5.0 * 24 * 32 * 1.0
    assert len(data) == pytest.approx(expected, abs=5 * expected**0.5)
    assert data["on"].mean() == pytest.approx(0.5, abs=0.05)
    assert len(np.unique(data[["x", "y"]])) > 0.95 * 24 * 32


def test_hot_pixels_are_always_the_same() -> None:
    data = np.concatenate([p.data for p in read(clean(scene=STILL, hot_pixels=3, hot_hz=100.0), 500)])
    assert len(np.unique(data[["x", "y"]])) == 3
    assert len(data) == pytest.approx(300, abs=90)


def test_a_finer_step_gives_nearly_the_same_events() -> None:
    coarse = sum(map(len, read(clean(step_s=0.004), 50)))
    fine = sum(map(len, read(clean(step_s=0.0005), 400)))
    assert coarse == pytest.approx(fine, rel=0.02)


def test_a_late_reader_gets_longer_steps_and_no_growing_delay() -> None:
    packets = read(clean(), 60, pause_after=10, pause_ns=50 * MS)
    lengths = np.diff([packet.until for packet in packets])
    assert lengths.max() == LONGEST_STEP_NS
    assert (lengths[20:] == 2 * MS).all()
    assert sum(packet.lost for packet in packets) == 0


def test_a_reader_too_late_for_the_buffer_loses_events_and_is_told() -> None:
    late = read(clean(), 60, pause_after=10, pause_ns=400 * MS)
    assert [packet.lost for packet in late] == [0] * 10 + [-1] + [0] * 49
    assert late[10].until == SECOND + 422 * MS
    assert late[10].t[0] >= SECOND + 420 * MS
    assert late[10].seq == sum(map(len, late[:10]))


def test_frozen_it_goes_on_saying_that_there_is_nothing() -> None:
    packets = read(DvsSim.model_validate({"name": "eye", "fault": {"freeze_after_s": 0.1}}), 100)
    assert sum(map(len, packets[:49])) > 100
    assert sum(map(len, packets[50:])) == 0
    assert packets[-1].until == SECOND + 200 * MS


def test_off_the_loop_it_gives_the_same_packets() -> None:
    camera = clean(height=130, width=130)

    async def main(clock: MonotonicClock) -> list[Packet]:
        packets = []
        async with camera.open(clock) as stream:
            async for packet in stream:
                packets.append(check_packet(packet))
                if len(packets) >= 5 and any(map(len, packets)):  # a busy machine stretches the first steps
                    break
        return packets

    packets = run_real(main)
    assert all(a.until < b.until for a, b in pairwise(packets))
    assert sum(map(len, packets)) > 0
