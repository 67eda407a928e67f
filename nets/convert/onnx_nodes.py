"""What each ONNX operator becomes: one function each, from values to a value."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nets import nodes as n
from nets.convert.errors import ConvertError
from nets.convert.parts import Array, Growing, Part, Value
from nets.convert.windows import even, whole, window


class Node:
    """An ONNX node with its attributes; as text, its name and operator."""

    def __init__(self, proto: Any, place: int, attributes: dict[str, Any]) -> None:
        self.kind: str = proto.op_type
        self.name: str = proto.name or f"{proto.op_type.lower()}_{place}"
        self.attributes = attributes

    def __str__(self) -> str:
        return f"{self.name} ({self.kind})"


REFUSED = {
    "MaxPool": "is refused: the largest of changing values needs all of them kept; train with AveragePool or a stride",
    "GlobalMaxPool": "is refused: the largest of changing values needs all of them kept; train with GlobalAveragePool",
    "Softmax": "is refused: export the network without it (the largest output stays the largest)",
    "LogSoftmax": "is refused: export the network without it (the largest output stays the largest)",
    "Sigmoid": "is no ReLU: train with Relu, or leave it to whatever reads the output",
    "Tanh": "is no ReLU: train with Relu, or leave it to whatever reads the output",
    "Transpose": "is refused: export the model with channels first (N, C, H, W)",
    "ConvTranspose": "has no counterpart in NIR, whose convolutions never enlarge",
    "Resize": "has no counterpart in NIR, which never enlarges an image",
    "Upsample": "has no counterpart in NIR, which never enlarges an image",
    "LSTM": "is recurrent; expected a feed-forward network",
    "GRU": "is recurrent; expected a feed-forward network",
    "RNN": "is recurrent; expected a feed-forward network",
}


def gemm(grow: Growing, node: Node, x: Any, weight: Any, bias: Any = None) -> Value:
    x = _value(node, "A", x)
    weight = _constant(node, "B", weight, 2)
    if node.attributes.get("transA", 0):
        raise ConvertError(f"{node}: transA is 1, expected 0")
    weight = weight if node.attributes.get("transB", 0) else weight.T
    weight = weight * np.float32(node.attributes.get("alpha", 1.0))
    shift = None
    if bias is not None:
        beta = np.float32(node.attributes.get("beta", 1.0))
        shift = _per_channel(node, "C", _constant(node, "C", bias), (len(weight),)) * beta
    return _product(grow, node, x, weight, shift)


def matmul(grow: Growing, node: Node, x: Any, weight: Any) -> Value:
    return _product(grow, node, _value(node, "A", x), _constant(node, "B", weight, 2).T, None)


def _product(grow: Growing, node: Node, x: Value, weight: Array, bias: Array | None) -> Value:
    if x.shape != (weight.shape[1],):
        raise ConvertError(f"{node}: reads {x.shape}, its weight takes ({weight.shape[1]},)")
    return grow.product(node.name, x, np.ascontiguousarray(weight, np.float32), bias)


def conv(grow: Growing, node: Node, x: Any, weight: Any, bias: Any = None) -> Value:
    x, weight = _value(node, "X", x), _constant(node, "W", weight)
    groups = int(node.attributes.get("group", 1))
    if weight.ndim != 1 + len(x.shape) or weight.ndim not in (3, 4):
        raise ConvertError(f"{node}: weight {weight.shape} on {x.shape}, expected one or two axes behind the channels")
    if x.shape[0] != weight.shape[1] * groups or len(weight) % groups:
        raise ConvertError(f"{node}: weight {weight.shape}, group {groups}, on {x.shape[0]} channels")
    shift = np.zeros(len(weight), np.float32) if bias is None else _constant(node, "B", bias, 1)
    w = window(str(node), node.attributes, weight.shape[2:], x.shape[1:])
    weight, padding = even(str(node), w, weight)

    def make(shape: tuple[int, ...], part: Array, b: Array, g: int) -> tuple[n.Node, tuple[int, ...]]:
        out = (len(part), *w.out(shape[1:]))
        if len(shape) == 2:
            return n.Conv1d(shape[1], part, w.stride[0], padding[0], w.dilation[0], g, b), out
        return n.Conv2d(shape[1:], part, w.stride, padding, w.dilation, g, b), out

    return grow.convolution(node.name, x, make, weight, shift, groups)


def batch_normalization(grow: Growing, node: Node, x: Any, scale: Any, shift: Any, mean: Any, variance: Any) -> Value:
    x = _value(node, "X", x)
    if node.attributes.get("training_mode", 0):
        raise ConvertError(f"{node}: training_mode is 1: export the model for inference")
    a, b, m, v = (
        _constant(node, what, given, 1).astype(np.float64)
        for what, given in (("scale", scale), ("B", shift), ("mean", mean), ("var", variance))
    )
    spread = v + node.attributes.get("epsilon", 1e-5)
    if not (spread > 0).all():
        raise ConvertError(f"{node}: var is {v.min()}, expected above 0")
    a = a / np.sqrt(spread)
    return grow.affine(node.name, x, a, b - a * m)


def average_pool(grow: Growing, node: Node, x: Any) -> Value:
    x = _value(node, "X", x)
    if "kernel_shape" not in node.attributes:
        raise ConvertError(f"{node}: without kernel_shape")
    w = window(str(node), node.attributes, node.attributes["kernel_shape"], x.shape[1:])
    whole(str(node), node.attributes, w, x.shape[1:])
    padded = any(a or b for a, b in w.pads)
    if max(w.dilation) > 1 or any(a != b for a, b in w.pads):
        raise ConvertError(f"{node}: dilations {w.dilation}, pads {w.pads}: expected none, and alike on both sides")
    if len(x.shape) == 2:
        if padded and not node.attributes.get("count_include_pad", 0):
            raise ConvertError(f"{node}: pads {w.pads} not counted in the mean, on one axis: expected no pads")
        return _mean_1d(grow, node, x, w.kernel[0], w.stride[0], w.pads[0][0])
    pads = tuple(a for a, _ in w.pads)
    counted = node.attributes.get("count_include_pad", 0) or not padded
    pool = n.AvgPool2d(w.kernel, w.stride, pads) if counted else n.SumPool2d(w.kernel, w.stride, pads)
    names = grow.each(node.name, pool, x)
    out = w.out(x.shape[1:])
    if not counted:
        share = (1 / np.outer(*(_covered(s, o, k, t, p) for s, o, k, t, p in zip(
            x.shape[1:], out, w.kernel, w.stride, pads, strict=True)))).astype(np.float32)  # fmt: skip
        names = [
            grow.put(f"{node.name}_mean", n.Scale(np.broadcast_to(share, (part.shape[0], *out))), [name])
            for name, part in zip(names, x.parts, strict=True)
        ]
    return Value(tuple(Part((name,), (p.shape[0], *out)) for name, p in zip(names, x.parts, strict=True)))


def global_average_pool(grow: Growing, node: Node, x: Any) -> Value:
    x = _value(node, "X", x)
    if len(x.shape) == 2:
        return _mean_1d(grow, node, x, x.shape[1], 1, 0)
    names = grow.each(node.name, n.AvgPool2d(x.shape[1:], x.shape[1:], (0, 0)), x)
    return Value(tuple(Part((name,), (p.shape[0], 1, 1)) for name, p in zip(names, x.parts, strict=True)))


def _mean_1d(grow: Growing, node: Node, x: Value, kernel: int, stride: int, padding: int) -> Value:
    channels = x.shape[0]
    weight = np.full((channels, 1, kernel), 1 / kernel, np.float32)

    def make(shape: tuple[int, ...], part: Array, b: Array, g: int) -> tuple[n.Node, tuple[int, ...]]:
        out = (shape[1] + 2 * padding - kernel) // stride + 1
        return n.Conv1d(shape[1], part, stride, padding, 1, g, b), (shape[0], out)

    return grow.convolution(node.name, x, make, weight, np.zeros(channels, np.float32), channels)


def _covered(size: int, out: int, kernel: int, stride: int, padding: int) -> Array:
    """How many places of the input each window covers along one axis."""
    first = np.arange(out) * stride - padding
    return np.minimum(first + kernel, size) - np.maximum(first, 0)


def relu(grow: Growing, node: Node, x: Any) -> Value:
    return grow.activation(node.name, _value(node, "X", x), np.zeros(1, np.float32))


def leaky_relu(grow: Growing, node: Node, x: Any) -> Value:
    slope = np.array([node.attributes.get("alpha", 0.01)], np.float32)
    return grow.activation(node.name, _value(node, "X", x), slope)


def prelu(grow: Growing, node: Node, x: Any, slope: Any) -> Value:
    x, given = _value(node, "X", x), _constant(node, "slope", slope)
    return grow.activation(node.name, x, _per_channel(node, "slope", given, x.shape))


def clip(grow: Growing, node: Node, x: Any, low: Any = None, high: Any = None) -> Value:
    least = node.attributes.get("min") if low is None else low
    most = node.attributes.get("max") if high is None else high
    for what, bound in (("min", least), ("max", most)):
        if isinstance(bound, Value):
            raise ConvertError(f"{node}: {what} depends on an input, expected a constant")
    if least is None or float(least) != 0 or (most is not None and float(most) < np.finfo(np.float32).max):
        shown = [None if bound is None else float(bound) for bound in (least, most)]
        raise ConvertError(f"{node}: clips to {shown}, expected from 0 without upper bound: train with Relu")
    return relu(grow, node, x)


def flatten(grow: Growing, node: Node, x: Any) -> Value:
    x = _value(node, "input", x)
    axis = int(node.attributes.get("axis", 1))
    if axis not in (1, -len(x.shape)):
        raise ConvertError(f"{node}: axis is {axis}, expected 1: everything but the batch in one row")
    return grow.flat(node.name, x)


def reshape(grow: Growing, node: Node, x: Any, shape: Any) -> Value:
    x = _value(node, "data", x)
    wanted = [int(s) for s in np.ravel(_constant(node, "shape", shape, kinds="iu"))]
    if not node.attributes.get("allowzero", 0):
        wanted = [(1, *x.shape)[k] if s == 0 and k <= len(x.shape) else s for k, s in enumerate(wanted)]
    known = math.prod(s for s in wanted if s != -1)
    return _shaped(grow, node, x, [math.prod(x.shape) // max(known, 1) if s == -1 else s for s in wanted])


def squeeze(grow: Growing, node: Node, x: Any, axes: Any = None) -> Value:
    x = _value(node, "data", x)
    full = (1, *x.shape)
    if axes is None:
        axes = node.attributes.get("axes", [k for k, s in enumerate(full) if s == 1 and k])
    gone = {int(k) % len(full) for k in np.ravel(axes)}
    if any(full[k] != 1 for k in gone):
        raise ConvertError(f"{node}: axes {sorted(gone)} of {full}, expected sizes of 1")
    return _shaped(grow, node, x, [s for k, s in enumerate(full) if k not in gone])


def unsqueeze(grow: Growing, node: Node, x: Any, axes: Any = None) -> Value:
    x = _value(node, "data", x)
    full = [1, *x.shape]
    given = np.ravel(node.attributes.get("axes", []) if axes is None else axes)
    for k in sorted(int(a) % (len(full) + len(given)) for a in given):
        full.insert(k, 1)
    return _shaped(grow, node, x, full)


def _shaped(grow: Growing, node: Node, x: Value, wanted: list[int]) -> Value:
    if wanted == [1, *x.shape]:
        return x
    if wanted in ([1, math.prod(x.shape)], [math.prod(x.shape)]):
        return grow.flat(node.name, x)
    raise ConvertError(f"{node}: makes {wanted} of {[1, *x.shape]}, expected one row [1, {math.prod(x.shape)}]")


def concat(grow: Growing, node: Node, *given: Any) -> Value:
    axis = int(node.attributes.get("axis", 1))
    parts: list[Part] = []
    for k, x in enumerate(given):
        value = _value(node, f"input {k}", x)
        parts += value.parts
    dims = len(parts[0].shape)
    if axis not in (1, -dims):
        raise ConvertError(f"{node}: axis is {axis}, expected 1: side by side along the channels")
    if len({part.shape[1:] for part in parts}) > 1:
        raise ConvertError(f"{node}: brings together {[part.shape for part in parts]}")
    return Value(tuple(parts), all(x.sole for x in given))


def add(grow: Growing, node: Node, *given: Any) -> Value:
    found: Value | None = None
    shift: Any = np.float32(0)
    for k, x in enumerate(given):
        if not isinstance(x, Value):
            shift = shift + _constant(node, f"input {k}", x)
        elif found is None:
            found = x
        else:
            found = _sum(grow, node, found, x)
    assert found is not None
    return _moved(grow, node, found, np.float32(1), shift)


def sub(grow: Growing, node: Node, a: Any, b: Any) -> Value:
    if not isinstance(b, Value):
        return _moved(grow, node, _value(node, "A", a), np.float32(1), -_constant(node, "B", b))
    if not isinstance(a, Value):
        return _moved(grow, node, b, np.float32(-1), _constant(node, "A", a))
    minus = grow.affine(f"{node.name}_minus", b, -np.ones(b.shape[0]), np.zeros(b.shape[0]))
    return _sum(grow, node, a, minus)


def mul(grow: Growing, node: Node, a: Any, b: Any) -> Value:
    x, factor = (a, b) if isinstance(a, Value) else (b, a)
    if isinstance(factor, Value):
        raise ConvertError(f"{node}: multiplies two values that change, expected one constant")
    return _moved(grow, node, x, _constant(node, "factor", factor), np.float32(0))


def div(grow: Growing, node: Node, a: Any, b: Any) -> Value:
    if isinstance(b, Value):
        raise ConvertError(f"{node}: divides by a value that changes, expected a constant")
    divisor = _constant(node, "B", b)
    if (divisor == 0).any():
        raise ConvertError(f"{node}: divides by 0")
    return _moved(grow, node, _value(node, "A", a), 1 / divisor, np.float32(0))


def same(grow: Growing, node: Node, x: Any) -> Value:
    return _value(node, "input", x)


def dropout(grow: Growing, node: Node, x: Any, ratio: Any = None, training: Any = None) -> Value:
    if training is not None and np.any(_constant(node, "training_mode", training, kinds="b")):
        raise ConvertError(f"{node}: training_mode is true: export the model for inference")
    return _value(node, "data", x)


def cast(grow: Growing, node: Node, x: Any) -> Value:
    if node.attributes.get("to") not in FLOATS:
        raise ConvertError(f"{node}: casts to type {node.attributes.get('to')}, expected real numbers")
    return _value(node, "input", x)


FLOATS = (1, 10, 11, 16)
"""ONNX's numbers for float32, float16, float64 and bfloat16."""


