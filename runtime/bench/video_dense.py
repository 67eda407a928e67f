"""Dense passes of a ReLU network, frame by frame in one thread: ONNX Runtime, or plain numpy where it is absent."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets import nodes as n
from nets.convert.dense import Dense
from nets.convert.layers import Activation, order
from nets.graph import Graph
from nets.shapes import convolution
from runtime.bench.rivals import one_blas_thread

OPSET, IR = 17, 10
"""Old enough for every ONNX Runtime of the last years."""
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
    runtime = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = runtime.InferenceSession(model(network), options, providers=["CPUExecutionProvider"])
    (name,) = (given.name for given in session.get_inputs())

    def run(x: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(session.run(None, {name: x[None]})[0]).ravel()

    return run


def model(network: Graph) -> bytes:
    """A chain of convolutions, products and activations as an ONNX model of one sample."""
    onnx = importlib.import_module("onnx")
    make = importlib.import_module("onnx.helper")
    nodes: list[Any] = []
    weights: list[Any] = []

    def put(name: str, values: Any) -> str:
        weights.append(importlib.import_module("onnx.numpy_helper").from_array(np.asarray(values, np.float32), name))
        return name

    for name in order(network):
        node, into = network.nodes[name], list(network.into(name))
        match node:
            case n.Input():
                continue
            case n.Output():
                nodes.append(make.make_node("Identity", into, [name]))
            case n.Conv2d():
                kernel, strides, (top, bottom, left, right), dilations = convolution(name, node)
                bias = np.broadcast_to(node.bias, (len(kernel),))
                nodes.append(
                    make.make_node(
                        "Conv", [*into, put(f"{name}.w", kernel), put(f"{name}.b", bias)], [name], group=node.groups,
                        strides=list(strides), dilations=list(dilations), pads=[top, left, bottom, right],
                    )
                )  # fmt: skip
            case n.Affine():
                factors = [*into, put(f"{name}.w", node.weight), put(f"{name}.b", node.bias)]
                nodes.append(make.make_node("Gemm", factors, [name], transB=1))
            case n.Flatten():
                nodes.append(make.make_node("Flatten", into, [name]))
            case Activation() if node.is_relu:
                nodes.append(make.make_node("Relu", into, [name]))
            case Activation() | n.Scale() if _does_nothing(node):
                nodes.append(make.make_node("Identity", into, [name]))
            case _:
                raise ValueError(f"{name}: {node.kind} has no dense pass here; expected a chain of ReLU layers")
    (source,), (output,) = network.of_kind(n.Input), network.of_kind(n.Output)
    real = onnx.TensorProto.FLOAT
    ends = [make.make_tensor_value_info(name, real, [1, *network.shapes[name]]) for name in (source, output)]
    graph = make.make_graph(nodes, "network", ends[:1], ends[1:], weights)
    opset = [make.make_opsetid("", OPSET)]
    return bytes(make.make_model(graph, opset_imports=opset, ir_version=IR).SerializeToString())


def _does_nothing(node: Activation | n.Scale) -> bool:
    factor = node.slope if isinstance(node, Activation) else node.scale
    return bool((np.asarray(factor) == 1).all())
