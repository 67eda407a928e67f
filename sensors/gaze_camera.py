"""`gaze.camera`: a grey-scale camera in the eye of a gaze world.

A frame is the intensity averaged over the exposure, with noise, in 8 bits. Its stamp is the middle of its exposure, and
it arrives `delay_s` after that. Frames lie on the world's time grid; a reader more than `buffers` frames behind loses
the oldest, counted.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from runtime.core.clock import SECOND, Clock
from runtime.core.packet import Packet, one_event
from runtime.core.topic import Topic
from sensors.gaze_definition import GazeAdapter
from sensors.gaze_faults import GazeFault, delivering
from sensors.gaze_world import World, shared


class GazeCamera(GazeAdapter):
    """Publishes `NAME/frames`, of the world's `shape`."""

    kind: Literal["gaze.camera"] = "gaze.camera"
    rate_hz: float = Field(default=30.0, gt=0, le=500)
    exposure_s: float = Field(default=0.008, ge=0)
    exposure_samples: int = Field(default=4, ge=1, le=64)
    delay_s: float = Field(default=0.035, ge=0, le=1)
    """From the middle of the exposure to the frame's arrival."""
    buffers: int = Field(default=4, ge=1)
    level: float = Field(default=45.0, gt=0)
    """Grey value of relative intensity 1."""
    noise: float = Field(default=0.01, ge=0)
    """Standard deviation, as a share of the range of 255 grey values."""
    frame_id: str = "eye"
    seed: int = Field(default=0, ge=0)
    fault: GazeFault = GazeFault()

    @model_validator(mode="after")
    def _consistent(self) -> GazeCamera:
        if self.exposure_s * self.rate_hz > 1:
            raise ValueError(f"exposure_s is {self.exposure_s}, expected at most one period, {1 / self.rate_hz:.4f} s")
        if self.delay_s < self.exposure_s / 2:
            raise ValueError(
                f"delay_s is {self.delay_s}, expected at least half of exposure_s, {self.exposure_s / 2} s: a frame "
                "cannot arrive before its exposure ends"
            )
        return self

    def describe(self) -> tuple[Topic, ...]:
        shape = self.definition.shape
        dtype = np.dtype(("u1", shape))
        return (Topic(f"{self.name}/frames", dtype, "1", self.rate_hz, extent=shape, frame_id=self.frame_id),)

    def open(self, clock: Clock) -> AbstractAsyncContextManager[AsyncIterator[Packet]]:
        @contextmanager
        def device() -> Iterator[Imager]:
            with shared(self.definition, clock) as world:
                yield Imager(self, world, clock.now())

        return delivering(device, self.fault, clock, self.name)


class Imager:
    """The imager, whose first exposure begins at `now` or after."""

    def __init__(self, camera: GazeCamera, world: World, now: int) -> None:
        (self._topic,) = camera.describe()
        self._camera = camera
        self._world = world
        self._exposure = round(camera.exposure_s * SECOND)
        self._delay = round(camera.delay_s * SECOND)
        self._next = math.floor((now - world.start) * camera.rate_hz / SECOND)
        while self._opens_at(self._next) < now:
            self._next += 1

    @property
    def due(self) -> int:
        """When the next frame arrives."""
        return self._stamp(self._next) + self._delay

    def take(self, behind: int) -> Packet:
        lost = max(int(behind * self._camera.rate_hz / SECOND) + 1 - self._camera.buffers, 0)
        self._next += lost
        t, frame = self.frame()
        return one_event(self._topic, t, frame, lost=lost)

    def frame(self) -> tuple[int, NDArray[np.uint8]]:
        """The next frame: its stamp, and grey values (rows, columns)."""
        camera, k = self._camera, self._next
        self._next += 1
        opens, n = self._opens_at(k), camera.exposure_samples
        total = np.exp(self._world.log_intensity(opens + self._exposure // (2 * n)))
        for sample in range(1, n):
            total += np.exp(self._world.log_intensity(opens + self._exposure * (2 * sample + 1) // (2 * n)))
        total *= np.float32(camera.level / n)
        # The noise of a frame is its own, so that a lost frame changes no other.
        random = np.random.default_rng((camera.seed, k, 0xCA3))
        total += random.standard_normal(len(total), np.float32) * np.float32(camera.noise * 255)
        grey: NDArray[np.uint8] = np.clip(np.rint(total), 0, 255).astype(np.uint8)
        return self._stamp(k), grey.reshape(self._world.definition.shape)

    def _opens_at(self, k: int) -> int:
        return self._world.start + round(k * SECOND / self._camera.rate_hz)

    def _stamp(self, k: int) -> int:
        return self._opens_at(k) + self._exposure // 2
