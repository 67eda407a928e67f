"""The e-stop latches, outlives every process, and is reached by command line and HTTP even where control hangs."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fault.processes import Places, places, run, until


@pytest.fixture
def mine() -> Iterator[Places]:
    with places() as found:
        yield found


def latch_of(mine: Places) -> Path:
    return mine.folder / "state" / "tectum" / "digits" / "estop.json"


def test_it_latches_survives_a_restart_and_is_released(mine: Places) -> None:
    with run(mine, "digits", "--no-http") as robot:
        robot.wait_running()
        robot.wait_moved("pointer")
        stopped = mine.tectum("estop", "--reason", "a test")
        assert (stopped.returncode, stopped.stdout) == (0, "Stopped, confirmed by read-back\n")
        assert next(robot.read_back("pointer"))["safe"]
        robot.stop()
    assert json.loads(latch_of(mine).read_text())["reason"] == "a test"
    with run(mine, "digits") as robot:
        robot.wait_running()
        robot.wait_http()
        status = robot.wait_status(lambda s: s["estop"]["confirmed"], 5, "a confirmed e-stop")
        assert status["estop"]["latched"]
        assert status["estop"]["reason"] == "a test"
        assert robot.http("GET", "/readyz")[0] == 503
        code, problem = robot.http("POST", "/v1/actuators/pointer/command", {"value": 1.0})
        assert (code, problem["status"]) == (423, 423)
        assert "a test" in problem["detail"]
        assert next(robot.read_back("pointer"))["safe"]
        released = mine.tectum("release")
        assert released.returncode == 0, released.stderr
        code, applied = robot.http("POST", "/v1/actuators/pointer/command", {"value": 1.0})
        assert code == 200, applied
        robot.wait_moved("pointer")
        code, answer = robot.http("POST", "/v1/estop", {"reason": "by HTTP"}, timeout_s=5.0)
        assert (code, answer["latched"], answer["confirmed"]) == (200, True, True)
        assert next(robot.read_back("pointer"))["safe"]
        robot.stop()
    assert json.loads(latch_of(mine).read_text())["latched"] is True


def test_a_latch_that_cannot_be_read_means_stopped(mine: Places) -> None:
    latch_of(mine).parent.mkdir(parents=True)
    latch_of(mine).write_bytes(b'{"latched": fal')
    with run(mine, "digits", "--no-http") as robot:
        robot.wait_running()
        health = mine.tectum("health")
        assert health.returncode == 1
        assert "is not to be believed" in health.stdout
        assert next(robot.read_back("pointer"))["safe"]
        assert mine.tectum("release").returncode == 0
        robot.wait_moved("pointer")
        robot.stop()
    assert json.loads(latch_of(mine).read_text())["latched"] is False


def test_it_stops_a_robot_whose_control_process_hangs(mine: Places) -> None:
    with run(mine, "digits", "--no-http") as robot:
        robot.wait_running()
        robot.wait_moved("pointer")
        os.kill(robot.processes()["control"], signal.SIGSTOP)
        stopped = mine.tectum("estop")
        assert (stopped.returncode, stopped.stdout) == (0, "Stopped, confirmed by read-back\n")
        assert robot.wait(10.0) == 3, robot.said
    assert "E-stop without the control process:\n  pointer: safe, confirmed by read-back" in robot.said
    assert json.loads(latch_of(mine).read_text())["latched"] is True


def test_it_says_so_where_no_device_confirms(mine: Places) -> None:
    with run(mine, "digits", "--no-http") as robot:
        robot.wait_running()
        robot.wait_moved("pointer")
        os.kill(robot.processes()["device pointer"], signal.SIGKILL)
        until(lambda: "device pointer" not in robot.processes(), 5, "the end of the device")
        stopped = mine.tectum("estop")
        assert (stopped.returncode, stopped.stdout) == (
            1,
            "Stopped, but NOT confirmed by read-back: look at the robot\n",
        )
        robot.stop()
