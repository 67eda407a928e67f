# mypy: disable-error-code="import-not-found"
"""snnTorch: Leaky, reset to zero at once."""

from __future__ import annotations

from typing import Any

import snntorch

from tests.comparison.speed.cell import Cell, Contestant
from tests.comparison.speed.modules import network

LIBRARIES = ("snntorch", "torch")


def contestant(cell: Cell) -> Contestant:
    membranes: dict[int, Any] = {}

    def leaky(alpha: float) -> Any:
        return snntorch.Leaky(beta=alpha, threshold=1.0, reset_mechanism="zero", reset_delay=False)

    def fire(layer: int, module: Any, x: Any) -> Any:
        if layer not in membranes:
            membranes[layer] = module.reset_mem()
        spikes, membranes[layer] = module(x, membranes[layer])
        return spikes

    return network(cell, leaky, fire, membranes.clear)
