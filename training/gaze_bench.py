"""Several gaze worlds side by side, and what a network would hold of their sensors at every millisecond.

camera   the newest frame that has arrived, grey / GREY
dvs      OFF and ON events on surfaces that leak:  x <- x exp(-t / SURFACE_S) + 1
gyro     the newest sample (roll, tilt, pan), rad/s
turn     the samples on a surface that leaks: for how far the head turned lately, DEGREE rad/s a sample
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from runtime.core.clock import SECOND
from sensors.gaze_axis import STEP_NS
from sensors.gaze_camera import GazeCamera
from sensors.gaze_definition import GazeWorld
from sensors.gaze_dvs import GazeDvs
from sensors.gaze_gyro import GazeGyro
from sensors.gaze_rig import Rig

Real = NDArray[np.float32]
GREY = 128.0
SURFACE_S = 0.02
TURN_S = 0.04
TURN_SCALE = 0.1
"""What a sample of 1 rad/s adds to `turn`."""


class Bench:
    """A row of worlds, all at the same time, each with sensors of its own."""

    def __init__(
        self,
        definitions: Sequence[GazeWorld],
        threshold: float = 0.2,
        without: Sequence[tuple[str, ...]] | None = None,
    ) -> None:
        rows, columns = definitions[0].shape
        n = len(definitions)
        self.axes = definitions[0].axes
        self.scale = definitions[0].pixels_per_rad
        self.speed = definitions[0].speed_rad_s
        self._rigs = [
            Rig(
                d,
                gyro=GazeGyro(name="gyro", seed=d.seed),
                camera=GazeCamera(name="camera", seed=d.seed),
                dvs=GazeDvs(name="dvs", step_s=0.001, seed=d.seed, threshold=threshold),
            )
            for d in definitions
        ]
        self._without = without or [()] * n
        self.time = 0
        self.camera = np.zeros((n, 1, rows, columns), np.float32)
        self.dvs = np.zeros((n, 2, rows, columns), np.float32)
        self.gyro = np.zeros((n, 3), np.float32)
        self.turn = np.zeros((n, 3), np.float32)
        self.error_px = np.zeros((n, len(self.axes)))
        """What is true: from where the head looks to the target, left and down positive."""
        self.rate = np.zeros((n, len(self.axes)))
        """What is true: how fast the head turns in the world, rad/s."""
        self.bump = np.zeros((n, len(self.axes)))
        self.readings = np.zeros(n, np.int64)
        """Values read so far: events, pixels of frames, rates."""
        self._shape = (2, rows, columns)
        self.keep = np.float32(math.exp(-STEP_NS / SECOND / SURFACE_S))
        self.keep_turn = np.float32(math.exp(-STEP_NS / SECOND / TURN_S))

    def __len__(self) -> int:
        return len(self._rigs)

    def step(self) -> None:
        """Let a millisecond pass and read every sensor."""
        self.time += STEP_NS
        t = self.time
        self.dvs *= self.keep
        self.turn *= self.keep_turn
        flat = self.dvs.reshape(len(self), -1)
        _, rows, columns = self._shape
        for k, rig in enumerate(self._rigs):
            lacks = self._without[k]
            _, rates = rig.gyro(t)
            if len(rates) and "gyro" not in lacks:
                self.gyro[k] = rates[-1]
                self.readings[k] += rates.size
                self.turn[k] += TURN_SCALE * rates.sum(axis=0)
            times, events = rig.dvs(t)
            if len(times) and "dvs" not in lacks:
                index = (events["on"].astype(np.intp) * rows + events["y"]) * columns + events["x"]
                value = np.exp((times - t) / (SECOND * SURFACE_S))
                flat[k] += np.bincount(index, value, flat.shape[1]).astype(np.float32)
                self.readings[k] += len(times)
            for frame in rig.camera_frames(t) if "camera" not in lacks else ():
                self.camera[k, 0] = frame.grey / np.float32(GREY)
                self.readings[k] += frame.grey.size
            for axis, moment in enumerate(rig.pose(t)[: len(self.axes)]):
                self.error_px[k, axis] = moment.error * self.scale
                self.rate[k, axis] = moment.base_rate + moment.joint_rate
                self.bump[k, axis] = moment.bump

    def command(self, rates: NDArray[np.floating]) -> None:
        """Turn every head at these rates (worlds, axes) from now on."""
        for rig, row in zip(self._rigs, rates.tolist(), strict=True):
            for axis, rate in zip(self.axes, row, strict=True):
                rig.command(axis, self.time, rate)
