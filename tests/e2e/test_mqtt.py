"""The MQTT link against a real broker on loopback: out, in, commands, and a broker that dies and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiomqtt
import numpy as np
import pytest

from runtime.codec import decode_frame
from runtime.core.clock import SECOND, Clock, MonotonicClock, run_real
from runtime.core.errors import StoppedError
from runtime.core.packet import Packet
from runtime.core.topic import VECTOR3, Topic
from runtime.links.mqtt import MqttLink
from runtime.links.mqtt_config import MqttConfig

GYRO = Topic("gyro/rate", VECTOR3, "rad/s", 1000.0)
MS = 1_000_000


class Broker:
    """mosquitto on a port of its own, which it keeps when started again."""

    def __init__(self, program: str, folder: Path, deploy: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.port: int = server.getsockname()[1]
        shipped = (deploy / "mosquitto.conf").read_text()
        self._config = folder / "mosquitto.conf"
        self._config.write_text(shipped.replace("listener 1883 127.0.0.1", f"listener {self.port} 127.0.0.1"))
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self, clock: Clock) -> None:
        self._launch()
        await eventually(clock, self._answers)

    def _launch(self) -> None:
        self._process = subprocess.Popen(
            [self._program, "-c", str(self._config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1.0):
            return True
        return False

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def hang(self) -> None:
        """Keep every connection open and answer nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def client(self, **options: Any) -> aiomqtt.Client:
        return aiomqtt.Client("127.0.0.1", self.port, protocol=aiomqtt.ProtocolVersion.V5, **options)

    def config(self, **fields: Any) -> MqttConfig:
        return MqttConfig.model_validate({"port": self.port, "backoff_s": 0.05, "backoff_max_s": 0.1} | fields)


@pytest.fixture
def broker(tmp_path: Path, deploy: Path) -> Iterator[Broker]:
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip("needs a broker: apt-get install mosquitto")
    running = Broker(program, tmp_path, deploy)
    yield running
    running.kill()


