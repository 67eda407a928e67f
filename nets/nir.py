"""NIR files: a lenient HDF5 reader of our own, and a writer that `nir` can read.

Lenient where published files differ and only one reading is possible: `w_in`, `v_reset`, `input_type` may be missing,
an inner edge end that names no node means the one node that no edge names, an Input loses the batch its exporter left
in. Each repair leaves a note in the graph. Everything else that is wrong is one `NirError`.

Nested graphs are flattened: their nodes get dotted names, and what ends at a nested Input or begins at a nested Output
goes on to whatever stands behind it. An edge may name a nested graph with one Input or one Output, or any node in it
("G.in2"); a nested graph may have several of each.

Metadata below `tectum` is stored as one JSON text, so that it survives whatever the other side makes of it.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from nets import models as m
from nets import nodes as n
from nets.errors import GraphError, NirError
from nets.graph import Edge, Graph
from nets.shapes import neuron_shape, output_shape
from nets.stored import UNWRITTEN, value

VERSION = "1.0.8"
"""The revision of the NIR layout that `write` follows."""
MAX_NODES = 100_000
"""Nested graphs count too."""
LAYOUT = ("v108", "v108")
"""Of HDF5 1.8 (2008): small groups take a quarter of the room."""
WORTH_PACKING = 512
"""Bytes: less is written as it is."""


def read(path: Path | str) -> Graph:
    """The graph in a .nir file, or `NirError` naming what is wrong with it."""
    try:
        with h5py.File(os.fspath(path), "r") as file:
            return _Reader(path).graph(file)
    except NirError:
        raise
    except GraphError as error:
        raise NirError(path, str(error)) from error
    except FileNotFoundError:
        raise NirError(path, "there is no such file") from None
    except (
        OSError,
        LookupError,
        ValueError,
        TypeError,
        RuntimeError,
        AttributeError,
        ArithmeticError,
        MemoryError,
    ) as error:
        raise NirError(path, f"not a readable NIR file: {type(error).__name__}: {error}") from error


def write(path: Path | str, graph: Graph) -> None:
    """Store the graph so that `read` gives an equal one; warns where other readers will take a node for another."""
    beyond = {name: node for name, node in graph.nodes.items() if isinstance(node, m.Model)}
    if beyond:
        warnings.warn(m.ExportWarning(needs_tectum(graph)), stacklevel=2)
    with h5py.File(os.fspath(path), "w", libver=LAYOUT) as file:
        file.create_dataset("version", data=VERSION, dtype=h5py.string_dtype())
        top = file.create_group("node")
        top.create_dataset("type", data="NIRGraph", dtype=h5py.string_dtype())
        flag = {m.FLAG: ", ".join(sorted({node.kind for node in beyond.values()}))} if beyond else {}
        _write_metadata(top, {**graph.metadata, **flag})
        folder = top.create_group("nodes")
        for name, node in graph.nodes.items():
            written = m.stored(beyond[name], graph.shapes[name]) if name in beyond else node
            _write_node(folder.create_group(name.replace("/", "_")), written)
        edges = [[a.replace("/", "_").encode(), b.replace("/", "_").encode()] for a, b in graph.edges]
        top.create_dataset("edges", data=np.array(edges, dtype=object), dtype=h5py.string_dtype())


def needs_tectum(graph: Graph) -> str:
    """What other readers of the graph's file would take for something simpler, in words; empty where there is none."""
    beyond = {name: node for name, node in graph.nodes.items() if isinstance(node, m.Model)}
    told = [f"{name}: {node.kind} (others read {node.STORED_AS.__name__})" for name, node in sorted(beyond.items())]
    return f"the graph needs tectum: {', '.join(told)}" if told else ""


def _write_node(group: Any, node: n.Node) -> None:
    group.create_dataset("type", data=node.kind, dtype=h5py.string_dtype())
    for name in n.parameter_names(type(node)):
        value = getattr(node, name)
        if isinstance(value, str):
            group.create_dataset(name, data=value, dtype=h5py.string_dtype())
        elif value is not None:
            _write_array(group, name, value if isinstance(value, np.ndarray) else np.asarray(value, np.int64))
    _write_metadata(group, node.metadata)


