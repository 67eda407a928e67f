"""The one way kernels are compiled: cached, without the GIL, IEEE arithmetic in source order.

`fastmath` is off, so a sum has one order and a run repeats bit for bit. Where the caller named no NUMBA_CACHE_DIR,
machine code goes to a folder of the user's cache, keyed by `nets.kernels.cache`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numba
from numba import config

from nets.kernels.cache import folder_name


def _user_cache() -> Path:
    home = Path.home()
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache")


if not config.CACHE_DIR:
    config.CACHE_DIR = str(_user_cache() / "tectum" / folder_name())

entry = numba.njit(cache=True, nogil=True, fastmath=False, error_model="numpy", boundscheck=False)
"""Decorates what Python calls."""

op = numba.njit(cache=False, nogil=True, fastmath=False, error_model="numpy", boundscheck=False, inline="never")
"""Decorates what kernels call; its machine code lives inside the entries' own."""
