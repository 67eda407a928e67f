"""The one way kernels are compiled: cached, without the GIL, IEEE arithmetic in source order.

`fastmath` is off, so a sum has one order and a run repeats bit for bit. Where the caller named no NUMBA_CACHE_DIR,
machine code goes to a folder of the user's cache, keyed by `nets.kernels.cache`.
"""

from __future__ import annotations

import os
import sys

import numba
from numba import config

from nets.kernels.cache import folder_name

if not config.CACHE_DIR:
    _folder = "~/Library/Caches/tectum" if sys.platform == "darwin" else "~/.cache/tectum"
    config.CACHE_DIR = os.path.join(os.path.expanduser(_folder), folder_name())

entry = numba.njit(cache=True, nogil=True, fastmath=False, error_model="numpy", boundscheck=False)
"""Decorates what Python calls."""

op = numba.njit(cache=False, nogil=True, fastmath=False, error_model="numpy", boundscheck=False, inline="never")
"""Decorates what kernels call; its machine code lives inside the entries' own."""