def _write_array(group: Any, name: str, array: np.ndarray[Any, Any]) -> None:
    """One number for a whole layer takes next to no room: said once, or packed."""
    first = array.ravel()[:1]
    if array.nbytes <= WORTH_PACKING or array.tobytes() != first.tobytes() * array.size:
        group.create_dataset(name, data=array)
    elif array.nbytes <= UNWRITTEN:
        group.create_dataset(name, array.shape, array.dtype, fillvalue=first[0])
    else:
        group.create_dataset(name, data=array, chunks=array.shape, compression="gzip")


def _write_metadata(group: Any, metadata: Mapping[str, Any]) -> None:
    if metadata:
        folder = group.create_group("metadata")
        for key, value in metadata.items():
            if key == "tectum" or not isinstance(value, np.ndarray | int | float):
                text = value if isinstance(value, str) and key != "tectum" else json.dumps(value, sort_keys=True)
                folder.create_dataset(key, data=text, dtype=h5py.string_dtype())
            else:
                folder.create_dataset(key, data=value)


class _Reader:
    """Collects nodes and edges of one file, nested graphs included."""

    def __init__(self, path: Path | str) -> None:
        self.path = path
        self.nodes: dict[str, n.Node] = {}
        self.notes: list[str] = []
        self.relays: set[str] = set()
        """Inputs and Outputs of nested graphs."""
        self.graphs = 0
        self.entries: dict[str, list[str]] = {}
        self.exits: dict[str, list[str]] = {}

    def graph(self, file: Any) -> Graph:
        if not isinstance(file.get("node"), h5py.Group):
            raise NirError(self.path, "an HDF5 file without the group /node: not a NIR file")
        top = file["node"]
        kind = self.text(top.get("type"), "/node.type")
        if kind != "NIRGraph":
            raise NirError(self.path, f"/node is of type {kind!r}, expected 'NIRGraph'")
        edges = self.without_relays(self.nested(top, ""))
        self.without_batch(edges)
        metadata = {key: value for key, value in self.metadata(top, "/node").items() if key != m.FLAG}
        return Graph(self.nodes, edges, metadata, self.notes)

    def without_batch(self, edges: list[Edge]) -> None:
        """Exporters store an Input with its batch and time: take away leading ones that no reader of it can accept."""
        for name, node in self.nodes.items():
            readers = [(b, self.nodes[b]) for a, b in edges if a == name and b in self.nodes]
            if isinstance(node, n.Input) and not _accepted(readers, node.shape):
                for k in range(1, len(node.shape)):
                    if node.shape[k - 1] == 1 and _accepted(readers, node.shape[k:]):
                        self.notes.append(f"{name}: shape {node.shape} is read as {node.shape[k:]}")
                        self.nodes[name] = n.Input(node.shape[k:], metadata=node.metadata)
                        break
                    if node.shape[k - 1] != 1:
                        break

    def nested(self, group: Any, prefix: str) -> list[Edge]:
        """Read the nodes of a (sub)graph; return its edges, with every subgraph inside replaced by its contents."""
        where = prefix or "/node"
        if not isinstance(group.get("nodes"), h5py.Group) or not isinstance(group.get("edges"), h5py.Dataset):
            raise NirError(self.path, f"{where}: a graph needs the group 'nodes' and the list 'edges'")
        self.graphs += 1
        if self.graphs > MAX_NODES:
            raise NirError(self.path, f"more than {MAX_NODES} nested graphs")
        inner: list[Edge] = []
        names = list(group["nodes"])
        for name in names:
            item = group["nodes"][name]
            if not isinstance(item, h5py.Group) or "type" not in item:
                raise NirError(self.path, f"{where}: node {name!r} has no type")
            full = prefix + name
            label = self.text(item["type"], f"{full}.type")
            if label == "NIRGraph":
                before = set(self.nodes)
                inner += self.nested(item, full + ".")
                own = [k for k in self.nodes if k not in before and k not in self.relays]
                self.entries[full] = [k for k in own if isinstance(self.nodes[k], n.Input)]
                self.exits[full] = [k for k in own if isinstance(self.nodes[k], n.Output)]
                self.relays.update(self.entries[full], self.exits[full])
            elif full in self.nodes:
                raise NirError(self.path, f"two nodes are called {full!r}")
            else:
                self.nodes[full] = self.node(item, full, label)
                if len(self.nodes) > MAX_NODES:
                    raise NirError(self.path, f"more than {MAX_NODES} nodes")
        edges = self.edges(group["edges"], where, names, prefix)
        return inner + [
            (self.port(prefix + a, self.exits, "Output"), self.port(prefix + b, self.entries, "Input"))
            for a, b in edges
        ]

    def port(self, end: str, ports: dict[str, list[str]], kind: str) -> str:
        """The node that an edge end stands for."""
        found = ports.get(end)
        if found is None:
            return end
        if len(found) != 1:
            which = ", ".join(found) or "none"
            raise NirError(self.path, f"an edge names the graph {end!r}, which has {len(found)} {kind}s: {which}")
        return found[0]

    def without_relays(self, edges: list[Edge]) -> list[Edge]:
        """Join what comes into each nested Input or Output to what goes on from there."""
        for relay in sorted(self.relays):
            sources = [a for a, b in edges if b == relay]
            targets = [b for a, b in edges if a == relay]
            if relay in targets:
                raise NirError(self.path, f"{relay}: an edge leads from a port of a nested graph back to it")
            rest = [edge for edge in edges if relay not in edge]
            for joined in ((a, b) for a in sources for b in targets):
                if joined in rest:
                    raise NirError(self.path, f"edge {joined[0]} -> {joined[1]} exists twice, once through {relay}")
                rest.append(joined)
            edges = rest
            del self.nodes[relay]
        return edges

    def edges(self, dataset: Any, where: str, names: list[str], prefix: str) -> list[Edge]:
        rows = np.asarray(value(dataset, self.path, f"{where}: the list of edges"))
        if rows.size == 0:
            return []
        if rows.ndim != 2 or rows.shape[1] != 2:
            raise NirError(self.path, f"{where}: edges have shape {rows.shape}, expected (n, 2)")
        edges = [(_plain(a), _plain(b)) for a, b in rows.tolist()]
        if len(set(edges)) != len(edges):
            self.notes.append(f"{where}: edges stated twice are counted once")
            edges = list(dict.fromkeys(edges))
        ends = {end for edge in edges for end in edge if prefix + end not in self.nodes}
        unknown, unused = sorted(ends - set(names)), sorted(set(names) - {end for edge in edges for end in edge})
        if len(unknown) == 1 and len(unused) == 1:
            self.notes.append(f"{where}: edges name {unknown[0]!r}, which can only be the node {unused[0]!r}")
            edges = [(unused[0] if a in unknown else a, unused[0] if b in unknown else b) for a, b in edges]
        elif unknown:
            raise NirError(
                self.path, f"{where}: edges name {unknown[0]!r}, there is no such node; there are {sorted(names)}"
            )
        return edges

    def node(self, group: Any, name: str, label: str) -> n.Node:
        kind = n.NODES.get(label)
        if kind is None:
            raise NirError(self.path, f"{name}: node type {label!r} is not one of {sorted(n.NODES)}")
        given: dict[str, Any] = {}
        for parameter in n.parameter_names(kind):
            if parameter in group:
                given[parameter] = value(group[parameter], self.path, f"{name}.{parameter}")
            elif parameter == "input_shape":
                given[parameter] = None
            elif parameter not in kind.OPTIONAL:
                raise NirError(self.path, f"{name}: {label} without {parameter}")
        try:
            node = m.restored(kind(**given, metadata=self.metadata(group, name)))
        except GraphError as error:
            raise NirError(self.path, f"{name}: {error}") from error
        if isinstance(node, n.NEURONS):
            neuron_shape(node)
        return node

    def text(self, dataset: Any, where: str) -> str:
        return _plain(value(dataset, self.path, where))

    def metadata(self, group: Any, where: str) -> dict[str, Any]:
        folder = group.get("metadata")
        if not isinstance(folder, h5py.Group):
            return {}
        found = {}
        for key, item in folder.items():
            if isinstance(item, h5py.Dataset):
                stated = value(item, self.path, f"{where}.metadata.{key}")
                if isinstance(stated, np.generic):
                    stated = stated.item()
                if key == "tectum":
                    try:
                        stated = json.loads(stated)
                    except (ValueError, TypeError) as error:
                        raise NirError(self.path, f"{where}: metadata 'tectum' is not JSON: {error}") from None
                found[key] = stated
        return found


def _accepted(readers: list[tuple[str, n.Node]], shape: tuple[int, ...]) -> bool:
    try:
        for name, node in readers:
            output_shape(name, node, shape)
    except GraphError:
        return False
    return True


def _plain(value: Any) -> str:
    return value.decode("utf8", "replace") if isinstance(value, bytes) else str(value)
