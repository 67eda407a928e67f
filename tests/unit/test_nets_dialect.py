"""Dialects: precedence, provenance, refusal, and the numbers other frameworks give for the same files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nets import nodes as n
from nets.dialect import PRESETS, resolve
from nets.errors import DialectError
from nets.graph import Graph
from nets.load import load
from nets.nir import read, write


def single(metadata: dict[str, Any] | None = None) -> Graph:
    nodes: dict[str, n.Node] = {"in": n.Input((1,)), "a": n.IF(r=1.0, v_threshold=1.0), "out": n.Output((1,))}
    return Graph(nodes, [("in", "a"), ("a", "out")], metadata)


def test_caller_beats_sidecar_beats_metadata_beats_preset(tmp_path: Path) -> None:
    stated = {"preset": "norse", "dt_s": 0.5, "reset": "subtract", "threshold": ">="}
    path = tmp_path / "net.nir"
    write(path, single({"tectum": {"version": 1, "dialect": stated}}))
    (tmp_path / "net.dialect.toml").write_text('dt_s = 0.25\nthreshold = ">"\n')
    found = resolve(read(path), path, {"threshold": ">="})
    assert (found.preset, found.dt_s, found.reset, found.threshold) == ("norse", 0.25, "subtract", ">=")
    assert found.provenance["threshold"] == "given by the caller"
    assert found.provenance["dt_s"] == "net.dialect.toml"
    assert found.provenance["reset"] == "graph metadata"
    assert found.provenance["leak"] == "preset norse"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "does not state preset, dt_s"),
        ({"preset": "sinabs"}, "does not state dt_s"),
        ({"preset": "brain", "dt_s": 1.0}, "preset is 'brain'"),
        ({"preset": "sinabs", "dt_s": 0.0}, "dt_s is 0.0"),
        ({"preset": "sinabs", "dt_s": float("nan")}, "dt_s is nan"),
        ({"preset": "sinabs", "dt_s": 1e-3, "reset": "hard"}, "reset is 'hard', expected 'subtract' or 'value'"),
        ({"preset": "sinabs", "dt_s": 1e-3, "rest": 1}, "unknown field 'rest'"),
        ({"preset": "sinabs", "dt_s": 1e-3, "recurrent_delay": 0}, "recurrent_delay is 0"),
        ({"preset": "sinabs", "dt_s": 1e-3, "floor": "ground"}, "floor is 'ground'"),
        ({"preset": "sinabs", "dt_s": 1e-3, "multi_spike": 1}, "multi_spike is 1"),
    ],
)
def test_what_is_missing_or_wrong_is_refused_by_name(given: dict[str, Any], message: str) -> None:
    with pytest.raises(DialectError, match=message):
        resolve(single(), None, given)


def test_all_fields_together_need_no_preset() -> None:
    found = resolve(single(), None, {**PRESETS["sinabs"], "floor": "none", "dt_s": 1e-3})
    assert (found.preset, found.floor) == ("custom", None)


def test_the_tick_is_read_off_a_file_that_encodes_it(data: Path) -> None:
    path = data / "networks" / "braille_bias_zero.nir"
    found = resolve(read(path), path, {"preset": "snntorch"})
    assert found.dt_s == 1e-4
    assert found.provenance["dt_s"].startswith("inferred from r = tau_mem / dt")


def test_the_shipped_network_states_its_dialect(deploy: Path) -> None:
    engine = load(deploy / "networks" / "cnn_sinabs.nir")
    assert engine.dialect.provenance["preset"] == "cnn_sinabs.dialect.toml"
    assert engine.dt_ns == 1_000_000


def spikes_on_noise(path: Path, preset: str) -> int:
    """Output spikes in 50 ticks of 30 % input: torch.manual_seed(0); torch.rand(50, 1, n) < 0.3."""
    engine = load(path, {"preset": preset, "dt_s": 1e-4})
    size = int(np.prod(engine.inputs["input"].shape))
    words = np.random.RandomState(0).randint(0, 2**32, size=50 * size, dtype=np.uint64)  # torch's generator
    tick, index = np.nonzero((words & 0xFFFFFF).reshape(50, size) / 2**24 < 0.3)
    engine.feed("input", tick.astype(np.int64) * engine.dt_ns, index.astype(np.int32))
    return int(engine.advance(50 * engine.dt_ns).value.sum())


@pytest.mark.parametrize(
    ("name", "preset", "spikes"),
    [
        ("lif_norse", "norse", 6),
        ("lif_norse", "snntorch", 6),
        ("lif_norse", "spikingjelly", 6),
        ("lif_norse", "sinabs", 190),
        ("braille_bias_zero", "norse", 117),
        ("braille_bias_zero", "spikingjelly", 117),
        ("braille_bias_zero_subgraph", "norse", 117),
        ("cnn_sinabs", "norse", 19),
        ("cnn_sinabs", "sinabs", 494),
    ],
)
def test_presets_give_the_counts_that_their_frameworks_give(name: str, preset: str, spikes: int, data: Path) -> None:
    assert spikes_on_noise(data / "networks" / f"{name}.nir", preset) == spikes
