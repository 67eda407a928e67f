# mypy: disable-error-code="import-not-found"
"""Sinabs: LIFSqueeze without input scaling and IAFSqueeze, one spike a tick, reset to zero."""

from __future__ import annotations

import math
from typing import Any

import sinabs.activation as activation
import sinabs.layers as layers
import torch

from tests.comparison.speed.cell import Cell, Contestant
from tests.comparison.speed.modules import network

LIBRARIES = ("sinabs", "torch")


def contestant(cell: Cell) -> Contestant:
    made: list[Any] = []

    def neurons(alpha: float) -> Any:
        rules = {
            "spike_fn": activation.SingleSpike,
            "reset_fn": activation.MembraneReset(),
            "spike_threshold": torch.tensor(1.0),
            "batch_size": 1,
        }
        if alpha == 1.0:
            made.append(layers.IAFSqueeze(**rules))
        else:
            made.append(layers.LIFSqueeze(tau_mem=torch.tensor(-1 / math.log(alpha)), norm_input=False, **rules))
        return made[-1]

    def fire(layer: int, module: Any, x: Any) -> Any:
        return module(x)

    def reset() -> None:
        with torch.inference_mode():
            for module in made:
                module.reset_states()

    return network(cell, neurons, fire, reset)
