"""Continuous mode equals its differential equations: every spike at its nanosecond, every state to 1e-9."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from nets.continuous.engine import ContinuousEngine
from tests.reference.continuous_networks import Case, network, one_neuron
from tests.reference.ode import Twin


def compare(case: Case) -> int:
    """Run both; return how many spikes they agreed on."""
    engine = ContinuousEngine(case.graph, case.dialect, dtype=np.float64)
    engine.watch(True)
    engine.feed("input", case.t, case.index, case.value)
    engine.advance(case.until)
    t, population, index, count = engine.watched()
    offset = np.cumsum([0, *(p.size for p in engine.populations)])
    names = [p.name for p in engine.populations]
    place = np.cumsum([0, *(engine.populations[names.index(name)].size for name in case.order)])
    neuron = index + np.array([place[case.order.index(name)] for name in names], np.int64)[population]
    assert len(offset) == len(place)
    twin = Twin(case.graph, case.dialect, case.order)
    for when, where, size in zip(case.t.tolist(), case.index.tolist(), case.value.tolist(), strict=True):
        twin.feed("input", when, where, size)
    twin.advance(case.until)
    mine = sorted(zip(t.tolist(), neuron.tolist(), count.tolist(), strict=True))
    assert mine == sorted((when, who, int(times)) for when, who, times in twin.out)
    for layer in twin.layers:
        v, i = engine.potentials()[layer.name]
        scale = np.array([1 + abs(m.v) for m in layer.membranes])
        assert np.max(np.abs(v.ravel() - [m.v for m in layer.membranes]) / scale) < 1e-9, layer.name
        if i is not None:
            scale = np.array([1 + abs(m.i) for m in layer.membranes])
            assert np.max(np.abs(i.ravel() - [m.i for m in layer.membranes]) / scale) < 1e-9, layer.name
    return len(mine)


def trials(make: Callable[[int], Case], seeds: range) -> int:
    total = 0
    for seed in seeds:
        try:
            total += compare(make(seed))
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
    return total


def test_single_neurons_fire_when_their_equations_say() -> None:
    assert trials(one_neuron, range(300)) > 300


def test_networks_fire_when_their_equations_say() -> None:
    assert trials(network, range(60)) > 300


@pytest.mark.soak
@pytest.mark.timeout(3000)
def test_no_crossing_is_missed_or_invented_in_ten_thousand_trials() -> None:
    spikes = trials(one_neuron, range(1_000, 10_000)) + trials(network, range(1_000, 2_000))
    print(f"10000 trials, {spikes} spikes: each at the same nanosecond as in the differential equations")
    assert spikes > 10_000
