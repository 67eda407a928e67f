"""Presets against the simulators: networks they exported, spike for spike what they did themselves.

`tests/comparison/compare.py` made the file, with the simulators installed; here it is enough that we read NIR.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nets.nir import read
from tests.comparison.golden import Golden, load
from tests.comparison.measure import identical, play

FILE = Path(__file__).resolve().parent.parent / "golden" / "dialects.npz.xz"
CASES = load(FILE)


@pytest.fixture(params=sorted(CASES))
def golden(request: pytest.FixtureRequest) -> Golden:
    return CASES[request.param]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_exported_network_spikes_here_as_in_its_simulator(golden: Golden, dtype: Any, tmp_path: Path) -> None:
    path = tmp_path / "network.nir"
    path.write_bytes(golden.nir)
    ours = play(read(path), golden.dialect, golden.x, dtype)
    assert min(float(layer.sum()) for layer in golden.spikes) >= 5
    assert identical(ours, golden.spikes) >= 0.99


def test_another_simulators_rules_give_other_spikes(golden: Golden, tmp_path: Path) -> None:
    path = tmp_path / "network.nir"
    path.write_bytes(golden.nir)
    others = {"norse": "sinabs", "norse_lifcell": "norse", "sinabs": "norse", "rockpool": "norse"}
    wrong = others.get(golden.dialect["preset"], "rockpool")
    assert identical(play(read(path), {"preset": wrong, "dt_s": 1e-3}, golden.x, np.float64), golden.spikes) < 0.95


def test_every_simulator_is_there() -> None:
    assert {name.partition("-")[0] for name in CASES} == {"norse", "snntorch", "sinabs", "rockpool", "spikingjelly"}
