"""Sigma-delta units in files: what is stored, what other readers see, what comes back."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import nir
import numpy as np
import pytest

from nets import nodes as n
from nets.errors import GraphError, NirError
from nets.graph import Graph
from nets.models import ExportWarning
from nets.nir import read, write
from nets.sigma_delta.engine import SigmaDeltaEngine
from nets.sigma_delta.node import SigmaDelta, Surface, levels_for_noise


def example() -> Graph:
    rng = np.random.default_rng(0)
    nodes = {
        "camera": n.Input((1, 4, 4)),
        "camera_q": SigmaDelta(levels=np.float32(16), slope=1.0),
        "dvs": n.Input((5,)),
        "dvs_q": Surface(levels=4.0, slope=1.0, leak_per_s=50.0),
        "flat": n.Flatten(0, -1),
        "fc": n.Affine(rng.normal(size=(3, 16)), rng.normal(size=3)),
        "fd": n.Linear(rng.normal(size=(3, 5))),
        "layer": SigmaDelta(levels=rng.uniform(1, 9, 3), hysteresis=0.25, metadata={"note": "fitted"}),
        "output": n.Output((3,)),
    }
    edges = [("camera", "camera_q"), ("camera_q", "flat"), ("flat", "fc"), ("fc", "layer"), ("layer", "output")]
    return Graph(nodes, [*edges, ("dvs", "dvs_q"), ("dvs_q", "fd"), ("fd", "layer")])


def stored(tmp_path: Path) -> Path:
    path = tmp_path / "net.nir"
    with pytest.warns(ExportWarning, match=r"layer: SigmaDelta \(others read IF\)"):
        write(path, example())
    return path


def test_a_graph_comes_back_equal_and_runs_the_same(tmp_path: Path) -> None:
    graph = read(stored(tmp_path))
    assert graph == example()
    one, other = SigmaDeltaEngine(example()), SigmaDeltaEngine(graph)
    for engine in (one, other):
        t, index = np.arange(16), np.arange(16, dtype=np.int32)
        engine.feed("camera", t, index, np.linspace(-1, 1, 16, dtype=np.float32))
        engine.advance(100)
    assert one.hash() == other.hash()


def test_the_file_says_what_it_holds(tmp_path: Path) -> None:
    with h5py.File(stored(tmp_path)) as file:
        node = file["node/nodes/layer"]
        assert node["type"][()] == b"IF"
        said = json.loads(node["metadata/tectum"][()])
        assert (said["version"], said["op"]) == (1, "SigmaDelta")
        assert set(said["parameters"]) == {"levels", "slope", "hysteresis", "leak_per_s"}
        assert file["node/metadata/needs_tectum"][()] == b"SigmaDelta, Surface"
        np.testing.assert_array_equal(node["r"], example().nodes["layer"].levels)  # type: ignore[attr-defined]


def test_other_readers_see_integrate_and_fire(tmp_path: Path) -> None:
    found = nir.read(str(stored(tmp_path)))
    assert isinstance(found.nodes["layer"], nir.IF)
    np.testing.assert_array_equal(found.nodes["layer"].v_threshold, np.ones(3))


def test_metadata_of_an_unknown_version_is_refused(tmp_path: Path) -> None:
    path = stored(tmp_path)
    with h5py.File(path, "r+") as file:
        folder = file["node/nodes/layer/metadata"]
        said = json.loads(folder["tectum"][()]) | {"version": 2}
        del folder["tectum"]
        folder.create_dataset("tectum", data=json.dumps(said), dtype=h5py.string_dtype())
    with pytest.raises(NirError, match=r"layer: .*version 2 of SigmaDelta, expected 1"):
        read(path)


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"levels": 0.0}, "SigmaDelta.levels is 0.0, expected above 0"),
        ({"levels": 8.0, "hysteresis": -0.1}, "hysteresis is -0.1, expected 0 or more"),
        ({"levels": 8.0, "leak_per_s": -1.0}, "leak_per_s is -1.0"),
        ({"levels": 8.0, "leak_per_s": np.ones(2)}, "leak_per_s has shape .2,., expected one number"),
        ({"levels": np.inf}, "not finite"),
    ],
)
def test_impossible_parameters_are_refused(parameters: dict[str, object], match: str) -> None:
    with pytest.raises(GraphError, match=match):
        SigmaDelta(**parameters)  # type: ignore[arg-type]  # any mapping


def test_a_node_knows_its_activation() -> None:
    kinds = [SigmaDelta(levels=1.0, slope=slope).activation for slope in (0.0, 1.0, 0.25, np.array([0.0, 1.0]))]
    assert kinds == ["relu", "none", "prelu", "prelu"]


def test_levels_for_noise_make_a_quantum_of_six_sigma() -> None:
    assert 1 / levels_for_noise(0.01) == pytest.approx(0.06)
    with pytest.raises(ValueError, match=r"sigma is 0\.0"):
        levels_for_noise(0.0)


@pytest.mark.parametrize("units", [4096, 100_000])
def test_one_number_for_a_whole_layer_takes_no_room_and_is_there_for_every_reader(units: int, tmp_path: Path) -> None:
    path = tmp_path / "wide.nir"
    nodes: dict[str, n.Node] = {
        "input": n.Input((units,)),
        "layer": SigmaDelta(levels=7.5),
        "output": n.Output((units,)),
    }
    graph = Graph(nodes, [("input", "layer"), ("layer", "output")])
    with pytest.warns(ExportWarning):
        write(path, graph)
    assert path.stat().st_size < 30_000
    assert read(path) == graph
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["node/nodes/layer/r"], np.full(units, 7.5, np.float32))
    np.testing.assert_array_equal(nir.read(str(path)).nodes["layer"].v_threshold, np.ones(units))


def test_numbers_that_differ_in_a_bit_are_stored_as_they_are(tmp_path: Path) -> None:
    levels = np.zeros(1000, np.float32)
    levels[:] = 7.5
    weight = np.zeros((2, 1000), np.float32)
    weight[1, -1] = -0.0
    nodes: dict[str, n.Node] = {"input": n.Input((1000,)), "layer": SigmaDelta(levels=levels), "w": n.Linear(weight)}
    nodes["output"] = n.Output((2,))
    with pytest.warns(ExportWarning):
        write(tmp_path / "w.nir", Graph(nodes, [("input", "layer"), ("layer", "w"), ("w", "output")]))
    found = read(tmp_path / "w.nir").nodes["w"]
    assert isinstance(found, n.Linear)
    assert np.asarray(found.weight).tobytes() == weight.tobytes()
