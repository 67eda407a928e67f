# mypy: disable-error-code="import-not-found"
# PyTorch lives in an environment of its own.
"""A workload as PyTorch modules in order, with a library's own neurons between them, streamed a tick at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nets import nodes as n
from runtime.bench.rivals import ALPHA, Loop
from runtime.bench.workload import Workload, stream, w1, w2
from tests.comparison.speed.cell import Cell
from tests.comparison.speed.streamed import Streamed

Fire = Callable[[int, Any, Any], Any]
"""Takes the number of a layer of neurons, its module and its drive; returns its spikes."""


def workload_of(cell: Cell) -> Workload:
    return w1(cell.rate_hz) if cell.workload == "W1" else w2(cell.rate_hz, Path(cell.network))


def alpha_of(workload: Workload) -> float:
    """What a potential is multiplied with every tick."""
    return ALPHA if workload.name == "W1" else 1.0


def streamed(cell: Cell, loop: Loop) -> Streamed:
    return Streamed(loop, stream(cell.rate_hz, cell.ticks), 2312)


def network(
    cell: Cell, neurons: Callable[[float], Any], fire: Fire, reset: Callable[[], None], gain: float = 1.0
) -> Streamed:
    """The cell's network with `neurons(alpha)` as every layer of neurons; weights times `gain`."""
    torch.set_num_threads(1)
    workload = workload_of(cell)
    parts = [
        (neurons(alpha_of(workload)).eval(), True) if isinstance(node, n.LIF | n.IF) else (linear(node, gain), False)
        for node in workload.graph.nodes.values()
        if not isinstance(node, n.Input | n.Output)
    ]
    first = next(iter(workload.graph.nodes))
    shape = (1, *workload.graph.shapes[first])

    def step(counts: NDArray[np.float32]) -> list[Any]:
        with torch.inference_mode():
            x = torch.from_numpy(counts).view(shape)
            spikes: list[Any] = []
            for module, spiking in parts:
                if spiking:
                    x = fire(len(spikes), module, x)
                    spikes.append(x)
                else:
                    x = module(x)
            spikes[-1] = x.numpy()
            return spikes

    return streamed(cell, Loop(step, reset))


def linear(node: n.Node, gain: float) -> Any:
    """The module of a node without neurons. The biases of these networks are zero."""
    module: Any
    match node:
        case n.Linear() | n.Affine():
            module = torch.nn.Linear(node.weight.shape[1], node.weight.shape[0], bias=False)
        case n.Conv2d():
            c_out, c_in, *kernel = node.weight.shape
            around = {"stride": n.pair(node.stride), "padding": n.pair(node.padding)}
            module = torch.nn.Conv2d(c_in, c_out, tuple(kernel), bias=False, **around)
        case n.SumPool2d():
            return torch.nn.AvgPool2d(n.pair(node.kernel_size), n.pair(node.stride), divisor_override=1)
        case n.Flatten():
            return torch.nn.Flatten()
        case _:
            raise TypeError(f"no module for {node.kind}")
    module.weight.data = torch.from_numpy((node.weight * gain).astype(np.float32))
    return module.eval()
