"""The API says what control said, passes commands on, and answers every failure with a problem."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from runtime import wire
from runtime.http.schemas import Status
from tests.stand_in_control import StandIn, gateway, stand_in, until_answer


@pytest.fixture
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tectum") as folder:
        yield Path(folder) / "run" / "control.sock"


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The body of a problem, whose form is checked."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["type"].startswith("urn:tectum:problem:")
    assert body["title"]
    return body


def test_the_status_of_the_stand_in_is_as_declared() -> None:
    Status.model_validate(StandIn(Path("unused")).status())


def test_reads_are_answered_from_the_last_status_and_cost_control_nothing(path: Path) -> None:
    async def main() -> None:
        async with stand_in(path) as control, gateway(path) as client:
            said = control.status()
            for where in ("graph", "topics", "sensors", "network", "actuators", "estop", "config"):
                answer = await client.get(f"/v1/{where}")
                assert answer.status_code == 200, answer.text
                assert answer.json() == said[where]
            assert (await client.get("/v1/status")).json() == said
            assert (await client.get("/v1/topics/eye/events")).json() == said["topics"][0]
            assert (await client.get("/v1/sensors/eye")).json() == said["sensors"][0]
            assert (await client.get("/v1/actuators/pointer")).json() == said["actuators"][0]
            assert control.requests == []

    asyncio.run(main())


def test_what_does_not_exist_is_named_with_what_does(path: Path) -> None:
    async def main() -> None:
        async with stand_in(path), gateway(path) as client:
            assert "eye/events, imu/gyro" in problem(await client.get("/v1/topics/eye/other"), 404)["detail"]
            problem(await client.get("/v1/sensors/none"), 404)
            problem(await client.get("/v1/nothing"), 404)
            problem(await client.get("/v1/topics/"), 404)
            answer = await client.put("/v1/estop")
            problem(answer, 405)
            assert answer.headers["allow"] == "DELETE, GET, POST"

    asyncio.run(main())


def test_commands_reach_control_and_its_answer_comes_back(path: Path) -> None:
    async def main() -> None:
        async with stand_in(path) as control, gateway(path) as client:
            answer = await client.post("/v1/actuators/pointer/command", json={"value": 9.0, "ttl_s": 0.2})
            assert (answer.status_code, answer.json()) == (200, {"applied": 5.5, "clipped": True})
            asked = {"name": "pointer", "value": 9.0, "ttl_s": 0.2, "source": "http"}
            assert control.requests == [("actuators.command", asked)]
            problem(await client.post("/v1/actuators/gripper/command", json={"value": 1.0}), 409)
            problem(await client.post("/v1/actuators/none/command", json={"value": 1.0}), 404)
            assert (await client.post("/v1/network/reset")).json() == {"ok": True}
            assert (await client.post("/v1/sensors/eye/restart")).status_code == 200
            problem(await client.post("/v1/sensors/none/restart"), 404)

    asyncio.run(main())


@pytest.mark.parametrize(
    "body",
    [
        b'{"value": NaN}',
        b'{"value": Infinity}',
        b'{"value": 1e400}',
        b'{"value": "1"}',
        b'{"value": true}',
        b'{"value": 1, "speed": 2}',
        b'{"value": 1, "ttl_s": 0}',
        b'{"value": 1, "ttl_s": 1e9}',
        b"{}",
        b"[]",
        b"{",
        b"\xff",
        b"[" * 60_000,
    ],
)
def test_a_command_that_is_not_as_declared_never_reaches_control(path: Path, body: bytes) -> None:
    async def main() -> None:
        async with stand_in(path) as control, gateway(path) as client:
            answer = await client.post(
                "/v1/actuators/pointer/command", content=body, headers={"content-type": "application/json"}
            )
            assert answer.status_code in (400, 422)
            problem(answer, answer.status_code)
            assert control.requests == []

    asyncio.run(main())


def test_the_estop_latches_refuses_commands_and_is_released_only_with_a_reason(path: Path) -> None:
    async def main() -> None:
        async with stand_in(path) as control, gateway(path) as client:
            answer = await client.post("/v1/estop")
            assert answer.json() == {"latched": True, "confirmed": True}
            refused = await client.post("/v1/actuators/pointer/command", json={"value": 1.0})
            assert "latched" in problem(refused, 423)["detail"]
            problem(await client.delete("/v1/estop"), 422)
            problem(await client.request("DELETE", "/v1/estop", json={"reason": ""}), 422)
            assert control.latched
            answer = await client.request("DELETE", "/v1/estop", json={"reason": "hands are clear"})
            assert answer.json()["latched"] is False
            assert control.requests[0] == ("estop", {"reason": "asked over HTTP", "source": "http"})

    asyncio.run(main())


def test_a_snapshot_goes_out_and_comes_back(path: Path) -> None:
    async def main() -> None:
        octets = {"content-type": "application/octet-stream"}
        async with stand_in(path) as control, gateway(path) as client:
            answer = await client.post("/v1/network/snapshot")
            assert answer.headers["content-type"] == "application/octet-stream"
            assert answer.headers["x-tectum-hash"] == bytes(range(16)).hex()
            for send in (client.put, client.post):
                back = await send("/v1/network/restore", content=answer.content, headers=octets)
                assert back.json() == {"ok": True}
            assert control.requests[-1] == ("network.restore", {"data": answer.content})
            problem(await client.put("/v1/network/restore", content=b"other", headers=octets), 422)
            problem(await client.put("/v1/network/restore", content=b"", headers=octets), 422)
            problem(await client.put("/v1/network/restore", json={"name": "../../etc/passwd"}), 422)
            problem(await client.put("/v1/network/restore", json={"name": "monday"}), 404)
            too_large = bytes(7 * 1024 * 1024 + 1)
            problem(await client.put("/v1/network/restore", content=too_large, headers=octets), 413)

    asyncio.run(main())


def test_recordings_have_slugs_for_names(path: Path) -> None:
    async def main() -> None:
        async with stand_in(path) as control, gateway(path) as client:
            for name in ("../x", "a/b", "", ".hidden", "A", "x" * 101, "a\x00b"):
                problem(await client.post("/v1/recordings/start", json={"name": name}), 422)
            assert control.requests == []
            assert (await client.post("/v1/recordings/start", json={"name": "walk-1"})).json()["name"] == "walk-1"
            problem(await client.post("/v1/recordings/start"), 409)
            assert (await client.post("/v1/recordings/stop")).status_code == 200
            assert (await client.get("/v1/recordings")).json() == [{"name": "run-0", "bytes": 123}]

    asyncio.run(main())


def test_a_bug_of_control_is_a_bad_gateway(path: Path) -> None:
    async def main() -> None:
        async with stand_in(path) as control, gateway(path) as client:
            control.broken = True
            assert "RuntimeError: bug" in problem(await client.post("/v1/network/reset"), 502)["detail"]

    asyncio.run(main())


def test_a_status_that_is_not_as_declared_is_named_and_hides_only_its_own_part(path: Path) -> None:
    async def main() -> None:
        async with stand_in(path) as control, gateway(path) as client:
            status = control.status()
            del status["topics"][1]["lost"]
            status["uptime_s"] = float("nan")
            control.server.push("status", wire.encode(status))
            answer = await until_answer(client, "/v1/topics", lambda got: got.status_code != 200)
            assert "topics/1/lost: Field required" in problem(answer, 502)["detail"]
            assert (await client.get("/v1/actuators")).status_code == 200
            assert "uptime_s" in problem(await client.get("/v1/status"), 502)["detail"]

    asyncio.run(main())


def test_without_control_everything_but_the_probe_is_503_and_it_comes_back_by_itself(path: Path) -> None:
    async def main() -> None:
        async with gateway(path) as client:
            for method, where in (
                ("GET", "/v1/topics"),
                ("POST", "/v1/estop"),
                ("GET", "/readyz"),
                ("GET", "/v1/estop"),
            ):
                answer = await client.request(method, where)
                assert "no daemon" in problem(answer, 503)["detail"] or "not connected" in answer.json()["detail"]
                assert answer.headers["retry-after"] == "1"
            assert (await client.get("/healthz")).json() == {"status": "warn", "control": "away"}
            assert "tectum_up 0.0" in (await client.get("/metrics")).text
            assert (await client.get("/")).status_code == 200
            for _ in range(2):
                async with stand_in(path):
                    await until_answer(client, "/v1/topics", lambda got: got.status_code != 503)
                    assert (await client.get("/healthz")).json() == {"status": "pass", "control": "connected"}
                await until_answer(client, "/v1/topics", lambda got: got.status_code != 200)

    asyncio.run(main())


def test_a_sensor_is_cut_and_restored(path: Path) -> None:
    async def main() -> None:
        async with stand_in(path) as control, gateway(path) as client:
            assert (await client.post("/v1/sensors/eye/cut")).json() == {"ok": True}
            assert control.requests == [("sensors.cut", {"name": "eye"})]
            said = await until_answer(client, "/v1/sensors/eye", lambda got: got.json()["state"] != "running")
            assert said.json()["state"] == "cut"
            problem(await client.post("/v1/sensors/none/cut"), 404)
            assert (await client.post("/v1/sensors/eye/restore")).json() == {"ok": True}
            await until_answer(client, "/v1/sensors/eye", lambda got: got.json()["state"] == "running")

    asyncio.run(main())


def test_readiness_says_what_is_wrong(path: Path) -> None:
    async def main() -> None:
        async with stand_in(path) as control, gateway(path) as client:
            assert (await client.get("/readyz")).json() == {"status": "pass"}
            control.ready = ["eye/events is stale: 0.4 s"]
            control.push_status()
            answer = await until_answer(client, "/readyz", lambda got: got.status_code != 200)
            assert problem(answer, 503)["problems"] == ["eye/events is stale: 0.4 s"]

    asyncio.run(main())


def test_metrics_are_the_status_in_prometheus_words(path: Path) -> None:
    async def main() -> None:
        async with stand_in(path) as control, gateway(path) as client:
            control.n = 10
            control.push_status()
            lines = (await until_answer(client, "/metrics", lambda got: " 480000.0" in got.text)).text.splitlines()
            assert 'tectum_events_total{topic="eye/events"} 3300.0' in lines
            assert 'tectum_lost_total{topic="eye/events"} 17.0' in lines
            assert 'tectum_synops_total{network="nmnist"} 480000.0' in lines
            assert 'tectum_spikes_total{population="hidden"} 200.0' in lines
            assert 'tectum_latency_seconds{quantile="0.99"} 0.00231' in lines
            assert 'tectum_sensor_state{sensor="camera",state="restarting"} 1.0' in lines
            assert "tectum_up 1.0" in lines

    asyncio.run(main())
