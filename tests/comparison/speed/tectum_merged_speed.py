"""tectum on the merged events of tests.comparison.speed.arrays."""

from __future__ import annotations

from tests.comparison.speed.cell import Cell, Contestant
from tests.comparison.speed.tectum_speed import ADDRESSES, LIBRARIES, Ours
from tests.comparison.speed.unfold import merge

__all__ = ["LIBRARIES", "contestant"]


def contestant(cell: Cell) -> Contestant:
    return Ours(cell, lambda events: merge(events, ADDRESSES))
