"""The gaze world's motion: the statistics it promises, motors that keep their limits, the same bits whoever looks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pydantic import ValidationError

from runtime.core.clock import VirtualClock
from runtime.core.errors import ConfigError
from sensors.gaze_axis import REMEMBERED, Axis
from sensors.gaze_definition import GazeWorld
from sensors.gaze_sway import Bumps, Sway
from sensors.gaze_world import World, shared

MS = 1_000_000
AT_REST = GazeWorld(base_sd_rad_s=0.0, target_sd_rad_s=0.0, bump_hz=0.0, in_sight_px=0.0)


def test_the_base_sways_as_told() -> None:
    sway, angle = Sway(1.5, 0.03, 0.3, 0.001, (1,)), 0.0
    rates, angles = np.empty(400_000), np.empty(400_000)
    for k in range(len(rates)):
        rates[k] = sway.step(angle)
        angle += rates[k] * 0.001
        angles[k] = angle
    assert rates.std() == pytest.approx(1.5, rel=0.03)
    assert angles.std() == pytest.approx(0.3, rel=0.2)
    assert np.corrcoef(rates[30:], rates[:-30])[0, 1] == pytest.approx(math.exp(-1), abs=0.05)


def test_bumps_come_at_their_rate_with_their_length_and_either_sign() -> None:
    bumps = Bumps(5.0, 30, 1000.0, (2,))
    pushed = np.array([bumps.step() for _ in range(400_000)])
    begins = np.flatnonzero((pushed[1:] != 0) & (pushed[:-1] == 0))
    assert len(begins) == pytest.approx(400, abs=60)
    assert set(np.unique(pushed)) == {-5.0, 0.0, 5.0}
    assert 0.4 < (pushed[begins + 1] > 0).mean() < 0.6
    assert np.count_nonzero(pushed) == pytest.approx(30 * 400, rel=0.15)


def test_the_motor_nears_its_command_with_its_lag_from_the_very_nanosecond() -> None:
    axis = Axis(AT_REST, 0, 0)
    axis.command(1_234_567, 2.0)
    assert axis.at(1_234_567).joint_rate == 0.0
    for after in (100_000, 5 * MS, 40 * MS):
        left, s = math.exp(-after / (5 * MS)), after / 1e9
        moment = axis.at(1_234_567 + after)
        assert moment.joint_rate == pytest.approx(2.0 * (1 - left), rel=1e-9)
        assert moment.joint == pytest.approx(2.0 * s - 2.0 * 0.005 * (1 - left), rel=1e-9)
        assert moment.head == moment.joint


def test_a_command_acts_on_what_comes_after_it_and_on_nothing_before() -> None:
    one, other = World(AT_REST), World(AT_REST)
    for world, rate in ((one, 3.0), (other, -3.0)):
        world.command("pan", 10 * MS, 1.0)
        world.command("pan", 20 * MS + 7, rate)
    assert one.pose(20 * MS + 7)._replace(pan=one.pose(5).pan) == other.pose(20 * MS + 7)._replace(
        pan=other.pose(5).pan
    )
    assert one.pose(20 * MS + 7).pan.joint == other.pose(20 * MS + 7).pan.joint
    assert one.pose(20 * MS + 8).pan.joint_rate > other.pose(20 * MS + 8).pan.joint_rate


def test_the_motor_keeps_speed_and_end_stops() -> None:
    axis = Axis(GazeWorld(), 0, 0)
    fastest, furthest = 0.0, 0.0
    for k in range(4000):
        axis.command(k * MS + 3, 1e9 if k % 2000 < 1000 else -1e9)
        moment = axis.at(k * MS + 500_000)
        fastest, furthest = max(fastest, abs(moment.joint_rate)), max(furthest, abs(moment.joint))
    assert 11.9 < fastest <= 12.0
    assert furthest == 1.8
    assert axis.at(4000 * MS).joint_rate == 0.0


def test_a_command_outlives_its_time_to_live_by_nothing() -> None:
    axis = Axis(AT_REST, 0, 0)
    axis.command(0, 1.0, ttl_ns=30 * MS + 1)
    assert axis.at(30 * MS).command == 1.0
    assert axis.at(30 * MS + 1).command == 0.0
    assert abs(axis.at(100 * MS).joint_rate) < 1e-5
    axis.command(100 * MS, 1.0, ttl_ns=30 * MS)
    axis.command(120 * MS, 1.0, ttl_ns=30 * MS)
    assert axis.at(149 * MS).command == 1.0
    assert axis.at(150 * MS).command == 0.0


def test_the_target_stays_in_sight_and_moves_on_without_a_jump() -> None:
    world = World(GazeWorld())
    poses = [world.pose(k * MS // 4) for k in range(40_000)]
    errors = np.array([(pose.pan.error, pose.tilt.error) for pose in poses]) * 80.0
    assert 27.9 < np.abs(errors).max() <= 28.0 + 1e-9
    steps = np.abs(np.diff(errors, axis=0))
    assert steps.max() < 80.0 * 0.00025 * (1.5 * 5 + 1.0 * 5 + 5.0)


def test_its_two_axes_and_other_seeds_move_differently() -> None:
    angles = {
        (seed, axis): tuple(round(World(GazeWorld(seed=seed)).moment(axis, k * 100 * MS).base, 9) for k in range(1, 5))
        for seed in (0, 1)
        for axis in ("pan", "tilt")
    }
    assert len(set(angles.values())) == 4


def test_looking_changes_nothing() -> None:
    random = np.random.default_rng(3)
    watched, left_alone = World(GazeWorld()), World(GazeWorld())
    now = 0
    for _ in range(300):
        now += int(random.integers(1, 5 * MS))
        for t in np.sort(random.integers(max(now - 100 * MS, 0), now, 5)).tolist():
            watched.log_intensity(t)
        rate = float(random.normal(0, 5))
        for world in (watched, left_alone):
            world.command("pan", now, rate, ttl_ns=3 * MS)
            world.command("tilt", now, -rate)
    assert watched.pose(now + MS) == left_alone.pose(now + MS)
    assert watched.pose(now // 2) == left_alone.pose(now // 2)


def test_the_past_is_what_it_was_when_it_was_the_present() -> None:
    world = World(GazeWorld())
    seen = []
    for k in range(1, 400):
        t = k * 777_777
        world.command("pan", t, math.sin(k))
        seen.append((t, world.pose(t)))
    assert [world.pose(t) for t, _ in seen] == [pose for _, pose in seen]


def test_it_remembers_seconds_and_says_what_it_has_forgotten() -> None:
    axis = Axis(GazeWorld(), 0, 0)
    for k in range(2 * REMEMBERED):
        axis.command(k * MS // 2, float(k % 2))
    now = REMEMBERED * MS
    assert axis.at(now - 4000 * MS).joint_rate < 1.0
    with pytest.raises(ValueError, match="asked for 0, expected from"):
        axis.at(0)


def test_adapters_of_one_name_share_a_world_as_long_as_any_holds_it() -> None:
    clock, other = VirtualClock(), VirtualClock()
    with shared(GazeWorld(), clock) as first:
        with shared(GazeWorld(), clock) as second, shared(GazeWorld(), other) as elsewhere:
            assert first is second
            assert first is not elsewhere
        with shared(GazeWorld(name="second"), clock) as named:
            assert named is not first
        with shared(GazeWorld(), clock) as third:
            assert third is first
    with shared(GazeWorld(), clock) as anew:
        assert anew is not first


def test_two_definitions_of_one_name_are_refused() -> None:
    clock = VirtualClock()
    with shared(GazeWorld(), clock), pytest.raises(ConfigError, match=r"world 'gaze' .* seed = 1, others have 0"):
        with shared(GazeWorld(seed=1), clock):
            pass


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"shape": [0, 64]}, "shape"),
        ({"shape": [64, 300]}, "shape"),
        ({"shape": [32, 32]}, "in_sight_px"),
        ({"no_such_key": 1}, "no_such_key"),
        ({"lag_s": 0.0}, "lag_s"),
    ],
)
def test_impossible_worlds_are_refused(fields: dict[str, object], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        GazeWorld.model_validate(fields)


def test_a_world_of_one_row_has_no_tilt() -> None:
    world = World(GazeWorld(shape=(1, 64)))
    with pytest.raises(ConfigError, match=r"no axis 'tilt' \(it has pan\)"):
        world.command("tilt", 0, 1.0)
    assert world.log_intensity(MS).shape == (64,)
    assert world.error_px(world.pose(50 * MS))[1] == 0.0
