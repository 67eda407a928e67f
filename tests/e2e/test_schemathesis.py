"""Whatever a client sends, the API answers as its own description says, and never with a failure of its own."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
from pathlib import Path

import pytest

from tests.stand_in_control import answers, free_port, gateway_process, stand_in

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
CHECKS += ",negative_data_rejection,unsupported_method"


@pytest.mark.timeout(120)
@pytest.mark.parametrize("with_keys", [False, True], ids=["open", "keyed"])
def test_the_api_keeps_to_its_description(with_keys: bool, tmp_path: Path) -> None:
    pytest.importorskip("schemathesis")
    arguments: list[str] = []
    keys: list[str] = []
    if with_keys:
        from runtime.http.keys import create_key

        key = create_key(tmp_path / "keys.json", "fuzzer", frozenset({"admin"}))
        keys = ["--keys", str(tmp_path / "keys.json")]
        arguments = ["--header", f"Authorization: Bearer {key}"]

    async def main() -> tuple[int, str, int]:
        with tempfile.TemporaryDirectory(prefix="tectum") as folder:
            path = Path(folder) / "run" / "control.sock"
            port = free_port()
            async with stand_in(path) as control, gateway_process(path, port, *keys) as gateway:
                await answers(f"http://127.0.0.1:{port}/healthz")
                living = asyncio.create_task(control.run())
                # The stream of events does not end; it has tests of its own.
                command = ["-m", "schemathesis.cli", "run", f"http://127.0.0.1:{port}/openapi.json", "--no-color"]
                command += ["--exclude-path", "/v1/events", "--checks", CHECKS, "--phases", "examples,coverage,fuzzing"]
                command += ["--max-examples", "20", "--seed", "1", "--generation-database", "none"]
                command += ["--request-timeout", "10", "--workers", "1", *arguments]
                # How many random path segments a generator has to throw away says nothing of the API.
                command += ["--suppress-health-check", "filter_too_much"]
                environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    *command,
                    env=environment,
                    cwd=folder,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.STDOUT,
                )
                output, _ = await process.communicate()
                living.cancel()
                assert gateway.returncode is None, "the gateway died"
                return process.returncode or 0, output.decode("utf-8", "replace"), len(control.requests)

    code, output, requests = asyncio.run(main())
    assert code == 0, output[-8000:]
    tested = re.search(r"(\d+) generated", output)
    assert tested is not None, output[-2000:]
    assert int(tested.group(1)) > 100
    assert requests > 10, "some of what was generated must have been valid and reached control"
