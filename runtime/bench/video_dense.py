"""Dense passes of a ReLU network, frame by frame in one thread: ONNX Runtime, or plain numpy where it is absent."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nets import nodes as n
from nets.convert.dense import Dense
from nets.convert.layers import order
from nets.graph import Graph
from runtime.bench.dense_onnx import session
from runtime.bench.rivals import one_blas_thread

Pass = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True)
class Rival:
    """`run` takes one sample of the network's Input and gives the flat output, in NIR's order."""

    name: str
    run: Pass


def rival(network: Graph) -> Rival:
    """The dense pass that this machine has."""
    if all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime")):
        return Rival("ONNX Runtime, one thread", onnx_runtime(network))
    one_blas_thread()
    return Rival("numpy, one thread (ONNX Runtime is absent: pip install onnx onnxruntime)", plain(network))


def plain(network: Graph) -> Pass:
    """One product for each place of a kernel."""
    dense = Dense(network)
    (source,), (output,) = network.of_kind(n.Input), network.of_kind(n.Output)

    def run(x: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(dense.outputs({source: x[None]})[output][0].ravel(), np.float32)

    return run


def onnx_runtime(network: Graph) -> Pass:
    """All of its graph optimisations, one thread."""
    (source,), (output,) = network.of_kind(n.Input), network.of_kind(n.Output)
    made = session(network, [source], [name for name in order(network) if name != source], [output])

    def run(x: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(made.run(None, {source: x[None]})[0]).ravel()

    return run
