"""Describes a .nir file: what is in it, under which rules it would run, and what it leaves open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nets import models as m
from nets import nodes as n
from nets.dialect import Dialect, resolve
from nets.engine import Engine
from nets.errors import DialectError
from nets.graph import Graph
from nets.nir import needs_tectum, read


def describe_file(path: Path | str) -> dict[str, Any]:
    """The graph as plain values; where the rules are settled also program, memory and warnings."""
    graph = read(path)
    try:
        dialect = resolve(graph, path)
    except DialectError as error:
        return {
            "nodes": [
                {"name": k, "type": v.kind, "shape": list(graph.shapes[k]), "parameters": graph.parameter_count(k)}
                for k, v in graph.nodes.items()
            ],
            "edges": [list(edge) for edge in graph.edges],
            "parameters": sum(graph.parameter_count(name) for name in graph.nodes),
            "notes": list(graph.notes),
            "left_open": str(error),
        }
    return Engine(graph, dialect).describe() | {"warnings": warnings(graph, dialect)}


def warnings(graph: Graph, dialect: Dialect) -> list[str]:
    """What would surprise a robot that runs for hours, or another reader of the file."""
    told = [needs] if (needs := needs_tectum(graph)) else []
    drifting = [name for name, node in graph.nodes.items() if isinstance(node, n.IF | n.I | m.RefractoryIF)]
    if drifting and dialect.floor is None:
        return [
            *told,
            f"{', '.join(drifting)} do not leak: on an endless stream their potentials drift without bound; set a "
            "`floor` in the dialect, or reset the network now and then by [[on]]",
        ]
    return told