def _sum(grow: Growing, node: Node, a: Value, b: Value) -> Value:
    if a.shape != b.shape:
        raise ConvertError(f"{node}: adds {a.shape} and {b.shape}, expected one shape")
    return grow.sum(node.name, a, b)


def _moved(grow: Growing, node: Node, x: Value, scale: Any, shift: Any) -> Value:
    a = _per_channel(node, "factor", np.asarray(scale), x.shape)
    b = _per_channel(node, "constant", np.asarray(shift), x.shape)
    if (a == 1).all() and not b.any():
        return x
    return grow.affine(node.name, x, a, b)


def _value(node: Node, what: str, x: Any) -> Value:
    if not isinstance(x, Value):
        raise ConvertError(f"{node}: {what} is a constant, expected it to depend on an input")
    return x


def _constant(node: Node, what: str, x: Any, dims: int | None = None, kinds: str = "f") -> Array:
    if isinstance(x, Value) or x is None:
        raise ConvertError(f"{node}: {what} depends on an input or is absent, expected a constant")
    array = np.asarray(x)
    if array.dtype.kind not in kinds or (dims is not None and array.ndim != dims):
        expected = {"f": "real numbers", "b": "true or false"}.get(kinds, "whole numbers")
        raise ConvertError(f"{node}: {what} is {array.dtype}{array.shape}, expected {expected}, {dims or 'any'} axes")
    if kinds == "f" and not np.isfinite(array).all():
        raise ConvertError(f"{node}: {what} is not finite")
    return array.astype(np.float32) if kinds == "f" else array


def _per_channel(node: Node, what: str, x: Array, shape: tuple[int, ...]) -> Array:
    """One number a channel, of a constant that ONNX would broadcast against (1, *shape)."""
    try:
        full = np.broadcast_to(x, (1, *shape)).reshape(shape[0], -1)
    except ValueError:
        raise ConvertError(f"{node}: {what} has shape {x.shape}, reads {(1, *shape)}") from None
    if (full != full[:, :1]).any():
        raise ConvertError(f"{node}: {what} differs from place to place, expected one number a channel")
    return np.asarray(full[:, 0], np.float32)


HANDLERS: dict[str, Callable[..., Value]] = {
    "Gemm": gemm,
    "MatMul": matmul,
    "Conv": conv,
    "BatchNormalization": batch_normalization,
    "AveragePool": average_pool,
    "GlobalAveragePool": global_average_pool,
    "Relu": relu,
    "LeakyRelu": leaky_relu,
    "PRelu": prelu,
    "Clip": clip,
    "Flatten": flatten,
    "Reshape": reshape,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
    "Concat": concat,
    "Add": add,
    "Sum": add,
    "Sub": sub,
    "Mul": mul,
    "Div": div,
    "Identity": same,
    "Dropout": dropout,
    "Cast": cast,
}
