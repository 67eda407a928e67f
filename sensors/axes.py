"""Axis mappings: which of a device's axes make x (forward), y (left) and z (up) of REP-103.

`"-z,x,-y"` says: forward is the device's -z, left its x, up its -y. Only rotations are mappings: a mirrored one would
give the gyro the wrong sense.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.core.errors import ConfigError

IDENTITY = "x,y,z"


def rotation(axes: str) -> NDArray[np.float32]:
    """The matrix (3, 3) that takes a device's vector to REP-103."""
    matrix = np.zeros((3, 3), np.float32)
    words = [word.strip() for word in axes.split(",")]
    if len(words) != 3 or not all(re.fullmatch(r"[+-]?[xyz]", word) for word in words):
        raise ConfigError(f"axes are {axes!r}, expected three of x, y, z with signs, like 'x,-z,y'")
    for row, word in enumerate(words):
        matrix[row, "xyz".index(word[-1])] = -1 if word[0] == "-" else 1
    if round(float(np.linalg.det(matrix))) != 1:
        raise ConfigError(f"axes {axes!r} name an axis twice or mirror the device, expected a rotation")
    return matrix


def mapped(vectors: NDArray[Any], matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors `(n, 3)` in the mapped axes; exact, since each row of the matrix picks one axis."""
    index = np.argmax(np.abs(matrix), axis=1)
    return np.ascontiguousarray(vectors[:, index] * matrix[np.arange(3), index], np.float32)
