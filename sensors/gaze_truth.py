"""`gaze.truth`: what really happens in a gaze world, for people and benchmarks; no robot has this sensor."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Literal

import numpy as np
from pydantic import Field

from runtime.core.clock import SECOND, Clock
from runtime.core.packet import Packet, one_event
from runtime.core.topic import Topic
from sensors.gaze_definition import GazeAdapter
from sensors.gaze_faults import GazeFault, delivering
from sensors.gaze_world import World, shared

BUFFERED_NS = 100_000_000
TRUTH = np.dtype(
    [
        ("error_px", "<f4", (2,)),  # from where the head looks to the target, to the right and down
        ("target_px", "<f4", (2,)),  # where the retina sees it: column, row
        ("error_rad", "<f4", (2,)),  # as error_px, but to the left and down, like all that follow: pan, tilt
        ("head_rad", "<f4", (2,)),  # where the head looks, in the world
        ("joint_rad", "<f4", (2,)),  # of the head on its base
        ("base_rad_s", "<f4", (2,)),  # bumps included
        ("bump_rad_s", "<f4", (2,)),  # the bump's part of it; 0: there is none
    ]
)
"""One moment of a gaze world; the unit of each field ends its name."""


class GazeTruth(GazeAdapter):
    """Publishes `NAME/truth`."""

    kind: Literal["gaze.truth"] = "gaze.truth"
    rate_hz: float = Field(default=100.0, gt=0, le=1000)
    fault: GazeFault = GazeFault()

    def describe(self) -> tuple[Topic, ...]:
        return (Topic(f"{self.name}/truth", TRUTH, rate_hz=self.rate_hz),)

    def open(self, clock: Clock) -> AbstractAsyncContextManager[AsyncIterator[Packet]]:
        @contextmanager
        def device() -> Iterator[Observer]:
            with shared(self.definition, clock) as world:
                yield Observer(self, world, clock.now())

        return delivering(device, self.fault, clock, self.name)


class Observer:
    """Sees everything, from `now` on."""

    def __init__(self, sensor: GazeTruth, world: World, now: int) -> None:
        (self._topic,) = sensor.describe()
        self._rate_hz = sensor.rate_hz
        self._world = world
        self._next = math.floor((now - world.start) * sensor.rate_hz / SECOND) + 1
        while self.due <= now:
            self._next += 1

    @property
    def due(self) -> int:
        """The next moment observed."""
        return self._world.start + round(self._next * SECOND / self._rate_hz)

    def take(self, behind: int) -> Packet:
        lost = int(behind * self._rate_hz / SECOND) if behind > BUFFERED_NS else 0
        self._next += lost
        t = self.due
        self._next += 1
        return one_event(self._topic, t, truth(self._world, t), lost=lost)


def truth(world: World, t: int) -> tuple[tuple[float, float], ...]:
    """The fields of one moment."""
    pose = world.pose(t)
    pan, tilt = pose
    x, y = world.error_px(pose)
    column, row = world.centre
    return (
        (x, y),
        (column + x, row + y),
        (pan.error, tilt.error),
        (pan.head, tilt.head),
        (pan.joint, tilt.joint),
        (pan.base_rate, tilt.base_rate),
        (pan.bump, tilt.bump),
    )
