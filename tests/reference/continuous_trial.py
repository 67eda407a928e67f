"""One random network run by the continuous engine and by its twin: every spike at its nanosecond, every state to 1e-9.

A network that excites itself without bound would keep the twin busy for hours: a trial ends at the moment that brings
its spikes above a limit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from nets.continuous.engine import ContinuousEngine
from tests.reference.continuous_networks import Case
from tests.reference.ode import Twin

MOST_SPIKES = 600


@dataclass
class Trials:
    """What a run of trials came to."""

    count: int = 0
    spikes: int = 0
    shortened: list[int] = field(default_factory=list)
    """Seeds of the trials that ended at the limit."""

    def run(self, make: Callable[[int], Case], seeds: Iterable[int]) -> None:
        for seed in seeds:
            case = make(seed)
            until = end_of(case)
            try:
                self.spikes += compare(case, until)
            except AssertionError as error:
                raise AssertionError(f"{make.__name__}({seed}): {error}") from error
            self.count += 1
            if until < case.until:
                self.shortened.append(seed)


def end_of(case: Case) -> int:
    """Up to where a trial is run: the case's end, or the end of the moment at which it exceeds the limit."""
    engine = _engine(case)
    begun, step = 0, case.until // 100
    while begun < case.until:
        begun = min(begun + step, case.until)
        engine.advance(begun)
        t, _, _, count = engine.watched()
        total = sum(engine.counters.spikes.values())
        if total > MOST_SPIKES:
            before = total - int(count.sum())
            return int(t[np.searchsorted(np.cumsum(count) + before, MOST_SPIKES, "right")])
    return case.until


def compare(case: Case, until: int) -> int:
    """Run both to `until`; return how many spikes they agreed on."""
    engine = _engine(case)
    engine.advance(until)
    t, population, index, count = engine.watched()
    names = [p.name for p in engine.populations]
    place = np.cumsum([0, *(engine.populations[names.index(name)].size for name in case.order)])
    neuron = index + np.array([place[case.order.index(name)] for name in names], np.int64)[population]
    twin = Twin(case.graph, case.dialect, case.order)
    for when, where, size in zip(case.t.tolist(), case.index.tolist(), case.value.tolist(), strict=True):
        twin.feed("input", when, where, size)
    twin.advance(until)
    mine = sorted(zip(t.tolist(), neuron.tolist(), count.tolist(), strict=True))
    assert mine == sorted((when, who, int(times)) for when, who, times in twin.out)
    state = engine.variables()
    for layer in twin.layers:
        if layer.momentary:
            continue
        found = {"v": [m.v for m in layer.membranes]}
        if layer.based:
            found["i"] = [m.i for m in layer.membranes]
        if "refractory" in state[layer.name]:
            found["refractory"] = [m.left * 1e-9 for m in layer.membranes]
        assert found.keys() == state[layer.name].keys()
        for what, expected in found.items():
            error = np.abs(state[layer.name][what].ravel() - expected) / (1 + np.abs(expected))
            assert error.max() < 1e-9, f"{what} of {layer.name} is off by {error.max():.3g}"
    return len(mine)


def _engine(case: Case) -> ContinuousEngine:
    engine = ContinuousEngine(case.graph, case.dialect, dtype=np.float64)
    engine.watch(True)
    engine.feed("input", case.t, case.index, case.value)
    return engine
