"""A gaze world with its sensors on a bench: stepped by calls, without clock, loop or daemon, for training and tests.

The world and the sensors are those of the robot, so the same seeds and commands give the same bits in both.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensors.gaze_axis import STEP_NS
from sensors.gaze_camera import GazeCamera, Imager
from sensors.gaze_definition import GazeWorld
from sensors.gaze_dvs import GazeDvs, Retina
from sensors.gaze_gyro import GazeGyro, Gyroscope
from sensors.gaze_world import Pose, World


class Frame(NamedTuple):
    """A camera frame."""

    t: int
    """Middle of its exposure."""
    arrived: int
    grey: NDArray[np.uint8]


class Rig:
    """One world and one of each sensor from `start` ns on. Each sensor is read forward, at a pace of its own."""

    def __init__(
        self,
        definition: GazeWorld,
        *,
        gyro: GazeGyro | None = None,
        camera: GazeCamera | None = None,
        dvs: GazeDvs | None = None,
        start: int = 0,
    ) -> None:
        self.world = World(definition, start)
        world: dict[str, Any] = {"world": definition}
        self._gyro = Gyroscope((gyro or GazeGyro(name="gyro")).model_copy(update=world), self.world, start)
        self._camera = Imager((camera or GazeCamera(name="camera")).model_copy(update=world), self.world, start)
        self._dvs = Retina((dvs or GazeDvs(name="dvs", step_s=0.001)).model_copy(update=world), self.world, start)

    def step_to(self, t: int) -> None:
        """Let the world run to `t`."""
        self.world.step_to(t)

    def command(self, axis: str, t: int, rate: float, ttl_ns: int | None = None) -> None:
        """From `t` on turn the head about `axis` ("pan", "tilt") at `rate` rad/s, for `ttl_ns` at most."""
        self.world.command(axis, t, rate, ttl_ns)

    def pose(self, t: int) -> Pose:
        """What is true at `t`."""
        return self.world.pose(t)

    def gyro(self, until: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Samples not yet read up to and including `until`: times, and rates (n, 3) in rad/s."""
        n = 0
        while self._gyro.due_after(n) <= until:
            n += 1
        return self._gyro.samples(n)

    def dvs(self, until: int) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """Events not yet read of the whole milliseconds that end at `until` or before: times, and DVS data."""
        return self._dvs.steps(max((until - self._dvs.time) // STEP_NS, 0))

    def camera_frames(self, until: int) -> list[Frame]:
        """Frames not yet read that arrive at `until` or before."""
        frames = []
        while self._camera.due <= until:
            arrived = self._camera.due
            t, grey = self._camera.frame()
            frames.append(Frame(t, arrived, grey))
        return frames
