"""Sensors that fall silent, die or have a bug, in a running robot: the stop time that `tectum check` states is kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.core.clock import SECOND
from runtime.recording.reader import Recording
from tests.fault.processes import ROOT, Places, places, run, until

SILENT = "{silent_after_s = 1.5}"
STREET_SENSORS = """
[sensors.eye]
kind = "dvs.file"
path = "recordings/davis346-short.aedat4"
loop = true
gap_s = 0.0

[sensors.imu]
kind = "imu.file"
path = "recordings/davis346-short.aedat4"
loop = true
gap_s = 0.0
"""
BUG = """
from contextlib import asynccontextmanager
from typing import Literal
from runtime.core.roles import Adapter
from runtime.core.topic import Topic, TRIGGER

class Buggy(Adapter):
    kind: Literal["buggy"] = "buggy"
    def describe(self):
        return (Topic(f"{self.name}/trigger", TRIGGER),)
    @asynccontextmanager
    async def open(self, clock):
        async def packets():
            await clock.sleep_until(clock.now() + 500_000_000)
            raise KeyError("a bug")
            yield
        yield packets()
"""


@pytest.fixture
def mine() -> Iterator[Places]:
    with places() as found:
        yield found


def split_street(folder: Path) -> Path:
    """The street robot with its camera as two sensors, so that one can fall silent and the other not."""
    for shared in ("recordings", "networks"):
        (folder / shared).symlink_to(ROOT / "deploy" / shared)
    text = (ROOT / "deploy" / "street.toml").read_text()
    begin, end = text.index("[sensors.street]"), text.index("[network]")
    text = text[:begin] + STREET_SENSORS + text[end:]
    text = text.replace("street/events", "eye/events").replace("street/gyro", "imu/gyro")
    path = folder / "street.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("robot", "sensor", "topics"),
    [
        ("digits", "eye", ["eye/events"]),
        ("street", "street", ["street/events", "street/gyro"]),
        ("split", "eye", ["eye/events"]),
        ("split", "imu", ["imu/gyro"]),
    ],
)
def test_a_silent_sensor_ends_in_the_safe_state_within_the_stated_time(
    mine: Places, robot: str, sensor: str, topics: list[str]
) -> None:
    mine.environment[f"TECTUM__SENSORS__{sensor.upper()}__FAULT"] = SILENT
    # Nothing that is seen lies near these, so that the safe state is seen to be reached.
    actuator, safe_rad = ("POINTER", 5.5) if robot == "digits" else ("GAZE", 0.7)
    mine.environment[f"TECTUM__ACTUATORS__{actuator}__SAFE"] = f"{{position_rad = {safe_rad}}}"
    name = str(split_street(mine.folder)) if robot == "split" else robot
    (stop,) = json.loads(mine.tectum("check", "--json", name).stdout)["stops"]
    path = mine.folder / "a.mcap"
    with run(mine, name, "--no-http", "--record", str(path)) as running:
        running.wait_running()
        running.wait_moved(stop["actuator"])
        until(lambda: " is silent: " in mine.tectum("health").stdout, 20, "the silence, noticed")
        running.wait_safe(stop["actuator"])
        running.stop()
    recording = Recording(path)
    states = [(r.arrived, r.packet.data["safe"][-1]) for r in recording.packets([f"{stop['actuator']}/state"])]
    for topic in topics:
        stated_s = stop["after_s"][f"{topic} silent"]
        last = max(r.arrived for r in recording.packets([topic]))
        assert not [safe for t, safe in states if t <= last][-1]
        safe_s = (next(t for t, safe in states if t > last and safe) - last) / SECOND
        print(f"{robot}, {topic}: safe {safe_s:.3f} s after its last packet, stated {stated_s:.3f} s")
        assert safe_s <= stated_s


def test_a_sensor_that_dies_is_opened_again_and_goes_on_counting(mine: Places) -> None:
    mine.environment["TECTUM__SENSORS__EYE__FAULT"] = "{die_after_s = 0.4}"
    path = mine.folder / "a.mcap"
    with run(mine, "digits", "--record", str(path)) as robot:
        robot.wait_running()
        robot.wait_http()
        status = robot.wait_status(lambda s: s["sensors"][0]["restarts"] >= 3, 20, "three restarts")
        assert "DeviceError: eye:" in status["sensors"][0]["error"]
        robot.stop()
    recording = Recording(path)
    following = 0
    opened: list[int] = []
    before = 0
    for recorded in recording.packets(["eye/events"]):
        assert recorded.packet.seq == following
        following = recorded.packet.seq + len(recorded.packet)
        if before and recorded.arrived - before > SECOND // 25:
            opened.append(recorded.arrived - before)
        before = recorded.arrived
    assert following > 1000
    assert len(opened) >= 3
    verified = mine.tectum("replay", "--verify", str(path))
    assert verified.returncode == 0, verified.stdout


def test_a_sensor_with_a_bug_is_not_opened_again_and_readyz_says_so(mine: Places) -> None:
    plugin = mine.folder / "plugin"
    info = plugin / "buggy-1.0.dist-info"
    info.mkdir(parents=True)
    (plugin / "buggy_sensor.py").write_text(BUG)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: buggy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[tectum.sensors]\nbuggy = buggy_sensor:Buggy\n")
    mine.environment["PYTHONPATH"] += f":{plugin}"
    mine.environment["TECTUM__SENSORS__BUTTON"] = '{kind = "buggy"}'
    with run(mine, "digits") as robot:
        robot.wait_running()
        robot.wait_http()
        robot.wait_status(lambda s: s["sensors"][1]["state"] == "failed", 10, "a failed sensor")
        code, problem = robot.http("GET", "/readyz")
        assert code == 503
        assert "sensor button is failed: KeyError: 'a bug'" in problem["detail"]
        robot.wait_moved("pointer")  # the others go on
        status = robot.wait_status(bool, 5, "a status")
        assert status["sensors"][1]["restarts"] == 0
        robot.stop()
