"""Trained N-MNIST networks under their own rules and under wrong ones: a dialect decides whether they can read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nets.dialect import resolve
from nets.engine import Engine
from nets.nir import read
from tests.replay.test_nets_nmnist import labels

BINS = 30
DT_NS = 1_000_000


def recording(path: Path) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """(time in ns, flat address) of 40-bit events."""
    raw = np.fromfile(path, np.uint8).reshape(-1, 5).astype(np.int64)
    t = ((raw[:, 2] & 0x7F) << 16 | raw[:, 3] << 8 | raw[:, 4]) * 1000
    return t, (((raw[:, 2] >> 7) * 34 + raw[:, 1]) * 34 + raw[:, 0]).astype(np.int32)


def right(engine: Engine, folder: Path, ids: list[int], bins: int | None) -> int:
    """How many recordings are read as the digit that fires most; each in `bins` ticks, or in ticks of 1 ms."""
    truth, count = labels(folder / "labels.tsv"), 0
    for i in ids:
        t, index = recording(folder / f"{i}.bs2")
        tick = t // DT_NS if bins is None else (t - t[0]) * bins // (t[-1] - t[0] + 1)
        engine.reset(0)
        engine.feed("input", tick * DT_NS, index)
        spikes = engine.advance((int(tick[-1]) + 1) * DT_NS)
        count += int(np.argmax(np.bincount(spikes.index, weights=spikes.value, minlength=10))) == truth[i]
    return count


def engine_of(data: Path, name: str, rules: dict[str, Any]) -> Engine:
    graph = read(data / "networks" / f"{name}.nir")
    return Engine(graph, resolve(graph, None, {"preset": "sinabs", "dt_s": 1e-3} | rules))


def split(data: Path) -> tuple[list[int], list[int]]:
    """The 40 test recordings and the first 200 to train on."""
    ids = sorted(labels(data / "nmnist" / "labels.tsv"))
    return [i for i in ids if i > 60000], ids[:200]


def test_the_second_network_reads_in_30_bins(data: Path) -> None:
    test, train = split(data)
    engine = engine_of(data, "brandy2025_50", {})
    assert right(engine, data / "nmnist", test, BINS) >= 39
    assert right(engine, data / "nmnist", train, BINS) >= 192


@pytest.mark.parametrize(
    ("name", "rules", "bins", "most"),
    [
        ("brandy2025_50", {"reset": "value", "multi_spike": False, "floor": "none"}, BINS, 0.85),
        ("cnn_sinabs", {"reset": "value", "multi_spike": False, "floor": 0.0}, None, 0.80),
    ],
)
def test_wrong_rules_make_a_trained_network_blind(
    name: str, rules: dict[str, Any], bins: int | None, most: float, data: Path
) -> None:
    ids = split(data)[0]
    assert right(engine_of(data, name, rules), data / "nmnist", ids, bins) <= most * len(ids)
    assert right(engine_of(data, name, {}), data / "nmnist", ids, bins) >= 38
