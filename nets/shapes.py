"""The shape that comes out of a node, given the shape that goes in."""

from __future__ import annotations

import math

import numpy as np

from nets import models as m
from nets import nodes as n
from nets.errors import GraphError

Shape = tuple[int, ...]


def output_shape(name: str, node: n.Node, given: Shape) -> Shape:
    """Shape after `node`, or `GraphError` naming it."""
    match node:
        case n.Input():
            return node.shape
        case n.Output() | n.Delay() | n.Threshold() | n.I() | n.IF() | n.LI() | n.LIF() | n.CubaLI() | n.CubaLIF():
            _check_parameters(name, node, given)
            return given
        case n.SpikingModel():
            _check_parameters(name, node, given)
            return given
        case n.Linear() | n.Affine():
            return _matrix(name, node, given)
        case n.Scale():
            if node.scale.size != 1 and np.broadcast_shapes(node.scale.shape, given) != given:
                raise GraphError(f"{name}: Scale of shape {node.scale.shape} on {given}")
            return given
        case n.Conv1d() | n.Conv2d():
            return _convolution(name, node, given)
        case n.SumPool2d() | n.AvgPool2d() | m.MaxPool2d():
            return _pool(name, node, given)
        case n.Flatten():
            return _flatten(name, node, given)
    raise GraphError(f"{name}: no shape rule for {node.kind}")


def neuron_shape(node: n.Node) -> Shape | None:
    """The layer shape a neuron's own parameters state, or None where they are all single numbers."""
    shapes = {getattr(node, p).shape for p in n.parameter_names(type(node)) if getattr(node, p).size > 1}
    return next(iter(shapes)) if len(shapes) == 1 else None


def _check_parameters(name: str, node: n.Node, given: Shape) -> None:
    if isinstance(node, n.Output):
        if math.prod(node.shape) != math.prod(given):
            raise GraphError(f"{name}: Output of shape {node.shape} receives {given}")
        return
    for parameter in n.parameter_names(type(node)):
        array = getattr(node, parameter)
        if array.size != 1 and array.shape != given:
            raise GraphError(f"{name}: {node.kind}.{parameter} has shape {array.shape}, its input has {given}")


def _matrix(name: str, node: n.Linear | n.Affine, given: Shape) -> Shape:
    weight = node.weight
    if weight.ndim != 2:
        raise GraphError(f"{name}: {node.kind}.weight has shape {weight.shape}, expected (out, in)")
    if given != (weight.shape[1],):
        raise GraphError(f"{name}: {node.kind}.weight has shape {weight.shape}, its input has {given}")
    if isinstance(node, n.Affine) and node.bias.size != 1 and node.bias.shape != (weight.shape[0],):
        raise GraphError(f"{name}: Affine.bias has shape {node.bias.shape}, expected ({weight.shape[0]},)")
    return (int(weight.shape[0]),)


def convolution(name: str, node: n.Conv1d | n.Conv2d) -> tuple[n.Array, Shape, Shape, Shape]:
    """Weight as (c_out, c_in / groups, ky, kx), with stride, padding pairs (before, after) flattened, and dilation."""
    weight = node.weight
    flat = isinstance(node, n.Conv1d)
    if weight.ndim != (3 if flat else 4):
        raise GraphError(f"{name}: {node.kind}.weight has shape {weight.shape}, expected (out, in, kernel...)")
    if flat:
        weight = weight[:, :, None, :]
        one = [v if isinstance(v, int | str) else v[0] for v in (node.stride, node.padding, node.dilation)]
        stride, dilation = (1, int(one[0])), (1, int(one[2]))
        padding = one[1] if isinstance(one[1], str) else (0, int(one[1]))
    else:
        stride, dilation, padding = n.pair(node.stride), n.pair(node.dilation), node.padding
    if min(*stride, *dilation, node.groups) < 1:
        raise GraphError(f"{name}: stride {stride}, dilation {dilation}, groups {node.groups}; expected at least 1")
    if padding == "valid":
        around = (0, 0, 0, 0)
    elif padding == "same":
        if stride != (1, 1):
            raise GraphError(f"{name}: padding 'same' with stride {stride}, expected stride 1")
        total = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
        around = (total[0] // 2, total[0] - total[0] // 2, total[1] // 2, total[1] - total[1] // 2)
    elif isinstance(padding, str):
        raise GraphError(f"{name}: padding {padding!r}, expected numbers, 'same' or 'valid'")
    else:
        py, px = n.pair(padding)
        around = (py, py, px, px)
    if min(around) < 0:
        raise GraphError(f"{name}: padding {padding}, expected 0 or more")
    return weight, stride, around, dilation


def _convolution(name: str, node: n.Conv1d | n.Conv2d, given: Shape) -> Shape:
    weight, stride, around, dilation = convolution(name, node)
    c_out, c_in = weight.shape[0], weight.shape[1] * node.groups
    expected = 2 if isinstance(node, n.Conv1d) else 3
    if len(given) != expected or given[0] != c_in or c_out % node.groups:
        raise GraphError(
            f"{name}: {node.kind}.weight {node.weight.shape}, groups {node.groups}, on an input of {given}"
        )
    height, width = (1, given[1]) if expected == 2 else given[1:]
    out = [
        (size + around[2 * k] + around[2 * k + 1] - dilation[k] * (weight.shape[2 + k] - 1) - 1) // stride[k] + 1
        for k, size in enumerate((height, width))
    ]
    if min(out) < 1:
        raise GraphError(f"{name}: {node.kind} kernel {weight.shape[2:]} is larger than its padded input {given}")
    if node.bias.size != 1 and node.bias.shape != (c_out,):
        raise GraphError(f"{name}: {node.kind}.bias has shape {node.bias.shape}, expected ({c_out},)")
    return (c_out, out[1]) if expected == 2 else (c_out, out[0], out[1])


def _pool(name: str, node: n.SumPool2d | n.AvgPool2d | m.MaxPool2d, given: Shape) -> Shape:
    kernel, stride, padding = n.pair(node.kernel_size), n.pair(node.stride), n.pair(node.padding)
    if len(given) != 3 or min(*kernel, *stride) < 1 or min(padding) < 0:
        raise GraphError(f"{name}: {node.kind} kernel {kernel}, stride {stride}, padding {padding} on {given}")
    out = [(given[1 + k] + 2 * padding[k] - kernel[k]) // stride[k] + 1 for k in range(2)]
    if min(out) < 1:
        raise GraphError(f"{name}: {node.kind} kernel {kernel} is larger than its padded input {given}")
    return (given[0], out[0], out[1])


def _flatten(name: str, node: n.Flatten, given: Shape) -> Shape:
    dims = len(given)
    start = node.start_dim + dims if node.start_dim < 0 else node.start_dim
    end = node.end_dim + dims if node.end_dim < 0 else node.end_dim
    if not 0 <= start <= end < dims:
        raise GraphError(f"{name}: Flatten from {node.start_dim} to {node.end_dim} on {given}")
    return (*given[:start], math.prod(given[start : end + 1]), *given[end + 1 :])
