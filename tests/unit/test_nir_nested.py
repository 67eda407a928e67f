"""Nested graphs and what exporters leave in files: ports, dotted edges, batches, old files."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import nir as peer
import numpy as np
import pytest

from nets import nodes as n
from nets.dialect import resolve
from nets.engine import Engine
from nets.errors import NirError
from nets.load import load
from nets.nir import read, write

ONE = np.ones(2)


def cell() -> Any:
    return peer.IF(r=ONE, v_threshold=ONE)


def two_ports() -> Any:
    """A nested graph with two Inputs and two Outputs."""
    nodes = {
        "left": peer.Input(np.array([2])), "right": peer.Input(np.array([2])), "a": cell(), "b": cell(),
        "up": peer.Output(np.array([2])), "down": peer.Output(np.array([2])),
    }  # fmt: skip
    edges = [("left", "a"), ("right", "b"), ("a", "up"), ("b", "down")]
    return peer.NIRGraph(nodes, edges, type_check=False)


def store(path: Path, nodes: Mapping[str, Any], edges: list[tuple[str, str]]) -> Path:
    """Write what `nir` would refuse to build: edges by hand."""
    peer.write(str(path), peer.NIRGraph(dict(nodes), [], type_check=False))
    with h5py.File(path, "a") as file:
        del file["node/edges"]
        file["node/edges"] = np.array([[a.encode(), b.encode()] for a, b in edges])
    return path


def top(**nested: Any) -> dict[str, Any]:
    ports = {"x": peer.Input(np.array([2])), "y": peer.Input(np.array([2])), "z": peer.Output(np.array([2]))}
    return ports | nested


def test_dotted_edges_choose_a_port_of_a_nested_graph(tmp_path: Path) -> None:
    edges = [("x", "g.left"), ("y", "g.right"), ("g.up", "z"), ("g.down", "z")]
    graph = read(store(tmp_path / "g.nir", top(g=two_ports()), edges))
    assert set(graph.nodes) == {"x", "y", "z", "g.a", "g.b"}
    assert sorted(graph.edges) == [("g.a", "z"), ("g.b", "z"), ("x", "g.a"), ("y", "g.b")]
    write(tmp_path / "flat.nir", graph)
    assert read(tmp_path / "flat.nir") == graph


def test_dotted_edges_reach_past_the_ports(tmp_path: Path) -> None:
    edges = [("x", "g.a"), ("y", "g.right"), ("g.a", "z"), ("g.down", "z")]
    graph = read(store(tmp_path / "g.nir", top(g=two_ports()), edges))
    assert sorted(graph.edges) == [("g.a", "z"), ("g.b", "z"), ("x", "g.a"), ("y", "g.b")]


def test_several_inputs_and_outputs_at_the_top_run(tmp_path: Path) -> None:
    nodes = top(a=cell(), b=cell(), w=peer.Output(np.array([2])))
    graph = read(store(tmp_path / "g.nir", nodes, [("x", "a"), ("y", "b"), ("a", "z"), ("b", "w")]))
    assert (graph.of_kind(n.Input), graph.of_kind(n.Output)) == (("x", "y"), ("w", "z"))
    engine = load(tmp_path / "g.nir", {"preset": "norse", "threshold": ">=", "dt_s": 1e-3})
    engine.feed("y", np.array([0]), np.array([1], np.int32))
    out = engine.advance(1_000_000)
    assert [list(engine.outputs)[k] for k in out.port] == ["w"]
    assert out.index.tolist() == [1]


def test_an_edge_to_a_graph_with_two_inputs_must_choose(tmp_path: Path) -> None:
    path = store(tmp_path / "g.nir", top(g=two_ports()), [("x", "g"), ("g.up", "z")])
    with pytest.raises(NirError, match=r"'g', which has 2 Inputs: g.left, g.right"):
        read(path)


def test_graphs_in_graphs_and_wires_through_them(tmp_path: Path) -> None:
    wire = peer.NIRGraph(
        {"in": peer.Input(np.array([2])), "out": peer.Output(np.array([2]))}, [("in", "out")], type_check=False
    )
    inner = {"in": peer.Input(np.array([2])), "wire": wire, "if": cell(), "out": peer.Output(np.array([2]))}
    edges = [("in", "wire"), ("wire", "if"), ("if", "out")]
    outer = peer.NIRGraph(inner, edges, type_check=False)
    graph = read(store(tmp_path / "g.nir", top(g=outer), [("x", "g"), ("y", "g"), ("g", "z")]))
    assert sorted(graph.edges) == [("g.if", "z"), ("x", "g.if"), ("y", "g.if")]


def test_two_ways_between_the_same_nodes_are_not_silently_one(tmp_path: Path) -> None:
    wire = peer.NIRGraph(
        {"in": peer.Input(np.array([2])), "out": peer.Output(np.array([2]))}, [("in", "out")], type_check=False
    )
    path = store(
        tmp_path / "g.nir", top(g=wire, a=cell()), [("x", "g"), ("x", "a"), ("g", "a"), ("a", "z"), ("y", "a")]
    )
    with pytest.raises(NirError, match="edge x -> a exists twice"):
        read(path)


def test_a_batch_left_in_the_input_shape_is_taken_away_with_a_note(tmp_path: Path) -> None:
    nodes = {"x": peer.Input(np.array([1, 1, 3])), "w": peer.Linear(np.ones((2, 3))), "a": cell()}
    nodes["z"] = peer.Output(np.array([1, 1, 2]))
    graph = read(store(tmp_path / "g.nir", nodes, [("x", "w"), ("w", "a"), ("a", "z")]))
    assert graph.shapes["x"] == (3,)
    assert graph.notes == ("x: shape (1, 1, 3) is read as (3,)",)


def test_old_files_without_newer_parameters_are_read(tmp_path: Path) -> None:
    cuba = peer.CubaLIF(tau_mem=ONE, tau_syn=ONE, r=ONE, v_leak=0 * ONE, v_threshold=ONE)
    conv = peer.Conv2d((4, 6), np.ones((1, 1, 3, 5)), 1, 0, 1, 1, np.zeros(1))
    nodes = {
        "x": peer.Input(np.array([1, 4, 6])), "conv": conv, "flat": peer.Flatten({"input": np.array([1, 2, 2])}, 0, -1),
        "w": peer.Linear(np.ones((2, 4))), "cuba": cuba, "if": cell(), "z": peer.Output(np.array([2])),
    }  # fmt: skip
    names = list(nodes)
    path = store(tmp_path / "g.nir", nodes, list(pairwise(names)))
    with h5py.File(path, "a") as file:
        missing = ["cuba/w_in", "cuba/v_reset", "if/v_reset", "conv/input_shape", "flat/input_type"]
        for parameter in missing:
            del file[f"node/nodes/{parameter}"]
        del file["version"]
    graph = read(path)
    assert graph.shapes["conv"] == (1, 2, 2)
    cuba_node = graph.nodes["cuba"]
    assert isinstance(cuba_node, n.CubaLIF)
    assert (cuba_node.w_in, cuba_node.v_reset) == (1.0, 0.0)


def test_a_parameter_that_claims_more_than_the_machine_holds_is_refused(tmp_path: Path) -> None:
    nodes = {"x": peer.Input(np.array([2])), "w": peer.Linear(np.eye(2)), "a": cell(), "z": peer.Output(np.array([2]))}
    path = store(tmp_path / "g.nir", nodes, [("x", "w"), ("w", "a"), ("a", "z")])
    with h5py.File(path, "a") as file:
        del file["node/nodes/w/weight"]
        file["node/nodes/w"].create_dataset("weight", (1 << 20, 1 << 20), "f4", chunks=(64, 64))
    with pytest.raises(NirError, match="weight claims"):
        read(path)


def test_the_nested_and_the_flat_braille_network_are_one(data: Path) -> None:
    rng = np.random.default_rng(6)
    tick, index = np.nonzero(rng.random((2000, 12)) < 0.2)
    results = []
    for name in ("braille_bias_zero", "braille_bias_zero_subgraph"):
        engine = load(data / "networks" / f"{name}.nir", {"preset": "snntorch"})
        engine.watch(True)
        engine.feed("input", tick * engine.dt_ns, index.astype(np.int32))
        out = engine.advance(2000 * engine.dt_ns)
        inner = engine.watched()
        results.append((out.t.tolist(), out.index.tolist(), inner[0].tolist(), inner[2].tolist()))
    assert results[0] == results[1]
    assert len(results[0][0]) > 1000
    assert len(results[0][2]) > 2000


@pytest.mark.parametrize("name", ["braille_bias_zero", "brandy2025_50", "cnn_sinabs", "lif_norse", "lif_rockpool"])
@pytest.mark.parametrize("preset", ["spec", "norse", "snntorch", "sinabs", "rockpool", "spikingjelly"])
def test_every_trained_network_runs_under_every_preset(name: str, preset: str, data: Path) -> None:
    graph = read(data / "networks" / f"{name}.nir")
    engine = Engine(graph, resolve(graph, None, {"preset": preset, "dt_s": 1e-4}))
    port, shape = next((p.name, p.shape) for p in engine.inputs.values())
    rng = np.random.default_rng(1)
    t = np.sort(rng.integers(0, 20 * engine.dt_ns, 2000))
    engine.feed(port, t, rng.integers(0, int(np.prod(shape)), 2000).astype(np.int32))
    engine.advance(20 * engine.dt_ns)
    assert sum(engine.counters.spikes.values()) > 0 or preset in ("spec", "spikingjelly")
