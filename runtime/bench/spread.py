"""The spread of measured times: median, 99th percentile and greatest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Spread:
    """Of `n` times, in µs."""

    n: int
    p50_us: float
    p99_us: float
    max_us: float

    def cells(self) -> tuple[str, str, str, str]:
        """As table cells."""
        return str(self.n), f"{self.p50_us:.0f}", f"{self.p99_us:.0f}", f"{self.max_us:.0f}"


def spread(times_ns: Sequence[int] | NDArray[np.int64]) -> Spread:
    """Of times in ns, at least one."""
    if not len(times_ns):
        raise ValueError("spread of no times: nothing was measured")
    p50, p99, most = np.percentile(np.asarray(times_ns, np.float64), [50, 99, 100]) / 1e3
    return Spread(len(times_ns), float(p50), float(p99), float(most))
