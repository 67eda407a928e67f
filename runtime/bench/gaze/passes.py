"""Dense passes of the network behind a sigma-delta graph: the same weights, nothing rounded, nothing skipped.

Input quantisers and surfaces pass on what they hold; every other unit is its activation. A `Part` computes some nodes
from others, so that a branch can be left out where its sensor brought nothing.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets import nodes as n
from nets.graph import Graph
from nets.shapes import convolution
from nets.sigma_delta.node import SigmaDelta
from runtime.bench.dense_onnx import session
from runtime.bench.unavailable import UnavailableError

Values = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Part:
    """ONNX Runtime in one thread: `wanted` from `given`."""

    given: tuple[str, ...]
    wanted: tuple[str, ...]
    session: Any

    def run(self, held: Mapping[str, NDArray[np.float32]]) -> Values:
        """What each wanted node gives, in a batch of one."""
        found = self.session.run(None, {name: held[name] for name in self.given})
        return dict(zip(self.wanted, found, strict=True))


def part(graph: Graph, given: Iterable[str], wanted: Sequence[str]) -> Part:
    """Raises UnavailableError where ONNX Runtime is absent."""
    check_available()
    names = needed(graph, frozenset(given), wanted)
    inside = [name for name in names if name not in given]
    starts = tuple(name for name in names if name in given)
    return Part(starts, tuple(wanted), session(graph, starts, inside, wanted))


def check_available() -> None:
    """Raises UnavailableError where ONNX Runtime is absent: a plain dense pass would be no fair rival."""
    missing = [name for name in ("onnx", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        raise UnavailableError(f"dense passes need {' and '.join(missing)}: pip install onnx onnxruntime")


def needed(graph: Graph, given: frozenset[str], wanted: Sequence[str]) -> list[str]:
    """Every node between, both ends included, each behind its sources."""
    found: list[str] = []

    def visit(name: str) -> None:
        if name not in found:
            for source in () if name in given else graph.into(name):
                visit(source)
            found.append(name)

    for name in wanted:
        visit(name)
    return found


def units(graph: Graph) -> list[str]:
    """What holds an activation: input quantisers and layers."""
    return [name for name, node in graph.nodes.items() if isinstance(node, SigmaDelta)]


def products(graph: Graph) -> list[str]:
    """The nodes with weights."""
    return [name for name, node in graph.nodes.items() if isinstance(node, n.Conv2d | n.Affine | n.Linear)]


def source_of(graph: Graph, name: str) -> str:
    """The unit whose values a product takes."""
    (source,) = graph.into(name)
    return source_of(graph, source) if isinstance(graph.nodes[source], n.Flatten) else source


def fan_out(graph: Graph, name: str) -> NDArray[np.float64]:
    """How many weights lie behind each value that a product takes, none of them on padding; flat."""
    node = graph.nodes[name]
    if isinstance(node, n.Affine | n.Linear):
        return np.full(node.weight.shape[1], float(node.weight.shape[0]))
    assert isinstance(node, n.Conv2d)
    kernel, strides, (top, _, left, _), dilations = convolution(name, node)
    channels, rows, columns = graph.shapes[graph.into(name)[0]]
    _, high, wide = graph.shapes[name]
    y = _reached(rows, high, kernel.shape[2], strides[0], top, dilations[0])
    x = _reached(columns, wide, kernel.shape[3], strides[1], left, dilations[1])
    each = len(kernel) / node.groups * np.outer(y, x)
    return np.broadcast_to(each, (channels, rows, columns)).ravel()


def _reached(size: int, many: int, kernel: int, stride: int, padding: int, dilation: int) -> NDArray[np.float64]:
    counts = np.zeros(size)
    for first in range(many):
        at = first * stride - padding + dilation * np.arange(kernel)
        counts[at[(at >= 0) & (at < size)]] += 1
    return counts
