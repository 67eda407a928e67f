"""`camera.sim`: a simulated grey-scale camera with a global shutter.

A frame is the scene's intensity averaged over the exposure, with shot noise (variance in proportion to the signal) and
read noise, in 8 bits. Its time stamp is the middle of its exposure; it arrives after the exposure's end and the
read-out, as late as a real one. A reader more than `buffers` frames behind loses the oldest, counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from runtime.core.clock import SECOND, Clock
from runtime.core.errors import ConfigError
from runtime.core.packet import Packet, one_event
from runtime.core.roles import Adapter
from runtime.core.topic import Topic
from sensors.faults import Fault, number
from sensors.scene import Scene, View

LARGE = 128 * 128
"""Frames of more pixels are drawn off the event loop, where they would take over a millisecond."""


class CameraSim(Adapter):
    """A camera looking at a scene."""

    kind: Literal["camera.sim"] = "camera.sim"
    height: int = Field(default=64, ge=1, le=2048)
    width: int = Field(default=64, ge=1, le=2048)
    rate_hz: float = Field(default=30.0, gt=0, le=1000)
    exposure_s: float = Field(default=0.008, ge=0)
    exposure_samples: int = Field(default=4, ge=1, le=64)
    readout_s: float = Field(default=0.012, ge=0)
    buffers: int = Field(default=4, ge=1)
    level: float = Field(default=60.0, gt=0)
    """Grey value of relative intensity 1."""
    shot_noise: float = Field(default=0.1, ge=0)
    """Variance per grey value, in grey values: the inverse of the electrons a grey value stands for."""
    read_noise: float = Field(default=1.0, ge=0)
    """Standard deviation in grey values."""
    scene: Scene = Scene()
    frame_id: str = "camera"
    seed: int = Field(default=0, ge=0)
    fault: Fault = Fault()

    @model_validator(mode="after")
    def _consistent(self) -> CameraSim:
        if self.exposure_s * self.rate_hz > 1:
            raise ConfigError(
                f"{self.name}: exposure_s is {self.exposure_s}, expected at most one period, {1 / self.rate_hz:.4f} s"
            )
        return self

    def describe(self) -> tuple[Topic, ...]:
        shape = (self.height, self.width)
        dtype = np.dtype(("u1", shape))
        return (Topic(f"{self.name}/frames", dtype, "1", self.rate_hz, extent=shape, frame_id=self.frame_id),)

    def open(self, clock: Clock) -> AbstractAsyncContextManager[AsyncIterator[Packet]]:
        return self._open(clock)

    @asynccontextmanager
    async def _open(self, clock: Clock) -> AsyncIterator[AsyncIterator[Packet]]:
        packets = number(self._frames(clock), self.fault, clock, self.name)
        try:
            yield packets
        finally:
            await packets.aclose()

    async def _frames(self, clock: Clock) -> AsyncGenerator[Packet, None]:
        (topic,) = self.describe()
        view = View(self.scene, (self.height, self.width))
        exposure, readout = round(self.exposure_s * SECOND), round(self.readout_s * SECOND)
        start, k, lost = clock.now(), 0, 0
        while True:
            shutter = start + round(k * SECOND / self.rate_hz)
            await clock.sleep_until(shutter + exposure + readout)
            arrived = int((clock.now() - start - exposure - readout) * self.rate_hz / SECOND)
            if arrived - k >= self.buffers:
                lost, k = lost + 1, k + 1
                continue
            if self.height * self.width > LARGE:
                loop = asyncio.get_running_loop()
                frame = await loop.run_in_executor(None, self._expose, view, shutter, exposure, k)
            else:
                frame = self._expose(view, shutter, exposure, k)
            yield one_event(topic, shutter + exposure // 2, frame, lost=lost)
            k, lost = k + 1, 0

    def _expose(self, view: View, shutter: int, exposure: int, k: int) -> NDArray[np.uint8]:
        total = np.zeros((self.height, self.width), np.float32)
        for sample in range(self.exposure_samples):
            at = shutter + exposure * (2 * sample + 1) // (2 * self.exposure_samples)
            total += np.exp(view.log_intensity(at))
        signal = total * np.float32(self.level / self.exposure_samples)
        # The noise of a frame is its own, so that a lost frame changes no other.
        random = np.random.default_rng([self.seed, k])
        deviation = np.sqrt(self.shot_noise * signal + self.read_noise**2)
        signal += deviation * random.standard_normal(signal.shape, np.float32)
        frame: NDArray[np.uint8] = np.clip(np.rint(signal), 0, 255).astype(np.uint8)
        return frame
