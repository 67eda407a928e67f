"""Clock-driven loops that the engine is measured against: dense numpy, and PyTorch written by hand where it is there.

    dense    every layer is a product with all its weights, every tick
    gather   fully connected layers: the sum of the weight rows of those that fired

Each runs one tick a call on the counts of the tick's events, keeps its state, and returns every layer's spikes.
"""

from __future__ import annotations

import ctypes
import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets import nodes as n
from runtime.bench.workload import INPUT, TAU_S, TICK_NS, Workload

ALPHA = math.exp(-TICK_NS * 1e-9 / TAU_S)
BLAS_SYMBOLS = ("scipy_openblas_set_num_threads64_", "openblas_set_num_threads64_", "openblas_set_num_threads")


@dataclass(frozen=True)
class Loop:
    step: Callable[[NDArray[np.float32]], list[Any]]
    """Takes the events of one tick as counts over the input, returns the spikes of each layer, the output's last."""
    reset: Callable[[], None]
    """Back to rest."""


def one_blas_thread() -> bool:
    """Hold numpy's products to the calling thread; whether a library was found to hold."""
    held = False
    for file in {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "blas" in line}:
        library = ctypes.CDLL(file)
        for name in BLAS_SYMBOLS:
            if hasattr(library, name):
                getattr(library, name)(ctypes.c_int(1))
                held = True
    return held


def numpy_dense(workload: Workload) -> Loop:
    """Products in numpy; a convolution as one product of its kernel with the unfolded plane."""
    alpha = np.float32(_alpha(workload))
    steps = [
        _numpy_node(node, workload.graph.shapes[name])
        for name, node in workload.graph.nodes.items()
        if not isinstance(node, n.Input | n.Output)
    ]
    potentials = [value for value, fires in steps if fires]
    shape = workload.graph.shapes[next(iter(workload.graph.nodes))]

    def step(counts: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        x = counts.reshape(shape)
        spikes = []
        for value, fires in steps:
            if fires:
                if alpha != 1:
                    value *= alpha
                value += x
                fired = value > 1
                value[fired] = 0
                x = fired.astype(np.float32)
                spikes.append(x)
            else:
                x = value(x)
        return spikes

    def reset() -> None:
        for v in potentials:
            v[:] = 0

    return Loop(step, reset)


def torch_loops(workload: Workload) -> dict[str, Loop]:
    """By name; none where PyTorch is not installed. One thread."""
    try:
        torch: Any = importlib.import_module("torch")
    except ImportError:
        return {}
    torch.set_num_threads(1)
    if workload.name == "W1":
        return {"torch dense": _dense(torch, workload), "torch gather": _gather(torch, workload)}
    return {"torch dense": _convolutional(torch, workload)}


def _alpha(workload: Workload) -> float:
    return ALPHA if workload.name == "W1" else 1.0


def _numpy_node(node: n.Node, shape: tuple[int, ...]) -> tuple[Any, bool]:
    """(the potential of a layer of neurons, True), or (what a linear node does, False)."""
    match node:
        case n.LIF() | n.IF():
            return np.zeros(shape, np.float32), True
        case n.Linear() | n.Affine():
            weight = np.ascontiguousarray(node.weight, np.float32)
            return (lambda x: weight @ x), False
        case n.Conv2d():
            return _numpy_convolution(node, shape), False
        case n.SumPool2d():
            k, _ = n.pair(node.kernel_size)
            c, height, width = shape
            return (lambda x: x[:, : height * k, : width * k].reshape(c, height, k, width, k).sum((2, 4))), False
        case n.Flatten():
            return np.ravel, False
    raise TypeError(f"no numpy twin of {node.kind}")


def _numpy_convolution(node: n.Conv2d, shape: tuple[int, ...]) -> Callable[[Any], Any]:
    (sy, sx), (py, px) = n.pair(node.stride), n.pair(node.padding)
    c_out, _, ky, kx = node.weight.shape
    kernel = np.ascontiguousarray(node.weight.reshape(c_out, -1), np.float32)
    _, height, width = shape

    def convolve(x: NDArray[np.float32]) -> NDArray[np.float32]:
        padded = np.pad(x, ((0, 0), (py, py), (px, px)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (ky, kx), axis=(1, 2))[:, ::sy, ::sx]
        unfolded = windows[:, :height, :width].transpose(0, 3, 4, 1, 2).reshape(kernel.shape[1], -1)
        return np.asarray(kernel @ unfolded).reshape(shape)

    return convolve


def _dense(torch: Any, workload: Workload) -> Loop:
    weights = [torch.from_numpy(w) for w in workload.weights]
    state = [torch.zeros(1, len(w)) for w in weights]

    def step(counts: NDArray[np.float32]) -> list[Any]:
        with torch.inference_mode():
            z = torch.from_numpy(counts)[None]
            spikes = []
            for k, w in enumerate(weights):
                v = state[k] * ALPHA + torch.nn.functional.linear(z, w)
                z = (v > 1.0).to(v.dtype)
                state[k] = v * (1 - z)
                spikes.append(z)
            return [*spikes[:-1], z.numpy()]

    return Loop(step, lambda: _zero(state))


def _gather(torch: Any, workload: Workload) -> Loop:
    rows = [torch.from_numpy(w).t().contiguous() for w in workload.weights]
    state = [torch.zeros(len(w)) for w in workload.weights]

    def step(counts: NDArray[np.float32]) -> list[Any]:
        with torch.inference_mode():
            z = torch.from_numpy(counts)
            spikes = []
            for k, w in enumerate(rows):
                at = z.nonzero().flatten()
                v = state[k].mul_(ALPHA)
                if at.numel():
                    found = w.index_select(0, at)
                    v += z[at] @ found if k == 0 else found.sum(0)
                z = (v > 1.0).float()
                v.mul_(1 - z)
                spikes.append(z)
            return [*spikes[:-1], z.numpy()]

    return Loop(step, lambda: _zero(state))


def _convolutional(torch: Any, workload: Workload) -> Loop:
    F = torch.nn.functional
    steps: list[tuple[str, Any, Any]] = []
    state: list[Any] = []
    for name, node in workload.graph.nodes.items():
        match node:
            case n.Conv2d():
                around = (n.pair(node.stride), n.pair(node.padding))
                steps.append(("convolve", torch.from_numpy(node.weight.astype(np.float32)), around))
            case n.Affine() | n.Linear():
                steps.append(("multiply", torch.from_numpy(node.weight.astype(np.float32)), None))
            case n.SumPool2d():
                steps.append(("pool", n.pair(node.kernel_size)[0], None))
            case n.Flatten():
                steps.append(("flatten", None, None))
            case n.IF():
                steps.append(("fire", len(state), None))
                state.append(torch.zeros(1, *workload.graph.shapes[name]))

    def step(counts: NDArray[np.float32]) -> list[Any]:
        with torch.inference_mode():
            x = torch.from_numpy(counts).view(1, *INPUT)
            spikes = []
            for what, value, more in steps:
                if what == "convolve":
                    x = F.conv2d(x, value, stride=more[0], padding=more[1])
                elif what == "multiply":
                    x = F.linear(x, value)
                elif what == "pool":
                    x = F.avg_pool2d(x, value) * (value * value)
                elif what == "flatten":
                    x = x.flatten(1)
                else:
                    v = state[value] + x
                    x = (v > 1.0).to(v.dtype)
                    state[value] = v * (1 - x)
                    spikes.append(x)
            return [*spikes[:-1], x.numpy()]

    return Loop(step, lambda: _zero(state))


def _zero(state: list[Any]) -> None:
    for k, v in enumerate(state):
        state[k] = v * 0
