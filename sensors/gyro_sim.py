"""`gyro.sim`: a simulated three-axis gyroscope.

    measured = clip(rate + bias + white noise, +-range), in whole steps of a 16-bit converter

White noise of density `noise_density` N has the deviation N sqrt(rate_hz) per sample, so that the integrated angle's
grows as N sqrt(t); the bias walks by `bias_walk` sqrt(dt) a sample. Samples lie on the sensor's own grid, are read
`burst` at a time, and wait in a FIFO of `fifo` samples: what a late reader finds overwritten is counted as lost.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from runtime.core.clock import SECOND, Clock
from runtime.core.errors import ConfigError
from runtime.core.packet import Packet
from runtime.core.roles import Adapter
from runtime.core.topic import VECTOR3, Topic
from sensors.faults import Fault, number
from sensors.motion import LOOKING_AROUND, Motion, rates


class GyroSim(Adapter):
    """A gyroscope on a moving head. Defaults are a consumer part of the BMI270's class."""

    kind: Literal["gyro.sim"] = "gyro.sim"
    rate_hz: float = Field(default=1000.0, gt=0, le=32000)
    burst: int = Field(default=1, ge=1)
    fifo: int = Field(default=512, ge=1)
    motion: Motion = LOOKING_AROUND
    noise_density: float = Field(default=1.2e-4, ge=0)
    """rad/s/sqrt(Hz)"""
    bias_walk: float = Field(default=1e-4, ge=0)
    """rad/s/sqrt(s)"""
    bias_rad_s: tuple[float, float, float] = (0.005, -0.003, 0.002)
    """Bias when switched on."""
    range_rad_s: float = Field(default=math.radians(2000), gt=0)
    frame_id: str = "base"
    seed: int = Field(default=0, ge=0)
    fault: Fault = Fault()

    @model_validator(mode="after")
    def _consistent(self) -> GyroSim:
        if self.burst > self.fifo:
            raise ConfigError(f"{self.name}: burst is {self.burst}, expected at most fifo={self.fifo}")
        return self

    @property
    def lsb_rad_s(self) -> float:
        """One step of its converter."""
        return self.range_rad_s / 32768

    def describe(self) -> tuple[Topic, ...]:
        return (Topic(f"{self.name}/gyro", VECTOR3, "rad/s", self.rate_hz, frame_id=self.frame_id),)

    def open(self, clock: Clock) -> AbstractAsyncContextManager[AsyncIterator[Packet]]:
        return self._open(clock)

    @asynccontextmanager
    async def _open(self, clock: Clock) -> AsyncIterator[AsyncIterator[Packet]]:
        packets = number(self._bursts(clock), self.fault, clock, self.name)
        try:
            yield packets
        finally:
            await packets.aclose()

    async def _bursts(self, clock: Clock) -> AsyncGenerator[Packet, None]:
        (topic,) = self.describe()
        converter = _Converter(self)
        start, first = clock.now(), 0
        while True:
            overrun = 0
            last = first + self.burst - 1
            await clock.sleep_until(self._sampled_at(start, last))
            overwritten = int((clock.now() - start) * self.rate_hz / SECOND) - first - self.fifo
            if overwritten > 0:
                converter.skip(overwritten)
                overrun, first, last = overwritten, first + overwritten, last + overwritten
            t = np.array([self._sampled_at(start, k) for k in range(first, last + 1)], np.int64)
            yield Packet(topic, t, converter.measure(t), int(t[-1]) + 1, lost=overrun)
            first = last + 1

    def _sampled_at(self, start: int, k: int) -> int:
        return start + round((k + 1) * SECOND / self.rate_hz)


class _Converter:
    """The element, its amplifier's noise and its converter; draws the same noise for a sample in any burst."""

    def __init__(self, gyro: GyroSim) -> None:
        self._gyro = gyro
        self._random = np.random.default_rng([gyro.seed, 0x6420])
        self._bias = np.array(gyro.bias_rad_s)
        self._white = gyro.noise_density * math.sqrt(gyro.rate_hz)
        self._walk = gyro.bias_walk / math.sqrt(gyro.rate_hz)

    def measure(self, t: NDArray[np.int64]) -> NDArray[np.float32]:
        noise = self._random.standard_normal((len(t), 2, 3))
        # One running sum from the last bias: the same roundings whatever the burst.
        bias = np.cumsum(np.concatenate((self._bias[None], self._walk * noise[:, 1])), axis=0)[1:]
        self._bias = bias[-1]
        raw = (rates(self._gyro.motion, t) + bias + self._white * noise[:, 0]) / self._gyro.lsb_rad_s
        steps = np.clip(np.round(raw), -32768, 32767)
        measured: NDArray[np.float32] = (steps * self._gyro.lsb_rad_s).astype(np.float32)
        return measured

    def skip(self, n: int) -> None:
        """Let the bias walk on through samples that nobody read."""
        self._bias = self._bias + self._walk * math.sqrt(n) * self._random.standard_normal(3)
