"""`gaze.dvs`: an event camera in the eye of a gaze world.

Each pixel remembers the log-intensity of its last event and makes an event for every threshold that the scene crosses
from there; within the world's steps of 1 ms log-intensity runs in a straight line, and events get the time at which
that line crosses. Thresholds differ from pixel to pixel, the pixels' own log-intensity is noisy, a pixel is blind for
`refractory_s` after an event, some events are noise, and hot pixels fire by themselves. (Model: Lichtsteiner, Posch &
Delbruck 2008; interpolation as in ESIM, Rebecq et al. 2018.) A packet covers `step_s`, events or none.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from runtime.core.clock import SECOND, Clock
from runtime.core.packet import Packet
from runtime.core.topic import DVS, Topic
from sensors.gaze_axis import STEP_NS
from sensors.gaze_definition import GazeAdapter
from sensors.gaze_faults import GazeFault, delivering
from sensors.gaze_view import Image
from sensors.gaze_world import World, shared

BUFFERED_NS = 100_000_000
"""Events that a reader later than this should have read are lost, nobody knows how many."""
AT_ONCE = 5
"""Packets' worth that a late reader finds in one packet, at most: so it catches up, and takes no long turn."""
SMALLEST_THRESHOLD = 0.01
"""A pixel whose drawn threshold were zero or negative would never stop firing."""
NOISE_STEPS = 256
"""Steps whose noise events are drawn at once."""
NOISE_BANK = 1 << 16
"""Normal deviates drawn once; each step's noise is a stretch of them that begins anywhere."""

Events = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]
"""Times, addresses and polarities."""


class GazeDvs(GazeAdapter):
    """Publishes `NAME/events`, of the world's `shape`."""

    kind: Literal["gaze.dvs"] = "gaze.dvs"
    step_s: float = Field(default=0.002, ge=0.001, le=0.01)
    """What a packet covers; whole milliseconds."""
    threshold: float = Field(default=0.2, ge=SMALLEST_THRESHOLD)
    """Change of natural log-intensity that makes an event."""
    mismatch: float = Field(default=0.03, ge=0, le=0.5)
    """Relative standard deviation of the thresholds over pixels."""
    log_noise: float = Field(default=0.004, ge=0)
    """Standard deviation of a pixel's log-intensity, anew each millisecond."""
    refractory_s: float = Field(default=0.0005, ge=0)
    noise_hz: float = Field(default=0.1, ge=0)
    """Noise events per pixel and second."""
    hot_pixels: int = Field(default=2, ge=0)
    hot_hz: float = Field(default=50.0, ge=0)
    frame_id: str = "eye"
    seed: int = Field(default=0, ge=0)
    fault: GazeFault = GazeFault()

    @property
    def steps(self) -> int:
        """Steps of the world that a packet covers."""
        return max(round(self.step_s * SECOND / STEP_NS), 1)

    def describe(self) -> tuple[Topic, ...]:
        extent = self.definition.shape
        return (Topic(f"{self.name}/events", DVS, extent=extent, frame_id=self.frame_id, lossy=True),)

    def open(self, clock: Clock) -> AbstractAsyncContextManager[AsyncIterator[Packet]]:
        @contextmanager
        def device() -> Iterator[Retina]:
            with shared(self.definition, clock) as world:
                yield Retina(self, world, clock.now())

        return delivering(device, self.fault, clock, self.name)


