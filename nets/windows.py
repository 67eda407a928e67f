"""Stamps into the taps of a max pool: neuron k of the pool listens at places k * taps ... of its drive, one a pixel."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from nets import models as m
from nets import nodes as n
from nets.graph import Graph
from nets.lower import Index, Layout, Stamps, lower
from nets.shapes import Shape


def lower_into_windows(graph: Graph, path: Sequence[str], given: Shape, pool: str, target: Layout) -> Stamps:
    """The stamps of a path from a source of shape `given` to a MaxPool2d."""
    node = graph.nodes[pool]
    assert isinstance(node, m.MaxPool2d)
    image = graph.shapes[graph.into(pool)[0]]
    size = math.prod(image)
    stamps = lower(graph, path, given, Layout(np.arange(size), size))
    which, row, column = _elements(stamps)
    pixel = stamps.first[which] + row * stamps.neuron_stride + column
    weight = stamps.weight[which] + row * stamps.weight_stride[which] + column

    (ky, kx), (sy, sx), (py, px) = n.pair(node.kernel_size), n.pair(node.stride), n.pair(node.padding)
    out = graph.shapes[pool]
    c, rest = np.divmod(pixel, image[1] * image[2])
    y, x = np.divmod(rest, image[2])
    elements, places = [], []
    for tap in range(ky * kx):
        oy, ry = np.divmod(y + py - tap // kx, sy)
        ox, rx = np.divmod(x + px - tap % kx, sx)
        hit = np.flatnonzero((ry == 0) & (rx == 0) & (oy >= 0) & (oy < out[1]) & (ox >= 0) & (ox < out[2]))
        window = ((c * out[1] + oy) * out[2] + ox)[hit]
        elements.append(hit)
        places.append(target.internal[window] * (ky * kx) + tap)
    element, place = np.concatenate(elements), np.concatenate(places)
    one = np.ones(len(element), np.int64)
    return Stamps(
        source=stamps.source[which][element],
        weight=weight[element],
        first=place,
        rows=one,
        run=one,
        weight_stride=one,
        gain=stamps.gain[which][element],
        neuron_stride=1,
        weights=stamps.weights,
    )


def _elements(stamps: Stamps) -> tuple[Index, Index, Index]:
    """Every single weight of every stamp: which stamp, which of its rows, which column."""
    count = stamps.rows * stamps.run
    which = np.repeat(np.arange(len(count)), count)
    at = np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)
    return which, at // stamps.run[which], at % stamps.run[which]
