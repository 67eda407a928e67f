"""A real `tectum run` for benchmarks: its own sockets, state, recordings and port, stopped safely at the end."""

from __future__ import annotations

import asyncio
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime import wire
from runtime.bench.child import child, end
from runtime.bench.get import HOST, get
from runtime.config import load_robot
from runtime.core.clock import SECOND, MonotonicClock
from runtime.core.errors import LinkError
from runtime.links.local import LocalClient
from runtime.places import Places, places

START_S = 90.0


@dataclass(frozen=True, slots=True)
class Daemon:
    """A robot that runs."""

    process: Process
    places: Places
    port: int
    log: Path
    environment: dict[str, str]

    async def pids(self) -> dict[str, int]:
        """Process of each part: control, gateway, devices."""
        async with LocalClient(self.places.parent) as parent:
            found: dict[str, int] = await parent.request("processes")
            return found

    async def status(self) -> dict[str, Any]:
        """The newest status of control."""
        newest: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def pushed(lane: str, data: bytes) -> None:
            if lane == "status" and not newest.done():
                newest.set_result(data)

        try:
            async with LocalClient(self.places.bus, pushed), asyncio.timeout(5.0):
                status: dict[str, Any] = wire.decode(await newest)
                return status
        except LinkError as error:
            raise LinkError(f"{error}; tectum run said:\n{self.said()}") from None

    async def request(self, method: str, params: dict[str, Any] | None = None) -> Any:
        """Ask control."""
        try:
            async with LocalClient(self.places.bus) as client:
                return await client.request(method, params, timeout_s=10.0)
        except LinkError as error:
            raise LinkError(f"{error}; tectum run said:\n{self.said()}") from None

    def said(self) -> str:
        """The end of what `tectum run` printed."""
        return self.log.read_text()[-2000:]

    async def take_latencies(self) -> NDArray[np.int64]:
        """Every latency in ns from a sensor packet's arrival to its command applied, since the last taking."""
        answer = await self.request("latency.take")
        return np.frombuffer(answer["ns"], "<i8")

    async def stop(self) -> int:
        """Stop safely; the exit status of `tectum run`."""
        await end(self.process)
        return -1 if self.process.returncode is None else self.process.returncode


@asynccontextmanager
async def daemon(
    robot_file: Path,
    folder: Path,
    environment: Mapping[str, str],
    *,
    arguments: Sequence[str] = (),
    settings: Mapping[str, object] | None = None,
) -> AsyncIterator[Daemon]:
    """`tectum run` in an existing folder, ready: control runs and the gateway answers.

    `robot_file` is absolute; `settings` are TECTUM__ variables without that beginning.
    """
    port = free_port()
    own = {key: value for key, value in environment.items() if not key.startswith("TECTUM__")}
    own |= {
        "TECTUM_RUNTIME_DIR": str(folder / "run"),
        "XDG_STATE_HOME": str(folder / "state"),
        "TECTUM__HTTP__PORT": str(port),
        "TECTUM__RECORDING__FOLDER": str(folder / "recordings"),
    }
    own |= {f"TECTUM__{key}": str(value) for key, value in (settings or {}).items()}
    robot = load_robot(robot_file, own)
    log = folder / "run.log"
    argv = [sys.executable, "-m", "runtime", "run", str(robot_file), *arguments]
    async with child(argv, own, log=log) as process:
        started = Daemon(process, places(robot.robot, own), port, log, own)
        await _ready(started)
        yield started


async def _ready(started: Daemon) -> None:
    clock = MonotonicClock()
    deadline = clock.now() + int(START_S * SECOND)
    while clock.now() < deadline:
        if started.process.returncode is not None:
            break
        try:
            answer = await get(started.port, "/v1/status")
        except LinkError:
            answer = None
        if answer is not None and answer.status == 200 and "Running" in started.log.read_text():
            return
        await clock.sleep_until(clock.now() + SECOND // 20)
    raise LinkError(
        f"tectum run did not become ready within {START_S:g} s; it said:\n{started.log.read_text()[-2000:]}"
    )


def free_port() -> int:
    """A port of loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
