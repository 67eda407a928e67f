"""Units of inertial sensors' data sheets in SI."""

from __future__ import annotations

import math

DEG = math.pi / 180
STANDARD_GRAVITY = 9.80665
"""m/s2, exact by definition (ISO 80000-3)."""
