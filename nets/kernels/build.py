"""Compiles every kernel ahead of its first use, so that no run ever waits for the compiler."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numba import config

from nets.kernels import layout as L
from nets.kernels.feed import feed
from nets.kernels.run import run

COMPLETE = "complete"
"""An empty file that says that all kernels were compiled into the folder it stands in."""


def warm(progress: Callable[[str, float], None] = lambda what, done: None) -> None:
    """Compile what is not compiled yet, or load it from the cache; `progress(what, fraction done)`."""
    steps: list[tuple[str, Callable[[], Any]]] = [
        ("event intake", lambda: feed(*_feed_arguments())),
        ("network, float32", lambda: run(*_run_arguments(np.float32))),
        ("network, float64", lambda: run(*_run_arguments(np.float64))),
    ]
    for k, (what, step) in enumerate(steps):
        progress(what, k / len(steps))
        step()
    with suppress(OSError):  # a cache that cannot be written only means compiling again next time
        Path(config.CACHE_DIR, COMPLETE).touch()
    progress("kernels ready", 1.0)


def is_warm() -> bool:
    """Whether this process holds compiled code for every kernel and precision: nothing will be compiled or loaded."""
    return len(feed.signatures) >= 1 and len(run.signatures) >= 2


def is_built() -> bool:
    """Whether the cache on disk holds every kernel for this machine: `warm` will only load, in about a second."""
    return Path(config.CACHE_DIR, COMPLETE).exists()


def _table() -> Any:
    """A program without layers: all of the code, none of the work."""
    table = np.zeros(L.H_SIZE, np.int64)
    table[L.H_TICK], table[L.H_T0], table[L.H_COUNTERS], table[L.H_PORT_AT] = 0, 1, 2, 2 + L.N_SIZE
    table[L.H_DT] = 1
    return table


def _dynamic() -> Any:
    dyn = np.zeros(2 + L.N_SIZE + L.Q_SIZE, np.int64)
    return dyn


def _events() -> tuple[Any, Any, Any]:
    return np.zeros(1, np.int64), np.zeros(1, np.int32), np.zeros(1, np.float32)


def _feed_arguments() -> tuple[Any, ...]:
    empty = np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32)
    return _table(), _dynamic(), *_events(), 0, *empty, False


def _run_arguments(dtype: Any) -> tuple[Any, ...]:
    constant = np.zeros(0, np.int32), np.array([1, 0], dtype)
    state = np.zeros(1, dtype), _dynamic(), np.zeros(1, np.int32), np.zeros(1, np.uint8)
    out = np.zeros(1, np.int64), np.zeros(1, np.int16), np.zeros(1, np.int32), np.zeros(1, np.float32)
    packet = -1, *_events(), False
    return _table(), *constant, *state, *_events(), *out, np.zeros((1, 4), np.int64), *packet, 1
