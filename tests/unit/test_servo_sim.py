"""The simulated servo in process: its physics in closed form, its own time to live, what it refuses."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from actuators.log import LogActuator
from actuators.servo_physics import AT_END_STOP, ServoPhysics
from actuators.servo_sim import ServoSim
from runtime.core.clock import SECOND, VirtualClock, run_virtual
from runtime.core.errors import ConfigError, DeviceError, PacketError
from runtime.core.packet import Packet, no_events, one_event

MS = 1_000_000
PAN = ServoSim(name="pan")
EXACT = ServoSim(name="pan", noise_rad=0.0, resolution_rad=0.0, ttl_s=2.0)


def command(servo: ServoSim | LogActuator, t: int, value: float, ttl_s: float = 0.5) -> Packet:
    return one_event(servo.describe()[0], t, (value, ttl_s))


def integrated(servo: ServoSim, target: float, seconds: float, steps: int = 200_000) -> float:
    """The same motion by small explicit steps."""
    x, dt = servo.safe_value, seconds / steps
    for _ in range(steps):
        x += max(-servo.speed_rad_s, min((target - x) / servo.tau_s, servo.speed_rad_s)) * dt
    return x


@pytest.mark.parametrize("seconds", [0.003, 0.05, 0.1, 0.3])
@pytest.mark.parametrize("target", [0.05, -1.2])
def test_motion_solves_its_differential_equation(seconds: float, target: float) -> None:
    physics = ServoPhysics(EXACT.parameters, 0)
    physics.command(0, target, 0, 2.0)
    assert physics.position(round(seconds * SECOND)) == pytest.approx(integrated(EXACT, target, seconds), abs=2e-5)


def test_looking_never_changes_where_it_is() -> None:
    seldom, often = ServoPhysics(PAN.parameters, 0), ServoPhysics(PAN.parameters, 0)
    for physics in (seldom, often):
        physics.command(0, 1.5, 0, 0.3)
    looks = [often.read(k * SECOND // 97) for k in range(97)]
    assert len({look.position for look in looks}) > 40
    assert seldom.read(SECOND) == often.read(SECOND)


def test_repeated_commands_to_one_target_move_as_one() -> None:
    once, again = ServoPhysics(EXACT.parameters, 0), ServoPhysics(EXACT.parameters, 0)
    once.command(0, 1.0, 0, 2.0)
    for k in range(10):
        again.command(k * 7 * MS, 1.0, k * 7 * MS, 2.0)
    assert once.position(100 * MS) == again.position(100 * MS)


def test_it_returns_by_itself_when_its_command_expires() -> None:
    physics = ServoPhysics(EXACT.parameters, 0)
    physics.command(0, 1.0, 0, 0.4)
    assert physics.position(400 * MS - 1) == pytest.approx(1.0, abs=1e-5)
    assert physics.position(450 * MS) == pytest.approx(1.0 - 8.0 * 0.05, abs=1e-4)
    late = 400 * MS + round(EXACT.travel_s * SECOND)
    assert physics.read(late).safe


def test_a_command_older_than_its_time_to_live_does_not_act() -> None:
    physics = ServoPhysics(EXACT.parameters, 0)
    assert not physics.command(600 * MS, 1.0, 50 * MS, 0.5)
    assert physics.late == 1
    assert physics.position(SECOND) == 0.0


def test_an_issue_time_in_the_future_lives_no_longer_than_its_time_to_live() -> None:
    physics = ServoPhysics(EXACT.parameters, 0)
    assert physics.command(0, 1.0, 1000 * SECOND, 0.1)
    assert physics.velocity(101 * MS) < 0


def test_end_stops_hold_it_and_are_a_fault() -> None:
    servo = EXACT.model_copy(update={"stop_max_rad": 0.5})
    physics = ServoPhysics(servo.parameters, 0)
    physics.command(0, 1.0, 0, 2.0)
    read = physics.read(500 * MS)
    assert read.position == 0.5
    assert read.velocity == 0.0
    assert read.fault == AT_END_STOP
    physics.command(500 * MS, 0.4, 500 * MS, 2.0)
    assert physics.position(501 * MS) < 0.5
    assert physics.read(600 * MS).fault == 0


@pytest.mark.parametrize("start", [-1.5, 0.4, 1.57])
def test_travel_s_suffices_and_is_no_idle_guess(start: float) -> None:
    travel = round(PAN.parameters.travel_s(start) * SECOND)
    for seed in range(20):
        physics = ServoPhysics(PAN.model_copy(update={"seed": seed}).parameters, 0, position=start)
        assert physics.read(travel).safe
        assert not physics.read(round(0.9 * travel)).safe


def test_encoder_reads_whole_steps_with_the_stated_noise() -> None:
    servo = ServoSim(name="pan", noise_rad=0.004, resolution_rad=0.001, safe_tolerance_rad=0.05)
    physics = ServoPhysics(servo.parameters, 0)
    reads = np.array([physics.read(k * MS).position for k in range(2000)])
    assert np.abs(reads / 0.001 - np.round(reads / 0.001)).max() < 1e-9
    assert reads.std() == pytest.approx(math.hypot(0.004, 0.001 / math.sqrt(12)), rel=0.08)
    assert abs(reads.mean()) < 4 * 0.004 / math.sqrt(2000)


def test_apply_clips_and_returns_what_acts() -> None:
    async def main(clock: VirtualClock) -> None:
        async with PAN.open(clock) as live:
            applied = live.apply(command(PAN, clock.now(), 9.0))
            assert applied.data["value"][0] == PAN.limits.max_rad
            assert applied.topic == PAN.describe()[0]
            expired = live.apply(command(PAN, clock.now() - SECOND, 0.3))
            assert len(expired) == 0
            assert live.apply(command(PAN, clock.now(), 0.3)).seq == 1

    run_virtual(main)


@pytest.mark.parametrize(("value", "ttl_s"), [(math.nan, 0.5), (math.inf, 0.5), (0.1, 0.0), (0.1, math.nan)])
def test_apply_refuses_what_is_no_command(value: float, ttl_s: float) -> None:
    async def main(clock: VirtualClock) -> None:
        async with PAN.open(clock) as live:
            with pytest.raises(PacketError, match="pan/command"):
                live.apply(command(PAN, clock.now(), value, ttl_s))
            with pytest.raises(PacketError, match="no command"):
                live.apply(no_events(PAN.describe()[0], clock.now()))

    run_virtual(main)


def test_the_newest_commander_wins() -> None:
    async def main(clock: VirtualClock) -> None:
        async with PAN.open(clock) as old:
            async with PAN.open(clock) as new:
                new.apply(command(PAN, clock.now(), 0.3))
                with pytest.raises(DeviceError, match="another commander"):
                    old.apply(command(PAN, clock.now(), 0.5))

    run_virtual(main)


def test_the_device_outlives_the_context_that_held_it() -> None:
    servo = ServoSim(name="tilt")

    async def main(clock: VirtualClock) -> None:
        async with servo.open(clock) as live:
            live.apply(command(servo, clock.now(), 1.0))
            await clock.advance_to(clock.now() + 300 * MS)
        assert not servo.is_safe(0.0)
        async with servo.open(clock) as live:
            read = live.read()
            assert read.data["position"][0] == pytest.approx(1.0, abs=0.01)
        await clock.advance_to(clock.now() + round(servo.travel_s * SECOND))
        assert servo.is_safe(0.0)

    run_virtual(main)


@pytest.mark.parametrize(
    "fields",
    [
        {"safe": {"position_rad": 2.0}},
        {"limits": {"min_rad": 1.0, "max_rad": -1.0}},
        {"stop_max_rad": 0.5},
        {"safe_tolerance_rad": 0.001},
        {"tau_s": 0.0},
        {"ttl_s": 0.0},
        {"speed": 1.0},
        {"noise_rad": math.nan},
    ],
)
def test_impossible_configuration_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ServoSim.model_validate({"name": "pan", **fields})


def test_a_device_process_needs_a_socket_and_the_machines_time(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no socket"):
        PAN.device_argv(0, 1.0)

    async def main(clock: VirtualClock) -> None:
        with pytest.raises(ConfigError, match="machine's time"):
            async with PAN.model_copy(update={"socket": tmp_path / "s"}).open(clock):
                pytest.fail("opened on virtual time")

    run_virtual(main)


def test_log_writes_every_command_and_its_end(tmp_path: Path) -> None:
    log = LogActuator(name="log", path=tmp_path / "commands.csv")

    async def main(clock: VirtualClock) -> None:
        async with log.open(clock) as live:
            for value in (0.5, -0.25):
                live.apply(command(log, clock.now(), value))
                await clock.advance_to(clock.now() + 300 * MS)
            assert len(log.path.read_text().splitlines()) == 3

    run_virtual(main)
    rows = [line.split(",") for line in log.path.read_text().splitlines()]
    assert rows[0] == ["t_ns", "wall_ns", "what", "value", "ttl_s"]
    assert [(row[2], row[3]) for row in rows[1:]] == [("command", "0.5"), ("command", "-0.25"), ("safe", "0.0")]
    assert [int(row[0]) for row in rows[1:]] == [SECOND, SECOND + 300 * MS, SECOND + 600 * MS]


def test_log_tells_what_it_could_not_keep(tmp_path: Path) -> None:
    log = LogActuator(name="log", path=tmp_path / "commands.jsonl", backlog=3)

    async def main(clock: VirtualClock) -> None:
        async with log.open(clock) as live:
            for _ in range(10):
                live.apply(command(log, clock.now(), 0.5))

    run_virtual(main)
    lines = log.path.read_text().splitlines()
    assert len(lines) == 4
    assert '"lost 8"' in lines[-1]


def test_log_that_cannot_write_fails_the_next_command(tmp_path: Path) -> None:
    log = LogActuator(name="log", path=tmp_path / "missing" / "commands.csv")

    async def main(clock: VirtualClock) -> None:
        async with log.open(clock) as live:
            with pytest.raises(DeviceError, match=r"cannot write .*commands\.csv"):
                live.apply(command(log, clock.now(), 0.5))

    run_virtual(main)
