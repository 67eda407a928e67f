"""The servo's device process, for real: clients that die, freeze, compete; safe states confirmed by read-back."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from actuators.servo_sim import ServoSim
from actuators.servo_socket import decode, encode, is_safe
from runtime.core.clock import SECOND, MonotonicClock, run_real
from runtime.core.errors import DeviceError
from runtime.core.packet import Packet, one_event
from runtime.core.roles import LiveActuator

REPOSITORY = Path(__file__).resolve().parents[2]
MS = 1_000_000


@pytest.fixture
def servo() -> Iterator[ServoSim]:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own paths may exceed what a socket's may be
        yield ServoSim(name="pan", socket=Path(folder) / "pan.sock", ttl_s=0.3)


@contextmanager
def device(servo: ServoSim, clock: MonotonicClock, parent: int | None = None) -> Iterator[subprocess.Popen[bytes]]:
    argv = servo.device_argv(clock.origin, clock.speed, parent)
    process = subprocess.Popen(argv, cwd=REPOSITORY, stderr=subprocess.PIPE)
    try:
        give_up = clock.now() + 20 * SECOND
        assert servo.socket is not None
        while not is_safe(servo.socket, 0.5) and process.poll() is None:
            assert clock.now() < give_up, "the device process did not start"
            wait(clock, 0.02)
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
            process.terminate()
        _, complaints = process.communicate(timeout=10)
        assert complaints == b""


def wait(clock: MonotonicClock, seconds: float) -> None:
    clock.wait_until(clock.now() + round(seconds * SECOND * clock.speed), threading.Event())


def command(servo: ServoSim, clock: MonotonicClock, value: float, ttl_s: float = 0.3) -> Packet:
    return one_event(servo.describe()[0], clock.now(), (value, ttl_s))


async def moved_to(live: LiveActuator, clock: MonotonicClock, value: float) -> None:
    """Return once read-back shows `value`."""
    give_up = clock.now() + 2 * SECOND
    while abs(live.read().data["position"][0] - value) > 0.05:
        assert clock.now() < give_up, live.read()
        await clock.sleep_until(clock.now() + 5 * MS)


def test_it_moves_reads_back_and_is_left_safe(servo: ServoSim) -> None:
    async def main(clock: MonotonicClock) -> None:
        with device(servo, clock):
            async with servo.open(clock) as live:
                applied = live.apply(command(servo, clock, 9.0))
                assert applied.data["value"][0] == servo.limits.max_rad
                await moved_to(live, clock, servo.limits.max_rad)
                assert not servo.is_safe(0.0)
            assert servo.is_safe(servo.travel_s + 0.5)

    run_real(main)


def test_leaving_by_an_exception_commands_the_safe_position(servo: ServoSim) -> None:
    slow = servo.model_copy(update={"ttl_s": 30.0})

    async def fail(clock: MonotonicClock) -> None:
        async with slow.open(clock) as live:
            live.apply(command(slow, clock, 1.0, ttl_s=30.0))
            await moved_to(live, clock, 1.0)
            raise ZeroDivisionError

    async def main(clock: MonotonicClock) -> None:
        with device(slow, clock):
            with pytest.raises(ZeroDivisionError) as caught:
                await fail(clock)
            assert not hasattr(caught.value, "__notes__")
            assert slow.is_safe(slow.travel_s + 0.5)

    run_real(main)


def test_a_silent_commander_expires_in_the_device(servo: ServoSim) -> None:
    async def main(clock: MonotonicClock) -> None:
        with device(servo, clock):
            async with servo.open(clock) as live:
                live.apply(command(servo, clock, 1.0))
                await moved_to(live, clock, 1.0)
                await clock.sleep_until(clock.now() + round((servo.ttl_s + servo.travel_s) * SECOND))
                assert live.read().data["safe"][0] == 1

    run_real(main)


CLIENT = """
import asyncio, sys
from actuators.servo_sim import ServoSim
from runtime.core.clock import run_real
from runtime.core.packet import one_event
servo = ServoSim.model_validate_json(sys.argv[1])
async def main(clock):
    async with servo.open(clock) as live:
        while True:
            live.apply(one_event(servo.describe()[0], clock.now(), (1.0, 0.3)))
            await clock.sleep_until(clock.now() + 10_000_000)
