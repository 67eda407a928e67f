"""`gaze.gyro`: a gyroscope on the head of a gaze world.

    measured = clip(mean rate over the sample's period + bias + white noise, +-range), in steps of a 16-bit converter

The head's rate in the world is that of its base and its joint together, so samples add up to the angle it turned by,
exactly but for bias, noise and converter. White noise of density N has the deviation N sqrt(rate_hz) a sample; the bias
walks by `bias_walk` sqrt(dt). Axes as in REP-103: pan is z, tilt is y; the head does not roll. Samples lie on the
world's time grid and wait in a FIFO of `fifo`: what a late reader finds overwritten is lost and counted.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from runtime.core.clock import SECOND, Clock
from runtime.core.packet import Packet
from runtime.core.topic import VECTOR3, Topic
from sensors.gaze_definition import GazeAdapter
from sensors.gaze_faults import GazeFault, delivering
from sensors.gaze_world import World, shared

AT_ONCE = 5
"""Samples that a late reader finds in one packet, at most: so it catches up, and takes no long turn."""
BLOCK = 1024
"""Samples whose noise is drawn at once: the same noise whoever asks for how many."""


class GazeGyro(GazeAdapter):
    """Publishes `NAME/gyro`: the head's angular rate."""

    kind: Literal["gaze.gyro"] = "gaze.gyro"
    rate_hz: float = Field(default=1000.0, gt=0, le=8000)
    noise_density: float = Field(default=1.2e-3, ge=0)
    """rad/s/sqrt(Hz)"""
    bias_walk: float = Field(default=4e-3, ge=0)
    """rad/s/sqrt(s)"""
    bias_rad_s: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Bias when switched on."""
    range_rad_s: float = Field(default=math.radians(2000), gt=0)
    fifo: int = Field(default=512, ge=1)
    frame_id: str = "head"
    seed: int = Field(default=0, ge=0)
    fault: GazeFault = GazeFault()

    def describe(self) -> tuple[Topic, ...]:
        return (Topic(f"{self.name}/gyro", VECTOR3, "rad/s", self.rate_hz, frame_id=self.frame_id),)

    def open(self, clock: Clock) -> AbstractAsyncContextManager[AsyncIterator[Packet]]:
        @contextmanager
        def device() -> Iterator[Gyroscope]:
            with shared(self.definition, clock) as world:
                yield Gyroscope(self, world, clock.now())

        return delivering(device, self.fault, clock, self.name)


class Gyroscope:
    """The element and its converter, from `now` on."""

    def __init__(self, gyro: GazeGyro, world: World, now: int) -> None:
        (self._topic,) = gyro.describe()
        self._gyro = gyro
        self._world = world
        self._next = math.floor((now - world.start) * gyro.rate_hz / SECOND) + 1
        while self._sampled_at(self._next) <= now:
            self._next += 1
        self._random = np.random.default_rng((gyro.seed, 0x64A2E))
        self._bias = np.array(gyro.bias_rad_s)
        self._lsb = gyro.range_rad_s / 32768
        self._drawn: list[list[float]] = []
        self._before = self._heads(self._sampled_at(self._next - 1))

    @property
    def due(self) -> int:
        """When the next sample is taken."""
        return self.due_after(0)

    def due_after(self, n: int) -> int:
        """When the next sample but `n` is taken."""
        return self._sampled_at(self._next + n)

    def take(self, behind: int) -> Packet:
        lost = max(int(behind * self._gyro.rate_hz / SECOND) + 1 - self._gyro.fifo, 0)
        if lost:
            self._skip(lost)
        t, data = self.samples(1 + min(int(behind * self._gyro.rate_hz / SECOND) - lost, AT_ONCE - 1))
        return Packet(self._topic, t, data, int(t[-1]), lost=lost)

    def samples(self, n: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The next `n` samples: times, and rates (n, 3) in rad/s."""
        t = [self._sampled_at(k) for k in range(self._next - 1, self._next + n)]
        lsb = self._lsb
        measured = []
        for (before, at), (roll, tilt, pan) in zip(pairwise(t), self._disturbances(n), strict=True):
            heads, seconds = self._heads(at), (at - before) / SECOND
            tilt += (heads[1] - self._before[1]) / seconds
            pan += (heads[0] - self._before[0]) / seconds
            measured.append([min(max(round(rate / lsb), -32768), 32767) * lsb for rate in (roll, tilt, pan)])
            self._before = heads
        self._next += n
        return np.array(t[1:], np.int64), np.array(measured, np.float32).reshape(n, 3)

    def _skip(self, n: int) -> None:
        """Let samples pass that nobody will read."""
        self._disturbances(n)
        self._next += n
        self._before = self._heads(self._sampled_at(self._next - 1))

    def _heads(self, t: int) -> tuple[float, float]:
        pose = self._world.pose(t)
        return pose.pan.head, pose.tilt.head

    def _sampled_at(self, k: int) -> int:
        return self._world.start + round(k * SECOND / self._gyro.rate_hz)

    def _disturbances(self, n: int) -> list[list[float]]:
        """Bias and noise of the next `n` samples, about each axis."""
        while len(self._drawn) < n:
            self._drawn += self._block()
        these = self._drawn[:n]
        del self._drawn[:n]
        return these

    def _block(self) -> list[list[float]]:
        gyro, noise = self._gyro, self._random.standard_normal((2, BLOCK, 3))
        bias = self._bias + np.cumsum(gyro.bias_walk / math.sqrt(gyro.rate_hz) * noise[0], axis=0)
        self._bias = bias[-1]
        block: list[list[float]] = (bias + gyro.noise_density * math.sqrt(gyro.rate_hz) * noise[1]).tolist()
        return block
