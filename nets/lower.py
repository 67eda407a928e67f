"""Folds a linear path into stamps: for each source index, the rectangles of weights its event adds to the target.

Pooling, flattening and scaling become indices and gains. A convolution's weights are stored as
[c_in][stride phase][ky][kx][c_out], flipped, over a height-width-channel state, so that one event is at most ky runs
of consecutive numbers; borders are cut off in the tables, so the state needs no padding. What has no such form
(dilation, two products in a row, per-site scales behind a convolution) is multiplied out to one matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nets import nodes as n
from nets.errors import UnsupportedError
from nets.graph import Graph
from nets.linear import Real, matrix
from nets.shapes import Shape, convolution

Index = NDArray[np.int64]
LARGEST_MATRIX = 1 << 26


@dataclass(frozen=True, eq=False)
class Stamps:
    """One row a stamp; `source` is NIR's flat index of the source, `first` counts neurons of the target's own order."""

    source: Index
    weight: Index
    first: Index
    rows: Index
    run: Index
    weight_stride: Index
    gain: Real
    neuron_stride: int
    weights: Real


@dataclass(frozen=True, eq=False)
class Layout:
    """The order a unit keeps its neurons in: neuron k is NIR's `external[k]`; `block` neurons are a site."""

    external: Index
    block: int

    @property
    def internal(self) -> Index:
        inverse = np.empty_like(self.external)
        inverse[self.external] = np.arange(len(self.external))
        return inverse


def layout_of(graph: Graph, shape: Shape, paths: Sequence[Sequence[str]]) -> Layout:
    """Height-width-channel where a convolution arrives or the shape is one of images; else flat, as one site."""
    size = int(np.prod(shape))
    image = next((graph.shapes[name] for path in paths for name in path if _is_convolution(graph, name)), shape)
    if len(image) > 1 and int(np.prod(image)) == size:
        external = np.moveaxis(np.arange(size).reshape(image), 0, -1).ravel()
        return Layout(external, image[0])
    return Layout(np.arange(size), size)


def _is_convolution(graph: Graph, name: str) -> bool:
    return isinstance(graph.nodes[name], n.Conv1d | n.Conv2d)


def lower(graph: Graph, path: Sequence[str], shape: Shape, target: Layout) -> Stamps:
    """The stamps of a path that starts at a source of `shape`."""
    source = np.arange(int(np.prod(shape)))
    index, gain, at = source, np.ones(len(source)), shape
    for k, name in enumerate(path):
        node = graph.nodes[name]
        if isinstance(node, n.Flatten):
            pass
        elif isinstance(node, n.Scale):
            gain = gain * np.broadcast_to(node.scale.astype(np.float64), at).ravel()[index]
        elif isinstance(node, n.SumPool2d | n.AvgPool2d):
            source, index, gain = _pool(node, at, graph.shapes[name], source, index, gain)
        else:
            stamps = _product(graph, path[k:], at, target)
            return _multiply_out(graph, path, shape, target) if stamps is None else _join(source, index, gain, stamps)
        at = graph.shapes[name]
    one = np.ones(len(source), np.int64)
    return Stamps(source, 0 * one, target.internal[index], one, one, one, gain, 1, np.ones(1))


def _pool(
    node: n.SumPool2d | n.AvgPool2d, given: Shape, out: Shape, source: Index, index: Index, gain: Real
) -> tuple[Index, Index, Real]:
    (ky, kx), (sy, sx), (py, px) = n.pair(node.kernel_size), n.pair(node.stride), n.pair(node.padding)
    c, rest = np.divmod(index, given[1] * given[2])
    y, x = np.divmod(rest, given[2])
    found = []
    for j in range(ky):
        for k in range(kx):
            oy, ry = np.divmod(y + py - j, sy)
            ox, rx = np.divmod(x + px - k, sx)
            hit = (ry == 0) & (rx == 0) & (oy >= 0) & (oy < out[1]) & (ox >= 0) & (ox < out[2])
            found.append((source[hit], ((c * out[1] + oy) * out[2] + ox)[hit], gain[hit]))
    mean = ky * kx if isinstance(node, n.AvgPool2d) else 1
    s, i, g = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return s, i, g / mean


def _product(graph: Graph, path: Sequence[str], given: Shape, target: Layout) -> Stamps | None:
    """Stamps of a path that begins with a product, or None where only multiplying out is possible."""
    node = graph.nodes[path[0]]
    channels = graph.shapes[path[0]][0]
    scale = np.ones(channels)
    for name in path[1:]:
        after = graph.nodes[name]
        if isinstance(after, n.Scale):
            per_channel = _per_channel(np.broadcast_to(after.scale, graph.shapes[name]), channels)
            if per_channel is None:
                return None
            scale = scale * per_channel
        elif not isinstance(after, n.Flatten):
            return None
    if isinstance(node, n.Linear | n.Affine):
        weight = node.weight.astype(np.float64).T * scale
        return _dense(weight, target)
    assert isinstance(node, n.Conv1d | n.Conv2d)
    return _convolution(path[0], node, given, graph.shapes[path[0]], scale, target)


