"""The gaze world's adapters together: one world on one clock, the loop closed, faults, and the same run again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from actuators.gaze_motor import AT_END_STOP, GazeMotor
from runtime.config import make_robot
from runtime.core.clock import SECOND, MonotonicClock, VirtualClock, run_real, run_virtual
from runtime.core.errors import ConfigError
from runtime.core.packet import Packet, check_packet, one_event
from sensors.gaze_camera import GazeCamera
from sensors.gaze_definition import GazeAdapter
from sensors.gaze_dvs import GazeDvs
from sensors.gaze_gyro import GazeGyro
from sensors.gaze_rig import Rig
from sensors.gaze_truth import GazeTruth

MS = 1_000_000
LINE: dict[str, Any] = {"world": {"shape": [1, 64]}}
Heard = dict[str, list[tuple[int, Packet]]]
KINDS: dict[str, Any] = {"gyro": GazeGyro, "eye": GazeCamera, "dvs": GazeDvs, "truth": GazeTruth}


def make(cls: Any, name: str, **fields: Any) -> Any:
    return cls.model_validate({"name": name, **fields})


async def listen(sensor: Any, clock: Any, heard: Heard, react: Callable[[Packet], None] = lambda packet: None) -> None:
    async with sensor.open(clock) as packets:
        async for packet in packets:
            heard.setdefault(packet.topic.name, []).append((clock.now(), check_packet(packet)))
            react(packet)


async def close(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        if task.done():
            task.result()
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def hold_gaze(seconds: float, gain: float, order: tuple[str, ...], **fields: Any) -> Heard:
    """Sensors opened in that order, and motors that turn by `gain` times the error of each truth."""

    async def main(clock: VirtualClock) -> Heard:
        heard: Heard = {}
        pan, tilt = (make(GazeMotor, axis, kind=f"gaze.{axis}", **fields) for axis in ("pan", "tilt"))
        async with pan.open(clock) as live_pan, tilt.open(clock) as live_tilt:

            def steer(packet: Packet) -> None:
                if not gain or packet.topic.name != "truth/truth":
                    return
                for number, (motor, live) in enumerate(((pan, live_pan), (tilt, live_tilt))):
                    rate = gain * float(packet.data["error_rad"][-1, number])
                    applied = live.apply(one_event(motor.describe()[0], clock.now(), (rate, 0.1)))
                    heard.setdefault(applied.topic.name, []).append((clock.now(), applied))

            sensors = {name: make(cls, name, **fields) for name, cls in KINDS.items()}
            sensors["truth"] = make(GazeTruth, "truth", rate_hz=1000.0, **fields)
            tasks = [asyncio.create_task(listen(sensors[name], clock, heard, steer)) for name in order]
            await clock.advance_to(clock.now() + round(seconds * SECOND))
            await close(*tasks)
        return heard

    return run_virtual(main)


def rms_px(heard: Heard) -> float:
    rows = np.concatenate([packet.data for _, packet in heard["truth/truth"]])[500:]
    return float(np.sqrt((rows["error_px"].astype(float) ** 2).sum(axis=1).mean()))


def assert_same(one: Heard, other: Heard) -> None:
    assert set(one) == set(other)
    for name, stream in one.items():
        assert len(stream) == len(other[name])
        for (at, a), (bt, b) in zip(stream, other[name], strict=True):
            assert (at, a.until, a.seq, a.lost) == (bt, b.until, b.seq, b.lost)
            assert a.t.tobytes() == b.t.tobytes()
            assert a.data.tobytes() == b.data.tobytes()


def test_a_proportional_controller_holds_the_gaze_and_nobody_does_not() -> None:
    held, left = (hold_gaze(2.5, gain, ("truth",)) for gain in (60.0, 0.0))
    assert rms_px(held) < 5.0
    assert rms_px(left) > 15.0


def test_the_same_run_again_bit_for_bit_in_whatever_order_the_sensors_are_asked() -> None:
    first = hold_gaze(0.5, 40.0, ("gyro", "eye", "dvs", "truth"))
    assert {name: len(stream) for name, stream in first.items()} == {
        "gyro/gyro": 500,
        "eye/frames": 14,
        "dvs/events": 250,
        "truth/truth": 500,
        "pan/command": 500,
        "tilt/command": 500,
    }
    assert_same(first, hold_gaze(0.5, 40.0, ("gyro", "eye", "dvs", "truth")))
    assert_same(first, hold_gaze(0.5, 40.0, ("truth", "dvs", "eye", "gyro")))


def test_another_sensor_in_the_room_changes_nothing() -> None:
    alone, together = (hold_gaze(0.3, 40.0, order) for order in (("truth",), ("gyro", "truth", "eye", "dvs")))
    assert_same(alone, {name: together[name] for name in alone})


def test_the_rig_says_what_the_robot_hears() -> None:
    heard = hold_gaze(0.3, 0.0, ("gyro", "eye", "dvs"))
    rig = Rig(make(GazeGyro, "gyro").definition, start=SECOND)
    until = SECOND + 300 * MS
    for name, (t, data) in {"gyro/gyro": rig.gyro(until), "dvs/events": rig.dvs(until)}.items():
        assert np.concatenate([packet.t for _, packet in heard[name]]).tobytes() == t.tobytes()
        assert np.concatenate([packet.data for _, packet in heard[name]]).tobytes() == data.tobytes()
    frames = rig.camera_frames(until)
    assert [(frame.arrived, frame.t) for frame in frames] == [(at, int(p.t[0])) for at, p in heard["eye/frames"]]
    assert all((f.grey == p.data[0]).all() for f, (_, p) in zip(frames, heard["eye/frames"], strict=True))


def test_a_sensor_cut_and_restored_finds_the_same_world_further_on() -> None:
    async def main(clock: VirtualClock) -> None:
        heard: Heard = {}
        truth = asyncio.create_task(listen(make(GazeTruth, "truth", rate_hz=1000.0), clock, heard))
        perfect = {"noise_density": 0.0, "bias_walk": 0.0}
        gyro = asyncio.create_task(listen(make(GazeGyro, "gyro", **perfect), clock, heard))
        await clock.advance_to(clock.now() + 100 * MS)
        await close(gyro)
        await clock.advance_to(clock.now() + 100 * MS + 300_000)
        gyro = asyncio.create_task(listen(make(GazeGyro, "gyro", **perfect), clock, heard))
        await clock.advance_to(clock.now() + 100 * MS)
        await close(gyro, truth)
        t = np.concatenate([packet.t for _, packet in heard["gyro/gyro"]]) - SECOND
        assert t.tolist() == [k * MS for k in (*range(1, 101), *range(201, 301))]
        again = np.concatenate([packet.data for _, packet in heard["gyro/gyro"][100:]])
        heads = np.concatenate([packet.data for _, packet in heard["truth/truth"]])["head_rad"][:, 0]
        assert again[:, 2].sum() * 0.001 == pytest.approx(float(heads[299] - heads[199]), abs=1e-3)

    run_virtual(main)


def hear(sensor: GazeAdapter, seconds: float = 0.5) -> list[tuple[int, Packet]]:
    """What one sensor says, with times of arrival."""

    async def main(clock: VirtualClock) -> Heard:
        heard: Heard = {}
        task = asyncio.create_task(listen(sensor, clock, heard))
        await clock.advance_to(clock.now() + round(seconds * SECOND))
        await close(task)
        return heard

    (stream,) = run_virtual(main).values()
    return stream


@pytest.mark.parametrize("name", ["gyro", "eye", "dvs"])
def test_late_packets_keep_their_order_their_stamps_and_their_content(name: str) -> None:
    punctual = hear(make(KINDS[name], name, **LINE))
    late = hear(make(KINDS[name], name, **LINE, fault={"late_s": 0.05}))
    delays = [b - a for (a, _), (b, _) in zip(punctual, late, strict=False)]
    assert 0 <= min(delays) < max(delays)
    assert 25 * MS < max(delays) <= 50 * MS
    for (_, a), (_, b) in zip(punctual, late, strict=False):
        assert (a.t.tolist(), a.until, a.seq, a.lost) == (b.t.tolist(), b.until, b.seq, b.lost)
        assert a.data.tobytes() == b.data.tobytes()


def test_a_burst_brings_what_gathered_all_at_once() -> None:
    heard = hear(make(GazeGyro, "gyro", fault={"burst_s": 0.02}))
    assert {at - SECOND for at, _ in heard} == {k * 20 * MS for k in range(1, 26)}
    assert [int(packet.t[0]) - SECOND for _, packet in heard] == [k * MS for k in range(1, 501)]


def test_a_wrong_clock_stamps_wrongly_but_never_into_the_future() -> None:
    slow = hear(make(GazeGyro, "gyro", fault={"offset_s": -0.01, "skew": -0.005}))
    assert int(slow[399][1].t[0]) == SECOND + 400 * MS - 10 * MS - 2 * MS
    fast = hear(make(GazeCamera, "eye", fault={"offset_s": 0.02}))
    assert int(fast[0][1].t[0]) == SECOND + 24 * MS
    ahead = hear(make(GazeGyro, "gyro", fault={"offset_s": 1.0}))
    assert all(packet.t[0] == at for at, packet in ahead)


def test_drops_are_counted_and_a_frozen_gyro_says_always_the_same() -> None:
    dropped = hear(make(GazeGyro, "gyro", fault={"drop": 0.3}))
    assert 100 < sum(packet.lost for _, packet in dropped) < 200
    assert dropped[-1][1].seq + 1 == sum(packet.lost + 1 for _, packet in dropped)
    frozen = hear(make(GazeGyro, "gyro", fault={"freeze_after_s": 0.1}))
    assert len({packet.data.tobytes() for _, packet in frozen[99:]}) == 1


@pytest.mark.parametrize(
    ("name", "lost"), [("gyro", [600 - 512]), ("eye", [17 - 4 + 1]), ("dvs", [-1]), ("truth", [59])]
)
def test_a_reader_too_late_for_the_buffer_loses_and_is_told(name: str, lost: list[int]) -> None:
    async def main(clock: VirtualClock) -> list[Packet]:
        clock.release()
        packets: list[Packet] = []
        async with make(KINDS[name], name, **LINE).open(clock) as stream:
            async for packet in stream:
                packets.append(packet)
                if len(packets) == 5:
                    await clock.sleep_until(int(packet.until) + 600 * MS)
                if len(packets) == 40:
                    break
        return packets

    packets = run_virtual(main)
    counts = [packet.lost for packet in packets if packet.lost]
    assert counts == pytest.approx(lost, abs=2)
    assert [packet.lost for packet in packets[:5]] == [0] * 5


def test_motors_keep_their_limits_and_tell_of_the_end_stop() -> None:
    async def main(clock: VirtualClock) -> None:
        motor = make(GazeMotor, "pan", kind="gaze.pan", world={"shape": [1, 64], "stop_rad": 0.5}, ttl_s=1.0)
        heard: Heard = {}
        truth = asyncio.create_task(listen(make(GazeTruth, "truth", world=motor.definition), clock, heard))
        async with motor.open(clock) as live:
            applied = live.apply(one_event(motor.describe()[0], clock.now(), (99.0, 1.0)))
            assert applied.data["value"].tolist() == [12.0]
            await clock.advance_to(clock.now() + 20 * MS)
            assert 11.0 < live.read().data["position"][0] <= 12.0
            await clock.advance_to(clock.now() + 100 * MS)
            state = live.read().data[0]
            assert (state["position"], state["velocity"], state["fault"]) == (0.0, 0.0, AT_END_STOP)
            assert heard["truth/truth"][-1][1].data["joint_rad"][0, 0] == 0.5
        await close(truth)

    run_virtual(main)


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="no axis 'tilt'"):
        make(GazeMotor, "tilt", kind="gaze.tilt", **LINE)
    with pytest.raises(ValidationError, match=r"limits\.max_rad_s is 20"):
        make(GazeMotor, "pan", kind="gaze.pan", limits={"max_rad_s": 20.0})
    with pytest.raises(ValidationError, match="no_such_key: unknown key"):
        make(GazeDvs, "dvs", world={"no_such_key": 1})
    with pytest.raises(ValidationError, match="cannot be read"):
        make(GazeDvs, "dvs", world=str(tmp_path / "none.toml"))
    (tmp_path / "bad.toml").write_text("shape = [")
    with pytest.raises(ValidationError, match="not TOML"):
        make(GazeDvs, "dvs", world=str(tmp_path / "bad.toml"))


def test_a_robot_file_names_the_worlds_file_or_holds_its_table(tmp_path: Path) -> None:
    (tmp_path / "world.toml").write_text("shape = [1, 32]\nin_sight_px = 10.0\n")
    tables = {
        "sensors": {
            "eye": {"kind": "gaze.camera", "world": "world.toml"},
            "dvs": {"kind": "gaze.dvs", "world": {"shape": [1, 32], "in_sight_px": 10.0}},
        },
        "actuators": {"pan": {"kind": "gaze.pan", "world": "world.toml"}},
    }
    robot = make_robot(tables, tmp_path)
    assert robot.sensors["eye"].definition == robot.sensors["dvs"].definition == robot.actuators["pan"].definition
    assert robot.sensors["eye"].describe()[0].shape == (1, 32)
    with pytest.raises(ConfigError, match=r"sensors\.eye\.world: seeds: unknown key"):
        make_robot({"sensors": {"eye": {"kind": "gaze.camera", "world": {"seeds": 1}}}}, tmp_path)


def test_it_runs_on_the_machines_time() -> None:
    async def main(clock: MonotonicClock) -> Heard:
        heard: Heard = {}
        tasks = [asyncio.create_task(listen(make(cls, name), clock, heard)) for name, cls in KINDS.items()]
        await clock.sleep_until(clock.now() + 250 * MS)
        await close(*tasks)
        return heard

    heard = run_real(main)
    assert set(heard) == {"gyro/gyro", "eye/frames", "dvs/events", "truth/truth"}
    gyro = [packet for _, packet in heard["gyro/gyro"]]
    assert sum(len(packet) + packet.lost for packet in gyro) > 100
    # All devices of a world sample on its one grid, whenever each of them was opened.
    phase = (int(gyro[0].t[0]) - int(heard["truth/truth"][0][1].t[0])) % MS
    assert phase == 0
    assert all(packet.t[-1] <= at for stream in heard.values() for at, packet in stream if len(packet))