class Retina:
    """The array of pixels, from the world's first step at or after `now`."""

    def __init__(self, camera: GazeDvs, world: World, now: int) -> None:
        (self._topic,) = camera.describe()
        self._camera = camera
        self._world = world
        self._rows, self._columns = camera.definition.shape
        size = self._rows * self._columns
        random = np.random.default_rng((camera.seed, 0xD75))
        spread = np.float32(camera.threshold * camera.mismatch)
        drawn = np.float32(camera.threshold) + spread * random.standard_normal((2, size), np.float32)
        self.thresholds: Image = np.maximum(drawn, np.float32(SMALLEST_THRESHOLD))
        """Of OFF and of ON events, (2, pixels)."""
        self._minus_off, self._on = -self.thresholds[0], self.thresholds[1]
        self._hot = random.choice(size, min(camera.hot_pixels, size), False)
        self._bank = random.standard_normal(NOISE_BANK + size, np.float32) * np.float32(camera.log_noise)
        self._offsets: list[int] = []
        self._look_random, self._event_random = random.spawn(2)
        self._refractory = round(camera.refractory_s * SECOND)
        self._restart(world.first_step_after(now))

    @property
    def due(self) -> int:
        """When the next packet is complete."""
        return self._time + self._camera.steps * STEP_NS

    @property
    def time(self) -> int:
        """Up to where it has looked."""
        return self._time

    def take(self, behind: int) -> Packet:
        lost = 0
        if behind > BUFFERED_NS:
            self._restart(self._time + behind // STEP_NS * STEP_NS)
            lost, behind = -1, 0
        packets = 1 + min(behind // (self._camera.steps * STEP_NS), AT_ONCE - 1)
        t, data = self.steps(packets * self._camera.steps)
        return Packet(self._topic, t, data, self._time, lost=lost)

    def steps(self, n: int) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """Events of the world's next `n` steps, their end not included: times in order, and DVS data."""
        parts: list[Events] = []
        for _ in range(n):
            level = self._look(self._time + STEP_NS)
            part = self._crossings(level)
            if part is not None:
                parts.append(part)
            self._level = level
            self._time += STEP_NS
        parts += self._noise_until(self._time)
        if not parts:
            return np.empty(0, np.int64), np.empty(0, DVS)
        t, address, on = (
            parts[0] if len(parts) == 1 else (np.concatenate(column) for column in zip(*parts, strict=True))
        )
        order = t.argsort(kind="stable")
        address = address[order]
        data = np.zeros(len(t), DVS)
        if self._rows == 1:
            data["x"] = address
        else:
            data["y"], data["x"] = np.divmod(address, self._columns)
        data["on"] = on[order]
        return t[order], data

    def _restart(self, t: int) -> None:
        """Look as if for the first time: what was before is forgotten."""
        self._time = t
        self._level = self._look(t)
        self._reference = self._level.copy()
        self._blind_until = np.full(len(self._level), t, np.int64)
        self._noise: Events = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.bool_))
        self._next_noise = self._noise_end = t

    def _look(self, t: int) -> Image:
        level = self._world.log_intensity(t)
        if self._camera.log_noise:
            if not self._offsets:
                self._offsets = self._look_random.integers(0, NOISE_BANK, NOISE_STEPS).tolist()
            offset = self._offsets.pop()
            level += self._bank[offset : offset + len(level)]
        return level

    def _crossings(self, level: Image) -> Events | None:
        """Events of one step. A line crosses thresholds in one direction only."""
        change = level - self._reference
        fires = change >= self._on
        fires |= change <= self._minus_off
        (address,) = fires.nonzero()
        if not len(address):
            return None
        change = change[address]
        on = change > 0
        step = np.where(on, self._on[address], self._minus_off[address])
        slope = level[address] - self._level[address]
        # Rounding may leave a pixel at its threshold in a scene that stands still: it fires when it is looked at.
        slope += slope == 0
        beyond = change - step
        most = 1 + int((beyond / step).max())
        if most == 1:
            self._reference[address] += step
            return self._seen(address, on, self._crossed(beyond / slope))
        count = np.maximum((change / step).astype(np.int64), 1)
        parts: list[Events] = []
        for j in range(1, most + 1):
            those = (count >= j).nonzero()[0]
            times = self._crossed(((change - j * step) / slope)[those])
            parts.append(self._seen(address[those], on[those], times))
        self._reference[address] += count * step
        t, address, on = (np.concatenate(column) for column in zip(*parts, strict=True))
        return t, address, on

    def _crossed(self, before_end: Image) -> NDArray[np.int64]:
        """Times of crossings that lie this share of the step before its end."""
        back = (before_end * STEP_NS).astype(np.int64)
        t: NDArray[np.int64] = (self._time + STEP_NS - 1) - np.minimum(np.maximum(back, 0), STEP_NS - 1)
        return t

    def _seen(self, address: NDArray[np.int64], on: NDArray[np.bool_], t: NDArray[np.int64]) -> Events:
        """The crossings of pixels that are not blind. One in the blind time resets its pixel all the same."""
        seen = t >= self._blind_until[address]
        if not seen.all():
            t, address, on = t[seen], address[seen], on[seen]
        self._blind_until[address] = t + self._refractory
        return t, address, on

    def _noise_until(self, until: int) -> list[Events]:
        """Noise events not yet given, up to `until`."""
        found = []
        while self._next_noise < until:
            t, address, on = self._noise
            n = int(np.searchsorted(t, until))
            found.append((t[:n], address[:n], on[:n]))
            self._noise = (t[n:], address[n:], on[n:])
            if n == len(t) and self._noise_end < until:
                self._draw_noise()
            self._next_noise = int(self._noise[0][0]) if len(self._noise[0]) else self._noise_end
        return found

    def _draw_noise(self) -> None:
        camera, random = self._camera, self._event_random
        span, size = NOISE_STEPS * STEP_NS, self.thresholds.shape[1]
        everywhere = random.integers(0, size, random.poisson(camera.noise_hz * size * span / SECOND))
        hot = np.repeat(self._hot, random.poisson(camera.hot_hz * span / SECOND, len(self._hot)))
        address = np.concatenate((everywhere, hot)).astype(np.int64)
        t = np.sort(random.integers(self._noise_end, self._noise_end + span, len(address), np.int64))
        random.shuffle(address)
        self._noise = (t, address, random.random(len(address)) < 0.5)
        self._noise_end += span
