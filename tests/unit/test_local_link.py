"""The local link answers, pushes, conflates, and never lets a client hold it up."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime import wire
from runtime.core.errors import ConfigError, LinkError, StoppedError
from runtime.links.local import STATUS_BOUND, LocalClient, LocalServer, Refusal, call


@pytest.fixture
def path() -> Iterator[Path]:
    """A socket path short enough for the kernel, whatever the test's own folder is called."""
    with tempfile.TemporaryDirectory(prefix="tectum") as folder:
        yield Path(folder) / "run" / "control.sock"


async def handle(method: str, params: dict[str, Any]) -> Any:
    match method:
        case "echo":
            return params
        case "stopped":
            raise StoppedError("the e-stop is latched: hand in the gears")
        case "missing":
            raise KeyError("no actuator 'arm', there is 'pointer'")
        case "busy":
            raise Refusal(409, "Recording runs", "stop it first")
        case "bad":
            raise ValueError("value is nan")
        case "late":
            await asyncio.Event().wait()
        case "large":
            return bytes(wire.MAX_FRAME)
    raise RuntimeError("bug")


async def until(condition: Any) -> None:
    """Let the loop run until something is true; the test's own timeout is the bound."""
    while not condition():  # noqa: ASYNC110  # the condition is the state of another party, which has no event
        await asyncio.sleep(0)


def test_requests_are_answered_each_with_its_own_reply(path: Path) -> None:
    async def main() -> None:
        async with LocalServer(path, handle), LocalClient(path) as one, LocalClient(path) as other:
            replies = await asyncio.gather(*(c.request("echo", {"n": n}) for n in range(20) for c in (one, other)))
            assert replies == [{"n": n} for n in range(20) for _ in range(2)]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("method", "status", "detail"),
    [
        ("stopped", 423, "latched"),
        ("missing", 404, "no actuator 'arm'"),
        ("busy", 409, "stop it first"),
        ("bad", 422, "value is nan"),
        ("large", 422, "frame of"),
        ("other", 500, "RuntimeError: bug"),
    ],
)
def test_an_error_becomes_the_status_that_fits(path: Path, method: str, status: int, detail: str) -> None:
    async def main() -> None:
        async with LocalServer(path, handle), LocalClient(path) as client:
            with pytest.raises(Refusal) as raised:
                await client.request(method)
            assert raised.value.status == status
            assert detail in raised.value.detail
            assert raised.value.type.startswith("urn:tectum:problem:")
            assert await client.request("echo", {"still": "there"}) == {"still": "there"}

    asyncio.run(main())


def test_an_answer_that_does_not_come_times_out_and_the_link_lives(path: Path) -> None:
    async def main() -> None:
        async with LocalServer(path, handle), LocalClient(path) as client:
            with pytest.raises(TimeoutError, match="late: no answer"):
                await client.request("late", timeout_s=0.02)
            assert await client.request("echo") == {}

    asyncio.run(main())


def test_a_client_learns_that_control_went_away(path: Path) -> None:
    async def main() -> None:
        async with LocalServer(path, handle) as server:
            async with LocalClient(path) as client:
                waiting = asyncio.create_task(client.request("late"))
                await until(lambda: server.clients == 1)
                await server.__aexit__()
                with pytest.raises(LinkError, match="went away"):
                    await waiting
                await client.closed()
                with pytest.raises(LinkError, match="not connected"):
                    await client.request("echo")
            await server.__aenter__()

    asyncio.run(main())


def test_status_reaches_every_client_and_the_last_one_whoever_comes_later(path: Path) -> None:
    async def main() -> None:
        pushed: list[tuple[str, bytes]] = []
        async with LocalServer(path, handle) as server:
            server.push("status", b"\x01")
            async with LocalClient(path, lambda *push: pushed.append(push)):
                await until(lambda: len(pushed) == 1)
                server.push("status", b"\x02")
                await until(lambda: len(pushed) == 2)
        assert pushed == [("status", b"\x01"), ("status", b"\x02")]

    asyncio.run(main())


def test_live_goes_only_to_those_who_watch(path: Path) -> None:
    async def main() -> None:
        seen: list[str] = []
        unseen: list[str] = []
        async with (
            LocalServer(path, handle) as server,
            LocalClient(path, lambda lane, _: seen.append(lane)) as watcher,
            LocalClient(path, lambda lane, _: unseen.append(lane)) as other,
        ):
            assert not server.watched()
            watcher.watch(frozenset({"images", "rasters"}))
            await until(server.watched)
            assert server.streams() == {"images", "rasters"}
            server.push("live", b"\x01")
            await until(lambda: seen == ["live"])
            await other.request("echo")
            assert unseen == []
            other.watch()
            await until(lambda: server.streams() == frozenset())
            watcher.unwatch()
            other.unwatch()
            await until(lambda: not server.watched())

    asyncio.run(main())


