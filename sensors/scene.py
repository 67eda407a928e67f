"""The scene that simulated cameras look at: a textured world, a bright target in it, a head that turns.

The world is a map of log-intensity with a 1/f spectrum, without waves shorter than `finest_px` pixels (so that bilinear
sampling is faithful), that repeats at its edges. A turn of the head by a small angle shifts the image by
`pixels_per_rad` times that angle: left (+z) moves the world right, nose down (+y) moves it up. Roll is not drawn.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from runtime.core.clock import SECOND
from sensors.motion import LOOKING_AROUND, Motion, angles

Image = NDArray[np.float32]
MAP = 256
"""Side of the map in pixels; a power of two, so that wrapping round is a mask."""


class Target(BaseModel):
    """A bright round blob on a Lissajous path through the world; the path's centre is the view's at rest."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    radius_px: float = Field(default=4.0, gt=0)
    log_contrast: float = 1.5
    path_px: tuple[float, float] = (16.0, 10.0)
    frequency_hz: tuple[float, float] = (0.31, 0.47)


class Scene(BaseModel):
    """What there is to see."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    motion: Motion = LOOKING_AROUND
    pixels_per_rad: float = Field(default=80.0, gt=0)
    log_contrast: float = Field(default=0.5, ge=0)
    """Standard deviation of the texture's log-intensity."""
    finest_px: float = Field(default=4.0, ge=2)
    target: Target | None = Target()
    seed: int = Field(default=0, ge=0)


class View:
    """A scene as seen by one sensor of `(height, width)` pixels."""

    def __init__(self, scene: Scene, shape: tuple[int, int]) -> None:
        self._scene = scene
        self._shape = shape
        self._map = _texture(scene)
        self._rows = np.arange(shape[0] + 1)
        self._columns = np.arange(shape[1] + 1)

    def log_intensity(self, t: int) -> Image:
        """Natural logarithm of the relative intensity at time `t` ns, float32 (h, w)."""
        _, pitch, yaw = angles(self._scene.motion, np.array([t], np.int64))[0]
        down, right = pitch * self._scene.pixels_per_rad, -yaw * self._scene.pixels_per_rad
        image = self._sample(down, right)
        if self._scene.target is not None:
            self._add_target(image, self._scene.target, t, down, right)
        return image

    def _sample(self, down: float, right: float) -> Image:
        row, column = math.floor(down), math.floor(right)
        a, b = np.float32(down - row), np.float32(right - column)
        part = self._map[((self._rows + row) & (MAP - 1))[:, None], (self._columns + column) & (MAP - 1)]
        across: Image = part[:, :-1] + b * (part[:, 1:] - part[:, :-1])
        image: Image = across[:-1] + a * (across[1:] - across[:-1])
        return image

    def _add_target(self, image: Image, target: Target, t: int, down: float, right: float) -> None:
        seconds = t / SECOND
        (path_x, path_y), (f_x, f_y) = target.path_px, target.frequency_hz
        height, width = self._shape
        x = width / 2 + path_x * math.sin(2 * math.pi * f_x * seconds) - right
        y = height / 2 + path_y * math.sin(2 * math.pi * f_y * seconds) - down
        scale = -0.5 / target.radius_px**2
        along_y = target.log_contrast * np.exp(scale * (self._rows[:-1] - y) ** 2)
        along_x = np.exp(scale * (self._columns[:-1] - x) ** 2)
        image += np.outer(along_y, along_x).astype(np.float32)


def _texture(scene: Scene) -> Image:
    random = np.random.default_rng([scene.seed, 0x5CE7E])
    spectrum = np.fft.rfft2(random.standard_normal((MAP, MAP)))
    frequency = np.hypot(np.fft.fftfreq(MAP)[:, None], np.fft.rfftfreq(MAP)[None, :])
    frequency[0, 0] = 1.0
    spectrum *= np.where(frequency <= 1 / scene.finest_px, 1 / frequency, 0.0)
    spectrum[0, 0] = 0.0
    texture = np.fft.irfft2(spectrum, (MAP, MAP))
    scaled: Image = (texture * (scene.log_contrast / texture.std())).astype(np.float32)
    return scaled
