"""A control process for tests of the gateway: the real link and reductions before an invented robot."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import uvicorn

from runtime import wire
from runtime.core.clock import SECOND, Clock, MonotonicClock
from runtime.core.errors import StoppedError
from runtime.core.packet import Packet, one_event
from runtime.core.topic import DVS, SEGMENT, VECTOR3, Topic
from runtime.http.__main__ import server_config
from runtime.http.app import create_app
from runtime.http.settings import Settings
from runtime.links.local import LocalServer, Refusal
from runtime.live import Live

EYE = Topic("eye/events", DVS, extent=(34, 34))
GYRO = Topic("imu/gyro", VECTOR3, "rad/s", rate_hz=1000)
CAMERA = Topic("camera/frame", np.dtype(("u1", (48, 64))), extent=(48, 64), rate_hz=30)
FILE = Topic("eye/segment", SEGMENT)
BASE = "http://127.0.0.1:8642"
POPULATIONS = {"hidden": 500, "output": 10}


class StandIn:
    """An invented robot: a bar that moves before an eye, a network that follows it, a servo that points at it."""

    def __init__(self, path: Path) -> None:
        self.server = LocalServer(path, self.handle)
        self.live = Live(POPULATIONS)
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.latched = False
        self.recording: str | None = None
        self.sensor_state = "running"
        self.command = (0.0, 0.0)
        self.ready: list[str] = []
        self.broken = False
        self.n = 0
        self._rng = np.random.default_rng(1)

    async def handle(self, method: str, params: dict[str, Any]) -> Any:
        self.requests.append((method, params))
        if self.broken:
            raise RuntimeError("bug")
        match method, params:
            case "actuators.command", {"name": "pointer", "value": value}:
                if self.latched:
                    raise StoppedError("the e-stop is latched: tested")
                self.command = (value, min(value, 5.5))
                result: Any = {"applied": self.command[1], "clipped": value > 5.5}
            case "actuators.command", {"name": "gripper"}:
                raise Refusal(409, "Not accepting", "gripper follows the network only")
            case "actuators.command", {"name": name}:
                raise KeyError(f"no actuator {name!r}, there are: pointer, gripper")
            case "estop", _:
                self.latched = True
                result = {"latched": True, "confirmed": True}
            case "estop.release", _:
                self.latched = False
                result = {"latched": False, "confirmed": False}
            case "network.snapshot", _:
                result = {"data": b"state" * 10, "hash": bytes(range(16))}
            case "network.restore", {"data": bytes(data)}:
                if data[:5] != b"state":
                    raise ValueError("snapshot begins with other bytes than this network's")
                result = None
            case "network.restore", {"name": name}:
                raise KeyError(f"no snapshot {name!r}")
            case "network.state", _:
                result = {"hash": bytes(16), "t": 5, "mean_v": float("nan")}
            case "network.reset", _:
                result = None
            case "recordings.start", _:
                if self.recording is not None:
                    raise Refusal(409, "Recording runs", self.recording)
                self.recording = params.get("name", "run-1")
                result = {"name": self.recording}
            case "recordings.stop", _:
                if self.recording is None:
                    raise Refusal(409, "No recording runs")
                self.recording = None
                result = {"bytes": 10}
            case "recordings.list", _:
                result = [{"name": "run-0", "bytes": 123}]
            case "sensors.restart", {"name": "eye"}:
                result = None
            case "sensors.cut" | "sensors.restore", {"name": "eye"}:
                self.sensor_state = "cut" if method == "sensors.cut" else "running"
                result = None
            case "sensors.restart" | "sensors.cut" | "sensors.restore", {"name": name}:
                raise KeyError(f"no sensor {name!r}, there are: eye, imu")
            case _:
                raise RuntimeError(f"no method {method!r}")
        self.push_status()
        return result

    def push_status(self) -> None:
        self.server.push("status", wire.encode(self.status()))

    def status(self) -> dict[str, Any]:
        """As control writes it."""
        n = self.n
        angle = 2.75 + 2 * math.sin(n / 40)
        return {
            "robot": "gaze",
            "run_id": "20260101-000000-abcd",
            "version": "0.1.0",
            "t": 10_000_000_000 + n * 33_000_000,
            "wall_ns": 1_790_000_000_000_000_000 + n * 33_000_000,
            "uptime_s": n * 0.033,
            "clock": {"speed": 1.0},
            "estop": {
                "latched": self.latched,
                "confirmed": self.latched,
                "reason": "tested" if self.latched else None,
                "since_ns": 5 if self.latched else None,
            },
            "topics": [
                topic(EYE, "eye", None, 330 * n, 9_950.0, lost=17),
                topic(GYRO, "imu", 998.0, 33 * n, 998.0),
                topic(CAMERA, "camera", 21.4, n, 21.4, on_time=False),
                topic(FILE, "eye", 0.3, n // 90, 0.3),
            ],
            "subscriptions": [
                {
                    "name": "network",
                    "topics": ["eye/events", "imu/gyro"],
                    "lane": "data",
                    "policy": "drop_oldest",
                    "capacity": 256,
                    "depth": 1,
                    "delivered": 40 * n,
                    "dropped": 0,
                    "high_water": 7,
                }
            ],
            "sensors": [
                sensor("eye", "dvs.file", self.sensor_state, ["eye/events", "eye/segment"]),
                sensor("imu", "gyro.sim", "running", ["imu/gyro"]),
                sensor("camera", "camera.sim", "restarting", ["camera/frame"], "no frame for 0.4 s"),
            ],
            "network": {
                "name": "nmnist",
                "mode": "tick",
                "dt_s": 1e-3,
                "t": 10_000_000_000 + n * 33_000_000,
                "merge": "eager",
                "events_in": 363 * n,
                "events_out": 12 * n,
                "events_late": 3,
                "events_risky": 1,
                "synops": 48_000 * n,
                "dense_synops": 2_100_000 * n,
                "synops_adds": None,
                "unit_touches": 9_000 * n,
                "energy_j_estimate": 1.1e-6 * n,
                "ticks": 33 * n,
                "silent_ticks": 4 * n,
                "populations": [
                    {"name": k, "size": v, "spikes": 20 * n, "silent": 0.25, "saturated": 0.0}
                    for k, v in POPULATIONS.items()
                ],
                "call_us": {"p50": 61.0, "p99": 240.0, "max": 910.0},
                "inline_calls": 30 * n,
                "thread_calls": 3 * n,
                "inputs": [{"name": "input", "shape": [2, 34, 34], "from": "eye/events"}],
                "outputs": [{"name": "output", "shape": [10]}],
                "dialect": {"preset": {"value": "sinabs", "from": "robot file"}},
            },
            "actuators": [
                {
                    "name": "pointer",
                    "kind": "servo.sim",
                    "unit": "rad",
                    "limits": {"min": 0.0, "max": 5.5, "slew": 20.0},
                    "safe_value": 0.0,
                    "commanded": 0.0 if self.latched else angle,
                    "applied": 0.0 if self.latched else angle - 0.05,
                    "measured": 0.01 if self.latched else angle - 0.1,
                    "mode": "stopped" if self.latched else "active",
                    "reason": "tested" if self.latched else None,
                    "ttl_s": 0.5,
                    "age_s": 0.02,
                    "source": "network",
                    "accepts_commands": True,
                }
            ],
            "outputs": [
                {
                    "name": "output",
                    "to": "pointer",
                    "value": angle,
                    "label": max(range(10), key=scores(n).__getitem__),
                    "scores": scores(n),
                    "age_s": 0.01,
                }
            ],
            "latency": {"p50_us": 840.0, "p99_us": 2_310.0, "max_us": 9_400.0, "count": 33 * n},
            "lost_total": 17,
            "loop_lag_us": 120.0,
            "recording": {
                "active": self.recording is not None,
                "name": self.recording,
                "bytes": 1_000 * n,
                "messages": n,
                "incomplete": False,
                "gaps": {},
            },
            "links": [
                {
                    "name": "mqtt",
                    "state": "connected",
                    "sent": n,
                    "received": 2,
                    "dropped": 0,
                    "gaps": 0,
                    "reconnects": 1,
                }
            ],
            "ready": {"ok": not self.ready, "problems": self.ready},
            "config": {"robot": {"name": "gaze"}, "links": {"mqtt": {"password": "***"}}},
            "graph": {
                "nodes": [{"id": "eye", "role": "sensor"}, {"id": "network", "role": "network"}],
                "edges": [{"from": "eye", "to": "network", "topic": "eye/events", "policy": "drop_oldest"}],
            },
        }

    def step(self, now: int) -> None:
        """A thirtieth of a second of the robot's life."""
        self.n += 1
        n, rng = self.n, self._rng
        if self.server.watched():
            self.live.start(self.server.streams())
        else:
            self.live.stop()
        t = np.sort(rng.integers(now - 30_000_000, now, 300))
        data = np.empty(300, DVS)
        data["x"] = np.clip(17 + 12 * math.sin(n / 15) + rng.normal(0, 1.5, 300), 0, 33)
        data["y"] = rng.integers(4, 30, 300)
        data["on"] = data["x"] > 17 + 12 * math.sin(n / 15)
        self.live.on_packet(Packet(EYE, t, data, now))
        times = now - np.arange(33, 0, -1, dtype=np.int64) * 1_000_000
        phase = times / 4e8
        turns = np.stack([np.sin(phase), np.cos(phase), 0.3 * np.sin(3 * phase)], 1).astype(np.float32)
        self.live.on_packet(Packet(GYRO, times, turns, now))
        image = (np.add.outer(np.arange(48), np.arange(64)) * 2 + 5 * n).astype(np.uint8)
        self.live.on_packet(one_event(CAMERA, now, image))
        self.live.on_packet(one_event(FILE, now, (n // 90, int(n / 30) % 10, b"digit.bs2")))
        for name, size in POPULATIONS.items():
            index = (size * (0.5 + 0.4 * np.sin(n / 15 + rng.normal(0, 0.3, 40)))).astype(np.int32)
            self.live.on_spikes(np.sort(rng.integers(now - 30_000_000, now, 40)), name, index)
        angle = 2.75 + 2 * math.sin(n / 40)
        self.live.on_decision("output", now, scores(n), angle)
        self.live.on_command("pointer", now, angle, angle - 0.05)
        self.live.on_state("pointer", now, 0.01 if self.latched else angle - 0.1)
        frame = self.live.frame(now)
        if frame is not None:
            self.server.push("live", frame)
        if n % 3 == 0:
            self.push_status()

    async def run(self) -> None:
        """Live at the machine's pace until cancelled."""
        clock = MonotonicClock()
        due = clock.now()
        while True:
            due += SECOND // 30
            await clock.sleep_until(due)
            self.step(clock.now())


def topic(
    topic: Topic, source: str, rate: float | None, events: int, event_rate: float, lost: int = 0, on_time: bool = True
) -> dict[str, Any]:
    said = topic.to_dict()
    return {
        **{key: said[key] for key in ("name", "dtype", "unit", "rate_hz", "extent")},
        "source": source,
        "packets": events // 10,
        "events": events,
        "bytes": 5 * events,
        "packet_rate_hz": rate or 100.0,
        "event_rate_hz": event_rate,
        "lost": lost,
        "late": 0,
        "age_s": 0.004,
        "alive": True,
        "on_time": on_time,
        "complete": lost == 0,
    }


def sensor(name: str, kind: str, state: str, topics: list[str], error: str | None = None) -> dict[str, Any]:
    return {"name": name, "kind": kind, "state": state, "restarts": int(bool(error)), "error": error, "topics": topics}


def scores(n: int) -> list[float]:
    return [math.exp(-0.5 * (k - n / 30 % 10) ** 2) for k in range(10)]


@asynccontextmanager
async def stand_in(path: Path) -> AsyncIterator[StandIn]:
    """A stand-in that serves, has said its status once, and moves only when `step` is called."""
    control = StandIn(path)
    async with control.server:
        control.push_status()
        yield control


@asynccontextmanager
async def gateway(
    path: Path, settings: Settings | None = None, clock: Clock | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application in this process, connected to control where there is one."""
    app = create_app(path, settings, clock)
    transport = httpx.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url=BASE) as client:
        if os.path.lexists(path):  # noqa: ASYNC240  # a look at a socket's name does not block
            await until(lambda: not app.state.control.is_away)
        yield client


@asynccontextmanager
async def served(path: Path, settings: Settings) -> AsyncIterator[int]:
    """The application behind its real server in this process; gives the port."""
    server = uvicorn.Server(server_config(create_app(path, settings), settings))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        task = asyncio.create_task(server.serve([listening]))
        await until(lambda: server.started)
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            await task


@asynccontextmanager
async def gateway_process(path: Path, port: int, *more: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The gateway as it runs in the product, killed at the end."""
    command = ("-m", "runtime.http", "--socket", str(path), "--port", str(port), *more)
    process = await asyncio.create_subprocess_exec(sys.executable, *command)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def answers(url: str) -> httpx.Response:
    """The first answer of a server that is starting up; the test's own timeout is the bound."""
    clock = MonotonicClock()
    async with httpx.AsyncClient() as client:
        while True:
            with contextlib.suppress(httpx.TransportError):
                return await client.get(url)
            await clock.sleep_until(clock.now() + 10_000_000)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until something is true; the test's own timeout is the bound."""
    while not condition():  # noqa: ASYNC110  # the condition is the state of another party, which has no event
        await asyncio.sleep(0)


async def until_answer(
    client: httpx.AsyncClient, where: str, is_right: Callable[[httpx.Response], bool]
) -> httpx.Response:
    """Ask until the answer is right."""
    # An application in this process answers without letting the loop turn, hence the sleep.
    while not is_right(answer := await client.get(where)):  # noqa: ASYNC110
        await asyncio.sleep(0)
    return answer


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
