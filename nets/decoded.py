"""What every decoder gives: one decision at each time of its own grid, from the spikes up to that time.

The grid is t0 + k * period for k = 1, 2, ... A spike at a grid time counts for it. Whatever the decoder, its decisions
depend on the spikes alone and not on how they were split into calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

MOST_DECISIONS = 1_000_000
"""More than these in one call is taken for a broken time, and refused."""


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """What a decoder says at grid time `t`; `value` None: it has nothing to command yet."""

    t: int
    value: float | None
    label: int | None
    scores: NDArray[np.float64]


class Decoder(Protocol):
    """Turns the output events of one port into decisions."""

    def start(self, t0: int) -> None:
        """Begin with an empty past at `t0`; needed before the first `advance`."""

    def advance(
        self, t: NDArray[np.int64], index: NDArray[np.int32], value: NDArray[np.float32] | None, until: int
    ) -> list[Decision]:
        """All output events after the last `until` up to and including this one, oldest first."""

    def reset(self, t0: int) -> None:
        """Forget everything, as the network did; the grid starts again at `t0`."""

    def snapshot(self) -> bytes: ...

    def restore(self, snapshot: bytes) -> None: ...

    def hash(self) -> bytes:
        """16 bytes that change when any state does."""


class Grid:
    """The times at which something is due, as one int64 array so that it is part of the state."""

    def __init__(self, step_ns: int) -> None:
        self._step = step_ns
        self.array = np.array([-1, 0, 0], np.int64)
        self.load()

    def start(self, t0: int) -> None:
        self._count, self._until, self.next = 0, t0, t0 + self._step

    def check(self, t: NDArray[np.int64], until: int, again: bool = False, endless: bool = False) -> None:
        """Refuse calls that would break the order of time; `again`: a moment may be told of more than once; `endless`:
        any time may pass.
        """
        if self._count < 0:
            raise ValueError("decoder is not started, expected start(t0) before advance")
        if until < self._until:
            raise ValueError(f"decoder time runs backwards: until={until}, was at {self._until}")
        if len(t) and (t[0] < self._until + (not again) or t[-1] > until):
            since = "from" if again else "after"
            raise ValueError(f"output events from {t[0]} to {t[-1]}, expected {since} {self._until}, up to {until}")
        if not endless and until - self.next > MOST_DECISIONS * self._step:
            raise ValueError(f"until={until} lies over {MOST_DECISIONS} steps of {self._step} ns ahead of {self.next}")
        self._until = until

    @property
    def count(self) -> int:
        """How many steps have passed since the start."""
        return self._count

    def step(self) -> int:
        """Pass the next grid time and return it."""
        t = self.next
        self._count += 1
        self.next += self._step
        return t

    def leave_out(self, until: int, most: int) -> None:
        """Where more than `most` steps are due until then, pass all but the last of them untold."""
        due = (until - self.next) // self._step
        if due > most:
            self._count += due
            self.next += due * self._step

    def store(self) -> None:
        """Write the position to `array`, to be packed."""
        self.array[:] = (self._count, self._until, self.next)

    def load(self) -> None:
        """Read the position from `array`, just restored."""
        self._count, self._until, self.next = (int(v) for v in self.array)
