"""The page, open: in a headless Chromium where there is one, else as a WebSocket viewer of every stream."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from runtime.bench.child import child, module
from runtime.bench.get import HOST, get
from runtime.core.clock import SECOND, MonotonicClock
from runtime.core.errors import LinkError

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
OPEN_S = 30.0


def browser(environment: Mapping[str, str]) -> str | None:
    """Where a Chromium is: CHROMIUM, or the first on the path; None where there is none."""
    named = environment.get("CHROMIUM")
    return named or next(filter(None, (shutil.which(name, path=environment.get("PATH")) for name in BROWSERS)), None)


@asynccontextmanager
async def open_page(
    port: int, environment: Mapping[str, str], cpu: int | None, program: str | None
) -> AsyncIterator[None]:
    """The page is watched while the context lasts. Raises LinkError if the gateway sees no viewer."""
    with tempfile.TemporaryDirectory(prefix="tectum-page", ignore_cleanup_errors=True) as profile:
        argv = module("viewer", port=port) if program is None else _chromium(program, port, profile)
        async with child(argv, environment, cpu=cpu, log=Path(profile) / "log"):
            await _seen(port)
            yield


def _chromium(program: str, port: int, profile: str) -> list[str]:
    argv = [program, "--headless=new", f"--user-data-dir={profile}", "--remote-debugging-port=0", "--no-first-run"]
    argv += ["--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    argv += ["--no-sandbox"] if os.geteuid() == 0 else []
    return [*argv, f"http://{HOST}:{port}/"]


async def _seen(port: int) -> None:
    clock = MonotonicClock()
    deadline = clock.now() + int(OPEN_S * SECOND)
    while clock.now() < deadline:
        if await viewers(port):
            return
        await clock.sleep_until(clock.now() + SECOND // 10)
    raise LinkError(f"the page is not watched after {OPEN_S:g} s: expected one viewer")


async def viewers(port: int) -> int:
    """How many watch the live stream, as the gateway counts."""
    answer = await get(port, "/metrics")
    found = re.search(rb"^tectum_viewers (\d+)", answer.body, re.MULTILINE)
    if found is None:
        raise LinkError(f"/metrics has no tectum_viewers (status {answer.status})")
    return int(found.group(1))
