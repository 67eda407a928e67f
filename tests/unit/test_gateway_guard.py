"""A web page elsewhere, a stranger and an oversize body get nowhere."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from runtime.core.clock import SECOND, VirtualClock, run_virtual
from runtime.core.errors import ConfigError
from runtime.http import auth
from runtime.http.keys import create_key, list_keys, read_keys, revoke_key
from runtime.http.settings import Settings
from tests.stand_in_control import gateway, stand_in


@pytest.fixture
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tectum") as folder:
        yield Path(folder) / "run" / "control.sock"


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "evil.example:8642", "", "[::2]", "10.0.0.1"]
)
def test_a_foreign_host_is_refused_even_for_reads(path: Path, host: str) -> None:
    async def main() -> None:
        async with stand_in(path), gateway(path) as client:
            for where in ("/", "/healthz", "/v1/status", "/openapi.json"):
                answer = await client.get(where, headers={"host": host})
                assert answer.status_code == 403
                assert answer.headers["content-type"] == "application/problem+json"

    asyncio.run(main())


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:8642", "robot.example"])
def test_our_own_names_are_accepted(path: Path, host: str) -> None:
    async def main() -> None:
        settings = Settings(hosts=frozenset({"robot.example"}))
        async with stand_in(path), gateway(path, settings) as client:
            assert (await client.get("/v1/estop", headers={"host": host})).status_code == 200
            own = {"host": host, "origin": f"http://{host}"}
            assert (await client.post("/v1/estop", headers=own)).status_code == 200

    asyncio.run(main())


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "file://127.0.0.1:8642"},
        {"origin": "http://127.0.0.1:8642.evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_a_page_of_another_origin_commands_nothing(path: Path, headers: dict[str, str]) -> None:
    async def main() -> None:
        async with stand_in(path) as control, gateway(path) as client:
            for method, where in (
                ("POST", "/v1/estop"),
                ("DELETE", "/v1/estop"),
                ("POST", "/v1/network/reset"),
                ("PUT", "/v1/network/restore"),
            ):
                assert (await client.request(method, where, headers=headers)).status_code == 403
            assert control.requests == []

    asyncio.run(main())


def test_an_origin_that_was_configured_may_command(path: Path) -> None:
    async def main() -> None:
        settings = Settings(origins=frozenset({"https://desk.example"}))
        async with stand_in(path), gateway(path, settings) as client:
            answer = await client.post("/v1/estop", headers={"origin": "https://desk.example"})
            assert answer.status_code == 200
            assert "access-control-allow-origin" not in answer.headers

    asyncio.run(main())


def test_a_body_must_be_json_and_small(path: Path) -> None:
    async def main() -> None:
        async with stand_in(path) as control, gateway(path) as client:
            for kind in ("text/plain", "application/x-www-form-urlencoded", "application/octet-stream", ""):
                answer = await client.post(
                    "/v1/actuators/pointer/command", content=b'{"value": 1}', headers={"content-type": kind}
                )
                assert answer.status_code == 415
            large = b'{"value": ' + b" " * 70_000 + b"1}"
            json_type = {"content-type": "application/json"}
            answer = await client.post("/v1/actuators/pointer/command", content=large, headers=json_type)
            assert answer.status_code == 413

            async def pieces() -> AsyncIterator[bytes]:
                for _ in range(20):
                    yield b" " * 10_000

            answer = await client.post("/v1/actuators/pointer/command", content=pieces(), headers=json_type)
            assert answer.status_code == 413
            assert control.requests == []

    asyncio.run(main())


def test_every_answer_forbids_framing_and_foreign_scripts(path: Path) -> None:
    async def main() -> None:
        async with gateway(path) as client:
            for where in ("/", "/static/page.js", "/v1/nothing", "/healthz"):
                headers = (await client.get(where)).headers
                assert "default-src 'none'" in headers["content-security-policy"]
                assert "frame-ancestors 'none'" in headers["content-security-policy"]
                assert headers["x-content-type-options"] == "nosniff"

    asyncio.run(main())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "robot.local"])
def test_an_address_beyond_loopback_needs_keys(host: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="make keys first"):
        Settings(host=host)
    Settings(host=host, keys=tmp_path / "keys.json")
    Settings(host="::1")
    Settings(host="localhost")


def test_the_program_refuses_to_start_without_keys() -> None:
    command = [sys.executable, "-m", "runtime.http", "--socket", "/nowhere", "--host", "0.0.0.0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert "make keys first" in done.stderr


def test_the_gateway_loads_no_numpy_no_network_no_adapter() -> None:
    code = (
        "import sys, runtime.http.__main__; "
        "print([m for m in sys.modules if m.split('.')[0] in ('numpy', 'numba', 'nets', 'sensors', 'actuators')"
        " or m in ('runtime.service', 'runtime.bus', 'runtime.live')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.strip() == "[]"


def test_keys_are_kept_only_as_hashes_in_a_private_file(tmp_path: Path) -> None:
    file = tmp_path / "keys" / "keys.json"
    key = create_key(file, "desk", frozenset({"control"}))
    assert key.rpartition("_")[2] not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    create_key(file, "scraper", frozenset({"read"}))
    assert [(name, scopes) for _, name, scopes in list_keys(file)] == [("desk", ("control",)), ("scraper", ("read",))]
    with pytest.raises(ValueError, match="in use"):
        create_key(file, "desk", frozenset({"read"}))
    with pytest.raises(ValueError, match="expected some of read, control, admin"):
        create_key(file, "root", frozenset({"root"}))
    revoke_key(file, "desk")
    assert [key.name for key in read_keys(file)] == ["scraper"]
    with pytest.raises(KeyError, match="no key 'desk'"):
        revoke_key(file, "desk")
    file.write_text('{"keys": [{}]}')
    with pytest.raises(ValueError, match="not a key file"):
        read_keys(file)


def test_each_scope_opens_what_it_names_and_any_key_stops(path: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    keys = {scope: create_key(file, scope, frozenset({scope})) for scope in ("read", "control", "admin")}
    octets = {"content-type": "application/octet-stream"}

    async def main() -> None:
        async with stand_in(path) as control, gateway(path, Settings(keys=file)) as client:

            async def status(key: str | None, method: str, where: str, headers: dict[str, str] | None = None) -> int:
                sent = {**(headers or {}), **({} if key is None else {"authorization": f"Bearer {key}"})}
                body = b"state" if headers else None
                return (await client.request(method, where, headers=sent, content=body)).status_code

            for where in ("/", "/healthz", "/openapi.json", "/readyz"):
                assert await status(None, "GET", where) == 200
            for method, where in (
                ("GET", "/v1/status"),
                ("GET", "/metrics"),
                ("POST", "/v1/estop"),
                ("GET", "/v1/events"),
            ):
                assert await status(None, method, where) == 401
                assert await status("tectum_00000000_x", method, where) == 401
            assert control.requests == []
            assert await status(keys["read"], "GET", "/v1/status") == 200
            assert await status(keys["read"], "POST", "/v1/network/reset") == 403
            assert await status(keys["read"], "POST", "/v1/estop") == 200
            assert control.requests[-1] == ("estop", {"reason": "asked over HTTP", "source": "http:read"})
            assert await status(keys["read"], "DELETE", "/v1/estop") == 403
            assert await status(keys["control"], "POST", "/v1/network/reset") == 200
            assert await status(keys["control"], "PUT", "/v1/network/restore", octets) == 403
            assert await status(keys["admin"], "PUT", "/v1/network/restore", octets) == 200
            schema = (await client.get("/openapi.json")).json()
            assert schema["security"] == [{"key": []}]
            assert schema["paths"]["/healthz"]["get"]["security"] == []
            revoke_key(file, "control")
            assert await status(keys["control"], "POST", "/v1/network/reset") == 401
            os.unlink(file)
            assert await status(keys["admin"], "POST", "/v1/network/reset") == 401, "unreadable means unknown"

    asyncio.run(main())


def test_guessing_keys_is_slowed_down_and_the_right_key_goes_on_working(path: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    key = create_key(file, "desk", frozenset({"read"}))

    async def main() -> None:
        async with stand_in(path), gateway(path, Settings(keys=file)) as client:
            good = {"authorization": f"Bearer {key}"}
            assert (await client.get("/v1/estop", headers=good)).status_code == 200
            wrong = {"authorization": "Bearer " + key[:-1] + ("a" if key[-1] != "a" else "b")}
            statuses = [
                (await client.get("/v1/estop", headers=wrong)).status_code for _ in range(auth.MAX_FAILURES + 3)
            ]
            assert statuses == [401] * auth.MAX_FAILURES + [429] * 3
            assert (await client.get("/v1/estop", headers=good)).status_code == 200

    asyncio.run(main())


def test_guesses_do_not_keep_a_good_key_from_stopping(path: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    key = create_key(file, "desk", frozenset({"read"}))

    async def main() -> None:
        async with stand_in(path) as control, gateway(path, Settings(keys=file)) as client:
            for _ in range(auth.MAX_FAILURES):
                await client.get("/v1/estop", headers={"authorization": "Bearer guess"})
            good = {"authorization": f"Bearer {key}"}
            assert (await client.get("/v1/estop", headers=good)).status_code == 429
            assert (await client.post("/v1/estop", headers=good)).status_code == 200
            assert control.latched

    asyncio.run(main())


def test_failures_are_forgotten_after_a_minute(path: Path, tmp_path: Path) -> None:
    create_key(tmp_path / "keys.json", "desk", frozenset({"read"}))

    async def main(clock: VirtualClock) -> None:
        async with gateway(path, Settings(keys=tmp_path / "keys.json"), clock) as client:

            async def guess() -> int:
                return (await client.get("/v1/estop", headers={"authorization": "Bearer guess"})).status_code

            assert [await guess() for _ in range(auth.MAX_FAILURES + 1)] == [401] * auth.MAX_FAILURES + [429]
            await clock.advance_to(clock.now() + (auth.FAILURE_WINDOW_S - 1) * SECOND)
            assert await guess() == 429
            await clock.advance_to(clock.now() + 2 * SECOND)
            assert await guess() == 401

    run_virtual(main)