def _per_channel(scale: n.Array, channels: int) -> Real | None:
    rows = scale.astype(np.float64).reshape(channels, -1) if scale.size % channels == 0 else None
    if rows is None or not (rows == rows[:, :1]).all():
        return None
    return np.asarray(rows[:, 0])


def _dense(weight: Real, target: Layout) -> Stamps:
    """weight (source, target) in NIR's order on both sides."""
    inputs, outputs = weight.shape
    one = np.ones(inputs, np.int64)
    start = np.arange(inputs) * outputs
    rows = weight[:, target.external].ravel()
    return Stamps(np.arange(inputs), start, 0 * one, one, outputs * one, outputs * one, np.ones(inputs), outputs, rows)


def _multiply_out(graph: Graph, path: Sequence[str], shape: Shape, target: Layout) -> Stamps:
    size = int(np.prod(shape)) * len(target.external)
    if size > LARGEST_MATRIX:
        raise UnsupportedError(f"{' -> '.join(path)}: as one matrix it has {size} weights, at most {LARGEST_MATRIX}")
    return _dense(matrix(graph, path, shape), target)


def _axis(size: int, kernel: int, stride: int, before: int, out: int) -> tuple[Index, Index, Index, Index]:
    """Along one axis, for each input place: stride phase, first output, first stored tap, and how many of them."""
    place = np.arange(size) + before
    phase = place % stride
    taps = (kernel - phase + stride - 1) // stride
    lowest = (place - phase) // stride - (taps - 1)
    first = np.maximum(lowest, 0)
    count = np.maximum(np.minimum(lowest + taps, out) - first, 0)
    return phase, first, first - lowest, np.where(taps > 0, count, 0)


def _convolution(
    name: str, node: n.Conv1d | n.Conv2d, given: Shape, out: Shape, scale: Real, target: Layout
) -> Stamps | None:
    weight, stride, around, dilation = convolution(name, node)
    c_out, per_group, ky, kx = weight.shape
    if dilation != (1, 1) or target.block != c_out:
        return None
    c_in = per_group * node.groups
    height, width = (1, given[1]) if len(given) == 2 else given[1:]
    out_height, out_width = (1, out[1]) if len(out) == 2 else out[1:]
    image = np.moveaxis(np.arange(c_out * out_height * out_width).reshape(c_out, out_height, out_width), 0, -1)
    if not np.array_equal(image.ravel(), target.external):
        return None
    full = np.zeros((c_in, ky, kx, c_out))
    each = c_out // node.groups
    for g in range(node.groups):
        part = weight[g * each : (g + 1) * each].astype(np.float64) * scale[g * each : (g + 1) * each, None, None, None]
        full[g * per_group : (g + 1) * per_group, :, :, g * each : (g + 1) * each] = part.transpose(1, 2, 3, 0)
    chunks: list[Real] = []
    start = np.zeros((c_in, stride[0], stride[1]), np.int64)
    used = 0
    for channel in range(c_in):
        for py in range(stride[0]):
            for px in range(stride[1]):
                taps = full[channel, py :: stride[0], px :: stride[1]][::-1, ::-1]
                start[channel, py, px] = used
                chunks.append(taps.ravel())
                used += taps.size
    phase_y, first_y, skip_y, count_y = _axis(height, ky, stride[0], around[0], out_height)
    phase_x, first_x, skip_x, count_x = _axis(width, kx, stride[1], around[2], out_width)
    c, y, x = (a.ravel() for a in np.meshgrid(np.arange(c_in), np.arange(height), np.arange(width), indexing="ij"))
    taps_x = (kx - phase_x + stride[1] - 1) // stride[1]
    row = taps_x[x] * c_out
    hit = (count_y[y] > 0) & (count_x[x] > 0)
    stamps = Stamps(
        source=np.arange(len(c)),
        weight=start[c, phase_y[y], phase_x[x]] + skip_y[y] * row + skip_x[x] * c_out,
        first=(first_y[y] * out_width + first_x[x]) * c_out,
        rows=count_y[y],
        run=count_x[x] * c_out,
        weight_stride=row,
        gain=np.ones(len(c)),
        neuron_stride=out_width * c_out,
        weights=np.concatenate(chunks),
    )
    return _select(stamps, np.flatnonzero(hit))


def _select(stamps: Stamps, rows: Index) -> Stamps:
    return replace(
        stamps,
        source=stamps.source[rows],
        weight=stamps.weight[rows],
        first=stamps.first[rows],
        rows=stamps.rows[rows],
        run=stamps.run[rows],
        weight_stride=stamps.weight_stride[rows],
        gain=stamps.gain[rows],
    )


def _join(source: Index, index: Index, gain: Real, stamps: Stamps) -> Stamps:
    """Stamps of `source` where index[k] (with gain[k]) is what the stamps call their source."""
    if len(stamps.source) == 0:
        return stamps
    order = np.argsort(stamps.source, kind="stable")
    sorted_source = stamps.source[order]
    low = np.searchsorted(sorted_source, index, "left")
    count = np.searchsorted(sorted_source, index, "right") - low
    which = np.repeat(np.arange(len(index)), count)
    offset = np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)
    found = _select(stamps, order[low[which] + offset])
    return replace(found, source=source[which], gain=found.gain * gain[which])
