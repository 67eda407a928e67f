"""Processes that are killed, stopped or told to end: control goes on, or the robot is safe, and the run says which."""

from __future__ import annotations

import os
import resource
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from runtime.core.clock import SECOND
from runtime.recording.reader import Recording
from runtime.verify import Verifier
from tests.fault.processes import START_S, Places, control_answers, now_s, pause, places, run, until

BACK_S = 2.0
END_S = 5.0
DECISION_NS = 20_000_000


@pytest.fixture
def mine() -> Iterator[Places]:
    with places() as found:
        yield found


def decisions(path: Path) -> tuple[list[int], int]:
    """Network times of all decisions, by running the recording again; and how many windows were not the same."""
    recording = Recording(path)
    verifier = Verifier(recording)
    times: list[int] = []
    verifier.outcomes = lambda outcome: times.extend(decided.decision.t for decided in outcome.decided)
    for message in recording.messages():
        verifier.follow(message)
    return times, len(verifier.finish().differences)


def states(path: Path, actuator: str) -> list[tuple[float, bool]]:
    """(arrival in s, safe) of every read-back in a recording."""
    found = Recording(path).packets([f"{actuator}/state"])
    return [(r.arrived / SECOND, bool(r.packet.data["safe"][-1])) for r in found]


def test_a_killed_gateway_costs_no_command_and_is_back_within_two_seconds(mine: Places) -> None:
    path = mine.folder / "a.mcap"
    with run(mine, "digits", "--record", str(path)) as robot:
        robot.wait_running()
        robot.wait_http()
        robot.wait_idle("standby")
        before = robot.processes()
        robot.wait_moved("pointer")
        os.kill(before["gateway"], signal.SIGKILL)
        killed = now_s()
        robot.wait_http(BACK_S)
        back_s = now_s() - killed
        after = robot.processes()
        os.kill(after["gateway"], signal.SIGKILL)  # again at once: there is no standby yet
        stopped = mine.tectum("estop")
        robot.wait_http()
        assert robot.http("GET", "/v1/estop")[1]["latched"]
        robot.stop()
    print(f"the gateway was back after {back_s:.3f} s")
    assert (stopped.returncode, stopped.stdout) == (0, "Stopped, confirmed by read-back\n")
    assert after["control"] == before["control"]
    assert after["gateway"] != before["gateway"]
    assert robot.said.count("The gateway was killed by SIGKILL") >= 1
    recording = Recording(path)
    assert recording.complete
    times, differing = decisions(path)
    assert differing == 0
    steps = np.diff(times)
    # A reset begins the decision grid anew; anywhere else a step is one period, so no decision is missing.
    assert len(times) > 100
    assert steps.max() < 2 * DECISION_NS
    assert (steps != DECISION_NS).sum() <= recording.counts["eye/segment"]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_control_process_that_dies_or_stalls_leaves_a_safe_robot(mine: Places, how: signal.Signals) -> None:
    path = mine.folder / "a.mcap"
    with run(mine, "digits", "--no-http", "--record", str(path)) as robot:
        robot.wait_running()
        control = robot.processes()["control"]
        until(lambda: path.stat().st_size > 500_000, 20, "a recording of half a megabyte")
        robot.wait_moved("pointer")
        reads = robot.read_back("pointer")
        os.kill(control, how)
        killed = now_s()
        safe_at = next(read["t"] for read in reads if read["safe"] and read["t"] > killed * SECOND) / SECOND
        reads.close()
        status = robot.wait(10.0)
    print(f"safe {safe_at - killed:.3f} s after {how.name}")
    assert safe_at - killed < 0.5 + 0.4  # its time to live, and the way back
    assert status == 3, robot.said
    # A disk that holds a dead process back may let the parent see the stall before the death.
    said = ("was killed by SIGKILL", "stalled for over 0.2 s and was killed")[how == signal.SIGSTOP :]
    assert any(f"The control process {words}" in robot.said for words in said)
    assert "pointer: safe, confirmed by read-back" in robot.said
    assert mine.left_behind() == []
    recording = Recording(path)
    assert not recording.complete
    assert killed - 1.0 < recording.end / SECOND < killed + 0.1
    verified = mine.tectum("replay", "--verify", str(path))
    assert verified.returncode == 6, verified.stdout + verified.stderr
    assert "the same run, bit for bit, as far as it was recorded" in verified.stdout


