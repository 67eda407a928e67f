"""One measured case: which workload at which rate for how many ticks, and where its plain arrays lie."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Cell:
    workload: str
    rate_hz: int
    ticks: int
    network: str
    """File of W2's network."""
    arrays: str
    """File that tests.comparison.speed.arrays wrote, for simulators that are not fed layer by layer."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class Contestant(Protocol):
    """A simulator that is ready to run a cell."""

    def spikes(self) -> list[int]:
        """Spikes of every layer in one pass over the cell's events from rest; not timed."""

    def measure(self) -> float:
        """Processor seconds of one such pass."""
