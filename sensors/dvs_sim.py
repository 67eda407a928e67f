"""`dvs.sim`: a simulated event camera.

Each pixel remembers the log-intensity of its last event and makes an event for every threshold the scene's crosses
from there; within a step of `step_s` log-intensity runs in a straight line, and events get the time at which that line
crosses. Thresholds differ from pixel to pixel, a pixel is blind for `refractory_s` after an event, some events are
noise, and hot pixels fire by themselves. (Model: Lichtsteiner, Posch & Delbruck 2008; interpolation as in ESIM,
Rebecq et al. 2018.) A packet covers one step, events or none. A machine too slow for `step_s` gets longer steps, up
to `LONGEST_STEP_NS`, rather than a growing delay.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from runtime.core.clock import SECOND, Clock
from runtime.core.packet import Packet
from runtime.core.roles import Adapter
from runtime.core.topic import DVS, Topic
from sensors.faults import Fault, number
from sensors.scene import Image, Scene, View

LARGE = 96 * 96
"""Sensors of more pixels are computed off the event loop, where a step would take over a millisecond."""
LONGEST_STEP_NS = 10_000_000
BUFFERED_NS = 100_000_000
"""Events that a reader later than this should have read are lost, nobody knows how many."""
SMALLEST_THRESHOLD = 0.01
"""A pixel whose drawn threshold were zero or negative would never stop firing."""


class DvsSim(Adapter):
    """An event camera looking at a scene."""

    kind: Literal["dvs.sim"] = "dvs.sim"
    height: int = Field(default=64, ge=1, le=1024)
    width: int = Field(default=64, ge=1, le=1024)
    step_s: float = Field(default=0.002, gt=0, le=0.01)
    threshold: float = Field(default=0.2, ge=SMALLEST_THRESHOLD)
    """Change of natural log-intensity that makes an event."""
    mismatch: float = Field(default=0.03, ge=0, le=0.5)
    """Relative standard deviation of the thresholds over pixels."""
    refractory_s: float = Field(default=0.0005, ge=0)
    noise_hz: float = Field(default=0.1, ge=0)
    """Noise events per pixel and second."""
    hot_pixels: int = Field(default=2, ge=0)
    hot_hz: float = Field(default=50.0, ge=0)
    scene: Scene = Scene()
    frame_id: str = "camera"
    seed: int = Field(default=0, ge=0)
    fault: Fault = Fault()

    def describe(self) -> tuple[Topic, ...]:
        extent = (self.height, self.width)
        return (Topic(f"{self.name}/events", DVS, extent=extent, frame_id=self.frame_id, lossy=True),)

    def open(self, clock: Clock) -> AbstractAsyncContextManager[AsyncIterator[Packet]]:
        return self._open(clock)

    @asynccontextmanager
    async def _open(self, clock: Clock) -> AsyncIterator[AsyncIterator[Packet]]:
        packets = number(self._steps(clock), self.fault, clock, self.name)
        try:
            yield packets
        finally:
            await packets.aclose()

    async def _steps(self, clock: Clock) -> AsyncGenerator[Packet, None]:
        (topic,) = self.describe()
        start = clock.now()
        pixels = Pixels(self, start)
        large = self.height * self.width > LARGE
        step = self.step_s * SECOND
        longest, k = int(LONGEST_STEP_NS / step), 0
        while True:
            lost = 0
            elapsed = int((clock.now() - start) / step)
            if (elapsed - k) * step > BUFFERED_NS:
                k, lost = elapsed, -1
                pixels.advance(start + round(k * step))
            k = min(max(k + 1, elapsed), k + longest)
            until = start + round(k * step)
            await clock.sleep_until(until)
            if large:
                t, data = await asyncio.get_running_loop().run_in_executor(None, pixels.advance, until)
            else:
                t, data = pixels.advance(until)
            yield Packet(topic, t, data, until, lost=lost)


class Pixels:
    """The state of the array between two steps."""

    def __init__(self, camera: DvsSim, start: int) -> None:
        shape = (camera.height, camera.width)
        self._camera = camera
        self._view = View(camera.scene, shape)
        self._random = np.random.default_rng([camera.seed, 0xD75])
        spread = camera.threshold * camera.mismatch
        drawn = camera.threshold + spread * self._random.standard_normal((2, *shape), np.float32)
        self._off_threshold, self._on_threshold = np.maximum(drawn, np.float32(SMALLEST_THRESHOLD))
        self._hot = self._random.choice(camera.height * camera.width, min(camera.hot_pixels, drawn[0].size), False)
        self._time = start
        self._level: Image = self._view.log_intensity(start)
        self._reference: Image = self._level.copy()
        self._refractory = round(camera.refractory_s * SECOND)
        self._blind_until = np.full(shape, start, np.int64)

    def advance(self, until: int) -> tuple[NDArray[np.int64], NDArray[np.void]]:
        """Events from the last step's end up to `until`, which is not included: times in order, and DVS data."""
        level = self._view.log_intensity(until)
        parts = [self._crossings(level, until, True), self._crossings(level, until, False), *self._noise(until)]
        self._level, self._time = level, until
        t = np.concatenate([part[0] for part in parts])
        address = np.concatenate([part[1] for part in parts])
        on = np.concatenate([part[2] for part in parts])
        order = np.lexsort((address, t))
        data = np.empty(len(t), DVS)
        data["y"], data["x"] = np.divmod(address[order], self._camera.width)
        data["on"] = on[order]
        return t[order], data

    def _crossings(self, level: Image, until: int, on: bool) -> _Events:
        """Events of one polarity. A line crosses thresholds in one direction only, so the two do not interfere."""
        threshold = self._on_threshold if on else self._off_threshold
        sign = np.float32(1.0 if on else -1.0)
        count = np.floor(sign * (level - self._reference) / threshold).astype(np.int32)
        (address,) = np.nonzero(count.ravel() > 0)
        if not len(address):
            return _none()
        count, th = count.ravel()[address], threshold.ravel()[address]
        reference, old = self._reference.ravel()[address], self._level.ravel()[address]
        slope = sign * (level.ravel()[address] - old)
        blind_until = self._blind_until.ravel()[address]
        times: list[NDArray[np.int64]] = []
        addresses: list[NDArray[np.int64]] = []
        for j in range(1, int(count.max()) + 1):
            way = sign * (reference - old) + j * th
            part = np.clip(np.divide(way, slope, out=np.ones_like(way), where=slope > 0), 0.0, 1.0)
            t = np.minimum(self._time + (part * (until - self._time)).astype(np.int64), until - 1)
            fires = (count >= j) & (t >= blind_until)
            blind_until = np.where(fires, t + self._refractory, blind_until)
            times.append(t[fires])
            addresses.append(address[fires])
        # A crossing in the blind time makes no event but resets the pixel all the same.
        self._reference.ravel()[address] = reference + sign * count * th
        self._blind_until.ravel()[address] = blind_until
        t = np.concatenate(times)
        return t, np.concatenate(addresses), np.full(len(t), on, np.uint8)

    def _noise(self, until: int) -> list[_Events]:
        seconds, size = (until - self._time) / SECOND, self._reference.size
        camera, random = self._camera, self._random
        everywhere = random.integers(0, size, random.poisson(camera.noise_hz * size * seconds))
        hot = np.repeat(self._hot, random.poisson(camera.hot_hz * seconds, len(self._hot)))
        address = np.concatenate((everywhere, hot)).astype(np.int64)
        t = random.integers(self._time, until, len(address), np.int64)
        return [(t, address, random.integers(0, 2, len(address), np.uint8))]


_Events = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]


def _none() -> _Events:
    return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.uint8)
