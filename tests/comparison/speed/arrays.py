"""A workload as plain arrays in a file: connections, leak and events, for simulators built from connection lists.

Brian2 and GeNN take at most one event of an address in a tick, so these events are merged; tectum is measured on the
same merged events beside them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Layer:
    """Synapse k goes from neuron `pre[k]` of the layer before to `post[k]` of this one, in order of `pre`."""

    size: int
    pre: Array
    post: Array
    weight: Array


@dataclass(frozen=True, eq=False)
class Arrays:
    size: int
    """Addresses of the input."""
    ticks: int
    alpha: float
    """v <- alpha v + the weights of what fired; a spike where v > 1; v <- 0."""
    tick: Array
    index: Array
    layers: tuple[Layer, ...]


def merged(tick: Array, index: Array, size: int) -> tuple[Array, Array]:
    """(tick, index) of events in order, those of one address and tick as one."""
    key = np.unique(tick.astype(np.int64) * size + index)
    return key // size, (key % size).astype(np.int32)


def store(path: Path, arrays: Arrays) -> None:
    columns = {f"{name}{k}": getattr(layer, name) for k, layer in enumerate(arrays.layers) for name in COLUMNS}
    sizes = [arrays.size, *(layer.size for layer in arrays.layers)]
    np.savez(
        path, allow_pickle=False, sizes=np.array(sizes), ticks=np.array(arrays.ticks), alpha=np.array(arrays.alpha),
        tick=arrays.tick, index=arrays.index, **columns,
    )  # fmt: skip


def load(path: Path) -> Arrays:
    with np.load(path) as file:
        size, *sizes = file["sizes"].tolist()
        layers = [Layer(n, *(file[f"{name}{k}"] for name in COLUMNS)) for k, n in enumerate(sizes)]
        ticks, alpha = int(file["ticks"]), float(file["alpha"])
        return Arrays(size, ticks, alpha, file["tick"], file["index"], tuple(layers))


COLUMNS = ("pre", "post", "weight")
