"""Measured runs put together: one way over its seeds, and two ways at one value of what is varied."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from runtime.bench.gaze.robot import Measured
from runtime.bench.gaze.weights import Weights

NEVER_MS = 100.0
"""As late counts a bump that was not answered."""


@dataclass
class Row:
    """A way, over all seeds."""

    name: str
    runs: list[Measured]

    def mean(self, what: str) -> float:
        return float(np.mean([getattr(run, what) for run in self.runs]))

    @property
    def rms(self) -> float:
        return math.sqrt(float(np.mean([run.rms_px**2 for run in self.runs])))

    def latency(self, percent: float) -> float:
        """ms."""
        found = [NEVER_MS if math.isnan(ms) else ms for run in self.runs for ms in run.latency_ms]
        return float(np.percentile(found, percent)) if found else math.nan

    def period_us(self, percent: float) -> float:
        return float(np.percentile([us for run in self.runs for us in run.periods_us], percent))

    def work(self, weights: Weights) -> float:
        return weights.weighted(self.mean("synops"), self.mean("touches"), self.mean("events_in"))

    def plain(self, weights: Weights) -> dict[str, Any]:
        found = {
            key: self.mean(key) for key in asdict(self.runs[0]) if key not in ("latency_ms", "periods_us", "rms_px")
        }
        return found | {
            "way": self.name,
            "rms_px": self.rms,
            "latency_ms": {"p50": self.latency(50), "p95": self.latency(95)},
            "period_us": {"p50": self.period_us(50), "p99": self.period_us(99)},
            "work": self.work(weights),
            "rms_px_by_seed": [run.rms_px for run in self.runs],
        }


@dataclass
class Pair:
    """Both at one value of what is varied."""

    at: float
    tectum: Row
    dense: Row

    def plain(self, what: str, weights: Weights) -> dict[str, Any]:
        return {what: self.at, "tectum": self.tectum.plain(weights), "dense": self.dense.plain(weights)}
