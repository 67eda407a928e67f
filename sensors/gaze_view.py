"""What the eye of a gaze world sees: a texture that repeats, a bright round target, nothing else.

Log-intensity is a map with a 1/f spectrum, sampled bilinearly, with the target's bell added. For small angles a turn of
the head shifts the image by `pixels_per_rad` times that angle (the sphere is drawn as the flat patch before the eye,
repeating every MAP pixels): left (+pan) moves the world right, down (+tilt) moves it up. With one row the map is a
line.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sensors.gaze_definition import GazeWorld

Image = NDArray[np.float32]
MAP = 512
"""Period of the map in pixels; a power of two, so that wrapping round is a mask."""


class View:
    """Draws a world; images are flat, row by row."""

    def __init__(self, world: GazeWorld) -> None:
        self._rows, self._columns = world.shape
        self._flat = self._rows == 1
        texture = _texture(world)
        self._map = np.ascontiguousarray(np.pad(texture, ((0, self._rows), (0, self._columns)), mode="wrap"))
        self._rise = np.diff(self._map, axis=1, append=self._map[:, -1:])
        self._scale = np.float32(-0.5 / world.target_radius_px**2)
        self._contrast = np.float32(world.target_log_contrast)
        self._x = np.arange(self._columns, dtype=np.float32)
        self._y = np.arange(self._rows, dtype=np.float32)
        self.centre = ((self._columns - 1) / 2, (self._rows - 1) / 2)
        """Where the head looks: column and row."""

    def log_intensity(self, right: float, down: float, target_x: float, target_y: float) -> Image:
        """The image `right` and `down` pixels from the map's origin, with the target at that column and row."""
        column = math.floor(right)
        b, j = np.float32(right - column), column & (MAP - 1)
        if self._flat:
            line = self._rise[0, j : j + self._columns] * b
            line += self._map[0, j : j + self._columns]
            bell = self._bell(self._x, target_x)
            bell *= self._contrast
            line += bell
            return line
        row = math.floor(down)
        a, i = np.float32(down - row), row & (MAP - 1)
        across = self._rise[i : i + self._rows + 1, j : j + self._columns] * b
        across += self._map[i : i + self._rows + 1, j : j + self._columns]
        image = across[1:] - across[:-1]
        image *= a
        image += across[:-1]
        down_bell = self._bell(self._y, target_y)
        down_bell *= self._contrast
        image += down_bell[:, None] * self._bell(self._x, target_x)
        return image.ravel()

    def _bell(self, pixels: Image, centre: float) -> Image:
        bell: Image = pixels - np.float32(centre)
        bell *= bell
        bell *= self._scale
        return np.exp(bell, out=bell)


def _texture(world: GazeWorld) -> Image:
    random = np.random.default_rng((world.seed, 0x7E87))
    if world.shape[0] == 1:
        # Amplitude as 1/sqrt(f) in one dimension is the same power per octave as 1/f in two.
        frequency = np.fft.rfftfreq(MAP)[None, :]
        amplitude, shape = 1 / np.sqrt(np.maximum(frequency, 1 / MAP)), (1, MAP)
    else:
        frequency = np.hypot(np.fft.fftfreq(MAP)[:, None], np.fft.rfftfreq(MAP)[None, :])
        amplitude, shape = 1 / np.maximum(frequency, 1 / MAP), (MAP, MAP)
    spectrum = np.fft.rfft2(random.standard_normal(shape))
    spectrum *= np.where((frequency > 0) & (frequency <= 1 / world.finest_px), amplitude, 0.0)
    texture = np.fft.irfft2(spectrum, shape)
    scaled: Image = (texture * (world.log_contrast / texture.std())).astype(np.float32)
    return scaled
