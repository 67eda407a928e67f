"""Divides the quanta among the layers so that the same error costs fewer operations.

With k levels in a layer its rounding adds c / k^2 to the square of the output's error, and its changes cost o k^a
operations, a about 1/2 on natural video. The least cost at a given error has k in proportion to (c / o)^(1 / (2 + a)).
c is measured with that layer alone rounded, o by counting, both at the fewest common quanta that meet the error.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nets.convert.dense import Samples
from nets.convert.levels import Fit, Progress, Search
from nets.convert.work import count
from nets.graph import Graph

GROWTH = 0.5
"""a: how fast the operations grow with the levels."""
WIDEST = 8.0
"""No layer gets more than so many times the common quanta, nor less than this part of them."""


def fit_balanced(
    network: Graph,
    samples: Samples,
    error: float,
    *,
    noise: Mapping[str, float] | None = None,
    progress: Progress = lambda what, fraction: None,
) -> Fit:
    """As `nets.convert.levels.fit`, with the quanta divided; the cheaper of the two by operations on the samples."""
    search = Search(network, samples, noise or {}, lambda what, done: progress(what, 0.4 * done))
    common = search.fewest(error)
    work = count(common, samples)
    search.share(_shares(search, common, work.behind, lambda what, done: progress(what, 0.4 + 0.2 * done)))
    search.progress = lambda what, done: progress(what, 0.6 + 0.4 * done)
    divided = search.fewest(error)
    return divided if count(divided, samples).total("graded") < work.total("graded") else common


def _shares(search: Search, fit: Fit, operations: Mapping[str, float], progress: Progress) -> dict[str, float]:
    wanted: dict[str, float] = {}
    for k, name in enumerate(fit.levels):
        progress(f"what {name} costs and spoils", k / len(fit.levels))
        spoilt, cost = search.alone(name, fit.quanta) ** 2, operations[name]
        if spoilt > 0 and cost > 0:
            wanted[name] = (spoilt / cost) ** (1 / (2 + GROWTH))
    middle = np.exp(np.mean(np.log(list(wanted.values())))) if wanted else 1.0
    return {name: float(np.clip(share / middle, 1 / WIDEST, WIDEST)) for name, share in wanted.items()}
