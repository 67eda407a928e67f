"""The hand-written PyTorch loops of `tectum bench engine`: the faster of the dense one and the gathering one."""

from __future__ import annotations

from runtime.bench.rivals import torch_loops
from tests.comparison.speed.cell import Cell, Contestant
from tests.comparison.speed.modules import streamed, workload_of

LIBRARIES = ("torch",)


def contestant(cell: Cell) -> Contestant:
    loops = [streamed(cell, loop) for loop in torch_loops(workload_of(cell)).values()]
    return min(loops, key=lambda loop: min(loop.measure() for _ in range(3)))
