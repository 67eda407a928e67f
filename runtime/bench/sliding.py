"""Digits that slide along a band of a canvas, a fraction of a pixel a frame, and turn back at its edges.

A digit is 14 x 14 numbers, the means of 2 x 2 pixels of one of MNIST; between whole pixels it is mixed from its four
neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime.core.errors import ConfigError

CANVAS, DIGIT = 24, 14
ROOM = CANVAS - DIGIT
BAND = (3.0, 7.0)
"""Where a digit's upper edge may be; its left one may be anywhere."""
SHOWN = 60
"""Frames until another digit appears."""
TRAINED = 8000
"""The first so many digits of the file are for training, the others for testing."""
Real = NDArray[np.float32]


@dataclass(frozen=True)
class Digits:
    """`images` (count, 14, 14), 0 paper to 1 ink."""

    images: Real
    labels: NDArray[np.int64]


def read_digits(file: Path) -> Digits:
    """All digits of an .npz with `images` uint8 (count, 28, 28) and `labels`."""
    try:
        with np.load(file, allow_pickle=False) as stored:
            images, labels = stored["images"], stored["labels"]
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"{file}: expected an .npz with images and labels: {error}") from error
    if images.dtype != np.uint8 or images.shape[1:] != (2 * DIGIT, 2 * DIGIT):
        raise ConfigError(f"{file}: images are {images.dtype}{images.shape}, expected uint8 (count, 28, 28)")
    halves = images.reshape(-1, DIGIT, 2, DIGIT, 2).mean(axis=(2, 4)) / 255
    return Digits(halves.astype(np.float32), labels.astype(np.int64))


def place(images: Real, y: NDArray[np.float64], x: NDArray[np.float64]) -> Real:
    """Each image on a canvas of its own, its corner at (y, x) within 0..ROOM."""
    canvas = np.zeros((len(images), CANVAS + 1, CANVAS + 1), np.float32)
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)
    below, right = (y - top).astype(np.float32), (x - left).astype(np.float32)
    number = np.arange(len(images))[:, None, None]
    rows, columns = np.arange(DIGIT)[None, :, None], np.arange(DIGIT)[None, None, :]
    for dy, dx, share in (
        (0, 0, (1 - below) * (1 - right)),
        (0, 1, (1 - below) * right),
        (1, 0, below * (1 - right)),
        (1, 1, below * right),
    ):
        at = (number, top[:, None, None] + dy + rows, left[:, None, None] + dx + columns)
        canvas[at] += images * share[:, None, None]
    return canvas[:, :CANVAS, :CANVAS]


def slide(images: Real, speed: float, seed: int) -> Real:
    """`SHOWN` frames of each image in turn, (frames, 24, 24): `speed` pixels a frame, in directions of chance."""
    generator = np.random.default_rng(seed)
    found = []
    for image in images:
        angle = generator.uniform(0, 2 * np.pi)
        steps = speed * np.arange(SHOWN)
        y = _between(*BAND, generator.uniform(*BAND) + np.sin(angle) * steps)
        x = _between(0.0, ROOM, generator.uniform(0, ROOM) + np.cos(angle) * steps)
        found.append(place(np.broadcast_to(image, (SHOWN, DIGIT, DIGIT)), y, x))
    return np.concatenate(found)


def _between(low: float, high: float, way: NDArray[np.float64]) -> NDArray[np.float64]:
    """A straight way turned back wherever it would leave."""
    room = high - low
    return high - np.abs((way - low) % (2 * room) - room)
