"""The MQTT link: state and packets out, remote topics in, commands for the actuators listed.

The control loop calls `offer` and never waits. `run` keeps a connection for as long as it is not cancelled: a broker
that is away costs nothing but what is counted. QoS 0 for data, whose own numbers show gaps; QoS 1 for the rest. (QoS 1
is not lossless either: a broker that is outrun drops silently.)
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import random
import socket
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from runtime.codec import MAX_BYTES, encode_packet
from runtime.core.clock import SECOND, Clock
from runtime.core.errors import PacketError, TectumError
from runtime.core.packet import Packet
from runtime.core.topic import Topic
from runtime.links.clockmap import clock_id
from runtime.links.mqtt_commands import Accepted, Refused, judge
from runtime.links.mqtt_config import MqttConfig
from runtime.links.mqtt_inbox import Inbox
from runtime.links.mqtt_outbox import Outbox
from runtime.links.mqtt_topics import ESTOP, Lane, name_topic, split_topic

Command = Callable[[str, float, float], Awaitable[float | None]]
"""(actuator, value, ttl_s) -> what was applied; None where somebody else commands. Raises TectumError to refuse."""
Stop = Callable[[str], Awaitable[None]]

log = logging.getLogger("tectum.mqtt")
quiet = logging.getLogger("tectum.mqtt.client")
quiet.setLevel(logging.ERROR)

_NODELAY = ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),)


class MqttLink:
    """One robot's link to one broker."""

    name = "mqtt"

    def __init__(
        self,
        config: MqttConfig,
        clock: Clock,
        publish_local: Callable[[Packet], None],
        command: Command,
        *,
        stop: Stop | None = None,
        robot: str = "robot",
        topics: Iterable[Topic] = (),
    ) -> None:
        self.config = config
        self.robot = config.robot or robot
        self.state = "not started"
        self.sent = 0
        self.received = 0
        self.reconnects = 0
        self.commands: Counter[str] = Counter()
        """Commands accepted, refused and expired."""
        self._clock = clock
        self._publish_local = publish_local
        self._command = command
        self._stop = stop
        self._topics = tuple(topics)
        self._session = os.urandom(8).hex()
        self._clock_id = clock_id(clock, self._session)
        self._outbox = Outbox(config.queue_packets, config.queue_bytes)
        self._wanted: dict[str, bool] = {}
        self._numbers: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self._wake = asyncio.Event()
        self._inboxes = {
            name_topic(topic.robot, "data", topic.remote): Inbox(topic.remote, topic.describe(), self._clock_id)
            for topic in config.subscribe
        }

    def offer(self, topic: str, payload: Packet | Mapping[str, Any]) -> None:
        """Take a packet, or a state to be sent as JSON, if the topic is one to publish. Never waits."""
        wanted = self._wanted.get(topic)
        if wanted is None:
            wanted = self._wanted[topic] = any(fnmatchcase(topic, pattern) for pattern in self.config.publish)
        if not wanted:
            return
        if isinstance(payload, Packet):
            self._outbox.put_packet(self._clock.now(), payload)
        else:
            self._outbox.put_state(topic, payload)
        self._wake.set()

    async def run(self) -> None:
        """Connect, and connect again whenever the connection is lost, until cancelled."""
        backoff, told = self.config.backoff_s, ""
        while True:
            before = self.sent + self.received
            try:
                self.state = "connecting"
                await self._connect()
            except (aiomqtt.MqttError, OSError) as error:
                reason = f"{type(error).__name__}: {error}"
            else:
                reason = "connection ended"
            _heed_cancellation()
            self.state = f"down: {reason}"
            if self.sent + self.received > before:
                backoff, told = self.config.backoff_s, ""
            level = logging.DEBUG if reason == told else logging.WARNING
            told = reason
            log.log(level, "broker %s:%d: %s; trying again", self.config.host, self.config.port, reason)
            pause = backoff * (1 - random.random() / 2)
            await self._clock.sleep_until(self._clock.now() + int(pause * SECOND))
            backoff = min(2 * backoff, self.config.backoff_max_s)
            self.reconnects += 1

    def stats(self) -> dict[str, Any]:
        """Plain values: `dropped` counts packets and messages this side let go, `gaps` messages that never came."""
        return {
            "name": self.name,
            "state": self.state,
            "sent": self.sent,
            "received": self.received,
            "dropped": self._outbox.dropped + self._dropped.total(),
            "dropped_by": {"outbox": self._outbox.dropped, **self._dropped},
            "gaps": sum(inbox.gaps for inbox in self._inboxes.values()),
            "reconnects": self.reconnects,
            "conflated": self._outbox.conflated,
            "commands": dict(self.commands),
            "topics": {inbox.topic.name: inbox.stats() for inbox in self._inboxes.values()},
        }

    async def _connect(self) -> None:
        config = self.config
        async with aiomqtt.Client(
            config.host,
            config.port,
            username=config.username,
            password=None if config.password is None else config.password.get_secret_value(),
            identifier=f"tectum-{self.robot}-{self._session}",
            protocol=aiomqtt.ProtocolVersion.V5,
            will=aiomqtt.Will(self._name("birth", "link"), self._birth(online=False), qos=1, retain=True),
            clean_start=True,
            timeout=config.timeout_s,
            keepalive=config.keepalive_s,
            queue_type=self._incoming(),
            max_queued_incoming_messages=config.incoming,
            socket_options=_NODELAY,
            logger=quiet,
        ) as client:
            log.info("connected to broker %s:%d as %s", config.host, config.port, self.robot)
            try:
                await client.publish(self._name("birth", "link"), self._birth(online=True), qos=1, retain=True)
                await self._subscribe(client)
                _heed_cancellation()
                self.state = "connected"
                await _both(
                    asyncio.create_task(self._receive(client), name=f"mqtt {self.robot} receive"),
                    asyncio.create_task(self._send(client), name=f"mqtt {self.robot} send"),
                )
            except asyncio.CancelledError:
                self.state = "stopped"
                with contextlib.suppress(aiomqtt.MqttError):
                    await client.publish(
                        self._name("birth", "link"), self._birth(online=False), qos=1, retain=True, timeout=1.0
                    )
                raise

    async def _subscribe(self, client: aiomqtt.Client) -> None:
        for name in self._inboxes:
            await client.subscribe(name, qos=0)
        await client.subscribe(self._name("cmd", "+"), qos=1)  # all, so that whoever is refused gets an answer

    async def _send(self, client: aiomqtt.Client) -> None:
        config, clock = self.config, self._clock
        states_due = clock.now()
        if len(self._outbox):
            self._wake.set()
        while True:
            await self._wake.wait()
            self._wake.clear()
            await clock.sleep_until(clock.now() + int(config.batch_s * SECOND))
            self._outbox.drop_older(clock.now() - int(config.max_age_s * SECOND))
            await self._send_packets(client, self._outbox.take_batches(config.message_bytes))
            if clock.now() >= states_due:
                states_due = clock.now() + int(config.state_period_s * SECOND)
                for topic, state in self._outbox.take_states().items():
                    await self._publish(client, self._name("state", topic), _json(state), retain=True, expiry_s=10)
            if len(self._outbox):
                self._wake.set()

    async def _send_packets(self, client: aiomqtt.Client, packets: list[Packet]) -> None:
        left = len(packets)
        try:
            for packet in packets:
                await self._send_packet(client, packet)
                left -= 1
        finally:
            if left:
                self._dropped["disconnected"] += left

    async def _send_packet(self, client: aiomqtt.Client, packet: Packet) -> None:
        name = packet.topic.name
        extras = {
            "clock": self._clock_id,
            "sent": self._clock.now(),
            "session": self._session,
            "number": self._numbers[name],
        }
        try:
            frame = encode_packet(packet, extras)
        except PacketError as error:
            self._dropped["too large"] += 1
            log.warning("not sent: %s", error)
            return
        self._numbers[name] += 1
        await self._publish(
            client, self._name("data", name), frame, qos=0, expiry_s=max(1, round(self.config.max_age_s))
        )

    async def _publish(
        self, client: aiomqtt.Client, name: str, payload: bytes, qos: int = 1, retain: bool = False, expiry_s: int = 0
    ) -> None:
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho declares no types here
        if expiry_s:
            properties.MessageExpiryInterval = expiry_s
        await client.publish(name, payload, qos=qos, retain=retain, properties=properties)
        _heed_cancellation()
        self.sent += 1

    async def _receive(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            name, payload = message.topic.value, message.payload
            self.received += 1
            inbox = self._inboxes.get(name)
            if inbox is not None:
                self._take(inbox, payload)
            else:
                await self._obey(client, name, payload, message.retain)

    def _take(self, inbox: Inbox, payload: bytes) -> None:
        try:
            packet = inbox.take(payload, self._clock.now(), MAX_BYTES)
            if packet is not None:
                self._publish_local(packet)
        except PacketError as error:
            self._dropped["malformed"] += 1
            log.warning("dropped a frame: %s", error)

    async def _obey(self, client: aiomqtt.Client, name: str, payload: bytes, retained: bool) -> None:
        parts = split_topic(name)
        if parts is None or parts[:2] != (self.robot, "cmd"):
            return
        target = parts[2]
        answer: dict[str, Any]
        if target == ESTOP and self._stop is not None:
            await self._stop("MQTT")
            self.commands["stop"] += 1
            answer = {"id": None, "ok": True, "applied": None}
        else:
            answer = await self._judge(target, payload, retained)
        await self._publish(client, self._name("ack", target), _json(answer))

    async def _judge(self, actuator: str, payload: bytes, retained: bool) -> dict[str, Any]:
        wall = self._clock.now() + self._clock.wall_offset_ns
        verdict = judge(actuator, payload, retained, self.config.accept_commands, wall, self.config.command_ttl_s)
        if isinstance(verdict, Accepted):
            try:
                applied = await self._command(verdict.actuator, verdict.value, verdict.ttl_s)
            except TectumError as error:
                verdict = Refused(str(error), verdict.id)
            else:
                self.commands["accepted"] += 1
                return {"id": verdict.id, "ok": True, "applied": applied}
        self.commands["expired" if verdict.expired else "refused"] += 1
        return {"id": verdict.id, "ok": False, "reason": verdict.reason}

    def _name(self, lane: Lane, topic: str) -> str:
        return name_topic(self.robot, lane, topic)

    def _birth(self, online: bool) -> bytes:
        return _json(
            {
                "online": online,
                "session": self._session,
                "clock": self._clock_id,
                "topics": [topic.to_dict() for topic in self._topics] if online else [],
                "commands": list(self.config.accept_commands) if online else [],
            }
        )

    def _incoming(self) -> type[asyncio.Queue[aiomqtt.Message]]:
        dropped, inboxes = self._dropped, self._inboxes

        class Incoming(asyncio.Queue[aiomqtt.Message]):
            """Full: the oldest packet of a remote topic goes; a command only where nothing else is left."""

            def _init(self, maxsize: int) -> None:
                self._queue = self._waiting = deque[aiomqtt.Message]()

            def put_nowait(self, item: aiomqtt.Message) -> None:
                if self.full():
                    packets = (i for i, waiting in enumerate(self._waiting) if waiting.topic.value in inboxes)
                    del self._waiting[next(packets, 0)]
                    dropped["incoming"] += 1
                super().put_nowait(item)

        return Incoming


def _heed_cancellation() -> None:
    """`wait_for` of Python 3.11, on which aiomqtt builds, swallows a cancellation that comes with its result."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def _both(*tasks: asyncio.Task[None]) -> None:
    """Wait until one ends, cancel the other, raise what the first raised.

    A TaskGroup before Python 3.13 leaves its parent's `cancelling()` raised after a child's failure.
    """
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    for end in ends:
        if isinstance(end, BaseException) and not isinstance(end, asyncio.CancelledError):
            raise end


def _json(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields, default=_plain).encode()


def _plain(value: Any) -> Any:
    """numpy's scalars and arrays as plain values."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be sent as JSON")
