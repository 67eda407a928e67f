"""Rounds what each unit of a gaze network holds to whole quanta, as the sigma-delta engine does, and counts the work.

    q' = rint(levels y) where |levels y - q| > 1/2 + hysteresis, else q
    surfaces:  c <- c exp(-t / tau),  s = rint(levels (x - c)),  c <- c + s / levels

Each row of a batch has settings of its own; a row of fineness 0 rounds nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from training.gaze_bench import Bench
from training.gaze_network import INPUT_LEVELS, LEVELS, MODALITIES, GazeNetwork

SURFACES = ("dvs", "turn")


@dataclass
class Counts:
    """Since the last `clear`, a number for each row."""

    rows: int
    sent: dict[str, Tensor] = field(default_factory=dict)
    """Operations that the changes of each input or layer caused."""
    touched: Tensor = field(init=False)
    nonzero: Tensor = field(init=False)
    """Operations of passes that skip zeros."""

    def __post_init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.sent = {}
        self.touched, self.nonzero = torch.zeros(self.rows), torch.zeros(self.rows)


class Quantiser:
    """`inputs` rounds a bench's sensors; called with (name, activation), it rounds a layer."""

    def __init__(
        self,
        network: GazeNetwork,
        *,
        fineness: Sequence[float],
        hysteresis: Sequence[float],
        dvs_period: Sequence[int],
        without: Sequence[tuple[str, ...]],
    ) -> None:
        self.counts = Counts(len(fineness))
        self._network = network
        self._fineness = torch.tensor(fineness, dtype=torch.float32)
        self._rounds = self._fineness > 0
        self._margin = 0.5 + torch.tensor(hysteresis, dtype=torch.float32)
        self._dvs_period = torch.tensor(dvs_period)
        self._alive = {
            port: torch.tensor([sensor not in row for row in without], dtype=torch.float32)
            for sensor, ports in MODALITIES.items()
            for port in ports
        }
        self._held: dict[str, Tensor] = {}
        self._changed: dict[str, Tensor] = {}
        self._tick = 0

    def inputs(self, bench: Bench) -> dict[str, Tensor]:
        """What the first layers hold of the sensors."""
        found: dict[str, Tensor] = {}
        for name, levels in INPUT_LEVELS.items():
            x = torch.from_numpy(getattr(bench, name)) * _rows(self._alive[name], getattr(bench, name).ndim)
            if name in SURFACES:
                found[name] = self._surface(name, x, levels, float(bench.keep if name == "dvs" else bench.keep_turn))
            else:
                found[name] = self._measure(name, x, torch.full_like(self._fineness, levels))
        self._tick += 1
        return found

    def __call__(self, name: str, y: Tensor) -> Tensor:
        layer = next(layer for layer in self._network.layers if layer.name == name)
        size = y[0].numel()
        reached = sum((self._changed[source] for source in layer.sources), torch.zeros(len(y), dtype=torch.bool))
        self.counts.touched += size * reached.float()
        return self._measure(name, y, LEVELS * self._fineness)

    def _measure(self, name: str, y: Tensor, levels: Tensor) -> Tensor:
        before = self._held.get(name, torch.zeros_like(y))
        k, rounds = _rows(levels.clamp(min=1e-9), y.dim()), _rows(self._rounds, y.dim())
        moved = (y - before).abs() * k > _rows(self._margin, y.dim())
        held = torch.where(rounds, torch.where(moved, torch.round(y * k) / k, before), y)
        self._count(name, held, (held != before) & rounds)
        self._held[name] = held
        return held

    def _surface(self, name: str, x: Tensor, levels: float, keep: float) -> Tensor:
        rounds = _rows(self._rounds, x.dim())
        before = self._held.get(name, torch.zeros_like(x))
        copy = before * keep
        steps = torch.round((x - copy) * levels)
        looks = x
        if name == "dvs":
            looks = torch.where(_rows(self._tick % self._dvs_period == 0, x.dim()), x, before)
        held = torch.where(rounds, copy + steps / levels, looks)
        self._count(name, held, (steps != 0) & rounds)
        self._changed[name] = self._rounds  # what leaks is looked at every millisecond
        self._held[name] = held
        return held

    def _count(self, name: str, held: Tensor, changed: Tensor) -> None:
        fan_out = self._network.fan_out[name]
        zero = torch.zeros(len(held))
        self.counts.sent[name] = self.counts.sent.get(name, zero) + (changed * fan_out).flatten(1).sum(1)
        self.counts.nonzero += ((held != 0) * fan_out).flatten(1).sum(1)
        self._changed[name] = changed.flatten(1).any(1)


def _rows(values: Tensor, dimensions: int) -> Tensor:
    return values.reshape(-1, *([1] * (dimensions - 1)))
