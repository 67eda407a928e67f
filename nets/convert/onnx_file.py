"""Reads an ONNX model into a ReLU network: feed-forward, one sample at a time, every shape known.

What depends on constants alone is worked out first. Batch normalisation is folded into the products before it, where
nothing else reads them. What has no counterpart is refused with the node named.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nets import nodes as n
from nets.convert.errors import ConvertError, library
from nets.convert.layers import feed_forward
from nets.convert.onnx_nodes import HANDLERS, REFUSED, Node
from nets.convert.parts import Growing, Part, Value
from nets.errors import NetsError
from nets.graph import Graph


def read_onnx(path: Path | str) -> Graph:
    """The network in an .onnx file, or `ConvertError` naming the node that has no counterpart."""
    onnx = library("onnx", f"reading {Path(path).name}")
    try:
        model = onnx.load(os.fspath(path))
        onnx.checker.check_model(model)
    except FileNotFoundError:
        raise ConvertError(f"{path}: there is no such file") from None
    except (OSError, ValueError, RuntimeError, onnx.checker.ValidationError, _decode_error()) as error:
        raise ConvertError(f"{path}: not a readable ONNX model: {str(error).splitlines()[0]}") from error
    try:
        return from_onnx(model)
    except NetsError as error:
        raise ConvertError(f"{path}: {error}") from error
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, MemoryError) as error:
        raise ConvertError(f"{path}: not a readable ONNX model: {type(error).__name__}: {error}") from error


def from_onnx(model: Any) -> Graph:
    """The network of an onnx.ModelProto."""
    onnx = library("onnx", "reading an ONNX model")
    graph = model.graph
    grow = Growing()
    constants: dict[str, Any] = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    uses = Counter(tensor for node in graph.node for tensor in node.input)
    uses.update(tensor.name for tensor in graph.output)
    values: dict[str, Value] = {}
    for tensor in graph.input:
        if tensor.name not in constants:
            shape = _static(tensor)
            name = grow.put(tensor.name, n.Input(shape))
            values[tensor.name] = Value((Part((name,), shape),), sole=False)
    for k, proto in enumerate(graph.node):
        node = Node(proto, k, {a.name: _plain(onnx.helper.get_attribute_value(a)) for a in proto.attribute})
        given: list[Any] = []
        for tensor in proto.input:
            if tensor in values:
                value = values[tensor]
                given.append(Value(value.parts, value.sole and uses[tensor] == 1))
            elif tensor in constants:
                given.append(constants[tensor])
            elif tensor == "":
                given.append(None)
            else:
                raise ConvertError(f"{node}: reads {tensor!r}, which nothing before it gives")
        if proto.op_type == "Shape" and isinstance(given[0], Value):
            shape_of = np.array((1, *given[0].shape), np.int64)
            constants[proto.output[0]] = shape_of[node.attributes.get("start", 0) : node.attributes.get("end")]
        elif not any(isinstance(value, Value) for value in given):
            constants |= _worked_out(onnx, model, proto, given, node)
        else:
            values[proto.output[0]] = _read(grow, node, given)
    for tensor in graph.output:
        if tensor.name not in values:
            raise ConvertError(f"output {tensor.name!r} is a constant, expected it to depend on an input")
        _put_output(grow, tensor.name, values[tensor.name])
    return feed_forward(grow.graph())


def _decode_error() -> type[Exception]:
    """What the decoder of protocol buffers raises."""
    found: type[Exception] = library("google.protobuf.message", "reading ONNX").DecodeError
    return found


def _read(grow: Growing, node: Node, given: Sequence[Any]) -> Value:
    handler = HANDLERS.get(node.kind)
    if handler is None:
        reason = REFUSED.get(node.kind, "has no counterpart in a sigma-delta or rate-coded network")
        raise ConvertError(f"{node}: {node.kind} {reason}")
    return handler(grow, node, *given)


def _put_output(grow: Growing, name: str, value: Value) -> None:
    joined = grow.joined(name, value)
    sources: Sequence[str] = joined.parts[0].sources
    if len(sources) > 1:  # an Output takes one unit's events: the sum gets a unit of its own
        sources = [grow.put(f"{name}_sum", n.Scale(np.float32(1)), sources)]
    grow.put(name, n.Output(joined.shape), sources)


def _static(tensor: Any) -> tuple[int, ...]:
    """The shape without its batch."""
    dims = [d.dim_value if d.HasField("dim_value") else (d.dim_param or "?") for d in tensor.type.tensor_type.shape.dim]
    if not 2 <= len(dims) <= 4:
        raise ConvertError(
            f"input {tensor.name!r} has shape {dims}, expected a batch of (n,), (channels, length) or "
            "(channels, height, width)"
        )
    batch, *shape = dims
    if any(isinstance(d, str) or d < 1 for d in shape) or (not isinstance(batch, str) and batch not in (0, 1)):
        raise ConvertError(
            f"input {tensor.name!r} has shape {dims}, expected a batch of 1 and known sizes: export it so"
        )
    return tuple(int(d) for d in shape)


def _plain(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def _worked_out(onnx: Any, model: Any, proto: Any, given: Sequence[Any], node: Node) -> dict[str, Any]:
    """The outputs of a node that reads constants alone."""
    named = {tensor: value for tensor, value in zip(proto.input, given, strict=True) if value is not None}
    make = onnx.helper
    inputs = [
        make.make_tensor_value_info(tensor, make.np_dtype_to_tensor_dtype(value.dtype), None)
        for tensor, value in named.items()
    ]
    outputs = [onnx.ValueInfoProto(name=tensor) for tensor in proto.output if tensor]
    alone = make.make_graph([proto], "constant", inputs, outputs)
    wrapped = make.make_model(alone, opset_imports=list(model.opset_import), ir_version=model.ir_version)
    evaluator = library("onnx.reference", "reading an ONNX model").ReferenceEvaluator
    try:
        results = evaluator(wrapped).run(None, named)
    except Exception as error:  # each operator raises its own kind
        raise ConvertError(f"{node}: cannot be worked out from its constants: {error}") from error
    return {name.name: np.asarray(result) for name, result in zip(outputs, results, strict=True)}
