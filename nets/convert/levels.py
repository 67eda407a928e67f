"""Finds the coarsest levels whose rounding network meets a stated error on samples.

The scale of a layer is the 99.9 percentile of |activation|; with L quanta over it a layer has k = L / scale levels per
unit of activation, one L for the whole network. The error is the root mean square of the output's difference from the
trained network over the root mean square of the trained network's output, of the worst Output.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from nets import nodes as n
from nets.convert.dense import Batch, Dense, Samples, relative_error
from nets.convert.errors import ConvertError
from nets.convert.layers import Activation
from nets.convert.sigma_delta import quantised, with_levels
from nets.graph import Graph
from nets.sigma_delta.node import SigmaDelta, levels_for_noise

PERCENTILE = 99.9
MOST_LEVELS = 4096
KEPT = 1 << 20
"""So many activations of a layer its scale is taken from."""
Progress = Callable[[str, float], None]


@dataclass(frozen=True, eq=False)
class Fit:
    """`graph` is the sigma-delta graph; `levels` are quanta per unit of activation by node, `scales` as told above."""

    graph: Graph
    network: Graph
    """The same graph before it had levels: what it is compared with."""
    quanta: int
    error: float
    levels: Mapping[str, float]
    scales: Mapping[str, float]


def fit(
    network: Graph,
    samples: Samples,
    error: float,
    *,
    noise: Mapping[str, float] | None = None,
    progress: Progress = lambda what, fraction: None,
) -> Fit:
    """The fewest quanta that meet the error, or `ConvertError` saying what the most reach.

    `noise`: standard deviation of an Input's sensor noise; its quantum is then at least six of them.
    """
    return Search(network, samples, noise or {}, progress).fewest(error)


def fit_quanta(
    network: Graph,
    samples: Samples,
    quanta: int,
    *,
    noise: Mapping[str, float] | None = None,
    progress: Progress = lambda what, fraction: None,
) -> Fit:
    """So many quanta over each layer's scale, and the error they reach."""
    if not 1 <= quanta <= MOST_LEVELS:
        raise ConvertError(f"levels is {quanta}, expected 1 to {MOST_LEVELS}")
    return Search(network, samples, noise or {}, progress).fit(quanta)


def scales(
    graph: Graph,
    samples: Samples,
    progress: Progress = lambda what, fraction: None,
    counted: Callable[[Batch], Batch] = lambda y: y,
) -> dict[str, float]:
    """The 99.9 percentile of |activation| of each activation over the samples; its largest where that is 0, else 1.

    `counted` picks those that count from a layer's.
    """
    dense = Dense(graph)
    units = graph.of_kind(Activation, SigmaDelta)
    kept: dict[str, list[Batch]] = {name: [] for name in units}
    largest = dict.fromkeys(units, 0.0)
    count = len(next(iter(samples.values())))
    generator = np.random.default_rng(0)
    done = 0
    for chunk in dense.chunks(samples):
        share = len(next(iter(chunk.values()))) / count
        for name, _, y in dense.values(chunk):
            if name in kept:
                flat = counted(np.abs(y).ravel())
                largest[name] = max(largest[name], float(flat.max(initial=0.0)))
                wanted = max(1, round(KEPT * share))
                kept[name].append(flat if len(flat) <= wanted else generator.choice(flat, wanted, replace=False))
        done += len(next(iter(chunk.values())))
        progress("scale of each layer", done / count)
    found = {}
    for name in units:
        every = np.concatenate(kept[name])
        scale = float(np.percentile(every, PERCENTILE)) if every.size else 0.0
        found[name] = scale or largest[name] or 1.0
        if not np.isfinite(found[name]):
            raise ConvertError(f"{name}: its activations on the samples are not finite")
    return found


class Search:
    """Errors of one network on samples at different levels, each worked out once.

    `shares`: how many times the common quanta a layer gets, 1 where nothing is said.
    """

    def __init__(self, network: Graph, samples: Samples, noise: Mapping[str, float], progress: Progress) -> None:
        self.graph = quantised(network)
        self.samples = samples
        self.progress = progress
        self.shares: Mapping[str, float] = {}
        self._limits = {f"{name}_q": levels_for_noise(sigma) for name, sigma in noise.items()}
        if unknown := sorted(set(noise) - set(self.graph.of_kind(n.Input))):
            raise ConvertError(f"noise is stated of {unknown[0]!r}; the Inputs are {self.graph.of_kind(n.Input)}")
        self._dense = Dense(self.graph)
        self._true = self._dense.outputs(samples)
        self.scales = scales(self.graph, samples, lambda what, done: progress(what, 0.3 * done))
        self._errors: dict[int, float] = {}

    def share(self, shares: Mapping[str, float]) -> None:
        """Divide the quanta otherwise among the layers."""
        self.shares = dict(shares)
        self._errors = {}

    def levels(self, quanta: int) -> dict[str, float]:
        found = {name: quanta * self.shares.get(name, 1.0) / scale for name, scale in self.scales.items()}
        return found | {name: min(found[name], most) for name, most in self._limits.items()}

    def error(self, quanta: int) -> float:
        if quanta not in self._errors:
            self.progress(f"error with {quanta} levels", 0.3 + 0.7 * min(len(self._errors) / 12, 0.99))
            self._errors[quanta] = self._error(self.levels(quanta))
        return self._errors[quanta]

    def alone(self, name: str, quanta: int) -> float:
        """The error where this layer alone is rounded."""
        return self._error({name: self.levels(quanta)[name]})

    def fewest(self, error: float) -> Fit:
        """The fewest quanta that meet the error."""
        if not 0 < error < 1:
            raise ConvertError(f"error is {error}, expected a share between 0 and 1")
        low, high = 0, 8
        while self.error(high) > error:
            low, high = high, 2 * high
            if high > MOST_LEVELS:
                reason = ", with the input's quantum held at six sigma of its noise" if self._limits else ""
                floor = min(self._errors.values())
                raise ConvertError(f"error {error:g} is not met: {low} levels reach {floor:.3g}{reason}")
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.error(middle) <= error else (middle, high)
        return self.fit(high)

    def fit(self, quanta: int) -> Fit:
        levels, error = self.levels(quanta), self.error(quanta)
        self.progress(f"{quanta} levels", 1.0)
        stated = {"tectum": {"version": 1, "fitted": {"quanta": quanta, "error": error, "scales": self.scales}}}
        return Fit(with_levels(self.graph, levels, stated), self.graph, quanta, error, levels, self.scales)

    def _error(self, levels: Mapping[str, float]) -> float:
        exact = {name: np.float32(k) for name, k in levels.items()}
        return relative_error(self._dense.outputs(self.samples, exact), self._true)