@pytest.mark.parametrize(("number", "times"), [(signal.SIGTERM, 1), (signal.SIGINT, 1), (signal.SIGINT, 1000)])
def test_a_signal_ends_a_run_safely(mine: Places, number: signal.Signals, times: int) -> None:
    path = mine.folder / "a.mcap"
    with run(mine, "digits", "--record", str(path)) as robot:
        robot.wait_running()
        robot.wait_http()
        robot.wait_moved("pointer")
        told = now_s()
        for _ in range(times):  # the impatient: up to the last moment of the interpreter
            robot.signal(number)
            pause()
            if robot.process.poll() is not None:
                break
        status = robot.wait(END_S)
    print(f"ended after {now_s() - told:.3f} s")
    assert now_s() - told < END_S
    assert status == 0, robot.said
    assert mine.left_behind() == []
    assert "Traceback" not in robot.said
    recording = Recording(path)
    assert recording.complete
    arrived, safe = zip(*states(path, "pointer"), strict=True)
    assert safe[-1]
    first_safe = next(t for t, s in zip(arrived, safe, strict=True) if s and t > told)
    last_event = max(r.arrived for r in recording.packets(["eye/events"])) / SECOND
    assert first_safe <= last_event  # the eye was open until the pointer was safe


def test_a_run_can_be_ended_and_stopped_while_it_starts(mine: Places) -> None:
    with run(mine, "digits", "--no-http") as robot:
        socket_file = robot.runtime_dir / "parent.sock"
        until(socket_file.exists, 20, "the parent's socket")
        until(lambda: "control" in robot.processes(), 20, "the control process")
        stopped = mine.tectum("estop")
        assert (stopped.returncode, stopped.stdout) == (0, "Stopped, confirmed by read-back\n")
        robot.wait_running()
        until(lambda: control_answers(robot), 5, "the control process, unharmed")
        told = mine.tectum("health")
        assert told.returncode == 1
        assert "e-stop is latched" in told.stdout
        robot.stop()
    with run(mine, "digits", "--no-http") as robot:
        until(socket_file.exists, 20, "the parent's socket")
        robot.signal(signal.SIGHUP)
        assert robot.wait(END_S) == 0, robot.said
    assert mine.left_behind() == []


def test_a_run_whose_output_nobody_reads_is_as_safe(mine: Places) -> None:
    with run(mine, "digits", "--no-http", output="nobody") as robot:
        until(lambda: (robot.runtime_dir / "pointer.sock").exists(), 20, "the device")
        robot.wait_moved("pointer", START_S)
        os.kill(robot.processes()["control"], signal.SIGKILL)
        assert robot.wait(10.0) == 3
    assert mine.left_behind() == []


def test_children_of_a_killed_parent_end_safely(mine: Places) -> None:
    path = mine.folder / "a.mcap"
    with run(mine, "digits", "--record", str(path)) as robot:
        robot.wait_running()
        robot.wait_http()
        robot.wait_moved("pointer")
        reads = robot.read_back("pointer")
        robot.process.kill()
        *_, last_read = reads  # the device speaks until it has reached its safe state and ends
        until(lambda: not mine.left_behind(), END_S, "the end of all children")
    assert last_read["safe"]
    assert Recording(path).complete


def test_a_second_run_is_refused_and_a_taken_port_disturbs_nothing(mine: Places) -> None:
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", mine.port))
        squatter.listen()
        with run(mine, "digits") as robot:
            robot.wait_running()
            robot.wait_said("Address already in use", 5)
            second = mine.tectum("run", "digits")
            assert second.returncode == 2
            assert "robot 'digits' is already running (process" in second.stderr
            ready = until(lambda: mine.tectum("health"), 5, "tectum health")
            assert ready.returncode == 0, ready.stdout
            assert set(robot.processes()) == {"control", "device pointer"}  # nothing is started only to fail
            assert robot.said.count("Address already in use") == 1
            squatter.close()
            robot.wait_http(20)
            robot.stop()


def test_a_full_disk_ends_the_recording_and_not_the_robot(mine: Places) -> None:
    path = mine.folder / "a.mcap"
    with run(mine, "digits", "--record", str(path)) as robot:
        robot.wait_running()
        robot.wait_http()
        most = path.stat().st_size + 100_000
        resource.prlimit(robot.processes()["control"], resource.RLIMIT_FSIZE, (most, most))
        robot.wait_status(lambda s: s["recording"]["incomplete"], 10, "a recording marked incomplete")
        robot.wait_moved("pointer")  # control goes on
        stopped = mine.tectum("estop")
        assert stopped.returncode == 0, stopped.stdout
        robot.stop()
    recording = Recording(path)
    assert not recording.complete
    assert recording.describe()["missed"]["eye/events"] > 0
    assert path.stat().st_size <= most
