"""Writes a dense pass of a network as an ONNX model, and runs it in ONNX Runtime, one thread, all of its optimisations.

Input quantisers and surfaces pass on what they hold; every other unit is its activation.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from nets import nodes as n
from nets.convert.layers import Activation
from nets.graph import Graph
from nets.shapes import convolution
from nets.sigma_delta.node import SigmaDelta

OPSET, IR = 17, 10
"""Old enough for every ONNX Runtime of the last years."""


def session(graph: Graph, given: Sequence[str], inside: Sequence[str], wanted: Sequence[str]) -> Any:
    """An inference session that computes `wanted` from `given`, a batch of one."""
    runtime = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return runtime.InferenceSession(model(graph, given, inside, wanted), options, providers=["CPUExecutionProvider"])


def model(graph: Graph, given: Sequence[str], inside: Sequence[str], wanted: Sequence[str]) -> bytes:
    """The nodes `inside`, each behind its sources, between `given` and `wanted`."""
    onnx = importlib.import_module("onnx")
    make = importlib.import_module("onnx.helper")
    arrays = importlib.import_module("onnx.numpy_helper")
    nodes: list[Any] = []
    weights: list[Any] = []

    def put(name: str, values: Any) -> str:
        weights.append(arrays.from_array(np.asarray(values, np.float32), name))
        return name

    def add(kind: str, into: Sequence[str], name: str, **options: Any) -> None:
        nodes.append(make.make_node(kind, list(into), [name], **options))

    for name in inside:
        node, into = graph.nodes[name], list(graph.into(name))
        if len(into) > 1:
            add("Sum", into, f"{name}.sum")
            into = [f"{name}.sum"]
        match node:
            case n.Conv2d():
                kernel, strides, (top, bottom, left, right), dilations = convolution(name, node)
                bias = np.broadcast_to(node.bias, (len(kernel),))
                add(
                    "Conv", [*into, put(f"{name}.w", kernel), put(f"{name}.b", bias)], name, group=node.groups,
                    strides=list(strides), dilations=list(dilations), pads=[top, left, bottom, right],
                )  # fmt: skip
            case n.Affine():
                add("Gemm", [*into, put(f"{name}.w", node.weight), put(f"{name}.b", node.bias)], name, transB=1)
            case n.Linear():
                add("Gemm", [*into, put(f"{name}.w", node.weight)], name, transB=1)
            case n.Flatten():
                add("Flatten", into, name)
            case n.Output():
                add("Identity", into, name)
            case Activation() | SigmaDelta() if (node.slope == 0).all():
                add("Relu", into, name)
            case Activation() | SigmaDelta() if (node.slope == 1).all():
                add("Identity", into, name)
            case n.Scale() if (np.asarray(node.scale) == 1).all():
                add("Identity", into, name)
            case _:
                raise ValueError(f"{name}: {node.kind} has no dense pass here; expected ReLU layers and their products")

    def end(name: str) -> Any:
        return make.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, *graph.shapes[name]])

    made = make.make_graph(nodes, "network", [end(k) for k in given], [end(k) for k in wanted], weights)
    opset = [make.make_opsetid("", OPSET)]
    return bytes(make.make_model(made, opset_imports=opset, ir_version=IR).SerializeToString())