run_real(main)
"""


@pytest.mark.parametrize("fate", [signal.SIGKILL, signal.SIGSTOP])
def test_a_client_that_dies_or_freezes_leaves_it_safe_and_serving(servo: ServoSim, fate: signal.Signals) -> None:
    clock = MonotonicClock()
    with device(servo, clock) as process:
        client = subprocess.Popen([sys.executable, "-c", CLIENT, servo.model_dump_json()], cwd=REPOSITORY)
        try:
            give_up = clock.now() + 20 * SECOND
            while servo.is_safe(0.05):
                assert clock.now() < give_up, "the client never moved it"
            client.send_signal(fate)
            began = clock.now()
            assert servo.is_safe(servo.ttl_s + servo.travel_s + 1.0)
            assert clock.now() - began < (servo.ttl_s + servo.travel_s + 0.5) * SECOND
            wait(clock, 0.1)
            assert servo.is_safe(0.1), "what the frozen client left in the socket moved it"
        finally:
            client.kill()
            client.wait()
        assert process.poll() is None
        assert servo.is_safe(0.2)


def test_the_newest_commander_wins_and_the_old_one_is_told(servo: ServoSim) -> None:
    async def main(clock: MonotonicClock) -> None:
        with device(servo, clock):
            async with servo.open(clock) as old, servo.open(clock) as new:
                old.apply(command(servo, clock, 1.0))
                new.apply(command(servo, clock, -1.0))
                await moved_to(new, clock, -1.0)
                with pytest.raises(DeviceError, match="another commander"):
                    old.apply(command(servo, clock, 1.0))

    run_real(main)


def test_make_safe_is_obeyed_from_anyone_and_twice(servo: ServoSim) -> None:
    patient = servo.model_copy(update={"ttl_s": 30.0})

    async def main(clock: MonotonicClock) -> None:
        with device(patient, clock):
            async with patient.open(clock) as live:
                live.apply(command(patient, clock, 1.0, ttl_s=30.0))
                await moved_to(live, clock, 1.0)
                for _ in range(2):
                    await asyncio.to_thread(patient.make_safe)
                assert await asyncio.to_thread(patient.is_safe, patient.travel_s + 0.5)

    run_real(main)


def test_a_frozen_or_dead_device_is_an_error_not_an_old_position(servo: ServoSim) -> None:
    async def lose(clock: MonotonicClock, process: subprocess.Popen[bytes]) -> None:
        async with servo.open(clock) as live:
            process.send_signal(signal.SIGSTOP)
            await clock.sleep_until(clock.now() + 250 * MS)
            with pytest.raises(DeviceError, match="read-back is"):
                live.read()
            with pytest.raises(DeviceError, match="did not confirm"):
                await asyncio.to_thread(servo.make_safe)
            assert not await asyncio.to_thread(servo.is_safe, 0.1)
            process.kill()
            await asyncio.to_thread(process.wait, 10)
            await clock.sleep_until(clock.now() + 50 * MS)
            with pytest.raises(DeviceError, match="hung up"):
                live.read()
            with pytest.raises(DeviceError, match="hung up"):
                live.apply(command(servo, clock, 1.0))

    async def main(clock: MonotonicClock) -> None:
        with device(servo, clock) as process:
            with pytest.raises(DeviceError, match="not confirmed safe"):
                await lose(clock, process)

    run_real(main)


def test_sigterm_brings_it_to_its_safe_position_first(servo: ServoSim) -> None:
    patient = servo.model_copy(update={"ttl_s": 30.0, "speed_rad_s": 2.0})

    async def main(clock: MonotonicClock) -> None:
        with device(patient, clock) as process:
            last = await commanded_then(patient, clock, process, signal.SIGTERM)
            assert last["safe"] is True
            assert await asyncio.to_thread(process.wait, 5) == 0
        assert patient.socket is not None
        assert not patient.socket.exists()

    run_real(main)


async def commanded_then(
    servo: ServoSim, clock: MonotonicClock, process: subprocess.Popen[bytes], fate: signal.Signals
) -> dict[str, object]:
    """Move it as a plain client, send the signal, and return the last read-back it gives."""
    reader, writer = await asyncio.open_unix_connection(servo.socket)
    writer.write(encode({"take": "test"}) + encode({"set": 1.0, "t": clock.now(), "ttl_s": 30.0}))
    message = decode(await reader.readline())
    while message.get("position", 0.0) < 0.9:
        message = decode(await reader.readline())
    process.send_signal(fate)
    while line := await reader.readline():
        message = decode(line)
    writer.close()
    return message


def test_ctrl_c_does_not_reach_it_and_it_ends_with_its_parent(servo: ServoSim) -> None:
    clock = MonotonicClock()
    with device(servo, clock) as process:
        process.send_signal(signal.SIGINT)
        wait(clock, 0.1)
        assert process.poll() is None
    with device(servo, clock, parent=os.getpid() + 1_000_000) as orphan:
        assert orphan.wait(10) == 0


@pytest.mark.parametrize(
    "line", [b"nonsense\n", b"[]\n", b"{}\n", b'{"set":NaN,"t":0,"ttl_s":1}\n', b'{"set":1}\n', b"x" * 100_000]
)
def test_nonsense_costs_its_sender_the_connection_and_nothing_else(servo: ServoSim, line: bytes) -> None:
    clock = MonotonicClock()
    with device(servo, clock) as process:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(5)
            client.connect(str(servo.socket))
            with suppress(OSError):
                client.sendall(encode({"take": "test"}) + line)
                while client.recv(65536):
                    pass
        assert servo.is_safe(0.5)
        assert process.poll() is None


def test_its_socket_is_private_and_its_own(servo: ServoSim) -> None:
    clock = MonotonicClock()
    assert servo.socket is not None
    with device(servo, clock):
        assert stat.S_IMODE(servo.socket.stat().st_mode) == 0o600
        second = subprocess.run(
            servo.device_argv(clock.origin, 1.0),
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert second.returncode == 1
        assert "another device process serves it" in second.stderr
        assert servo.is_safe(0.5)


def test_a_socket_left_by_a_killed_device_is_taken_over(servo: ServoSim) -> None:
    clock = MonotonicClock()
    with device(servo, clock) as process:
        process.kill()
    with pytest.raises(DeviceError, match="no device process"):
        servo.make_safe()
    with device(servo, clock):
        assert servo.is_safe(0.5)


def test_on_a_faster_clock_it_is_as_fast(servo: ServoSim) -> None:
    async def main(clock: MonotonicClock) -> None:
        with device(servo, clock):
            async with servo.open(clock) as live:
                live.apply(command(servo, clock, 1.0))
                assert abs(clock.now() - int(live.read().t[0])) < SECOND
            assert servo.is_safe(1.0)

    run_real(main, speed=5.0)
