# mypy: disable-error-code="import-not-found"
"""SpikingJelly: LIFNode without input decay and IFNode, single-step, its PyTorch back end."""

from __future__ import annotations

from typing import Any

from spikingjelly.activation_based import neuron

from tests.comparison.speed.cell import Cell, Contestant
from tests.comparison.speed.modules import network

LIBRARIES = ("spikingjelly", "torch")


def contestant(cell: Cell) -> Contestant:
    made: list[Any] = []

    def neurons(alpha: float) -> Any:
        rules = {"v_threshold": 1.0, "v_reset": 0.0, "step_mode": "s"}
        if alpha == 1.0:
            made.append(neuron.IFNode(**rules))
        else:
            made.append(neuron.LIFNode(tau=1 / (1 - alpha), decay_input=False, **rules))
        return made[-1]

    def fire(layer: int, module: Any, x: Any) -> Any:
        return module(x)

    def reset() -> None:
        for module in made:
            module.reset()

    return network(cell, neurons, fire, reset)
