"""The simulated gyro: its noise, bias, range and converter are what its datasheet says; a late reader is told."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from runtime.core.clock import SECOND, VirtualClock, run_virtual
from runtime.core.errors import DeviceError
from runtime.core.packet import Packet, check_packet
from runtime.core.roles import Sensor
from sensors.faults import Fault
from sensors.gyro_sim import GyroSim
from sensors.motion import Sine, angles, rates

MS = 1_000_000


def read(sensor: Sensor, n: int, pause_after: int = 0, pause_ns: int = 0) -> list[Packet]:
    """The first `n` packets, read without delay except one pause."""

    async def main(clock: VirtualClock) -> list[Packet]:
        clock.release()
        packets: list[Packet] = []
        async with sensor.open(clock) as stream:
            async for packet in stream:
                packets.append(check_packet(packet))
                if len(packets) == n:
                    break
                if len(packets) == pause_after:
                    await clock.sleep_until(clock.now() + pause_ns)
        return packets

    return run_virtual(main)


def samples(packets: Sequence[Packet]) -> NDArray[np.float32]:
    return np.concatenate([packet.data for packet in packets])


def ideal(**fields: object) -> GyroSim:
    quiet = {"noise_density": 0.0, "bias_walk": 0.0, "bias_rad_s": (0.0, 0.0, 0.0)}
    return GyroSim.model_validate({"name": "imu", "motion": (), **quiet, **fields})


def test_samples_lie_on_the_sensors_own_grid_without_drift() -> None:
    packets = read(ideal(rate_hz=937.0, burst=7), 300)
    t = np.concatenate([packet.t for packet in packets])
    k = np.arange(1, len(t) + 1)
    assert np.abs(t - (SECOND + k * SECOND / 937.0)).max() <= 1


def test_without_noise_it_measures_the_motion_to_half_a_step() -> None:
    gyro = ideal(motion=(Sine(axis="z", amplitude_rad_s=2.0, frequency_hz=3.0, phase_rad=0.3),), burst=10)
    packets = read(gyro, 50)
    t = np.concatenate([packet.t for packet in packets])
    assert np.abs(samples(packets) - rates(gyro.motion, t)).max() <= gyro.lsb_rad_s * 0.51
    assert np.ptp(samples(packets)[:, 2]) > 3.9


def test_angles_are_the_integral_of_rates() -> None:
    motion = GyroSim(name="imu").motion
    t = np.arange(SECOND, 2 * SECOND, MS)
    w = rates(motion, t)
    integral = np.cumsum((w[1:] + w[:-1]) / 2, axis=0) * 1e-3
    moved = angles(motion, t)
    assert np.abs(integral - (moved[1:] - moved[0])).max() < 1e-5


def test_white_noise_has_its_density() -> None:
    data = samples(read(ideal(noise_density=2e-3, burst=500, rate_hz=1000.0), 40))
    assert data.std() == pytest.approx(2e-3 * math.sqrt(1000.0), rel=0.02)
    angle = np.cumsum(data, axis=0)[999::1000] * 1e-3
    steps = np.diff(angle, axis=0)
    assert steps.std() == pytest.approx(2e-3, rel=0.3)
    lag_one = float((data[1:] * data[:-1]).mean() / data.var())
    assert abs(lag_one) < 0.03


def test_bias_starts_where_it_is_told_and_walks_as_it_is_told() -> None:
    data = samples(read(ideal(bias_walk=0.05, bias_rad_s=(0.1, -0.2, 0.3), burst=500, range_rad_s=4.0), 80))
    assert data[0] == pytest.approx([0.1, -0.2, 0.3], abs=0.01)
    steps = np.diff(data[::1000], axis=0)
    assert steps.std() == pytest.approx(0.05, rel=0.25)


def test_range_clips_and_the_converter_rounds() -> None:
    gyro = ideal(motion=(Sine(axis="x", amplitude_rad_s=9.0, frequency_hz=2.0),), range_rad_s=4.0, burst=50)
    data = samples(read(gyro, 20))
    assert data.max() == pytest.approx(4.0 - gyro.lsb_rad_s)
    assert data.min() == -4.0
    assert np.abs(data / gyro.lsb_rad_s - np.round(data / gyro.lsb_rad_s)).max() < 5e-3


def test_the_burst_changes_no_sample() -> None:
    single = samples(read(GyroSim(name="imu", burst=1), 120))
    bursts = samples(read(GyroSim(name="imu", burst=40), 3))
    assert np.array_equal(single, bursts)


def test_another_seed_is_another_sensor() -> None:
    assert not np.array_equal(samples(read(GyroSim(name="imu"), 10)), samples(read(GyroSim(name="imu", seed=1), 10)))


def test_a_late_reader_loses_what_the_fifo_could_not_hold_and_is_told() -> None:
    packets = read(ideal(fifo=20, burst=5), 6, pause_after=2, pause_ns=100 * MS)
    assert [packet.lost for packet in packets] == [0, 0, 80, 0, 0, 0]
    assert [packet.seq for packet in packets] == [0, 5, 90, 95, 100, 105]
    assert packets[2].t[0] == SECOND + 91 * MS


def test_a_reader_exactly_one_fifo_late_loses_nothing() -> None:
    assert [packet.lost for packet in read(ideal(fifo=8, burst=8), 3)] == [0, 0, 0]


def test_a_dropped_packet_is_counted_and_nothing_else_changes() -> None:
    whole = read(GyroSim(name="imu", burst=5), 200)
    holes = read(GyroSim(name="imu", burst=5, fault=Fault(drop=0.3, seed=4)), 120)
    by_seq = {packet.seq: packet for packet in whole}
    assert sum(packet.lost for packet in holes) == holes[-1].seq - 5 * 119
    assert 0.2 < sum(packet.lost for packet in holes) / holes[-1].seq < 0.4
    for packet in holes[:100]:
        assert np.array_equal(packet.data, by_seq[packet.seq].data)


def test_frozen_it_repeats_itself_at_its_rate() -> None:
    packets = read(GyroSim(name="imu", fault=Fault(freeze_after_s=0.05)), 100)
    data = samples(packets)
    assert len(np.unique(data[:49], axis=0)) > 40
    assert (data[49:] == data[48]).all()
    assert packets[99].t[0] == SECOND + 100 * MS


def test_it_dies_when_asked() -> None:
    with pytest.raises(DeviceError, match=r"imu: the device died.*die_after_s=0\.05"):
        read(GyroSim(name="imu", fault=Fault(die_after_s=0.05)), 100)
    assert len(read(GyroSim(name="imu", fault=Fault(die_after_s=0.05)), 49)) == 49


@pytest.mark.parametrize(
    "fields", [{"rate_hz": 0.0}, {"burst": 600}, {"range_rad_s": 0.0}, {"noise_density": math.nan}, {"rate": 3.0}]
)
def test_impossible_configuration_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        GyroSim.model_validate({"name": "imu", **fields})


def test_it_is_a_sensor() -> None:
    sensor: Sensor = GyroSim(name="imu")
    assert isinstance(sensor, Sensor)
    (topic,) = sensor.describe()
    assert (topic.name, topic.unit, topic.rate_hz) == ("imu/gyro", "rad/s", 1000.0)
