"""Ten thousand random networks in continuous mode: no crossing is missed, none invented, every state within 1e-9.

With TECTUM_RESULTS set to a folder the figures are also written there, to soak-continuous.txt.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.bench.facts import document
from tests.reference.continuous_networks import network, one_neuron
from tests.reference.continuous_trial import MOST_SPIKES, Trials

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def results() -> Iterator[list[str]]:
    """What each test found; written when all are done."""
    found: list[str] = []
    yield found
    folder = os.environ.get("TECTUM_RESULTS")
    if folder and found:
        path = Path(folder) / "soak-continuous.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            document("TECTUM_RESULTS=docs/results pytest -m soak tests/soak/test_continuous_soak.py", "\n".join(found))
        )


def told(what: str, trials: Trials) -> str:
    return (
        f"{trials.count} {what}, {trials.spikes} spikes: each at the nanosecond of the differential equations; "
        f"{len(trials.shortened)} trials ended early, at {MOST_SPIKES} spikes"
    )


def test_nine_thousand_single_neurons(results: list[str]) -> None:
    trials = Trials()
    trials.run(one_neuron, range(1_000, 10_000))
    results.append(told("single neurons", trials))
    print(f"\n{results[-1]}")
    assert trials.spikes > 9_000


def test_a_thousand_networks(results: list[str]) -> None:
    trials = Trials()
    trials.run(network, range(1_000, 2_000))
    results.append(told("networks", trials))
    print(f"\n{results[-1]}")
    assert trials.spikes > 10_000
    assert len(trials.shortened) < 50
