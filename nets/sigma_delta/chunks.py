"""Writes what an event of a source reaches: rectangles of sums, as rows of sites and as chunks as wide as vectors."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from nets.kernels import sigma_layout as L


@dataclass(frozen=True)
class Strides:
    """From one row of a rectangle to the next: how many sums, how many sites."""

    sums: int
    sites: int


R_N, R_W, R_ROWS, R_RUN, R_STRIDE, R_SITE, R_SITES = range(7)
"""A rectangle's first sum and weight, its rows, the sums of each, from row to row in the weights; sites likewise."""


def shape_of(rectangles: NDArray[np.int64], strides: Strides) -> list[int]:
    """The entry of one shape, its rectangles counted from the first of their place on."""
    sites: list[int] = []
    chunks: list[int] = []
    count = 0
    for k, (first, weight, rows, run, stride, site, many) in enumerate(rectangles.tolist()):
        for begin in range(0, many, L.MOST_SITES):
            part_of = min(many - begin, L.MOST_SITES)
            sites += [number for r in range(rows) for number in (site + begin + r * strides.sites, part_of)]
        starts = [(first + r * strides.sums, weight + r * stride) for r in range(rows)]
        done = 0
        for width, most in L.WIDTHS.items():
            beside = (run - done) // width
            for first_piece, pieces in _parts(beside, most):
                at = done + first_piece * width
                for first_row, many_rows in _parts(rows, min(L.PIECES // pieces, L.ROWS)):
                    chunks += [many_rows, L.FORMS.index((width, many_rows, pieces)), k]
                    for z, w in starts[first_row : first_row + many_rows]:
                        chunks += [z + at, w + at]
                    count += 1
            done += beside * width
    work = int((rectangles[:, R_ROWS] * rectangles[:, R_RUN]).sum())
    return [work, count, len(sites) // 2, L.S_HEAD + len(chunks), *chunks, *sites]


def _parts(count: int, most: int) -> list[tuple[int, int]]:
    """(first, how many) of the fewest parts, as alike as can be, of which none is above `most`."""
    parts = -(-count // most)
    ends = [count * part // max(parts, 1) for part in range(parts + 1)]
    return [(a, b - a) for a, b in pairwise(ends)]
