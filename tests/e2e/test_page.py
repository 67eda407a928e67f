"""The page in a real browser: it shows what lives, says when it does not, and recovers by itself."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.stand_in_control import StandIn, answers, free_port, gateway_process, stand_in

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
ARGUMENTS += ["--disable-sync", "--no-first-run"]

# How many pixels of each canvas are neither transparent nor of its commonest colour.
DRAWN = """selector => [...document.querySelectorAll(selector)].map(canvas => {
  const data = new Uint32Array(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.buffer);
  const counts = new Map();
  for (const pixel of data) counts.set(pixel, (counts.get(pixel) || 0) + 1);
  return data.length - Math.max(...counts.values());
})"""

RASTER = "document.querySelector('#rasters canvas').toDataURL()"

pytestmark = [
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"needs Chromium at {CHROMIUM} (or CHROMIUM set to its path)"),
    pytest.mark.timeout(120),
]
playwright = pytest.importorskip("playwright.async_api", reason="needs the Python package playwright")


class Browsing:
    """A page, and what it said and asked on the way."""

    def __init__(self, page: Any, control: StandIn, url: str) -> None:
        self.page = page
        self.control = control
        self.url = url
        self.errors: list[str] = []
        self.asked: list[str] = []
        page.on("console", lambda said: self.errors.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))

    async def text(self, selector: str) -> str:
        text: str = await self.page.inner_text(selector)
        return text

    async def until_text(self, selector: str, text: str) -> None:
        await self.page.wait_for_function(
            "([selector, text]) => document.querySelector(selector)?.innerText.includes(text)",
            arg=[selector, text],
            timeout=15_000,
        )

    async def drawn(self, selector: str) -> list[int]:
        counts: list[int] = await self.page.evaluate(DRAWN, selector)
        return counts


@asynccontextmanager
async def browsing(path: Path, port: int, width: int = 1280, height: int = 800) -> AsyncIterator[Browsing]:
    async with stand_in(path) as control, playwright.async_playwright() as driver:
        living = asyncio.create_task(control.run())
        browser = await driver.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        page = await browser.new_page(viewport={"width": width, "height": height})
        try:
            yield Browsing(page, control, f"http://127.0.0.1:{port}/")
        finally:
            await browser.close()
            living.cancel()


def run(scenario: Any) -> None:
    with tempfile.TemporaryDirectory(prefix="tectum") as folder:
        asyncio.run(scenario(Path(folder) / "run" / "control.sock", free_port()))


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_it_shows_live_rates_spikes_pictures_and_angles(width: int, height: int) -> None:
    async def scenario(path: Path, port: int) -> None:
        async with gateway_process(path, port), browsing(path, port, width, height) as browsing_:
            page = browsing_.page
            await answers(browsing_.url)
            await page.goto(browsing_.url)
            await browsing_.until_text("#link", "live")
            await browsing_.until_text("#robot", "gaze")
            await browsing_.until_text("#topics", "imu/gyro")
            await browsing_.until_text("#network", "dense equivalent /s")
            for canvases, count in (("#rasters canvas, #images canvas", 4), ("#angles canvas, #sensors canvas", 5)):
                await page.wait_for_function(
                    "([selector, count]) => document.querySelectorAll(selector).length === count",
                    arg=[canvases, count],
                )
            row = await browsing_.text("#topics tbody tr:nth-child(2)")
            assert row.split() == ["imu/gyro", "998", "1000", "998", "0", "0", "4", "ms", "good"]
            assert "slow" in await browsing_.text("#topics tbody tr:nth-child(3)")
            assert "840 µs" in await browsing_.text("#latency")
            assert "2.3 ms" in await browsing_.text("#latency")
            assert "restarting" in await browsing_.text("#parts")
            share = await page.evaluate("[...document.querySelectorAll('#network dd')].map(x => x.innerText).join(' ')")
            assert "2.3 %" in share
            assert len((await browsing_.text("#scores")).split()) > 20
            before = await page.evaluate(RASTER)
            await page.wait_for_function(f"before => {RASTER} !== before", arg=before)
            assert browsing_.errors == [], "before this test reads pixels, of which Chromium warns"
            for selector in ("#images canvas", "#rasters canvas", "#angles canvas", "#sensors canvas"):
                assert all(count > 50 for count in await browsing_.drawn(selector)), selector
            n = browsing_.control.n
            await page.wait_for_function(
                "uptime => parseFloat(document.querySelector('#run').innerText.match(/up ([0-9.]+)/)[1]) > uptime",
                arg=n * 0.033,
            )
            assert await page.evaluate("document.documentElement.scrollWidth") <= width
            stop = await page.locator("#stop").bounding_box()
            assert stop["y"] + stop["height"] < height, "the e-stop is in view"
            assert all(url.startswith((browsing_.url, f"ws://127.0.0.1:{port}/")) for url in browsing_.asked)

    run(scenario)


def test_its_buttons_stop_release_reset_and_record() -> None:
    async def scenario(path: Path, port: int) -> None:
        async with gateway_process(path, port), browsing(path, port) as browsing_:
            page, control = browsing_.page, browsing_.control
            await answers(browsing_.url)
            await page.goto(browsing_.url)
            await browsing_.until_text("#link", "live")
            await page.click("#reset")
            await page.click(".sensor[data-name=eye] button")
            await browsing_.until_text(".sensor[data-name=eye] .pill", "cut")
            await page.click(".sensor[data-name=eye] button")
            await browsing_.until_text(".sensor[data-name=eye] .pill", "live")
            await page.click("#record")
            await browsing_.until_text("#record", "Stop recording")
            await browsing_.until_text("#recording", "rec run-1")
            await page.click("#record")
            await browsing_.until_text("#record", "Record")
            await page.click("#stop")
            await browsing_.until_text("#stop", "STOPPED")
            await browsing_.until_text("#angles", "stopped")
            await page.click("#release")
            await page.fill("#release-reason", "hands are clear")
            await page.click("#release-dialog button[value=yes]")
            await browsing_.until_text("#stop", "E-STOP")
            assert [method for method, _ in control.requests] == [
                "network.reset",
                "sensors.cut",
                "sensors.restore",
                "recordings.start",
                "recordings.stop",
                "estop",
                "estop.release",
            ]
            assert browsing_.errors == []

    run(scenario)


def test_it_says_so_when_the_gateway_dies_and_recovers_when_it_returns() -> None:
    async def scenario(path: Path, port: int) -> None:
        async with browsing(path, port) as browsing_:
            page = browsing_.page
            async with gateway_process(path, port):
                await answers(browsing_.url)
                await page.goto(browsing_.url)
                await browsing_.until_text("#link", "live")
                await browsing_.until_text("#topics", "imu/gyro")
            await browsing_.until_text("#link", "disconnected")
            await browsing_.until_text("#notice", "No connection to the gateway")
            await page.click("#stop")
            await browsing_.until_text("#notice", "E-STOP WAS NOT DELIVERED")
            async with gateway_process(path, port):
                await browsing_.until_text("#link", "live")
                uptime = browsing_.control.n * 0.033
                await page.wait_for_function(
                    "uptime => parseFloat(document.querySelector('#run').innerText.match(/up ([0-9.]+)/)[1]) > uptime",
                    arg=uptime,
                )
                assert "E-STOP WAS NOT DELIVERED" in await browsing_.text("#notice"), "that must stay to be read"
                await page.click("#stop")
                await browsing_.until_text("#stop", "STOPPED")
                await page.wait_for_selector("#notice", state="hidden")

    run(scenario)


def test_it_says_so_when_the_robot_goes_away_behind_a_living_gateway() -> None:
    async def scenario(path: Path, port: int) -> None:
        async with gateway_process(path, port), browsing(path, port) as browsing_:
            await answers(browsing_.url)
            await browsing_.page.goto(browsing_.url)
            await browsing_.until_text("#link", "live")
            await browsing_.control.server.__aexit__()
            await browsing_.until_text("#link", "robot away")
            await browsing_.until_text("#notice", "the robot does not")
            await browsing_.control.server.__aenter__()
            browsing_.control.push_status()
            await browsing_.until_text("#link", "live")
            assert browsing_.errors == []

    run(scenario)
