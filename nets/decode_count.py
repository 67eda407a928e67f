"""Decoders that count spikes in a sliding window: the most active unit, or the weighted count.

Window and period are whole multiples of a bin, their greatest common divisor, so the window (g - window, g] before any
grid time g is exactly a number of bins: the ring holds those, whatever the spikes are. Without a window all spikes
since the start count.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets.code_options import duration_ns, flag, number, numbers, whole
from nets.code_state import hash_state, pack_state, restore_state
from nets.decoded import Decision, Grid

MOST_BINS = 4096
_NONE = -1


class ArgmaxDecoder:
    """The unit with the most spikes; a tie goes to the lower index. `map` turns the label into the value.

    Where the window holds no spike: with `hold` the last label, else (and before any spike) no label and no value.
    """

    def __init__(
        self,
        size: int,
        *,
        period_s: float,
        window_s: float | None = None,
        hold: bool = True,
        map: Sequence[float] | None = None,
    ) -> None:
        self._counts = SlidingCounts(size, period_s, window_s)
        self._hold = flag("hold", hold)
        self._map = None if map is None else _mapping(map, size)
        self._label = np.array([_NONE], np.int64)
        self._signature = f"argmax {self._counts.signature} {hold} {self._map}"

    def start(self, t0: int) -> None:
        self._counts.start(t0)
        self._label[0] = _NONE

    reset = start

    def advance(
        self, t: NDArray[np.int64], index: NDArray[np.int32], value: NDArray[np.float32] | None, until: int
    ) -> list[Decision]:
        return [self._decide(g, counts) for g, counts in self._counts.advance(t, index, value, until)]

    def _decide(self, t: int, counts: NDArray[np.float64]) -> Decision:
        if counts.any():
            self._label[0] = counts.argmax()
        elif not self._hold:
            self._label[0] = _NONE
        label = int(self._label[0])
        if label == _NONE:
            return Decision(t, None, None, counts)
        return Decision(t, float(label) if self._map is None else self._map[label], label, counts)

    def snapshot(self) -> bytes:
        return pack_state(self._signature, (*self._counts.arrays(), self._label))

    def restore(self, snapshot: bytes) -> None:
        restore_state(self._signature, (*self._counts.arrays(), self._label), snapshot)
        self._counts.load()

    def hash(self) -> bytes:
        return hash_state(self._signature, (*self._counts.arrays(), self._label))


class CountDecoder:
    """offset + sum of weight * count: decides from the start, since no spikes is a count of 0."""

    def __init__(
        self,
        size: int,
        *,
        period_s: float,
        window_s: float | None = None,
        weights: float | Sequence[float] = 1.0,
        offset: float = 0.0,
    ) -> None:
        self._counts = SlidingCounts(size, period_s, window_s)
        self._weights = np.array(numbers("weights", weights, size), np.float64)
        self._offset = number("offset", offset)
        self._signature = f"count {self._counts.signature} {self._weights.tolist()} {self._offset}"

    def start(self, t0: int) -> None:
        self._counts.start(t0)

    reset = start

    def advance(
        self, t: NDArray[np.int64], index: NDArray[np.int32], value: NDArray[np.float32] | None, until: int
    ) -> list[Decision]:
        return [
            Decision(g, self._offset + float(np.sum(self._weights * counts)), None, counts)
            for g, counts in self._counts.advance(t, index, value, until)
        ]

    def snapshot(self) -> bytes:
        return pack_state(self._signature, self._counts.arrays())

    def restore(self, snapshot: bytes) -> None:
        restore_state(self._signature, self._counts.arrays(), snapshot)
        self._counts.load()

    def hash(self) -> bytes:
        return hash_state(self._signature, self._counts.arrays())


class SlidingCounts:
    """Sums of the values of each unit's spikes over the window, at each time of the grid."""

    def __init__(self, size: int, period_s: float, window_s: float | None) -> None:
        whole("size", size)
        period = duration_ns("period_s", period_s)
        window = period if window_s is None else duration_ns("window_s", window_s)
        step = math.gcd(period, window)
        if max(period, window) > MOST_BINS * step:
            raise ValueError(
                f"period_s is {period_s} and window_s {window_s}: their common divisor is {step} ns, "
                f"expected one with at most {MOST_BINS} of it in either"
            )
        self._cumulative = window_s is None
        self._every = period // step
        self._bins = np.zeros((window // step, size), np.float64)
        self._grid = Grid(step)
        self.signature = f"{size} {period} {None if window_s is None else window}"

    def start(self, t0: int) -> None:
        self._bins[:] = 0.0
        self._grid.start(t0)

    def advance(
        self, t: NDArray[np.int64], index: NDArray[np.int32], value: NDArray[np.float32] | None, until: int
    ) -> list[tuple[int, NDArray[np.float64]]]:
        """(grid time, counts) of each grid time up to and including `until`."""
        grid = self._grid
        grid.check(t, until)
        n = len(t)
        done = 0
        due: list[tuple[int, NDArray[np.float64]]] = []
        while grid.next <= until:
            if done < n:
                end = int(np.searchsorted(t, grid.next, side="right"))
                self._add(index, value, done, end)
                done = end
            g = grid.step()
            if grid.count % self._every == 0:
                due.append((g, self._bins.sum(axis=0)))
            if not self._cumulative:
                self._bins[grid.count % len(self._bins)] = 0.0
        if done < n:
            self._add(index, value, done, n)
        return due

    def _add(self, index: NDArray[np.int32], value: NDArray[np.float32] | None, start: int, end: int) -> None:
        # one by one in order, not summed first: float addition must not depend on where a call ended
        row = self._bins[self._grid.count % len(self._bins)]
        np.add.at(row, index[start:end], 1.0 if value is None else value[start:end])

    def arrays(self) -> tuple[NDArray[Any], ...]:
        self._grid.store()
        return (self._grid.array, self._bins)

    def load(self) -> None:
        self._grid.load()


def _mapping(values: Sequence[float], size: int) -> tuple[float, ...]:
    if not isinstance(values, Sequence) or len(values) != size:
        raise ValueError(f"map is {values!r}, expected {size} numbers: one a unit")
    return numbers("map", values, size)
