"""The stream shows every state and the newest picture, and a slow or vanished viewer costs nobody else."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from runtime import wire
from runtime.http.changes import changes
from runtime.http.control import STATE_DEPTH, Viewer
from runtime.http.keys import create_key
from runtime.http.settings import Settings
from tests.stand_in_control import StandIn, served, stand_in, until, until_answer


@pytest.fixture
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tectum") as folder:
        yield Path(folder) / "run" / "control.sock"


async def message(socket: ClientConnection) -> tuple[str, Any]:
    received = await socket.recv()
    assert isinstance(received, bytes)
    body = wire.decode(received)
    return body["lane"], body["data"]


async def until_lane(socket: ClientConnection, lane: str) -> Any:
    while True:
        found, data = await message(socket)
        if found == lane:
            return data


def test_a_viewer_sees_the_state_at_once_and_then_pictures(path: Path) -> None:
    async def main() -> None:
        async with stand_in(path) as control, served(path, Settings()) as port:
            async with connect(f"ws://127.0.0.1:{port}/v1/live") as socket:
                assert (await until_lane(socket, "link"))["state"] in ("connected", "away")
                assert (await until_lane(socket, "status"))["robot"] == "gaze"
                await until(control.server.watched)
                running = asyncio.create_task(control.run())
                body = await until_lane(socket, "live")
                running.cancel()
                assert {"images", "rasters", "traces", "decisions", "actuators"} <= set(body)
            await until(lambda: not control.server.watched())

    asyncio.run(main())


def test_a_viewer_may_ask_for_less(path: Path) -> None:
    async def main() -> None:
        async with stand_in(path) as control, served(path, Settings()) as port:
            async with connect(f"ws://127.0.0.1:{port}/v1/live") as socket:
                await socket.send(json.dumps({"max_hz": 30, "streams": ["rasters"]}))
                await until(lambda: control.server.streams() == {"rasters"})
                running = asyncio.create_task(control.run())
                assert set(await until_lane(socket, "live")) == {"t", "n", "rasters"}
                running.cancel()
                await socket.send(wire.encode({"max_hz": 1000}))
                with pytest.raises(ConnectionClosed) as closed:
                    await until_lane(socket, "never")
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == 1007

    asyncio.run(main())


def test_a_page_of_another_origin_cannot_watch(path: Path) -> None:
    async def main() -> None:
        async with stand_in(path), served(path, Settings()) as port:
            for origin in ("http://evil.example", "null", "http://127.0.0.1:1"):
                with pytest.raises(InvalidStatus) as refused:
                    async with connect(f"ws://127.0.0.1:{port}/v1/live", additional_headers={"Origin": origin}):
                        pass
                assert refused.value.response.status_code == 403

    asyncio.run(main())


def test_a_browser_sends_its_key_as_a_subprotocol(path: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    key = create_key(file, "desk", frozenset({"read"}))

    async def main() -> None:
        async with stand_in(path), served(path, Settings(keys=file)) as port:
            url = f"ws://127.0.0.1:{port}/v1/live"
            with pytest.raises(InvalidStatus):
                async with connect(url):
                    pass
            async with connect(url, subprotocols=["tectum", f"key.{key}"]) as socket:  # type: ignore[list-item]
                assert socket.subprotocol == "tectum"
                assert (await until_lane(socket, "status"))["robot"] == "gaze"

    asyncio.run(main())


def test_a_viewer_learns_that_control_left_and_came_back(path: Path) -> None:
    async def main() -> None:
        async with served(path, Settings()) as port, connect(f"ws://127.0.0.1:{port}/v1/live") as socket:
            assert (await until_lane(socket, "link"))["state"] == "away"
            for _ in range(2):
                async with stand_in(path):
                    assert (await until_lane(socket, "link"))["state"] == "connected"
                    assert (await until_lane(socket, "status"))["robot"] == "gaze"
                away = await until_lane(socket, "link")
                assert away["state"] == "away"
                assert away["reason"]

    asyncio.run(main())


def test_there_is_a_bound_on_viewers(path: Path) -> None:
    async def main() -> None:
        async with stand_in(path), served(path, Settings(max_viewers=1)) as port:
            url = f"ws://127.0.0.1:{port}/v1/live"
            async with connect(url):
                with pytest.raises(InvalidStatus):
                    async with connect(url):
                        pass

    asyncio.run(main())


def test_a_viewer_keeps_each_state_and_only_the_newest_picture() -> None:
    async def main() -> None:
        viewer = Viewer()
        for n in range(50):
            viewer.tell(b"state%d" % n)
            viewer.offer(b"live%d" % n)
        assert [viewer.take_state() for _ in range(51)] == [b"state%d" % n for n in range(50)] + [None]
        assert (viewer.take_live(), viewer.take_live(), viewer.dropped) == (b"live49", None, 49)
        for _ in range(STATE_DEPTH):
            viewer.tell(b"")
        assert not viewer.overrun
        viewer.tell(b"")
        assert viewer.overrun

    asyncio.run(main())


def test_a_viewer_that_does_not_read_is_closed_and_others_see_every_state(path: Path) -> None:
    async def main() -> None:
        async with stand_in(path) as control, served(path, Settings(send_timeout_s=0.3)) as port:
            url = f"ws://127.0.0.1:{port}/v1/live"
            async with connect(url) as reader:
                stuck_reader, stuck = await asyncio.open_connection("127.0.0.1", port, limit=1024)
                stuck.write(
                    b"GET /v1/live HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
                )
                await stuck_reader.readuntil(b"\r\n\r\n")
                # asyncio stops reading from the kernel once its limit is passed, so the stuck viewer's window closes
                status = control.status()
                status["config"] = {"long": "x" * 500_000}
                seen = 0
                for n in range(40):
                    status["uptime_s"] = float(n)
                    control.server.push("status", wire.encode(status))
                    while (await until_lane(reader, "status"))["uptime_s"] != n:
                        pass
                    seen += 1
                assert seen == 40
                async with httpx.AsyncClient() as client:
                    url = f"http://127.0.0.1:{port}/metrics"
                    await until_answer(client, url, lambda got: "tectum_viewers 1.0" in got.text)
                stuck.transport.abort()

    asyncio.run(main())


def test_state_changes_are_told_as_server_sent_events_and_can_be_resumed(path: Path) -> None:
    async def main() -> None:
        async with stand_in(path) as control, served(path, Settings()) as port:
            base = f"http://127.0.0.1:{port}"
            async with httpx.AsyncClient(base_url=base) as client:
                await until_answer(client, "/healthz", lambda got: got.json()["control"] == "connected")
                async with client.stream("GET", "/v1/events", headers={"last-event-id": "0"}) as answer:
                    assert answer.headers["content-type"].startswith("text/event-stream")
                    lines = answer.aiter_lines()
                    assert [await anext(lines) for _ in range(4)][2:] == ["id: 1", "event: control"]
                    assert (await client.post("/v1/estop")).status_code == 200
                    control.sensor_state = "failed"
                    control.push_status()
                    told: list[dict[str, Any]] = []
                    while len(told) < 4:
                        line = await anext(lines)
                        if line.startswith("data: "):
                            told.append(json.loads(line.removeprefix("data: ")))
                    kinds = [(event["kind"], event.get("name"), event["from"], event["to"]) for event in told]
                    assert kinds == [
                        ("control", None, "away", "connected"),
                        ("estop", None, "released", "confirmed"),
                        ("actuator", "pointer", "active", "stopped"),
                        ("sensor", "eye", "running", "failed"),
                    ]
                async with client.stream("GET", "/v1/events", headers={"last-event-id": "3"}) as answer:
                    lines = answer.aiter_lines()
                    while (line := await anext(lines)) == "" or line.startswith(":"):
                        pass
                    assert line == "id: 4"

    asyncio.run(main())


def test_changes_name_what_changed_and_nothing_else() -> None:
    control = StandIn(Path("unused"))
    before = control.status()
    assert changes(None, before) == [{"kind": "control", "from": "away", "to": "connected"}]
    control.n += 1
    assert changes(before, control.status()) == []
    control.recording, control.ready = "walk", ["eye is stale"]
    after = control.status()
    after["links"][0]["state"] = "connecting"
    after["topics"][0]["alive"] = False
    assert changes(before, after) == [
        {"kind": "link", "name": "mqtt", "from": "connected", "to": "connecting"},
        {"kind": "topic", "name": "eye/events", "from": True, "to": False},
        {"kind": "recording", "name": "walk", "from": "off", "to": "on"},
        {"kind": "ready", "from": True, "to": False, "detail": "eye is stale"},
    ]
    after["run_id"] = "another"
    assert changes(before, after) == [{"kind": "control", "from": "restarted", "to": "connected"}]
