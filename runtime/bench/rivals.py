"""Clock-driven loops that the engine is measured against: dense numpy, and PyTorch written by hand where it is there.

    dense    every layer is a product with all its weights, every tick
    gather   fully connected layers: the sum of the weight rows of those that fired

Each runs one tick a call on the counts of the tick's events, keeps its state, and returns the output's spikes.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets import nodes as n
from nets.linear import matrix
from nets.units import wire
from runtime.bench.workload import INPUT, TAU_S, TICK_NS, Workload

Step = Callable[[NDArray[np.float32]], Any]
"""Takes the events of one tick as counts over the input, returns the spikes of the output."""
ALPHA = math.exp(-TICK_NS * 1e-9 / TAU_S)


def numpy_dense(workload: Workload) -> Step:
    """Products in numpy; a convolution as one product with its unfolded matrix."""
    layers = [np.ascontiguousarray(m) for m in _matrices(workload)]
    alpha = np.float32(_alpha(workload))
    state = [np.zeros(len(m), np.float32) for m in layers]

    def step(counts: NDArray[np.float32]) -> NDArray[np.float32]:
        s = counts
        for v, m in zip(state, layers, strict=True):
            v *= alpha
            v += m @ s
            fired = v > 1
            v[fired] = 0
            s = fired.astype(np.float32)
        return s

    return step


def torch_loops(workload: Workload) -> dict[str, Step]:
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


def _dense(torch: Any, workload: Workload) -> Step:
    weights = [torch.from_numpy(w) for w in workload.weights]
    state = [torch.zeros(1, len(w)) for w in weights]

    def step(counts: NDArray[np.float32]) -> Any:
        with torch.inference_mode():
            z = torch.from_numpy(counts)[None]
            for k, w in enumerate(weights):
                v = state[k] * ALPHA + torch.nn.functional.linear(z, w)
                z = (v > 1.0).to(v.dtype)
                state[k] = v * (1 - z)
            return z.numpy()

    return step


def _gather(torch: Any, workload: Workload) -> Step:
    rows = [torch.from_numpy(w).t().contiguous() for w in workload.weights]
    state = [torch.zeros(len(w)) for w in workload.weights]

    def step(counts: NDArray[np.float32]) -> Any:
        with torch.inference_mode():
            z = torch.from_numpy(counts)
            for k, w in enumerate(rows):
                at = z.nonzero().flatten()
                v = state[k].mul_(ALPHA)
                if at.numel():
                    found = w.index_select(0, at)
                    v += z[at] @ found if k == 0 else found.sum(0)
                z = (v > 1.0).float()
                v.mul_(1 - z)
            return z.numpy()

    return step


def _convolutional(torch: Any, workload: Workload) -> Step:
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

    def step(counts: NDArray[np.float32]) -> Any:
        with torch.inference_mode():
            x = torch.from_numpy(counts).view(1, *INPUT)
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
            return x.numpy()

    return step


def _matrices(workload: Workload) -> list[NDArray[np.float32]]:
    """One matrix (target, source) a layer of neurons."""
    graph = workload.graph
    wiring = wire(graph)
    return [
        matrix(graph, path.nodes, graph.shapes[path.source]).T.astype(np.float32)
        for unit in wiring.units
        for path in wiring.paths
        if path.target == unit
    ]
