"""Where a tick takes another way to the same result: frozen numbers and counts of events, never a stopwatch.

`tectum bench engine --calibrate` measures what they would best be on a machine; a robot keeps those it was configured
with, and a snapshot belongs to one set of them, so that every run repeats bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass

NEVER = 1 << 62


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The defaults were measured on one x86 server core."""

    everywhere: float = 0.25
    """Update all sites of a layer in one pass where a tick's events reach this share of them (mean reach, overlaps
    counted twice); below it, only those that are touched."""
    merge: float = 50.0
    """Merge a port's events of one tick by index where each spares so many synaptic operations for each index."""
    sort: float = 16.0
    """Merge them from so many events on where weights differ in shape from index to index: that sorts them by shape."""

    def __post_init__(self) -> None:
        for name in ("everywhere", "merge", "sort"):
            value = getattr(self, name)
            if not 0 < value < 1e9:
                raise ValueError(f"threshold {name} is {value!r}, expected above 0 and below 1e9")

    def merged_events(self, size: int, synops: int, mixed: bool) -> int:
        """From how many events a tick on events of a port of `size` indices and `synops` in all are merged.

        n events on N indices hold about n^2 / 2N duplicates, each of which costs synops / N operations.
        """
        if synops == 0:
            return NEVER
        events = self.merge * size * size / synops
        return max(2, round(min(events, self.sort) if mixed else events))


DEFAULT = Thresholds()
