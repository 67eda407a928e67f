"""Where a layer takes another way to the same sums: frozen numbers and counts of changes, never a stopwatch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SigmaThresholds:
    """The defaults were measured on one x86 server core."""

    rebuild: float = 1.0
    """Rebuild a layer from what its sources hold where its changes cost this many times as much: synaptic operations of
    the changes, against those of the held values and one for each of its neurons."""
    refresh: int = 1 << 20
    """Rebuild it at the latest after so many changes, so that their rounding does not add up."""

    def __post_init__(self) -> None:
        if not 0 < self.rebuild < 1e6:
            raise ValueError(f"threshold rebuild is {self.rebuild!r}, expected above 0 and below 1e6")
        if not 0 < self.refresh < 1 << 40:
            raise ValueError(f"threshold refresh is {self.refresh!r}, expected above 0 and below 2**40")


DEFAULT = SigmaThresholds()
