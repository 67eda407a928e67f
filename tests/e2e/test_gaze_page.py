"""The page of a robot that holds its gaze: what it sees, what it costs, and what happens when a sensor is cut."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from runtime.beat import Beat
from runtime.core.clock import MonotonicClock
from tests.e2e.test_page import ARGUMENTS, CHROMIUM, DRAWN, playwright
from tests.gaze_robot import robot_file
from tests.stand_in_control import answers, free_port, gateway_process

pytestmark = [
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"needs Chromium at {CHROMIUM} (or CHROMIUM set to its path)"),
    pytest.mark.timeout(180),
]

RETINA = "document.querySelector('#retina').toDataURL()"
PURPOSES = {
    "camera": "Sees the whole picture",
    "dvs": "Sees only what changes",
    "gyro": "Feels every turn",
    "truth": "The network does not get it",
}


@asynccontextmanager
async def robot_process(folder: Path) -> AsyncIterator[Path]:
    """The control process of that robot, as it runs in the product; gives the path of its link."""
    robot = robot_file(folder)
    beat = Beat(folder / "beat", create=True)
    command = ("-m", "runtime", "_control", str(robot), "--runtime-dir", str(folder), "--run-id", "gaze")
    more = ("--state-dir", str(folder / "state"), "--origin", str(MonotonicClock().origin))
    process = await asyncio.create_subprocess_exec(sys.executable, *command, *more, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        said = [line async for line in _until_running(process.stdout)]
        assert said, "the robot did not start"
        yield folder / "bus.sock"
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.communicate()
        beat.close()


async def _until_running(output: asyncio.StreamReader) -> AsyncIterator[str]:
    """Its lines up to the one that says it runs; none where it ended before."""
    while line := (await output.readline()).decode():
        if line.startswith("Running"):
            yield line
            return


@asynccontextmanager
async def looking(width: int, height: int) -> AsyncIterator[tuple[Any, str, list[str]]]:
    """A page of the robot: the page, its address, and what it complained of."""
    port, errors = free_port(), list[str]()
    with tempfile.TemporaryDirectory(prefix="tectum") as folder:
        async with (
            robot_process(Path(folder)) as link,
            gateway_process(link, port),
            playwright.async_playwright() as driver,
        ):
            browser = await driver.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
            page = await browser.new_page(viewport={"width": width, "height": height})
            page.on("console", lambda said: errors.append(said.text) if said.type in ("error", "warning") else None)
            page.on("pageerror", lambda error: errors.append(str(error)))
            url = f"http://127.0.0.1:{port}/"
            await answers(url)
            await page.goto(url)
            try:
                yield page, url, errors
            finally:
                await browser.close()


async def until_text(page: Any, selector: str, pattern: str) -> None:
    await page.wait_for_function(
        "([selector, pattern]) => new RegExp(pattern).test(document.querySelector(selector)?.innerText || '')",
        arg=[selector, pattern],
        timeout=30_000,
    )


async def keep(page: Any, name: str) -> None:
    """A screenshot for people, where TECTUM_SCREENSHOTS names a folder."""
    folder = os.environ.get("TECTUM_SCREENSHOTS")
    if folder:
        await page.screenshot(path=str(Path(folder) / f"{name}.png"))


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_it_shows_what_is_seen_what_it_costs_and_what_each_sensor_is_for(width: int, height: int) -> None:
    async def main() -> None:
        async with looking(width, height) as (page, _, errors):
            await until_text(page, "#link", "live")
            await until_text(page, "#story", "camera, dvs and gyro feed one network")
            await until_text(page, "#error-rms", r"^[1-9]?[0-9]\.[0-9]$")
            await until_text(page, "#work-ratio", r"^[0-9]+×$")
            await until_text(page, "#work-note", "every weight [0-9]+ times a second")
            await page.wait_for_function("() => document.querySelectorAll('#sensors canvas').length === 4")
            for name, purpose in PURPOSES.items():
                assert purpose in await page.inner_text(f".sensor[data-name={name}] .purpose")
            assert await page.is_hidden("#scene"), "the retina shows both of its pictures"
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
            await keep(page, f"gaze-{width}")
            assert errors == [], "before this test reads pixels, of which Chromium warns"
            assert all(count > 100 for count in await page.evaluate(DRAWN, "#retina, #error, #work-past"))

    asyncio.run(main())


def test_its_buttons_cut_each_sensor_and_restore_it() -> None:
    async def main() -> None:
        async with looking(1280, 800) as (page, url, errors):
            await until_text(page, "#link", "live")
            async with httpx.AsyncClient(base_url=url) as client:
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
                    await keep(page, f"gaze-without-{name}")
                    await page.click(f"{row} .switch")
                    await until_text(page, f"{row} .pill", "live|silent")
                    sensors = {s["name"]: s["state"] for s in (await client.get("/v1/sensors")).json()}
                    assert sensors[name] == "running"
            assert errors == []

    asyncio.run(main())
