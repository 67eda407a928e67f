"""A forward pass of a whole batch in plain numpy: the trained network, or the rounding network that stands for it.

With levels for an activation its output is rounded to whole quanta, rint(levels y) / levels, which is what a
sigma-delta network settles to whatever the history of its input.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets import nodes as n
from nets.convert.errors import ConvertError
from nets.convert.layers import Activation, order
from nets.graph import Graph
from nets.shapes import convolution
from nets.sigma_delta.node import SigmaDelta

Batch = NDArray[Any]
Samples = Mapping[str, Batch]
"""For each Input (count, *shape), the same count for all."""
CHUNK = 1 << 23
"""So many numbers of a network's values are held at once."""


class Dense:
    """One network; `dtype` is the arithmetic's."""

    def __init__(self, graph: Graph, dtype: Any = np.float32) -> None:
        self.graph = graph
        self.dtype = np.dtype(dtype)
        self._order = order(graph)
        self._last = {source: name for name in self._order for source in graph.into(name)}

    def values(
        self, samples: Samples, levels: Mapping[str, Any] | None = None
    ) -> Iterator[tuple[str, Batch | None, Batch]]:
        """(node, what came in, what goes out) of every node in turn; what came in is None for an Input."""
        held: dict[str, Batch] = {}
        for name in self._order:
            node = self.graph.nodes[name]
            if isinstance(node, n.Input):
                held[name] = np.asarray(samples[name], self.dtype)
                yield name, None, held[name]
                continue
            into = self.graph.into(name)
            given = self.graph.shapes[into[0]]
            x = held[into[0]]
            for other in into[1:]:
                x = x + held[other].reshape(len(x), *given)
            held[name] = self._through(name, node, x, levels)
            yield name, x, held[name]
            for source in into:
                if self._last[source] == name:
                    del held[source]

    def outputs(self, samples: Samples, levels: Mapping[str, Any] | None = None) -> dict[str, Batch]:
        """What every Output gives, chunk by chunk."""
        found: dict[str, list[Batch]] = {name: [] for name in self.graph.of_kind(n.Output)}
        for chunk in self.chunks(samples):
            for name, _, y in self.values(chunk, levels):
                if name in found:
                    found[name].append(y)
        return {name: np.concatenate(parts) for name, parts in found.items()}

    def chunks(self, samples: Samples) -> Iterator[dict[str, Batch]]:
        """The samples in parts small enough to hold every value of."""
        count = checked(self.graph, samples)
        largest = sorted((math.prod(shape) for shape in self.graph.shapes.values()), reverse=True)
        step = max(1, CHUNK // sum(largest[:4]))
        for first in range(0, count, step):
            yield {name: values[first : first + step] for name, values in samples.items()}

    def _through(self, name: str, node: n.Node, x: Batch, levels: Mapping[str, Any] | None) -> Batch:
        out = (len(x), *self.graph.shapes[name])
        match node:
            case n.Linear():
                return np.asarray(x @ self._real(node.weight).T)
            case n.Affine():
                return np.asarray(x @ self._real(node.weight).T + self._real(node.bias))
            case n.Scale():
                return np.asarray(x * self._real(node.scale))
            case n.Flatten() | n.Output():
                return x.reshape(out)
            case n.Conv1d():
                return self._convolve(name, node, x[:, :, None, :]).reshape(out)
            case n.Conv2d():
                return self._convolve(name, node, x)
            case n.AvgPool2d() | n.SumPool2d():
                return self._pool(node, x, out)
            case Activation() | SigmaDelta():
                slope = self._real(node.slope)
                y = np.maximum(x, 0)
                if slope.any():
                    y += slope * np.minimum(x, 0)
                if levels is not None and name in levels:
                    k = self._real(np.asarray(levels[name]))
                    return np.asarray(np.rint(y * k) / k)
                return np.asarray(y)
        raise ConvertError(f"{name}: {node.kind} does not belong in a feed-forward ReLU network")

    def _real(self, values: Any) -> Batch:
        return np.asarray(values, self.dtype)

    def _convolve(self, name: str, node: n.Conv1d | n.Conv2d, x: Batch) -> Batch:
        weight, (sy, sx), (top, bottom, left, right), (dy, dx) = convolution(name, node)
        c_out, each, ky, kx = weight.shape
        groups, count = node.groups, len(x)
        padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
        height = (padded.shape[2] - dy * (ky - 1) - 1) // sy + 1
        width = (padded.shape[3] - dx * (kx - 1) - 1) // sx + 1
        taps = self._real(weight).reshape(groups, c_out // groups, each, ky, kx)
        y = np.zeros((count, groups, c_out // groups, height * width), self.dtype)
        for j in range(ky):
            for k in range(kx):
                window = padded[:, :, j * dy : j * dy + sy * (height - 1) + 1 : sy]
                window = window[:, :, :, k * dx : k * dx + sx * (width - 1) + 1 : sx]
                window = window.reshape(count, groups, each, height * width)
                tap = taps[:, :, :, j, k]
                y += window * tap if each == 1 == tap.shape[1] else np.matmul(tap, window)
        bias = np.broadcast_to(self._real(node.bias), (c_out,)).reshape(1, c_out, 1, 1)
        return np.asarray(y.reshape(count, c_out, height, width) + bias)

    def _pool(self, node: n.AvgPool2d | n.SumPool2d, x: Batch, out: tuple[int, ...]) -> Batch:
        (ky, kx), (sy, sx), (py, px) = n.pair(node.kernel_size), n.pair(node.stride), n.pair(node.padding)
        padded = np.pad(x, ((0, 0), (0, 0), (py, py), (px, px)))
        y = np.zeros(out, self.dtype)
        for j in range(ky):
            for k in range(kx):
                y += padded[:, :, j : j + sy * (out[2] - 1) + 1 : sy, k : k + sx * (out[3] - 1) + 1 : sx]
        return y / self.dtype.type(ky * kx) if isinstance(node, n.AvgPool2d) else y


def checked(graph: Graph, samples: Samples) -> int:
    """How many samples there are; refused where they do not fit the network's Inputs."""
    inputs = graph.of_kind(n.Input)
    if missing := [name for name in inputs if name not in samples]:
        raise ConvertError(f"there are no samples for the Input {missing[0]!r}; there are some for {sorted(samples)}")
    counts = set()
    for name in inputs:
        values = samples[name]
        if values.shape[1:] != graph.shapes[name] or not len(values):
            raise ConvertError(
                f"samples of {name}: shape {values.shape}, expected (count, {', '.join(map(str, graph.shapes[name]))})"
            )
        if not np.isfinite(values).all():
            raise ConvertError(
                f"samples of {name}: sample {int(np.argwhere(~np.isfinite(values))[0, 0])} is not finite"
            )
        counts.add(len(values))
    if len(counts) > 1:
        raise ConvertError(f"the Inputs have {sorted(counts)} samples, expected as many each")
    return counts.pop()


def relative_error(found: Mapping[str, Batch], true: Mapping[str, Batch]) -> float:
    """The root mean square of the difference over that of the truth, of the Output where it is largest."""
    worst = 0.0
    for name, y in true.items():
        power = float(np.square(y, dtype=np.float64).sum())
        wrong = float(np.square(np.subtract(found[name], y, dtype=np.float64)).sum())
        worst = max(worst, math.sqrt(wrong / power) if power > 0 else math.inf if wrong > 0 else 0.0)
    return worst
