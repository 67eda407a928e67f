"""Folds a linear path into stamps: for each source index, the rectangles of weights its event adds to the target.

Pooling, flattening and scaling become indices and gains. A convolution's weights are stored as
[c_in][stride phase][ky][kx][c_out], flipped, over a height-width-channel state, so that one event is at most ky runs
of consecutive numbers; borders are cut off in the tables, so the state needs no padding. With groups, or where dilation
spreads an event's targets along x, it is a rectangle for each ky: kx times the channels of its group, nothing between.
What has no such form (two products in a row, per-site scales behind a convolution) is multiplied out to one matrix, of
which only what is not zero is kept.
"""

from __future__ import annotations

import math
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
    return _runs(matrix(graph, path, shape)[:, target.external])


def _runs(weight: Real) -> Stamps:
    """weight (source, target), both in the order of the stamps: one stamp for each run that is not zero."""
    padded = np.zeros((weight.shape[0], weight.shape[1] + 2), np.int8)
    padded[:, 1:-1] = weight != 0
    change = np.diff(padded, axis=1)
    source, first = np.nonzero(change == 1)
    run = np.nonzero(change == -1)[1] - first
    one = np.ones(len(source), np.int64)
    start = np.concatenate((np.zeros(1, np.int64), np.cumsum(run)))[:-1]
    return Stamps(source, start, first, one, run, run, np.ones(len(source)), weight.shape[1], weight[weight != 0])


@dataclass(frozen=True, eq=False)
class _Axis:
    """Along one axis, for each input place: its phase, first output, first stored tap, and how many taps hit outputs.

    Tap j reaches output (place - j dilation) / stride. The taps that reach any are phase, phase + every, ...: stored
    from the last to the first, their outputs lie `apart`.
    """

    phase: Index
    first: Index
    skip: Index
    count: Index
    every: int
    apart: int


def _axis(size: int, kernel: int, stride: int, dilation: int, before: int, out: int) -> _Axis:
    common = math.gcd(stride, dilation)
    every, apart = stride // common, dilation // common
    place = np.arange(size) + before
    residue = (np.arange(every) * dilation) % stride
    phase = np.full(stride, every)
    phase[residue] = np.arange(every)
    phase = phase[place % stride]  # `every`: no tap reaches an output from there
    taps = np.maximum((kernel - phase + every - 1) // every, 0) * (phase < every)
    last = phase + (taps - 1) * every
    lowest = (place - last * dilation) // stride
    skip = np.minimum(np.maximum(-(lowest // apart), 0), taps)
    count = np.maximum(np.minimum((out - 1 - lowest) // apart + 1, taps) - skip, 0)
    return _Axis(phase % every, lowest + skip * apart, skip, count, every, apart)


def _convolution(
    name: str, node: n.Conv1d | n.Conv2d, given: Shape, out: Shape, scale: Real, target: Layout
) -> Stamps | None:
    weight, stride, around, dilation = convolution(name, node)
    c_out, per_group, ky, kx = weight.shape
    if target.block != c_out:
        return None
    height, width = (1, given[1]) if len(given) == 2 else given[1:]
    out_height, out_width = (1, out[1]) if len(out) == 2 else out[1:]
    image = np.moveaxis(np.arange(c_out * out_height * out_width).reshape(c_out, out_height, out_width), 0, -1)
    if not np.array_equal(image.ravel(), target.external):
        return None
    along_y = _axis(height, ky, stride[0], dilation[0], around[0], out_height)
    along_x = _axis(width, kx, stride[1], dilation[1], around[2], out_width)
    each, c_in = c_out // node.groups, per_group * node.groups
    scaled = weight.astype(np.float64) * scale[:, None, None, None]
    weights, start = _taps(scaled.reshape(node.groups, each, per_group, ky, kx), along_y.every, along_x.every)
    c, y, x = (a.ravel() for a in np.meshgrid(np.arange(c_in), np.arange(height), np.arange(width), indexing="ij"))
    reached = np.flatnonzero((along_y.count[y] > 0) & (along_x.count[x] > 0))
    source, c, y, x = reached, c[reached], y[reached], x[reached]
    row = (kx - along_x.phase[x] + along_x.every - 1) // along_x.every * each
    stamps = Stamps(
        source=source,
        weight=start[c, along_y.phase[y], along_x.phase[x]] + along_y.skip[y] * row + along_x.skip[x] * each,
        first=(along_y.first[y] * out_width + along_x.first[x]) * c_out + c // per_group * each,
        rows=along_y.count[y],
        run=along_x.count[x] * each,
        weight_stride=row,
        gain=np.ones(len(c)),
        neuron_stride=along_y.apart * out_width * c_out,
        weights=weights,
    )
    if node.groups == 1 and along_x.apart == 1:
        return stamps
    which, j = _numbered(stamps.rows)
    lines = _select(stamps, which)
    return replace(
        lines,
        weight=lines.weight + j * lines.weight_stride,
        first=lines.first + j * stamps.neuron_stride,
        rows=lines.run // each,
        run=np.full(len(which), each),
        weight_stride=np.full(len(which), each),
        neuron_stride=along_x.apart * c_out,
    )


def _taps(weight: Real, every_y: int, every_x: int) -> tuple[Real, Index]:
    """weight (group, c_out, c_in, ky, kx) as stored, and where each [c_in, phase y, phase x] of it begins."""
    groups, _, per_group = weight.shape[:3]
    chunks: list[Real] = []
    start = np.zeros((groups * per_group, every_y, every_x), np.int64)
    used = 0
    for channel in range(groups * per_group):
        own = weight[channel // per_group, :, channel % per_group].transpose(1, 2, 0)
        for py in range(every_y):
            for px in range(every_x):
                taps = own[py::every_y, px::every_x][::-1, ::-1]
                start[channel, py, px] = used
                chunks.append(taps.ravel())
                used += taps.size
    return np.concatenate(chunks), start


def _numbered(count: Index) -> tuple[Index, Index]:
    """For 2, 3: the owners 0 0 1 1 1 and the numbers 0 1 0 1 2."""
    owner = np.repeat(np.arange(len(count)), count)
    return owner, np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)


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
    which, offset = _numbered(count)
    found = _select(stamps, order[low[which] + offset])
    return replace(found, source=source[which], gain=found.gain * gain[which])
