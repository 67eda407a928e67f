"""NIR files: a lenient HDF5 reader of our own, and a writer that `nir` can read.

Lenient where published files differ and only one reading is possible: `w_in`, `v_reset`, `input_type` may be missing,
nested graphs are flattened (their nodes get dotted names), an inner edge end that names no node means the one node
that no edge names. Each repair leaves a note in the graph. Everything else that is wrong is one `NirError`.

Metadata below `tectum` is stored as one JSON text, so that it survives whatever the other side makes of it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from nets import nodes as n
from nets.errors import GraphError, NirError
from nets.graph import Edge, Graph
from nets.shapes import neuron_shape

VERSION = "1.0.8"
"""The revision of the NIR layout that `write` follows."""
MAX_NODES = 100_000


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
    """Store the graph so that `read` gives an equal one."""
    with h5py.File(os.fspath(path), "w") as file:
        file.create_dataset("version", data=VERSION, dtype=h5py.string_dtype())
        top = file.create_group("node")
        top.create_dataset("type", data="NIRGraph", dtype=h5py.string_dtype())
        _write_metadata(top, graph.metadata)
        folder = top.create_group("nodes")
        for name, node in graph.nodes.items():
            _write_node(folder.create_group(name.replace("/", "_")), node)
        edges = [[a.replace("/", "_").encode(), b.replace("/", "_").encode()] for a, b in graph.edges]
        top.create_dataset("edges", data=np.array(edges, dtype=object), dtype=h5py.string_dtype())


def _write_node(group: Any, node: n.Node) -> None:
    group.create_dataset("type", data=node.kind, dtype=h5py.string_dtype())
    for name in n.parameter_names(type(node)):
        value = getattr(node, name)
        if isinstance(value, str):
            group.create_dataset(name, data=value, dtype=h5py.string_dtype())
        elif value is not None:
            group.create_dataset(name, data=value if isinstance(value, np.ndarray) else np.asarray(value, np.int64))
    _write_metadata(group, node.metadata)


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

    def graph(self, file: Any) -> Graph:
        if not isinstance(file.get("node"), h5py.Group):
            raise NirError(self.path, "an HDF5 file without the group /node: not a NIR file")
        top = file["node"]
        kind = _text(top.get("type"))
        if kind != "NIRGraph":
            raise NirError(self.path, f"/node is of type {kind!r}, expected 'NIRGraph'")
        edges = self.nested(top, "")
        return Graph(self.nodes, edges, self.metadata(top, "/node"), self.notes)

    def nested(self, group: Any, prefix: str) -> list[Edge]:
        """Read the nodes of a (sub)graph; return its edges, with every subgraph inside replaced by its contents."""
        where = prefix or "/node"
        if not isinstance(group.get("nodes"), h5py.Group) or not isinstance(group.get("edges"), h5py.Dataset):
            raise NirError(self.path, f"{where}: a graph needs the group 'nodes' and the list 'edges'")
        inner: list[Edge] = []
        entries: dict[str, list[str]] = {}
        exits: dict[str, list[str]] = {}
        names = list(group["nodes"])
        edges = self.edges(group["edges"], where, names, prefix)
        for name in names:
            item = group["nodes"][name]
            if not isinstance(item, h5py.Group) or "type" not in item:
                raise NirError(self.path, f"{where}: node {name!r} has no type")
            full = prefix + name
            if _text(item["type"]) == "NIRGraph":
                found = self.nested(item, full + ".")
                inputs = [k for k, v in self.nodes.items() if k.startswith(full + ".") and isinstance(v, n.Input)]
                outputs = [k for k, v in self.nodes.items() if k.startswith(full + ".") and isinstance(v, n.Output)]
                if len(inputs) != 1 or len(outputs) != 1:
                    raise NirError(self.path, f"{full}: a nested graph needs one Input and one Output")
                entries[full] = [b for a, b in found if a == inputs[0]]
                exits[full] = [a for a, b in found if b == outputs[0]]
                inner += [(a, b) for a, b in found if a != inputs[0] and b != outputs[0]]
                del self.nodes[inputs[0]], self.nodes[outputs[0]]
            else:
                self.nodes[full] = self.node(item, full)
                if len(self.nodes) > MAX_NODES:
                    raise NirError(self.path, f"more than {MAX_NODES} nodes")
        outer = [
            (source, target)
            for a, b in edges
            for source in exits.get(prefix + a, [prefix + a])
            for target in entries.get(prefix + b, [prefix + b])
        ]
        return inner + list(dict.fromkeys(outer))

    def edges(self, dataset: Any, where: str, names: list[str], prefix: str) -> list[Edge]:
        rows = dataset[()]
        if rows.size == 0:
            return []
        if rows.ndim != 2 or rows.shape[1] != 2:
            raise NirError(self.path, f"{where}: edges have shape {rows.shape}, expected (n, 2)")
        edges = [(_text(a), _text(b)) for a, b in rows.tolist()]
        if len(set(edges)) != len(edges):
            self.notes.append(f"{where}: edges stated twice are counted once")
            edges = list(dict.fromkeys(edges))
        ends = {end for edge in edges for end in edge}
        unknown, unused = sorted(ends - set(names)), sorted(set(names) - ends)
        if len(unknown) == 1 and len(unused) == 1:
            self.notes.append(f"{where}: edges name {unknown[0]!r}, which can only be the node {unused[0]!r}")
            edges = [(unused[0] if a in unknown else a, unused[0] if b in unknown else b) for a, b in edges]
        elif unknown:
            raise NirError(
                self.path, f"{where}: edges name {unknown[0]!r}, there is no such node; there are {sorted(names)}"
            )
        return edges

    def node(self, group: Any, name: str) -> n.Node:
        label = _text(group["type"])
        kind = n.NODES.get(label)
        if kind is None:
            raise NirError(self.path, f"{name}: node type {label!r} is not one of {sorted(n.NODES)}")
        given: dict[str, Any] = {}
        for parameter in n.parameter_names(kind):
            if parameter in group:
                given[parameter] = self.value(group[parameter], f"{name}.{parameter}")
            elif parameter == "input_shape":
                given[parameter] = None
            elif parameter not in kind.OPTIONAL:
                raise NirError(self.path, f"{name}: {label} without {parameter}")
        try:
            node = kind(**given, metadata=self.metadata(group, name))
        except GraphError as error:
            raise NirError(self.path, f"{name}: {error}") from error
        if isinstance(node, n.NEURONS):
            neuron_shape(node)
        return node

    def value(self, dataset: Any, where: str) -> Any:
        if not isinstance(dataset, h5py.Dataset):
            raise NirError(self.path, f"{where} is a group, expected a dataset")
        value = dataset[()]
        return value.decode("utf8", "replace") if isinstance(value, bytes) else value

    def metadata(self, group: Any, where: str) -> dict[str, Any]:
        folder = group.get("metadata")
        if not isinstance(folder, h5py.Group):
            return {}
        found = {}
        for key, item in folder.items():
            if isinstance(item, h5py.Dataset):
                value = self.value(item, f"{where}.metadata.{key}")
                if isinstance(value, np.generic):
                    value = value.item()
                if key == "tectum":
                    try:
                        value = json.loads(value)
                    except (ValueError, TypeError) as error:
                        raise NirError(self.path, f"{where}: metadata 'tectum' is not JSON: {error}") from None
                found[key] = value
        return found


def _text(value: Any) -> str:
    if isinstance(value, h5py.Dataset):
        value = value[()]
    return value.decode("utf8", "replace") if isinstance(value, bytes) else str(value)