async def eventually(clock: Clock, condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    deadline = clock.now() + int(timeout_s * SECOND)
    while not condition():
        assert clock.now() < deadline, "did not happen in time"
        await clock.sleep_until(clock.now() + 2 * MS)


@contextlib.asynccontextmanager
async def running(link: MqttLink) -> AsyncIterator[MqttLink]:
    task = asyncio.create_task(link.run(), name="link")
    try:
        yield link
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def no_command(actuator: str, value: float, ttl_s: float) -> float | None:
    raise AssertionError(f"{actuator} was commanded")


def ignore(packet: Packet) -> None:
    pass


def gyro(i: int, clock: Clock, n: int = 1) -> Packet:
    now = clock.now()
    return Packet(GYRO, np.full(n, now), np.full((n, 3), i, np.float32), now, i)


def receiver(broker: Broker, clock: Clock, packets: list[Packet], **fields: Any) -> MqttLink:
    far = {"name": "far/rate", "robot": "sender", "topic": "gyro/rate", "type": "vector3", "unit": "rad/s"}
    return MqttLink(broker.config(subscribe=[far], **fields), clock, packets.append, no_command, robot="receiver")


def test_state_packets_and_birth_go_out_and_death_follows(broker: Broker) -> None:
    async def main(clock: MonotonicClock) -> None:
        await broker.start(clock)
        async with broker.client() as watcher:
            await watcher.subscribe("tectum/#", qos=1)
            seen: dict[str, list[bytes]] = {}

            async def watch() -> None:
                async for message in watcher.messages:
                    seen.setdefault(message.topic.value, []).append(message.payload)

            watching = asyncio.create_task(watch())
            link = MqttLink(
                broker.config(publish=["gyro/*", "network"]), clock, ignore, no_command, robot="r1", topics=[GYRO]
            )
            async with running(link):
                await eventually(clock, lambda: link.state == "connected")
                for i in range(50):
                    link.offer("gyro/rate", gyro(i, clock))
                    link.offer("network", {"spikes": np.int64(i)})
                    link.offer("secret", {"not": "asked for"})
                await eventually(
                    clock, lambda: "tectum/r1/data/gyro/rate" in seen and "tectum/r1/state/network" in seen
                )
            await eventually(clock, lambda: len(seen["tectum/r1/birth/link"]) == 2)
            watching.cancel()
            birth, death = (json.loads(payload) for payload in seen["tectum/r1/birth/link"])
            assert birth["online"] is True
            assert birth["topics"] == [GYRO.to_dict()]
            assert death["online"] is False
            frames = [decode_frame(payload, GYRO) for payload in seen["tectum/r1/data/gyro/rate"]]
            assert sum(len(frame.packet) for frame in frames) == 50
            assert len(frames) <= 5
            assert [frame.extras["number"] for frame in frames] == list(range(len(frames)))
            assert json.loads(seen["tectum/r1/state/network"][-1]) == {"spikes": 49}
            assert "tectum/r1/state/secret" not in seen
            assert link.stats()["dropped"] == 0

    run_real(main)


def test_a_sensor_topic_of_another_machine_comes_in(broker: Broker) -> None:
    async def main(clock: MonotonicClock) -> None:
        await broker.start(clock)
        packets: list[Packet] = []
        sender = MqttLink(broker.config(publish=["*"]), clock, ignore, no_command, robot="sender")
        async with running(receiver(broker, clock, packets)) as far, running(sender):
            await eventually(clock, lambda: far.state == sender.state == "connected")
            sent: list[Packet] = []
            while sum(len(packet) for packet in packets) < 100:
                if len(sent) < 100:
                    sent.append(gyro(len(sent), clock))
                    sender.offer("gyro/rate", sent[-1])
                await clock.sleep_until(clock.now() + MS)
            assert np.concatenate([packet.t for packet in packets]).tolist() == [int(p.t[0]) for p in sent]
            assert np.concatenate([packet.data[:, 0] for packet in packets]).tolist() == list(range(100))
            assert packets[0].topic.name == "far/rate"
            stats = far.stats()
            assert stats["gaps"] == 0
            assert stats["topics"]["far/rate"]["uncertainty_ns"] == 0
            assert stats["received"] == sender.stats()["sent"] == len(packets)

    run_real(main)


def test_nothing_local_notices_a_broker_that_dies_and_comes_back(broker: Broker) -> None:
    async def main(clock: MonotonicClock) -> None:
        await broker.start(clock)
        packets: list[Packet] = []
        offered = 0
        longest = 0

        async def control() -> None:
            nonlocal offered, longest
            while True:
                began = clock.now()
                sender.offer("gyro/rate", gyro(offered, clock))
                longest = max(longest, clock.now() - began)
                offered += 1
                await clock.sleep_until(began + 2 * MS)

        sender = MqttLink(broker.config(publish=["*"], max_age_s=0.05), clock, ignore, no_command, robot="sender")
        async with running(receiver(broker, clock, packets)) as far, running(sender):
            await eventually(clock, lambda: far.state == sender.state == "connected")
            loop = asyncio.create_task(control())
            await eventually(clock, lambda: len(packets) > 5)
            broker.kill()
            await eventually(clock, lambda: far.state.startswith("down") and sender.state.startswith("down"))
            before, received = offered, len(packets)
            await eventually(clock, lambda: offered > before + 50)
            assert len(packets) == received
            await broker.start(clock)
            await eventually(clock, lambda: len(packets) > received + 5)
            loop.cancel()
            assert far.reconnects >= 1
            assert sender.reconnects >= 1
            assert longest < 50 * MS
            assert sender.stats()["dropped"] > 0
            missing = sum(b.seq - a.seq - len(a) for a, b in itertools.pairwise(packets))
            came = sum(len(packet) for packet in packets)
            assert missing > 0
            assert packets[0].seq + came + missing == packets[-1].seq + len(packets[-1])

    run_real(main)


def test_a_broker_that_hangs_is_left_and_found_again(broker: Broker) -> None:
    async def main(clock: MonotonicClock) -> None:
        await broker.start(clock)
        settings = broker.config(publish=["*"], keepalive_s=1, timeout_s=1.0, queue_packets=50)
        link = MqttLink(settings, clock, ignore, no_command)
        async with running(link):
            await eventually(clock, lambda: link.state == "connected")
            broker.hang()
            i = 0
            while not link.state.startswith("down"):
                link.offer("gyro/rate", gyro(i, clock, 1000))
                i += 1000
                await clock.sleep_until(clock.now() + 2 * MS)
            for _ in range(100):
                link.offer("gyro/rate", gyro(i, clock))
                i += 1
            assert link.stats()["dropped"] >= 50
            broker.wake()
            await eventually(clock, lambda: link.state == "connected")

    run_real(main)


def test_a_broker_that_is_not_there_yet_is_waited_for(broker: Broker) -> None:
    async def main(clock: MonotonicClock) -> None:
        link = MqttLink(broker.config(publish=["*"]), clock, ignore, no_command)
        async with running(link):
            await eventually(clock, lambda: link.reconnects >= 2)
            assert "refused" in link.state.lower() or link.state == "connecting"
            await broker.start(clock)
            await eventually(clock, lambda: link.state == "connected")

    run_real(main)


def test_only_listed_young_commands_act_and_all_are_answered(broker: Broker) -> None:
    async def main(clock: MonotonicClock) -> None:
        await broker.start(clock)
        acted: list[tuple[str, float]] = []
        answers: dict[Any, dict[str, Any]] = {}

        async def command(actuator: str, value: float, ttl_s: float) -> float | None:
            if value > 5:
                raise StoppedError(f"{actuator}: stopped")
            assert 0 < ttl_s <= 0.5
            acted.append((actuator, value))
            return min(value, 1.0)

        def message(id: int, value: float, age_s: float = 0.0) -> bytes:
            sent_ns = clock.now() + clock.wall_offset_ns - int(age_s * SECOND)
            return json.dumps({"id": id, "value": value, "sent_ns": sent_ns}).encode()

        link = MqttLink(broker.config(accept_commands=["pan"]), clock, ignore, command, robot="r1")
        async with broker.client() as client:
            await client.subscribe("tectum/r1/ack/+", qos=1)

            async def collect() -> None:
                async for got in client.messages:
                    answer = json.loads(got.payload)
                    answers[answer["id"] or got.topic.value] = answer

            collecting = asyncio.create_task(collect())
            await client.publish("tectum/r1/cmd/pan", message(1, 0.1), qos=1, retain=True)
            async with running(link):
                await eventually(clock, lambda: 1 in answers)
                await client.publish("tectum/r1/cmd/pan", message(2, 0.2), qos=1)
                await client.publish("tectum/r1/cmd/pan", message(3, 0.3, age_s=0.6), qos=1)
                await client.publish("tectum/r1/cmd/pan", message(4, 9.0), qos=1)
                await client.publish("tectum/r1/cmd/pan", b"{", qos=1)
                await client.publish("tectum/r1/cmd/tilt", message(5, 0.5), qos=1)
                await client.publish("tectum/r1/cmd/estop", b"", qos=1)
                await eventually(clock, lambda: len(answers) == 7)
            collecting.cancel()
        assert acted == [("pan", 0.2)]
        assert answers[2] == {"id": 2, "ok": True, "applied": 0.2}
        assert "retained" in answers[1]["reason"]
        assert "time to live" in answers[3]["reason"]
        assert answers[4]["reason"] == "pan: stopped"
        assert answers["tectum/r1/ack/pan"]["ok"] is False
        assert "accept_commands" in answers["tectum/r1/ack/tilt"]["reason"]
        assert answers["tectum/r1/ack/estop"]["ok"] is False
        assert link.commands == {"accepted": 1, "refused": 4, "expired": 2}

    run_real(main)


def test_the_stop_command_always_acts(broker: Broker) -> None:
    async def main(clock: MonotonicClock) -> None:
        await broker.start(clock)
        reasons: list[str] = []

        async def stop(reason: str) -> None:
            reasons.append(reason)

        async with running(MqttLink(broker.config(), clock, ignore, no_command, stop=stop, robot="r1")) as link:
            await eventually(clock, lambda: link.state == "connected")
            async with broker.client() as client:
                await eventually_published(clock, client, reasons)
        assert reasons

    run_real(main)


async def eventually_published(clock: Clock, client: aiomqtt.Client, reasons: list[str]) -> None:
    await client.publish("tectum/r1/cmd/estop", b"", qos=1)
    await eventually(clock, lambda: bool(reasons))


def test_frames_that_are_none_are_dropped_and_counted(broker: Broker) -> None:
    async def main(clock: MonotonicClock) -> None:
        await broker.start(clock)
        packets: list[Packet] = []
        async with running(receiver(broker, clock, packets)) as far, broker.client() as client:
            await eventually(clock, lambda: far.state == "connected")
            for payload in (b"", b"\xff" * 100, b"\x91" * 5000, json.dumps({"v": 1}).encode()):
                await client.publish("tectum/sender/data/gyro/rate", payload, qos=1)
            await eventually(clock, lambda: far.stats()["dropped"] == 4)
            assert far.state == "connected"
        assert packets == []

    run_real(main)
