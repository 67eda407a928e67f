"""NIR files: round trips, published oddities, and files that are broken."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import nir as peer
import numpy as np
import pytest

from nets import nodes as n
from nets.errors import NirError
from nets.graph import Graph
from nets.nir import read, write

FILES = ["braille_bias_zero", "braille_bias_zero_subgraph", "brandy2025_50", "cnn_sinabs", "lif_norse", "lif_rockpool"]


def every_node() -> Graph:
    one = np.ones(4)
    nodes: dict[str, n.Node] = {
        "in": n.Input((2, 5, 5)),
        "conv": n.Conv2d((5, 5), np.ones((4, 2, 3, 3), np.float32), (1, 1), (1, 1), (1, 1), 1, np.zeros(4, np.float32)),
        "scale": n.Scale(np.ones((4, 5, 5))),
        "if": n.IF(r=np.ones((4, 5, 5)), v_threshold=np.ones((4, 5, 5)), v_reset=np.zeros((4, 5, 5))),
        "sum": n.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "avg": n.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "flat": n.Flatten(0, -1, (4, 1, 1)),
        "linear": n.Linear(np.eye(4)),
        "lif": n.LIF(tau=one, r=one, v_leak=0 * one, v_threshold=one, v_reset=0 * one),
        "affine": n.Affine(np.eye(4), one),
        "cuba": n.CubaLIF(tau_syn=one, tau_mem=one, r=one, v_leak=0 * one, v_threshold=one, v_reset=0 * one, w_in=one),
        "delay": n.Delay(one),
        "threshold": n.Threshold(one),
        "li": n.LI(tau=one, r=one, v_leak=0 * one),
        "cubali": n.CubaLI(tau_syn=one, tau_mem=one, r=one, v_leak=0 * one, w_in=one),
        "i": n.I(one),
        "out": n.Output((4,)),
    }
    path = list(nodes)
    return Graph(nodes, list(pairwise(path)))


def test_every_node_type_makes_the_round_trip(tmp_path: Path) -> None:
    graph = every_node()
    write(tmp_path / "all.nir", graph)
    assert read(tmp_path / "all.nir") == graph


def test_metadata_makes_the_round_trip(tmp_path: Path) -> None:
    stated = {"tectum": {"version": 1, "dialect": {"preset": "sinabs", "dt_s": 1e-3}}, "author": "somebody"}
    graph = Graph({"in": n.Input((1,)), "out": n.Output((1,))}, [("in", "out")], stated)
    write(tmp_path / "m.nir", graph)
    assert read(tmp_path / "m.nir").metadata == stated


def test_the_reference_package_reads_what_we_write(tmp_path: Path) -> None:
    graph = every_node()
    write(tmp_path / "all.nir", graph)
    theirs = peer.read(str(tmp_path / "all.nir"))
    assert set(theirs.nodes) == set(graph.nodes)
    np.testing.assert_array_equal(theirs.nodes["conv"].weight, graph.nodes["conv"].weight)  # type: ignore[attr-defined]
    assert sorted(theirs.edges) == sorted(graph.edges)


def test_we_read_what_the_reference_package_writes(tmp_path: Path) -> None:
    one = np.ones(3)
    theirs = peer.NIRGraph.from_list(
        peer.Input(np.array([2])), peer.Affine(np.ones((3, 2)), one),
        peer.LIF(tau=one, r=one, v_leak=one, v_threshold=one), peer.Output(np.array([3])),
    )  # fmt: skip
    peer.write(str(tmp_path / "theirs.nir"), theirs)
    graph = read(tmp_path / "theirs.nir")
    assert sorted(node.kind for node in graph.nodes.values()) == ["Affine", "Input", "LIF", "Output"]


@pytest.mark.parametrize("name", FILES)
def test_published_files_are_read_and_round_trip(name: str, data: Path, tmp_path: Path) -> None:
    graph = read(data / "networks" / f"{name}.nir")
    write(tmp_path / "copy.nir", graph)
    assert read(tmp_path / "copy.nir") == graph


def test_a_subgraph_is_flattened_and_its_wrong_edge_repaired_with_a_note(data: Path) -> None:
    graph = read(data / "networks" / "braille_bias_zero_subgraph.nir")
    assert "lif1.lif1" in graph.nodes
    assert graph.notes == ("lif1.: edges name 'lif', which can only be the node 'lif1'",)
    assert ("fc1", "lif1.lif1") in graph.edges
    assert ("lif1.lin", "lif1.lif1") in graph.edges


def _delete(path: str) -> Callable[[Any], None]:
    def damage(file: Any) -> None:
        del file[path]

    return damage


def _replace(path: str, value: Any) -> Callable[[Any], None]:
    def damage(file: Any) -> None:
        del file[path]
        file[path] = value

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_delete("node"), "not a NIR file"),
        (_delete("node/nodes"), "'nodes' and the list 'edges'"),
        (_delete("node/edges"), "'nodes' and the list 'edges'"),
        (_delete("node/nodes/linear/type"), "'linear' has no type"),
        (_delete("node/nodes/linear/weight"), "linear: Linear without weight"),
        (_replace("node/nodes/linear/type", "Quantum"), "type 'Quantum'"),
        (_replace("node/nodes/linear/weight", np.full((4, 4), np.nan)), "linear: Linear.weight is not finite"),
        (_replace("node/nodes/linear/weight", np.ones((4, 9))), "linear: Linear.weight has shape"),
        (_replace("node/nodes/linear/weight", "heavy"), "expected real numbers"),
        (_replace("node/edges", np.ones(3)), r"edges have shape \(3,\)"),
        (_replace("node/edges", np.array([[b"in", b"x"], [b"y", b"out"]])), "edges name 'x'"),
        (_replace("node/nodes/conv/stride", np.array([0, 1])), "conv: stride"),
        (_replace("node/nodes/in/shape", np.array([-1, 5, 5])), "expected sizes of at least 1"),
        (_replace("node/type", "Affine"), "expected 'NIRGraph'"),
    ],
)
def test_malformed_files_give_one_named_error(damage: Callable[[Any], None], message: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.nir"
    write(path, every_node())
    with h5py.File(path, "a") as file:
        damage(file)
    with pytest.raises(NirError, match=message) as caught:
        read(path)
    assert str(path) in str(caught.value)


def test_truncated_and_foreign_files_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "whole.nir", every_node())
    content = (tmp_path / "whole.nir").read_bytes()
    path = tmp_path / "cut.nir"
    for size in (0, 7, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(NirError):
            read(path)
    path.write_text("[network]\n")
    with pytest.raises(NirError, match="not a readable NIR file"):
        read(path)
    with pytest.raises(NirError, match="no such file"):
        read(tmp_path / "absent.nir")


def test_flipped_bytes_never_escape_as_another_error(tmp_path: Path) -> None:
    write(tmp_path / "whole.nir", every_node())
    content = bytearray((tmp_path / "whole.nir").read_bytes())
    rng = np.random.default_rng(1)
    path = tmp_path / "flipped.nir"
    refused = 0
    for _ in range(150):
        damaged = content.copy()
        for at in rng.integers(0, len(content), 8):
            damaged[at] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        try:
            read(path)
        except NirError:
            refused += 1
    assert refused > 0
