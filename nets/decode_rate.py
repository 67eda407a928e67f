"""Decoders that follow firing rates with an exponential window: a weighted sum of rates, or a weighted mean of places.

The rate r of a unit obeys r' = -r / tau and jumps by value / tau at a spike, so a steady train of f spikes a second
gives f on average. Each is stored as of its unit's last spike and read in closed form at a grid time: reading changes
nothing. State is plain lists: a call brings a few spikes, and a scalar in a list costs a tenth of one in an array.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets.code_options import NANOSECONDS, duration_ns, flag, number, numbers, positive, whole
from nets.code_state import hash_state, pack_state, restore_state
from nets.decoded import Decision, Grid


class RateDecoder:
    """offset + sum of weight * rate: decides from the start, since no spikes is a rate of 0."""

    def __init__(
        self,
        size: int,
        *,
        tau_s: float,
        period_s: float,
        weights: float | Sequence[float] = 1.0,
        offset: float = 0.0,
    ) -> None:
        self._rates = Rates(size, tau_s, period_s)
        self._weights = np.array(numbers("weights", weights, size), np.float64)
        self._offset = number("offset", offset)
        self._signature = f"rate {self._rates.signature} {self._weights.tolist()} {self._offset}"

    def start(self, t0: int) -> None:
        self._rates.start(t0)

    reset = start

    def advance(
        self, t: NDArray[np.int64], index: NDArray[np.int32], value: NDArray[np.float32] | None, until: int
    ) -> list[Decision]:
        return [
            Decision(g, self._offset + float(np.sum(self._weights * rates)), None, rates)
            for g, rates in self._rates.advance(t, index, value, until)
        ]

    def snapshot(self) -> bytes:
        return pack_state(self._signature, self._rates.arrays())

    def restore(self, snapshot: bytes) -> None:
        restore_state(self._signature, self._rates.arrays(), snapshot)
        self._rates.load()

    def hash(self) -> bytes:
        return hash_state(self._signature, self._rates.arrays())


class PopulationDecoder:
    """The mean of the units' preferred values, each weighted by its rate (population vector); negative rates count 0.

    Once every rate has decayed below `floor_hz`: with `hold` the last value, else (and before any spike) no value. The
    label is the unit of the highest rate.
    """

    def __init__(
        self,
        size: int,
        *,
        tau_s: float,
        period_s: float,
        preferred: Sequence[float],
        floor_hz: float = 1e-3,
        hold: bool = True,
    ) -> None:
        if not isinstance(preferred, Sequence):
            raise ValueError(f"preferred is {preferred!r}, expected {size} numbers: one a unit")
        self._rates = Rates(size, tau_s, period_s)
        self._preferred = np.array(numbers("preferred", preferred, size), np.float64)
        self._floor = positive("floor_hz", floor_hz)
        self._hold = flag("hold", hold)
        self._last = np.array([np.nan, -1.0], np.float64)
        self._signature = f"population {self._rates.signature} {self._preferred.tolist()} {self._floor} {hold}"

    def start(self, t0: int) -> None:
        self._rates.start(t0)
        self._last[:] = np.nan, -1.0

    reset = start

    def advance(
        self, t: NDArray[np.int64], index: NDArray[np.int32], value: NDArray[np.float32] | None, until: int
    ) -> list[Decision]:
        return [self._decide(g, rates) for g, rates in self._rates.advance(t, index, value, until)]

    def _decide(self, t: int, rates: NDArray[np.float64]) -> Decision:
        strength = np.maximum(rates, 0.0)
        if strength.max() >= self._floor:
            self._last[:] = np.sum(self._preferred * strength) / np.sum(strength), strength.argmax()
        elif not self._hold:
            self._last[:] = np.nan, -1.0
        value, label = self._last.tolist()
        if label < 0:
            return Decision(t, None, None, rates)
        return Decision(t, value, int(label), rates)

    def snapshot(self) -> bytes:
        return pack_state(self._signature, (*self._rates.arrays(), self._last))

    def restore(self, snapshot: bytes) -> None:
        restore_state(self._signature, (*self._rates.arrays(), self._last), snapshot)
        self._rates.load()

    def hash(self) -> bytes:
        return hash_state(self._signature, (*self._rates.arrays(), self._last))


class Rates:
    """The rate of each unit, in values per second, at each time of the grid."""

    def __init__(self, size: int, tau_s: float, period_s: float) -> None:
        self._size = whole("size", size)
        self._tau_s = positive("tau_s", tau_s)
        self._tau_ns = self._tau_s * NANOSECONDS
        self._rate = [0.0] * size
        self._as_of = [0] * size
        self._packed = (np.zeros(size, np.float64), np.zeros(size, np.int64))
        period = duration_ns("period_s", period_s)
        self._grid = Grid(period)
        self.signature = f"{size} {self._tau_s} {period}"

    def start(self, t0: int) -> None:
        self._rate = [0.0] * self._size
        self._as_of = [t0] * self._size
        self._grid.start(t0)

    def advance(
        self, t: NDArray[np.int64], index: NDArray[np.int32], value: NDArray[np.float32] | None, until: int
    ) -> list[tuple[int, NDArray[np.float64]]]:
        """(grid time, rates) of each grid time up to and including `until`."""
        grid = self._grid
        grid.check(t, until)
        n = len(t)
        done = 0
        due: list[tuple[int, NDArray[np.float64]]] = []
        while grid.next <= until:
            if done < n:
                end = int(np.searchsorted(t, grid.next, side="right"))
                self._add(t[done:end], index[done:end], None if value is None else value[done:end])
                done = end
            g = grid.step()
            age = np.array(self._as_of, np.int64) - g
            due.append((g, np.array(self._rate, np.float64) * np.exp(age / self._tau_ns)))
        if done < n:
            self._add(t[done:], index[done:], None if value is None else value[done:])
        return due

    def _add(self, t: NDArray[np.int64], index: NDArray[np.int32], value: NDArray[np.float32] | None) -> None:
        rate, as_of = self._rate, self._as_of
        values = itertools.repeat(1.0) if value is None else value.tolist()
        for now, unit, spike in zip(t.tolist(), index.tolist(), values, strict=False):
            rate[unit] = rate[unit] * math.exp((as_of[unit] - now) / self._tau_ns) + spike / self._tau_s
            as_of[unit] = now

    def arrays(self) -> tuple[NDArray[Any], ...]:
        self._grid.store()
        rate, as_of = self._packed
        rate[:] = self._rate
        as_of[:] = self._as_of
        return (self._grid.array, rate, as_of)

    def load(self) -> None:
        self._grid.load()
        rate, as_of = self._packed
        self._rate = rate.tolist()
        self._as_of = as_of.tolist()
