"""The one way kernels are compiled: cached, without the GIL, IEEE arithmetic in source order.

`fastmath` is off, so a sum has one order and a run repeats bit for bit. Kernels allocate
nothing, so references to arrays are not counted: every call would cost two locked additions an array. Machine code goes
below NUMBA_CACHE_DIR, or the user's cache where that is not set, to a folder keyed by `nets.kernels.cache`: whatever
changes, nothing stale is run.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numba
from numba import config

from nets.kernels.cache import folder_name

_default = "~/Library/Caches/tectum" if sys.platform == "darwin" else "~/.cache/tectum"
_below = config.CACHE_DIR or os.path.expanduser(_default)
if os.path.basename(_below) != folder_name():
    config.CACHE_DIR = os.path.join(_below, folder_name())
FOLDER = Path(config.CACHE_DIR)
"""Where machine code is kept."""

entry = numba.njit(cache=True, nogil=True, fastmath=False, error_model="numpy", boundscheck=False, _nrt=False)
"""Decorates what Python calls."""

op = numba.njit(
    cache=False, nogil=True, fastmath=False, error_model="numpy", boundscheck=False, inline="never", _nrt=False
)
"""Decorates what kernels call; its machine code lives inside the entries' own."""
