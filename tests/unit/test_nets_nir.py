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
from nets.continuous.engine import ContinuousEngine
from nets.dialect import resolve
from nets.engine import Engine
from nets.errors import FeedError, NetsError, NirError
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


def specimens() -> dict[str, tuple[tuple[int, ...], Any, tuple[int, ...]]]:
    """A node of each type that the reference package registers, no two numbers alike, between its shapes."""
    rng = np.random.default_rng(3)

    def p(*shape: int) -> Any:
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)

    def pair(value: int) -> Any:
        return np.array([value, value])

    four = {"r": p(4), "v_leak": p(4)}
    spiking = four | {"v_threshold": p(4), "v_reset": -p(4)}
    inner = {"x": peer.Input(np.array([4])), "a": peer.IF(r=p(4), v_threshold=p(4)), "z": peer.Output(np.array([4]))}
    return {
        "Affine": ((3,), peer.Affine(p(4, 3), p(4)), (4,)),
        "AvgPool2d": ((2, 6, 6), peer.AvgPool2d(pair(2), pair(2), pair(1)), (2, 4, 4)),
        "Conv1d": ((2, 9), peer.Conv1d(9, p(4, 2, 3), 2, 1, 1, 1, p(4)), (4, 5)),
        "Conv2d": ((2, 7, 7), peer.Conv2d((7, 7), p(4, 2, 3, 3), (2, 2), (1, 1), (2, 2), 1, p(4)), (4, 3, 3)),
        "CubaLI": ((4,), peer.CubaLI(tau_syn=p(4), tau_mem=p(4), w_in=p(4), **four), (4,)),
        "CubaLIF": ((4,), peer.CubaLIF(tau_syn=p(4), tau_mem=p(4), w_in=p(4), **spiking), (4,)),
        "Delay": ((4,), peer.Delay(p(4)), (4,)),
        "Flatten": ((2, 2, 1), peer.Flatten({"input": np.array([2, 2, 1])}, 0, -1), (4,)),
        "I": ((4,), peer.I(p(4)), (4,)),
        "IF": ((4,), peer.IF(r=p(4), v_threshold=p(4), v_reset=-p(4)), (4,)),
        "Input": ((4,), None, (4,)),
        "LI": ((4,), peer.LI(tau=p(4), **four), (4,)),
        "LIF": ((4,), peer.LIF(tau=p(4), **spiking), (4,)),
        "Linear": ((3,), peer.Linear(p(4, 3)), (4,)),
        "NIRGraph": ((4,), peer.NIRGraph(inner, [("x", "a"), ("a", "z")]), (4,)),
        "Output": ((4,), None, (4,)),
        "Scale": ((4,), peer.Scale(p(4)), (4,)),
        "SumPool2d": ((2, 6, 6), peer.SumPool2d(pair(3), pair(3), pair(0)), (2, 2, 2)),
        "Threshold": ((4,), peer.Threshold(p(4)), (4,)),
    }


def assert_same_node(one: Any, other: Any) -> None:
    """Type, and every parameter to the bit and the dtype."""
    a, b = one.to_dict(), other.to_dict()
    assert a["type"] == b["type"]
    assert a.keys() == b.keys()
    for key in a.keys() - {"metadata"}:
        np.testing.assert_array_equal(
            a[key], b[key], strict=isinstance(a[key], np.ndarray) and a[key].dtype.kind == "f"
        )


def test_the_reference_package_has_no_node_type_that_is_not_known_here() -> None:
    theirs = [getattr(peer.ir, name) for name in peer.ir.__all__]
    registered = {t.__name__ for t in theirs if isinstance(t, type) and issubclass(t, peer.NIRNode)} - {"NIRNode"}
    assert registered == set(specimens()) == {*n.NODES, "NIRGraph"}


@pytest.mark.parametrize("kind", sorted(specimens()))
def test_each_node_of_the_reference_package_is_read_and_run_and_given_back(kind: str, tmp_path: Path) -> None:
    before, node, after = specimens()[kind]
    nodes = {"x": peer.Input(np.array(before)), "middle": node, "z": peer.Output(np.array(after))}
    if node is None:
        del nodes["middle"]
    theirs = peer.NIRGraph(nodes, list(pairwise(nodes)))
    peer.write(str(tmp_path / "theirs.nir"), theirs)
    graph = read(tmp_path / "theirs.nir")
    assert graph.notes == ()

    engine = Engine(graph, resolve(graph, None, {"preset": "norse", "dt_s": 0.1}))
    size = int(np.prod(before))
    t = np.repeat(np.arange(20, dtype=np.int64), size) * engine.dt_ns
    engine.feed("x", t, np.tile(np.arange(size, dtype=np.int32), 20))
    assert len(engine.advance(40 * engine.dt_ns)) > 0

    write(tmp_path / "ours.nir", graph)
    given_back = peer.read(str(tmp_path / "ours.nir"))
    if kind == "NIRGraph":  # comes back flat
        assert set(given_back.nodes) == {"x", "middle.a", "z"}
        assert_same_node(node.nodes["a"], given_back.nodes["middle.a"])
    else:
        assert given_back.nodes.keys() == theirs.nodes.keys()
        assert sorted(given_back.edges) == sorted(theirs.edges)
        for name, one in theirs.nodes.items():
            assert_same_node(one, given_back.nodes[name])


