# mypy: disable-error-code="import-not-found"
"""Norse: LIFBoxCell, whose Euler step of dt / tau = 1 - alpha leaks as exactly as an exponential, and IAFCell."""

from __future__ import annotations

from typing import Any

import norse.torch as norse
import torch

from runtime.bench.rivals import ALPHA
from tests.comparison.speed.cell import Cell, Contestant
from tests.comparison.speed.modules import network

LIBRARIES = ("norse", "torch")
DT_S = 1e-3


def contestant(cell: Cell) -> Contestant:
    states: dict[int, Any] = {}

    def neurons(alpha: float) -> Any:
        threshold = torch.tensor(1.0)
        if alpha == 1.0:
            return norse.IAFCell(norse.IAFParameters(v_th=threshold), dt=DT_S)
        rate = torch.tensor((1 - alpha) / DT_S)
        return norse.LIFBoxCell(norse.LIFBoxParameters(tau_mem_inv=rate, v_th=threshold), dt=DT_S)

    def fire(layer: int, module: Any, x: Any) -> Any:
        spikes, states[layer] = module(x, states.get(layer))
        return spikes

    # its leaky cell multiplies the drive with dt / tau
    gain = 1 / (1 - ALPHA) if cell.workload == "W1" else 1.0
    return network(cell, neurons, fire, states.clear, gain)
