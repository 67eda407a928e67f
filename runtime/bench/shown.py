"""A sigma-delta network that is shown samples one by one, and what its output holds."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from nets.graph import Graph
from nets.sigma_delta.engine import SigmaDeltaEngine
from nets.sigma_delta.node import SigmaDelta

PERIOD_NS = 40_000_000
Samples = NDArray[np.float32]
"""(count, numbers): each sample flat."""


class Shown:
    """`output` is what the network shows, kept up to date from what it sends; `engine` counts."""

    def __init__(self, graph: Graph) -> None:
        self.engine = SigmaDeltaEngine(graph)
        (self._port, given), (_, out) = next(iter(self.engine.inputs.items())), next(iter(self.engine.outputs.items()))
        self._quanta = next(
            float(node.levels.item())
            for node in graph.nodes.values()
            if isinstance(node, SigmaDelta) and node.slope == 1
        )
        size = math.prod(given.shape)
        self._sent, self._rounded = np.zeros(size), np.zeros(size)
        self._moved = np.zeros(size, np.bool_)
        self._t = np.zeros(size, np.int64)
        self.output = np.zeros(math.prod(out.shape), np.float32)

    def begin(self, first: Samples) -> None:
        """Forget everything and settle on a first sample."""
        self.engine.reset(0)
        self._t[:] = 0
        self._sent[:] = np.nan
        self.show(first)

    def show(self, sample: Samples) -> None:
        """The next sample, flat: the numbers of it that round to another quantum than those sent before."""
        rounded = self._rounded
        np.multiply(sample, self._quanta, out=rounded, dtype=np.float64)
        np.rint(rounded, out=rounded)
        index = np.flatnonzero(np.not_equal(rounded, self._sent, out=self._moved))
        self._sent, self._rounded = rounded, self._sent
        until = int(self._t[0]) + PERIOD_NS
        self._t[:] = until
        sent = self.engine.step(self._port, self._t[: len(index)], index.astype(np.int32), sample[index], until)
        self.output[sent.index] = sent.value

    def through(self, samples: Samples) -> Iterator[Samples]:
        """What the output holds with each sample after the first."""
        self.begin(samples[0])
        for sample in samples[1:]:
            self.show(sample)
            yield self.output
