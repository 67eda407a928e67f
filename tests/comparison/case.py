"""One comparison: a network as a simulator exported it, what it was fed, and what the simulator itself did with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
TICKS = 1000
DT_S = 1e-3


@dataclass(frozen=True)
class Case:
    simulator: str
    name: str
    dialect: Mapping[str, Any]
    """What a user would set; a bare preset wherever that is enough."""
    graph: Any
    """A nir.NIRGraph made by the simulator's own exporter."""
    x: Array
    """(ticks, *input shape): spikes a tick."""
    spikes: Sequence[Array]
    """(ticks, *layer shape) of each neuron layer, in order of computation."""
    states: Sequence[Sequence[Array]] = ()
    """Recurrent networks: per layer (v, or v and i), each (ticks, *layer shape), after each tick."""
    note: str = ""
    expected: float = 0.99
    """The least share of identical spikes; lower only for a deviation that `note` explains."""
    golden: bool = True
    """Kept in the repository: one network for each rule."""


def noise(shape: Sequence[int], probability: float, seed: int) -> Array:
    """One second of it: each address fires in a tick with this probability."""
    rng = np.random.default_rng(seed)
    return (rng.random((TICKS, *shape)) < probability).astype(np.float32)


class Recorder:
    """Collects what modules return in every call, by forward hooks."""

    def __init__(self, modules: Sequence[Any], state: Callable[[Any, Any], Sequence[Any]] | None = None) -> None:
        self._seen: list[list[Array]] = [[] for _ in modules]
        self._states: list[list[list[Array]]] = [[] for _ in modules]
        self._state = state
        for k, module in enumerate(modules):
            module.register_forward_hook(self._hook(k))

    def _hook(self, k: int) -> Callable[[Any, Any, Any], None]:
        def keep(module: Any, arguments: Any, output: Any) -> None:
            spikes = output[0] if isinstance(output, tuple) else output
            self._seen[k].append(_numpy(spikes))
            if self._state is not None:
                self._states[k].append([_numpy(value) for value in self._state(module, output)])

        return keep

    def spikes(self) -> list[Array]:
        """(ticks, *shape) a module, where each call was one tick of a batch of one."""
        return [np.stack(seen)[:, 0] for seen in self._seen]

    def states(self) -> list[list[Array]]:
        return [[np.stack(column)[:, 0] for column in zip(*rows, strict=True)] for rows in self._states]


def _numpy(tensor: Any) -> Array:
    return np.array(tensor.detach().to_dense().numpy())


def scale(net: Any, factor: float) -> None:
    """Weights large enough to make every layer fire."""
    for parameter in net.parameters():
        if parameter.ndim > 1:
            parameter.data *= factor
