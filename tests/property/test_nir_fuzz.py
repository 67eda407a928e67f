"""Malformed .nir files: whatever is in them, reading and compiling ends in a network or in one error of ours."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nets import nodes as n
from nets.dialect import resolve
from nets.errors import NetsError, NirError
from nets.graph import Graph
from nets.nir import read, write
from nets.program import compile_program

RULES = {"preset": "spec", "dt_s": 1e-3}
OUTCOMES = ("runs", "not run", "refused")


def victim() -> Graph:
    """Every node type that runs, on a few neurons."""
    one = np.ones(4)
    nodes: dict[str, n.Node] = {
        "in": n.Input((2, 5, 5)),
        "conv": n.Conv2d((5, 5), np.ones((4, 2, 3, 3)), (1, 1), (1, 1), (1, 1), 1, np.zeros(4)),
        "if": n.IF(r=np.ones((4, 5, 5)), v_threshold=np.ones((4, 5, 5)), v_reset=np.zeros((4, 5, 5))),
        "sum": n.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "avg": n.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "flat": n.Flatten(0, -1, (4, 1, 1)),
        "linear": n.Linear(np.eye(4)),
        "lif": n.LIF(tau=one, r=one, v_leak=0 * one, v_threshold=one, v_reset=0 * one),
        "affine": n.Affine(np.eye(4), one),
        "cuba": n.CubaLIF(tau_syn=one, tau_mem=one, r=one, v_leak=0 * one, v_threshold=one, v_reset=0 * one, w_in=one),
        "back": n.Linear(np.eye(4)),
        "out": n.Output((4,)),
    }
    path = [name for name in nodes if name != "back"]
    edges = [*pairwise(path), ("cuba", "back"), ("back", "cuba")]
    return Graph(nodes, edges, {"tectum": {"version": 1, "dialect": RULES}, "author": "somebody"})


def whole() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "whole.nir"
        write(path, victim())
        return path.read_bytes()


CONTENT = whole()
ENDS = ["in", "conv", "if", "linear", "cuba", "back", "out", "nobody", "", "in.out", "cuba.", "é", "a/b"]
TYPES = [*n.NODES, "NIRGraph", "Dropout", ""]
VALUES: list[Callable[[], Any]] = [
    lambda: np.float64("nan"), lambda: np.full(4, np.inf), lambda: -1.0, lambda: 0, lambda: 1e308, lambda: "text",
    lambda: np.zeros((0,)), lambda: np.zeros((0, 4)), lambda: np.ones((4, 4, 4, 4, 4)), lambda: np.ones(3),
    lambda: np.array([2**62, 2**62]), lambda: np.array([-1, 5, 5]), lambda: np.array([True, False]),
    lambda: np.array([1 + 2j]), lambda: h5py.Empty("f4"), lambda: np.int64(-(2**63)), lambda: np.array([1.5, 2.5]),
    lambda: np.zeros(3, [("a", "f4"), ("b", "i4")]), lambda: np.uint64(2**64 - 1), lambda: np.array([b"x", b"y"]),
    lambda: np.ones((64, 64)), lambda: np.array([2**20, 2**20]), lambda: np.array([1, 2, 5, 5]),
]  # fmt: skip


@st.composite
def damages(draw: st.DrawFn) -> list[tuple[str, Any, Any]]:
    """What to do to which dataset, a few times over."""
    kinds = ["replace", "delete", "type", "edges", "group", "link", "move", "metadata"]
    one = st.tuples(st.sampled_from(kinds), st.integers(0, 10_000), st.integers(0, 10_000))
    return draw(st.lists(one, min_size=1, max_size=4))


def paths(file: Any) -> list[str]:
    found: list[str] = []
    file.visit(found.append)
    return sorted(found)


def damage(file: Any, kind: str, where: int, what: int) -> None:
    every = paths(file)
    if not every:
        return
    at = every[where % len(every)]
    value = VALUES[what % len(VALUES)]()
    match kind:
        case "delete":
            del file[at]
        case "replace":
            del file[at]
            file[at] = value
        case "type":
            types = [path for path in every if path.endswith("/type")]
            if types:
                at = types[where % len(types)]
                del file[at]
                file[at] = TYPES[what % len(TYPES)]
        case "edges":
            if "node/edges" in every:
                del file["node/edges"]
            rng = np.random.default_rng(where * 10_007 + what)
            rows = rng.choice(ENDS, (int(rng.integers(0, 12)), int(rng.choice([2, 2, 2, 1, 3]))))
            file.require_group("node")["edges"] = np.array([[str(e).encode() for e in row] for row in rows], dtype="S8")
        case "group":
            del file[at]
            file.create_group(at)
        case "link":
            if at != "node" and not at.startswith("version"):
                del file[at]
                file[at] = h5py.SoftLink(f"/{every[what % len(every)]}")
        case "move":
            target = f"{at}_{what}"
            file.move(at, target)
        case "metadata":
            group = file.require_group("node/metadata") if isinstance(file.get("node"), h5py.Group) else file
            group.attrs["x"] = 1
            if "tectum" in group:
                del group["tectum"]
            group["tectum"] = ["{", "[]", '{"version": 9}', '{"version": 1, "dialect": 3}', "null"][what % 5]


def judge(path: Path) -> str:
    """What became of the file; anything but an error of ours escapes."""
    try:
        graph = read(path)
    except NirError as error:
        return "refused" if str(path) in str(error) else "refused without its path"
    try:
        compile_program(graph, resolve(graph, path, RULES))
    except NetsError:
        return "not run"
    return "runs"


def structural(edits: list[tuple[str, Any, Any]]) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "broken.nir"
        path.write_bytes(CONTENT)
        with h5py.File(path, "a") as file:
            for edit in edits:
                try:
                    damage(file, *edit)
                except (ValueError, KeyError, RuntimeError, TypeError, OSError):
                    continue  # this edit cannot be made after the ones before it
        return judge(path)


def flipped(places: list[tuple[int, int]]) -> str:
    content = bytearray(CONTENT)
    for at, bits in places:
        content[at % len(content)] ^= bits
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "flipped.nir"
        path.write_bytes(content)
        return judge(path)


FLIPS = st.lists(st.tuples(st.integers(0, len(CONTENT) - 1), st.integers(1, 255)), min_size=1, max_size=12)
quick = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
long = settings(max_examples=4000, deadline=None, suppress_health_check=list(HealthCheck))


def test_the_file_is_whole_before_it_is_damaged() -> None:
    assert flipped([]) == "runs"


@quick
@given(damages())
def test_damaged_structure_is_one_error(edits: list[tuple[str, Any, Any]]) -> None:
    assert structural(edits) in OUTCOMES


@quick
@given(FLIPS)
def test_flipped_bytes_are_one_error(places: list[tuple[int, int]]) -> None:
    assert flipped(places) in OUTCOMES


@pytest.mark.soak
@pytest.mark.timeout(1800)
@long
@given(damages())
def test_damaged_structure_thousands_of_times(edits: list[tuple[str, Any, Any]]) -> None:
    assert structural(edits) in OUTCOMES


@pytest.mark.soak
@pytest.mark.timeout(1800)
@long
@given(FLIPS)
def test_flipped_bytes_thousands_of_times(places: list[tuple[int, int]]) -> None:
    assert flipped(places) in OUTCOMES
