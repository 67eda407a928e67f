"""A decoder that follows graded outputs: a weighted sum of the newest value of each unit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nets.code_options import duration_ns, number, numbers, whole
from nets.code_state import hash_state, pack_state, restore_state
from nets.decoded import Decision, Grid

REPEATED = 1000
"""Steps in which nothing was heard, beyond which only the last is decided: after a silence the past is of no use."""


class LatestDecoder:
    """offset + sum of weight * newest value; a unit that never said anything counts 0, and none at all is no value."""

    def __init__(
        self, size: int, *, period_s: float, weights: float | Sequence[float] = 1.0, offset: float = 0.0
    ) -> None:
        self._size = whole("size", size)
        self._weights = np.array(numbers("weights", weights, size), np.float64)
        self._offset = number("offset", offset)
        self._latest = np.zeros(size, np.float64)
        self._heard = np.zeros(1, np.int64)
        period = duration_ns("period_s", period_s)
        self._grid = Grid(period)
        self._signature = f"latest {size} {period} {self._weights.tolist()} {self._offset}"

    def start(self, t0: int) -> None:
        self._grid.start(t0)
        self._latest[:] = 0
        self._heard[0] = 0

    reset = start

    def advance(
        self, t: NDArray[np.int64], index: NDArray[np.int32], value: NDArray[np.float32] | None, until: int
    ) -> list[Decision]:
        grid = self._grid
        # a sigma-delta network takes what arrives twice in a moment twice
        grid.check(t, until, again=True, endless=True)
        values = np.ones(len(t), np.float32) if value is None else value
        done = 0
        decided = []
        while grid.next <= until:
            grid.leave_out(int(t[done]) if done < len(t) else until, REPEATED)
            end = int(np.searchsorted(t, grid.next, side="right"))
            self._take(index[done:end], values[done:end])
            done = end
            decided.append(self._decide(grid.step()))
        self._take(index[done:], values[done:])
        return decided

    def _take(self, index: NDArray[np.int32], value: NDArray[np.float32]) -> None:
        if len(index):
            self._latest[index] = value  # of several for one unit the last one stays
            self._heard[0] = 1

    def _decide(self, t: int) -> Decision:
        latest = self._latest.copy()
        if not self._heard[0]:
            return Decision(t, None, None, latest)
        return Decision(t, self._offset + float(np.sum(self._weights * latest)), None, latest)

    def _arrays(self) -> tuple[NDArray[np.int64] | NDArray[np.float64], ...]:
        self._grid.store()
        return self._grid.array, self._latest, self._heard

    def snapshot(self) -> bytes:
        return pack_state(self._signature, self._arrays())

    def restore(self, snapshot: bytes) -> None:
        restore_state(self._signature, self._arrays(), snapshot)
        self._grid.load()

    def hash(self) -> bytes:
        return hash_state(self._signature, self._arrays())