@pytest.mark.parametrize("kind", ["Identity", "NIRNode", "Dropout", "lif"])
def test_a_node_type_that_nir_does_not_register_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "other.nir"
    write(path, every_node())
    with h5py.File(path, "a") as file:
        del file["node/nodes/scale/type"]
        file["node/nodes/scale/type"] = kind
    with pytest.raises(NirError, match=f"scale: node type {kind!r} is not one of"):
        read(path)


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


HEADERS: dict[str, tuple[int, bytes]] = {
    "a text that ends before it begins": (24, (2**64 - 8).to_bytes(8, "little")),
    "a text longer than any file": (24, (2**62).to_bytes(8, "little")),
    "a text of nothing": (24, bytes(8)),
    "a heap without end": (8, (2**63).to_bytes(8, "little")),
    "a heap without size": (8, bytes(8)),
    "a heap under another name": (0, b"LOCK"),
}


@pytest.mark.parametrize("what", sorted(HEADERS))
def test_a_damaged_heap_of_texts_is_refused_and_not_searched_for_ever(what: str, tmp_path: Path) -> None:
    path = tmp_path / "heap.nir"
    write(path, every_node())
    content = bytearray(path.read_bytes())
    offset, value = HEADERS[what]
    at = content.index(b"GCOL")
    content[at + offset : at + offset + len(value)] = value
    path.write_bytes(content)
    with pytest.raises(NirError, match=r"heap|edges|text"):
        read(path)


def test_a_text_that_claims_more_than_the_file_holds_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "long.nir"
    write(path, every_node())
    with h5py.File(path) as file:
        at = file["node/nodes/linear/type"].id.get_offset()
    content = bytearray(path.read_bytes())
    content[at : at + 4] = (2_000_000_000).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(NirError, match=r"linear.type: text \d+ of the heap .* not 2000000000 bytes long"):
        read(path)


def test_texts_of_other_writers_are_read(tmp_path: Path) -> None:
    path = tmp_path / "texts.nir"
    write(path, every_node())
    with h5py.File(path, "a") as file:
        rows = file["node/edges"][()]
        del file["node/edges"], file["node/nodes/linear/type"], file["node/nodes/lif/type"]
        file["node/edges"] = rows.astype("S16")
        file["node/nodes/linear/type"] = np.bytes_("Linear")
        file["node/nodes/lif"].create_dataset("type", data="LIF", dtype=h5py.string_dtype("ascii"))
    assert read(path) == every_node()


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


def small() -> Graph:
    """Two ports, recurrence, a delay: something to break in every way."""
    one = np.ones(3)
    lif = n.LIF(tau=5e-3 * one, r=one, v_leak=0 * one, v_threshold=one, v_reset=0 * one)
    nodes: dict[str, n.Node] = {
        "eye": n.Input((2,)), "gyro": n.Input((3,)), "w": n.Affine(np.eye(3, 2), 0.1 * one), "a": lif,
        "back": n.Linear(0.5 * np.eye(3)), "late": n.Delay(2e-3 * one), "z": n.Output((3,)),
    }  # fmt: skip
    edges = [("eye", "w"), ("w", "a"), ("gyro", "a"), ("a", "back"), ("back", "a"), ("a", "late"), ("late", "z")]
    return Graph(nodes, edges)


SMALL_RULES = {"preset": "spec", "dt_s": 1e-3, "input_gain": "unit"}


def running_small(kind: Any) -> Any:
    """An engine in the middle of its work, with events still buffered."""
    graph = small()
    engine = kind(graph, resolve(graph, None, SMALL_RULES))
    rng = np.random.default_rng(5)
    for port, size in (("eye", 2), ("gyro", 3)):
        engine.feed(port, np.arange(40, dtype=np.int64) * 500_000, rng.integers(0, size, 40).astype(np.int32))
    assert len(engine.advance(10_000_000)) > 0
    return engine