def test_a_stuck_watcher_gets_only_the_newest_picture_and_the_rest_are_counted(path: Path) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with LocalServer(path, handle) as server:
            with socket.socket(socket.AF_UNIX) as stuck:
                stuck.setblocking(False)
                await loop.sock_connect(stuck, str(path))
                await loop.sock_sendall(stuck, wire.frame(wire.encode({"op": "watch", "on": True})))
                await until(server.watched)
                for n in range(100):
                    server.push("live", wire.encode([n, bytes(100_000)]))
                assert server.live_dropped > 90
                reader = wire.FrameReader()
                numbers: list[int] = []
                while not numbers or numbers[-1] != 99:
                    for payload in reader.feed(await loop.sock_recv(stuck, 1 << 20)):
                        numbers.append(wire.decode(wire.decode(payload)["data"])[0])  # noqa: PERF401
                assert numbers == sorted(numbers)
                assert len(numbers) == 100 - server.live_dropped
            assert server.disconnected == 0

    asyncio.run(main())


def test_a_client_that_does_not_read_its_state_is_cut_off_and_others_are_not(path: Path) -> None:
    async def main() -> None:
        pushed: list[bytes] = []
        loop = asyncio.get_running_loop()
        async with (
            LocalServer(path, handle) as server,
            LocalClient(path, lambda _, data: pushed.append(data)) as client,
        ):
            with socket.socket(socket.AF_UNIX) as stuck:
                stuck.setblocking(False)
                await loop.sock_connect(stuck, str(path))
                await until(lambda: server.clients == 2)
                payload = wire.encode(bytes(50_000))
                for _ in range(STATUS_BOUND // 50_000 + 40):
                    server.push("status", payload)
                    count = len(pushed) + 1
                    await until(lambda: len(pushed) == count)  # noqa: B023
                assert server.disconnected == 1
                assert server.clients == 1
                assert await client.request("echo") == {}

    asyncio.run(main())


def test_bytes_that_are_no_frames_cost_only_their_sender(path: Path) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with LocalServer(path, handle) as server, LocalClient(path) as client:
            for garbage in (b"\xff\xff\xff\xff", wire.frame(b"\xc1"), wire.frame(wire.encode({"op": "dance"}))):
                with socket.socket(socket.AF_UNIX) as hostile:
                    hostile.setblocking(False)
                    await loop.sock_connect(hostile, str(path))
                    await loop.sock_sendall(hostile, garbage)
                    assert await loop.sock_recv(hostile, 10) == b""
            assert server.clients == 1
            assert await client.request("echo") == {}

    asyncio.run(main())


def test_the_socket_is_private_and_gone_afterwards(path: Path) -> None:
    async def main() -> None:
        async with LocalServer(path, handle):
            assert stat.S_IMODE(os.stat(path.parent).st_mode) == 0o700
            assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
            with pytest.raises(LinkError, match="another daemon"):
                async with LocalServer(path, handle):
                    pass

    asyncio.run(main())
    assert not path.exists()


def test_a_socket_left_by_a_dead_daemon_is_taken_over(path: Path) -> None:
    async def main() -> None:
        path.parent.mkdir(mode=0o700)
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
        async with LocalServer(path, handle), LocalClient(path) as client:
            assert await client.request("echo") == {}

    asyncio.run(main())


def test_a_folder_others_can_enter_is_refused(path: Path) -> None:
    async def main() -> None:
        path.parent.mkdir()
        os.chmod(path.parent, 0o755)
        with pytest.raises(ConfigError, match="mode 0755, expected owner"):
            async with LocalServer(path, handle):
                pass

    asyncio.run(main())


def test_the_blocking_call_answers_and_says_when_nobody_is_there(path: Path) -> None:
    async def main() -> None:
        async with LocalServer(path, handle):
            assert await asyncio.to_thread(call, path, "echo", {"a": 1}) == {"a": 1}
            with pytest.raises(Refusal, match="Stopped"):
                await asyncio.to_thread(call, path, "stopped")

    asyncio.run(main())
    with pytest.raises(LinkError, match="no daemon answers"):
        call(path, "echo")
