"""Lets a gaze network hold the gaze in closed loop: what error is left, and what it costs in each way of running it.

Each way runs in each world, all side by side. Where a way rounds, operations are those that its changes cause, as in
the sigma-delta engine with a beat of 1 ms; where it does not, they are whole passes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from sensors.gaze_definition import GazeWorld
from training.gaze_bench import Bench
from training.gaze_network import GazeNetwork
from training.gaze_quantiser import Quantiser

CAMERA_HZ = 30.0
SETTLE = 500
"""Milliseconds before errors count."""


@dataclass(frozen=True)
class Way:
    """One way of running a network; `gain` and `pull` make a command of its two heads."""

    name: str
    fineness: float = 1.0
    """Multiplies the levels of every layer; 0 rounds nothing."""
    hysteresis: float = 0.0
    period: int = 1
    """Milliseconds from one pass to the next."""
    dvs_period: int = 1
    """Milliseconds from one look at the event camera's surfaces to the next."""
    cached: bool = False
    """Whether a branch runs only when its sensor brings something: the camera's at its rate, the event camera's at each
    look."""
    without: tuple[str, ...] = ()
    gain: float = 2.0
    pull: float = 160.0
    steered: bool = True


@dataclass
class Result:
    """Of one way, over all its worlds; all but `rms_px` a second."""

    way: Way
    rms_px: float
    operations: float
    zeros_skipped: float
    """Operations of a dense pass that skips zeros; nan where there are no dense passes."""
    touches: float
    """Units evaluated."""
    readings: float
    """Values that sensors brought: DVS events, pixels of frames, rates."""
    by_source: dict[str, float] = field(default_factory=dict)
    """Operations by the layer or input whose changes cause them."""


class Steering:
    """A network's commands, a row for each way and world."""

    def __init__(self, network: GazeNetwork, ways: Sequence[Way], worlds: int) -> None:
        self.network = network
        self.ways = [way for way in ways for _ in range(worlds)]
        self.quantiser = Quantiser(
            network,
            fineness=[way.fineness for way in self.ways],
            hysteresis=[way.hysteresis for way in self.ways],
            dvs_period=[way.dvs_period for way in self.ways],
            without=[way.without for way in self.ways],
        )
        self._period = np.array([way.period for way in self.ways])
        self._gain = np.array([way.gain for way in self.ways])[:, None]
        self._pull = np.array([way.pull for way in self.ways])[:, None]
        self._steered = np.array([way.steered for way in self.ways])[:, None]
        self._heads: NDArray[np.float64] | None = None
        self._tick = 0

    def __call__(self, bench: Bench) -> NDArray[np.float64]:
        """Rates (rows, axes), rad/s, from what the bench's sensors say now."""
        with torch.no_grad():
            out, _ = self.network(self.quantiser.inputs(bench), self.quantiser)
        heads = out.numpy().astype(np.float64)
        if self._heads is not None:
            heads = np.where((self._tick % self._period == 0)[:, None], heads, self._heads)
        self._heads, axes = heads, len(bench.axes)
        self._tick += 1
        u = -self._gain * heads[:, axes:] + self._pull * heads[:, :axes] / bench.scale
        return np.where(self._steered, np.clip(u, -bench.speed, bench.speed), 0.0)


def hold(
    network: GazeNetwork, ways: Sequence[Way], worlds: Sequence[GazeWorld], seconds: float, threshold: float
) -> list[Result]:
    """Run every way in every world."""
    bench = Bench([world for _ in ways for world in worlds], threshold)
    steer = Steering(network, ways, len(worlds))
    counts = steer.quantiser.counts
    squares = np.zeros(len(bench))
    ticks = round(seconds * 1000)
    for k in range(ticks):
        if k == SETTLE:
            counts.clear()
            bench.readings[:] = 0
        bench.step()
        bench.command(steer(bench))
        if k >= SETTLE:
            squares += (bench.error_px**2).sum(axis=1)
    span = (ticks - SETTLE) / 1000.0
    units = {layer.name: math.prod(network.shapes[layer.name]) for layer in network.layers}
    results = []
    for k, way in enumerate(ways):
        rows = slice(k * len(worlds), (k + 1) * len(worlds))
        by_source = {name: float(sent[rows].mean()) / span for name, sent in counts.sent.items()}
        rounds = way.fineness > 0
        results.append(
            Result(
                way,
                rms_px=math.sqrt(float(squares[rows].mean()) / (ticks - SETTLE)),
                operations=sum(by_source.values()) if rounds else _dense(network.macs, way),
                zeros_skipped=math.nan
                if rounds or way.cached
                else float(counts.nonzero[rows].mean()) / span / way.period,
                touches=float(counts.touched[rows].mean()) / span if rounds else _dense(units, way),
                readings=float(bench.readings[rows].mean()) / span,
                by_source=by_source if rounds else {},
            )
        )
    return results


def _dense(each: Mapping[str, int], way: Way) -> float:
    """A second of passes, `each` being what a layer takes of one."""
    found = 0.0
    for name, amount in each.items():
        branch, passes = name.split("_")[0], 1000.0 / way.period
        if way.cached and branch == "camera":
            passes = CAMERA_HZ
        elif way.cached and branch == "dvs":
            passes = 1000.0 / way.dvs_period
        found += amount * passes
    return found
