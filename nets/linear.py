"""The linear nodes as plain numpy in float64: what compilation folds, and what a bias drives constantly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nets import nodes as n
from nets.errors import UnsupportedError
from nets.graph import Graph
from nets.shapes import convolution

Real = NDArray[np.float64]
LINEAR = (n.Linear, n.Affine, n.Scale, n.Conv1d, n.Conv2d, n.SumPool2d, n.AvgPool2d, n.Flatten, n.Output)
BIASED = (n.Affine, n.Conv1d, n.Conv2d)


def apply(graph: Graph, name: str, x: Real, *, bias: bool) -> Real:
    """One linear node on a batch (b, *shape)."""
    node = graph.nodes[name]
    out = (len(x), *graph.shapes[name])
    match node:
        case n.Linear():
            return np.asarray(x @ node.weight.T.astype(np.float64))
        case n.Affine():
            y = x @ node.weight.T.astype(np.float64)
            return np.asarray(y + node.bias if bias else y)
        case n.Scale():
            return np.asarray(x * node.scale.astype(np.float64))
        case n.Flatten() | n.Output():
            return x.reshape(out)
        case n.Conv1d():
            return _convolve(name, node, x[:, :, None, :], bias).reshape(out)
        case n.Conv2d():
            return _convolve(name, node, x, bias)
        case n.SumPool2d() | n.AvgPool2d():
            return _pool(node, x, out)
    raise UnsupportedError(f"{name}: {node.kind} is not run by this engine")


def constant_drive(graph: Graph, target: str) -> Real:
    """What the biases alone send into a node, flattened in NIR's order."""
    memo: dict[str, Real] = {}

    def value(name: str) -> Real:
        if not isinstance(graph.nodes[name], LINEAR):
            return np.zeros((1, *graph.shapes[name]))
        if name not in memo:
            memo[name] = apply(graph, name, total(name), bias=True)
        return memo[name]

    def total(name: str) -> Real:
        sources = [value(source) for source in graph.into(name)]
        return np.asarray(sum(sources[1:], sources[0]))

    return total(target).ravel()


def matrix(graph: Graph, path: Sequence[str], shape: tuple[int, ...]) -> Real:
    """A path of linear nodes as one matrix (source, target), without its biases."""
    size = int(np.prod(shape))
    rows = []
    for first in range(0, size, 256):
        x = np.zeros((min(256, size - first), size))
        x[np.arange(len(x)), first + np.arange(len(x))] = 1.0
        y = x.reshape(len(x), *shape)
        for name in path:
            y = apply(graph, name, y, bias=False)
        rows.append(y.reshape(len(x), -1))
    return np.concatenate(rows)


def _convolve(name: str, node: n.Conv1d | n.Conv2d, x: Real, bias: bool) -> Real:
    weight, (sy, sx), (top, bottom, left, right), (dy, dx) = convolution(name, node)
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    c_out, per_group, ky, kx = weight.shape
    height = (padded.shape[2] - dy * (ky - 1) - 1) // sy + 1
    width = (padded.shape[3] - dx * (kx - 1) - 1) // sx + 1
    y = np.zeros((len(x), c_out, height, width))
    each = c_out // node.groups
    for g in range(node.groups):
        part = padded[:, g * per_group : (g + 1) * per_group]
        for j in range(ky):
            for k in range(kx):
                window = part[:, :, j * dy : j * dy + sy * height : sy, k * dx : k * dx + sx * width : sx]
                taps = weight[g * each : (g + 1) * each, :, j, k].astype(np.float64)
                y[:, g * each : (g + 1) * each] += np.einsum("bchw,oc->bohw", window[:, :, :height, :width], taps)
    return y + np.broadcast_to(node.bias, (c_out,)).reshape(1, -1, 1, 1) if bias else y


def _pool(node: n.SumPool2d | n.AvgPool2d, x: Real, out: tuple[int, ...]) -> Real:
    (ky, kx), (sy, sx), (py, px) = n.pair(node.kernel_size), n.pair(node.stride), n.pair(node.padding)
    padded = np.pad(x, ((0, 0), (0, 0), (py, py), (px, px)))
    y = np.zeros(out)
    for j in range(ky):
        for k in range(kx):
            y += padded[:, :, j : j + sy * out[2] : sy, k : k + sx * out[3] : sx][:, :, : out[2], : out[3]]
    return y / (ky * kx) if isinstance(node, n.AvgPool2d) else y
