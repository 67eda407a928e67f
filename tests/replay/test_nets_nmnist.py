"""The trained N-MNIST network reads real recordings as well as its authors say."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nets.engine import Engine
from nets.load import load


def labels(path: Path) -> dict[int, int]:
    """Digit by recording id, from a table with the header `id label split`."""
    rows = [line.split("\t") for line in path.read_text().splitlines()[1:]]
    return {int(row[0]): int(row[1]) for row in rows}


def spikes_per_digit(engine: Engine, path: Path) -> list[int]:
    """Feed a whole recording (40-bit events: x, y, polarity and 23 bits of µs, big-endian); count output spikes."""
    raw = np.fromfile(path, np.uint8).reshape(-1, 5).astype(np.int64)
    t = ((raw[:, 2] & 0x7F) << 16 | raw[:, 3] << 8 | raw[:, 4]) * 1000
    index = ((raw[:, 2] >> 7) * 34 + raw[:, 1]) * 34 + raw[:, 0]
    engine.reset(0)
    engine.feed("input", t, index.astype(np.int32))
    spikes = engine.advance(int(t[-1]) + engine.dt_ns)
    return [int(spikes.value[spikes.index == digit].sum()) for digit in range(10)]


def right(engine: Engine, folder: Path, ids: list[int]) -> list[int]:
    """Ids of the recordings whose digit fires most."""
    truth = labels(folder / "labels.tsv")
    return [i for i in ids if int(np.argmax(spikes_per_digit(engine, folder / f"{i}.bs2"))) == truth[i]]


def test_shipped_recordings_are_all_read_but_one(deploy: Path) -> None:
    folder = deploy / "recordings" / "nmnist"
    ids = sorted(labels(folder / "labels.tsv"))
    engine = load(deploy / "networks" / "cnn_sinabs.nir")
    assert sorted(set(ids) - set(right(engine, folder, ids))) == [60019]


def test_40_test_and_200_training_recordings(data: Path, deploy: Path) -> None:
    engine = load(deploy / "networks" / "cnn_sinabs.nir")
    truth = labels(data / "nmnist" / "labels.tsv")
    assert len(right(engine, data / "nmnist", sorted(i for i in truth if i > 60000))) >= 38
    assert len(right(engine, data / "nmnist", sorted(truth)[:200])) >= 195
