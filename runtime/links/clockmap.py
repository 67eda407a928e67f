"""Maps the times of another machine's clock to ours by the fastest delivery seen.

A message sent at s (their clock) and received at r (ours) was under way for d > 0, so r - s = offset + d. The smallest
r - s over a window is the offset plus the shortest delay: times mapped with it are late by that delay, never early.
The window moves, in `BUCKETS` steps, so that a drift of the clocks is followed. `uncertainty` is the spread of the
buckets' minima: what the shortest delay and the drift did within the window. A constant one-way delay cannot be seen
from one side and is not in it.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime.core.clock import SECOND, Clock, MonotonicClock

BUCKETS = 8
_BOOT = Path("/proc/sys/kernel/random/boot_id")


def clock_id(clock: Clock, session: str) -> str:
    """Two clocks with the same id show the same time: the machine's own, since its last boot. `session`: any other."""
    if isinstance(clock, MonotonicClock) and clock.speed == 1.0 and _BOOT.is_file():
        return f"monotonic-{_BOOT.read_text().strip()}"
    return f"session-{session}"


class ClockMap:
    """The mapping from one sender's clock. Sans-IO: fed with pairs of times, asked for mapped ones."""

    def __init__(self, same_clock: bool = False, window_s: float = 30.0, promised: int = -(2**62)) -> None:
        self._same = same_clock
        self._bucket_ns = int(window_s * SECOND / BUCKETS)
        self._minima: deque[tuple[int, int]] = deque(maxlen=BUCKETS)
        self.promised = promised
        """No event before it is still to come, in our time."""
        self.clamped = 0
        """Events whose mapped time was moved up, so as not to lie before what had been promised."""

    def observe(self, sent: int, received: int) -> None:
        """A message sent at `sent` on their clock came at `received` on ours."""
        difference = received - sent
        bucket = received // self._bucket_ns
        if self._minima and self._minima[-1][0] >= bucket:
            last, least = self._minima[-1]
            self._minima[-1] = (last, min(least, difference))
        else:
            while self._minima and self._minima[0][0] <= bucket - BUCKETS:
                self._minima.popleft()
            self._minima.append((bucket, difference))

    @property
    def offset(self) -> int | None:
        """Add to their times to get ours; None before the first message."""
        if self._same:
            return 0
        return min(least for _, least in self._minima) if self._minima else None

    @property
    def uncertainty(self) -> int | None:
        """Spread of the shortest deliveries within the window, ns; 0 for one and the same clock."""
        if self._same:
            return 0
        if not self._minima:
            return None
        return max(least for _, least in self._minima) - min(least for _, least in self._minima)

    def map(self, t: NDArray[np.int64], until: int, received: int) -> tuple[NDArray[np.int64], int]:
        """Their times on our clock: in order, never before what an earlier call promised, never after `received`.

        Without an offset every event is stamped `received`.
        """
        offset = self.offset
        mapped = np.full_like(t, received) if offset is None else np.minimum(t + offset, received)
        if len(mapped) and mapped[0] < self.promised:
            self.clamped += int(np.searchsorted(mapped, self.promised))
            mapped = np.maximum(mapped, self.promised)
        last = int(mapped[-1]) if len(mapped) else self.promised
        until_here = received if offset is None else min(until + offset, received)
        self.promised = max(until_here, last, self.promised)
        return mapped, self.promised
