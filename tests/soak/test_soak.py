"""The busiest recording in a loop for minutes, with clients that do not read: memory stays flat and nobody else pays.

With TECTUM_RESULTS set to a folder the figures are also written there, to soak.txt.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from runtime.bench.child import rss_bytes
from runtime.bench.daemon import daemon
from runtime.bench.facts import document
from runtime.bench.get import HOST
from runtime.bench.page import viewers
from runtime.bench.report import table
from runtime.bench.viewer import MAX_BYTES, Viewed, view
from runtime.core.clock import SECOND, MonotonicClock
from runtime.recording.reader import Recording

EVENTS_HZ = 1_218_618 / 10.768
GROWTH = 1.10
SAMPLE_S = 5.0
NARROW = 16 * 1024
VIEWERS = 3

ROBOT = """\
robot = "soak"

[sensors.eye]
kind = "dvs.file"
path = "{path}"
extent = [720, 1280]
loop = true

[recording]
auto = true
"""

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]


@dataclass
class Part:
    """One process, sampled."""

    rss: list[int] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)

    def sample(self, pid: int) -> None:
        self.rss.append(rss_bytes(pid))
        self.files.append(len(list(Path(f"/proc/{pid}/fd").iterdir())))
        self.threads.append(len(list(Path(f"/proc/{pid}/task").iterdir())))


@dataclass
class Mute:
    """Clients that never read."""

    cut_off: int = 0
    """Times that the gateway gave one up."""


@pytest.fixture(scope="module")
def results() -> Iterator[list[str]]:
    """What each test measured; written when all are done."""
    measured: list[str] = []
    yield measured
    folder = os.environ.get("TECTUM_RESULTS")
    if folder and measured:
        path = Path(folder) / "soak.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(document("TECTUM_RESULTS=docs/results pytest -m soak tests/soak", "\n\n".join(measured)))


@pytest.mark.parametrize(("settle_s", "seconds"), [(15.0, 60.0), (60.0, 300.0)], ids=["one minute", "five minutes"])
def test_memory_is_flat_and_only_the_slow_client_loses(
    settle_s: float, seconds: float, data: Path, tmp_path: Path, results: list[str]
) -> None:
    robot_file = tmp_path / "soak.toml"
    robot_file.write_text(ROBOT.format(path=data / "events" / "evt3.raw"))
    text = asyncio.run(soak(robot_file, tmp_path / "soak", settle_s, seconds))
    print(f"\n{text}")
    results.append(text)


async def soak(robot_file: Path, folder: Path, settle_s: float, seconds: float) -> str:
    clock = MonotonicClock()
    control, gateway = Part(), Part()
    good, slow, mute = Viewed(), Viewed(), Mute()
    await asyncio.to_thread(folder.mkdir)
    async with daemon(robot_file, folder, dict(os.environ)) as robot:
        start = await robot.status()
        began = clock.now()
        async with AsyncExitStack() as stack:
            for client in (
                view(robot.port, good),
                view_slowly(robot.port, slow, clock),
                never_read(robot.port, mute, clock),
            ):
                task = asyncio.create_task(client, name="client")
                stack.push_async_callback(cancelled, task)
            stack.enter_context(never_read_events(robot.port))
            while clock.now() < began + int(seconds * SECOND):
                await clock.sleep_until(clock.now() + int(SAMPLE_S * SECOND))
                pids = await robot.pids()
                control.sample(pids["control"])
                gateway.sample(pids["gateway"])
            end = await robot.status()
            elapsed = (clock.now() - began) / SECOND
        exit_status = await robot.stop()
        said = robot.log.read_text()

    events = end["topics"][0]["events"] - start["topics"][0]["events"]
    recording = end["recording"]
    lines = [
        table(
            ("process", f"MB after {settle_s:g} s", f"MB after {seconds:g} s", "ratio", "files", "threads"),
            [row(name, part, settle_s) for name, part in (("control", control), ("gateway", gateway))],
        ),
        f"{events} events in {elapsed:.0f} s ({events / elapsed / 1e3:.0f} k/s), lost {end['lost_total']}; "
        f"recorded {recording['messages']} messages, {recording['bytes'] / 1e6:.0f} MB, gaps {recording['gaps']}",
        f"viewer that reads: {good.live} pictures, {good.skipped} skipped; viewer that reads 15 messages a second: "
        f"{slow.live} pictures, {slow.skipped} skipped; viewer that never reads: cut off {mute.cut_off} times",
    ]
    text = "\n".join(lines)

    assert exit_status == 0, said
    assert "starting it again" not in said
    for part in (control, gateway):
        before, after = marks(part.rss, settle_s)
        assert after <= GROWTH * before, text
        assert part.files[-1] <= max(part.files[: index(settle_s) + 1]) + 3, text
        assert part.threads[-1] <= max(part.threads[: index(settle_s) + 1]), text
    assert events > 0.9 * EVENTS_HZ * elapsed, text
    assert end["lost_total"] == 0, text
    assert [topic["lost"] for topic in end["topics"]] == [0] * len(end["topics"]), text
    assert slow.skipped > good.skipped, text
    assert good.skipped <= 0.02 * good.live, text
    assert mute.cut_off > 0, text
    assert not recording["incomplete"], text
    read_back(folder, events)
    return text


def read_back(folder: Path, events: int) -> None:
    (path,) = (folder / "recordings").glob("*.mcap")
    recording = Recording(path)
    assert recording.complete, recording.problems
    assert recording.gaps == []
    expected = 0
    for recorded in recording.packets(["eye/events"]):
        packet = recorded.packet
        assert packet.seq == expected, "events are missing in the recording"
        assert packet.lost == 0
        expected = packet.seq + len(packet)
    assert expected >= events


async def view_slowly(port: int, viewed: Viewed, clock: MonotonicClock) -> None:
    """Read one message every 1/15 s over a narrow socket: enough for the state, not for the pictures."""
    with narrow(port) as sock:
        url = f"ws://{HOST}:{port}/v1/live"
        async with connect(url, sock=sock, max_size=MAX_BYTES, max_queue=1, compression=None) as websocket:
            await websocket.send(json.dumps({"max_hz": 30, "streams": []}))
            async for message in websocket:
                assert isinstance(message, bytes)
                viewed.take(message)
                await clock.sleep_until(clock.now() + SECOND // 15)


async def never_read(port: int, mute: Mute, clock: MonotonicClock) -> None:
    """Ask for everything and read nothing; come again whenever the gateway has given the viewer up."""
    key = "dGhlIHNhbXBsZSBub25jZQ=="
    head = f"GET /v1/live HTTP/1.1\r\nhost: {HOST}:{port}\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    while True:
        with narrow(port) as sock:
            sock.send(f"{head}sec-websocket-key: {key}\r\nsec-websocket-version: 13\r\n\r\n".encode())
            for count in (VIEWERS, VIEWERS - 1):
                while await viewers(port) != count:
                    await clock.sleep_until(clock.now() + SECOND // 5)
            mute.cut_off += 1


def never_read_events(port: int) -> socket.socket:
    """A listener of state changes that reads nothing."""
    sock = narrow(port)
    sock.send(f"GET /v1/events HTTP/1.1\r\nhost: {HOST}:{port}\r\n\r\n".encode())
    return sock


def narrow(port: int) -> socket.socket:
    """A connection whose kernel takes little before it makes the sender wait."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, NARROW)
    sock.connect((HOST, port))
    sock.setblocking(False)
    return sock


async def cancelled(task: asyncio.Task[None]) -> None:
    """End a client; one that failed fails the test."""
    task.cancel()
    with suppress(asyncio.CancelledError, ConnectionClosed):
        await task


def index(at_s: float) -> int:
    return max(int(at_s / SAMPLE_S) - 1, 0)


def marks(samples: list[int], settle_s: float) -> tuple[float, float]:
    """(around the mark, at the end): medians of three samples."""
    at = index(settle_s)
    return median(samples[max(at - 1, 0) : at + 2]), median(samples[-3:])


def row(name: str, part: Part, settle_s: float) -> tuple[str, ...]:
    before, after = marks(part.rss, settle_s)
    files, threads = f"{part.files[index(settle_s)]} -> {part.files[-1]}", f"{part.threads[0]} -> {part.threads[-1]}"
    return name, f"{before / 1e6:.1f}", f"{after / 1e6:.1f}", f"{after / before:.3f}", files, threads
