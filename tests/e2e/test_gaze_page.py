"""The page of the robot that holds its gaze: what it sees, what it costs, and what happens when a sensor is cut."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from runtime.beat import Beat
from runtime.core.clock import MonotonicClock
from tests.e2e.test_page import ARGUMENTS, CHROMIUM, DRAWN, playwright
from tests.stand_in_control import answers, free_port

pytestmark = [
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"needs Chromium at {CHROMIUM} (or CHROMIUM set to its path)"),
    pytest.mark.timeout(180),
]

SPEED = 0.25
"""The robot and the browser that draws it share two processors."""
RETINA = "document.querySelector('#retina').toDataURL()"
PURPOSES = {
    "gyro": "Feels every turn",
    "dvs": "Sees only what changes",
    "camera": "Sees the whole picture",
    "truth": "The network does not get it",
}


@pytest.fixture(scope="module")
def robot(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of the shipped robot's page; control and gateway as they run in the product."""
    deploy, port = Path(request.config.rootpath) / "deploy", free_port()
    with tempfile.TemporaryDirectory(prefix="tectum") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        beat = Beat(folder / "beat", create=True)
        stack.callback(beat.close)
        control = ["_control", str(deploy / "gaze.toml"), "--runtime-dir", name, "--state-dir", str(folder / "state")]
        control += ["--run-id", "gaze", "--speed", str(SPEED), "--origin", str(MonotonicClock().origin)]
        started = stack.enter_context(ended([sys.executable, "-m", "runtime", *control]))
        assert started.stdout is not None
        assert any(line.startswith("Running") for line in iter(started.stdout.readline, "")), "the robot did not start"
        gateway = ["--socket", str(folder / "bus.sock"), "--port", str(port)]
        stack.enter_context(ended([sys.executable, "-m", "runtime.http", *gateway]))
        yield f"http://127.0.0.1:{port}/"


@contextlib.contextmanager
def ended(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A process, and its end."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=20)


@asynccontextmanager
async def looking(url: str, width: int, height: int) -> AsyncIterator[tuple[Any, list[str]]]:
    """A page of the robot, and what it complained of."""
    errors = list[str]()
    async with playwright.async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        page = await browser.new_page(viewport={"width": width, "height": height})
        page.on("console", lambda said: errors.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        await answers(url)
        await page.goto(url)
        try:
            yield page, errors
        finally:
            await browser.close()


async def until_text(page: Any, selector: str, pattern: str) -> None:
    await page.wait_for_function(
        "([selector, pattern]) => new RegExp(pattern).test(document.querySelector(selector)?.innerText || '')",
        arg=[selector, pattern],
        timeout=30_000,
    )


async def keep(page: Any, name: str, seconds: float = 0.0) -> None:
    """A screenshot for people, where TECTUM_SCREENSHOTS names a folder, after so many seconds of the robot's time."""
    folder = os.environ.get("TECTUM_SCREENSHOTS")
    if folder:
        await page.wait_for_timeout(1000 * seconds / SPEED)
        await page.evaluate("scrollTo(0, 0)")
        await page.screenshot(path=str(Path(folder) / f"{name}.png"))
        await page.screenshot(path=str(Path(folder) / f"{name}-whole.png"), full_page=True)


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_it_shows_what_is_seen_what_it_costs_and_what_each_sensor_is_for(robot: str, width: int, height: int) -> None:
    async def main() -> None:
        async with looking(robot, width, height) as (page, errors):
            await until_text(page, "#link", "live")
            await until_text(page, "#story", "A head on a shaken base keeps its gaze on a moving target")
            await until_text(page, "#story", "Gyro, dvs and camera feed one network")
            await until_text(page, "#error-rms", r"^[1-9]?[0-9]\.[0-9]$")
            await until_text(page, "#error-note", "in a picture 64 wide")
            await until_text(page, "#work-ratio", r"^[0-9.]+×$")
            await until_text(page, "#work-note", "every weight [0-9]+ times a second")
            await page.wait_for_function("() => document.querySelectorAll('#sensors canvas').length === 4")
            for name, purpose in PURPOSES.items():
                assert purpose in await page.inner_text(f".sensor[data-name={name}] .purpose")
            assert await page.is_hidden(".sensor[data-name=truth] .switch"), "the network has nothing to lose there"
            assert await page.is_hidden("#scene"), "the retina shows both of its pictures"
            assert await page.is_hidden("#decisions"), "the actuators show what the outputs say"
            ratio = float((await page.inner_text("#work-ratio")).rstrip("×"))
            network = (await page.evaluate("fetch('/v1/network').then(answer => answer.json())"))["synops"]
            assert ratio > 5
            assert network > 0
            before = await page.evaluate(RETINA)
            await page.wait_for_function(f"before => {RETINA} !== before", arg=before)
            assert await page.evaluate("document.documentElement.scrollWidth") <= width
            if width > 1000:
                for selector in ("#retina", "#error", "#work-note", *(f".sensor[data-name={k}]" for k in PURPOSES)):
                    box = await page.locator(selector).bounding_box()
                    assert box["y"] + box["height"] <= height, f"{selector} is in view without scrolling"
            await keep(page, f"gaze-{width}", seconds=7.0)
            assert errors == [], "before this test reads pixels, of which Chromium warns"
            assert all(count > 100 for count in await page.evaluate(DRAWN, "#retina, #error, #work-past"))

    asyncio.run(main())


def test_its_buttons_cut_each_sensor_and_restore_it(robot: str) -> None:
    async def main() -> None:
        async with looking(robot, 1280, 800) as (page, errors), httpx.AsyncClient(base_url=robot) as client:
            await until_text(page, "#link", "live")
            for name in ("camera", "dvs", "gyro"):
                row = f".sensor[data-name={name}]"
                await until_text(page, f"{row} .switch", "^Cut$")
                await page.click(f"{row} .switch")
                await until_text(page, f"{row} .pill", "cut")
                await until_text(page, f"{row} .purpose", "Cut by hand")
                await until_text(page, "#ready", "not ready")
                ready = await client.get("/readyz")
                assert ready.status_code == 503
                assert f"sensor {name} is cut" in ready.json()["problems"]
                await keep(page, f"gaze-without-{name}", seconds=2.0)
                await page.click(f"{row} .switch")
                await until_text(page, f"{row} .pill", "live|silent")
                sensors = {s["name"]: s["state"] for s in (await client.get("/v1/sensors")).json()}
                assert sensors[name] == "running"
            assert errors == []

    asyncio.run(main())