CYCLE = [b"eye w", b"w a", b"gyro back", b"a late", b"late z", b"back late", b"late back"]
IMPOSSIBLE: dict[str, tuple[Callable[[Any], None], str]] = {
    "a weight is NaN": (
        _replace("node/nodes/w/weight", np.array([[1, 0], [0, np.nan], [0, 0]])),
        r"w: Affine.weight is not finite at \[1, 1\]",
    ),
    "a weight is infinite": (_replace("node/nodes/back/weight", np.full((3, 3), np.inf)), "back: Linear.weight is not"),
    "a bias is NaN": (_replace("node/nodes/w/bias", np.full(3, np.nan)), "w: Affine.bias is not finite"),
    "a threshold is NaN": (_replace("node/nodes/a/v_threshold", np.full(3, np.nan)), "a: LIF.v_threshold is not"),
    "a time constant is negative": (_replace("node/nodes/a/tau", np.full(3, -5e-3)), "a: LIF.tau is -0.005"),
    "a time constant is zero": (_replace("node/nodes/a/tau", np.array([1, 0, 1])), "a: LIF.tau is 0"),
    "a delay is negative": (_replace("node/nodes/late/delay", np.full(3, -1e-3)), "late: Delay.delay is -0.001"),
    "weights of another width": (_replace("node/nodes/w/weight", np.ones((3, 5))), r"w: Affine.weight has shape \(3,"),
    "a layer of another size": (_replace("node/nodes/a/r", np.ones(4)), r"a: LIF.\w+ has shape"),
    "an output of another size": (_replace("node/nodes/z/shape", np.array([4])), r"z: Output of shape \(4,\)"),
    "an edge from nowhere": (
        _replace("node/edges", np.array([[b"ear", b"w"], [b"eye", b"w"], [b"w", b"z"], [b"nose", b"a"]])),
        "edges name 'ear'",
    ),
    "an edge into an input": (
        _replace("node/edges", np.array([[b"eye", b"w"], [b"w", b"a"], [b"a", b"gyro"], [b"a", b"z"]])),
        "edge a -> gyro ends in an Input",
    ),
    "a cycle without delay": (
        _replace("node/edges", np.array([e.split() for e in CYCLE], "S8")),
        "a cycle without a spiking node passes through back, late",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", sorted(IMPOSSIBLE))
@pytest.mark.parametrize("kind", [Engine, ContinuousEngine])
def test_a_running_network_is_untouched_by_one_that_cannot_be(what: str, kind: Any, tmp_path: Path) -> None:
    engine, twin = running_small(kind), running_small(kind)
    before, snapshot, counted = engine.hash(), engine.snapshot(), engine.counters
    damage, message = IMPOSSIBLE[what]
    path = tmp_path / "other.nir"
    write(path, small())
    with h5py.File(path, "a") as file:
        damage(file)
    with pytest.raises(NirError, match=message) as caught:
        engine = kind(graph := read(path), resolve(graph, None, SMALL_RULES))
    assert str(path) in str(caught.value)
    assert (engine.hash(), engine.snapshot(), engine.counters) == (before, snapshot, counted)
    rest, expected = engine.advance(40_000_000), twin.advance(40_000_000)
    assert (rest.t.tolist(), rest.index.tolist()) == (expected.t.tolist(), expected.index.tolist())
    assert engine.hash() == twin.hash()


LATER: Any = np.array([30_000_000, 31_000_000], np.int64)
ZERO: Any = np.zeros(2, np.int32)

MISTAKEN: dict[str, tuple[Callable[[Any], object], str]] = {
    "no such port": (lambda e: e.feed("ear", LATER, ZERO), "no input port 'ear'; there are eye, gyro"),
    "an output is no input": (lambda e: e.feed("z", LATER, ZERO), "no input port 'z'"),
    "an address beyond": (lambda e: e.feed("gyro", LATER, ZERO + 3), r"gyro: index 3 of event 0, .*below 3"),
    "an address below": (lambda e: e.feed("eye", LATER, ZERO - 1), "eye: index -1 of event 0"),
    "an address of 33 bits": (lambda e: e.feed("eye", LATER, np.full(2, 1 << 32)), "eye: an index does not fit"),
    "addresses between": (lambda e: e.feed("eye", LATER, np.full(2, 0.5)), r"eye: index is float64\(2,\)"),
    "times between": (lambda e: e.feed("eye", np.full(2, 1e9), ZERO), r"eye: t is float64\(2,\)"),
    "time backwards": (lambda e: e.feed("gyro", LATER[::-1].copy(), ZERO), "gyro: time runs backwards at event 1"),
    "a NaN": (lambda e: e.feed("eye", LATER, ZERO, np.array([1, np.nan], np.float32)), "eye: value nan of event 1"),
    "an infinity": (lambda e: e.feed("eye", LATER, ZERO, np.array([np.inf, 1], np.float32)), "eye: value inf of ev"),
    "too few addresses": (lambda e: e.feed("eye", LATER, ZERO[:1]), "eye: 2 times, 1 indices"),
    "too many values": (lambda e: e.feed("eye", LATER, ZERO, np.ones(3, np.float32)), "eye: 2 times, 2 indices, 3 val"),
    "the past": (lambda e: e.advance(9_000_000), "time never runs backwards"),
}


@pytest.mark.parametrize("what", sorted(MISTAKEN))
@pytest.mark.parametrize("kind", [Engine, ContinuousEngine])
def test_a_running_network_is_untouched_by_a_call_that_is_refused(what: str, kind: Any) -> None:
    engine = running_small(kind)
    before, snapshot, counted = engine.hash(), engine.snapshot(), engine.counters
    call, message = MISTAKEN[what]
    with pytest.raises(FeedError, match=message) as caught:
        call(engine)
    assert isinstance(caught.value, NetsError)
    assert (engine.hash(), engine.snapshot(), engine.counters) == (before, snapshot, counted)
