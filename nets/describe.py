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
from nets.left_open import left_open
from nets.nir import needs_tectum, read
from nets.sigma_delta.engine import UNSTATED, SigmaDeltaEngine
from nets.sigma_delta.node import SigmaDelta


def describe_file(path: Path | str) -> dict[str, Any]:
    """The graph as plain values; where the rules are settled also program, memory and warnings."""
    graph = read(path)
    sigma_delta = bool(graph.of_kind(SigmaDelta))
    try:
        dialect = resolve(graph, path, UNSTATED if sigma_delta else None)
    except DialectError as error:
        return {
            "nodes": [
                {"name": k, "type": v.kind, "shape": list(graph.shapes[k]), "parameters": graph.parameter_count(k)}
                for k, v in graph.nodes.items()
            ],
            "edges": [list(edge) for edge in graph.edges],
            "parameters": sum(graph.parameter_count(name) for name in graph.nodes),
            "notes": list(graph.notes),
            "left_open": left_open(graph, path),
            "refused": str(error),
        }
    engine = SigmaDeltaEngine(graph, dialect) if sigma_delta else Engine(graph, dialect)
    return engine.describe() | {"warnings": warnings(graph, dialect)}


def warnings(graph: Graph, dialect: Dialect) -> list[str]:
    """What would surprise a robot that runs for hours, or another reader of the file."""
    told = [needs] if (needs := needs_tectum(graph)) else []
    kinds = (n.I,) if dialect.floor is not None else (n.IF, n.I, m.RefractoryIF)
    drifting = [name for name, node in graph.nodes.items() if isinstance(node, kinds)]
    if drifting and dialect.slow_leak_s is None:
        told.append(
            f"{', '.join(drifting)} do not leak: on an endless stream their potentials drift without bound; set a "
            "`floor` in the dialect (for a spiking layer), a `slow_leak_s`, or reset the network now and then by [[on]]"
        )
    for name, node in graph.nodes.items():
        for parameter in ("tau", "tau_mem", "tau_syn"):
            tau = getattr(node, parameter, None)
            if tau is not None and (tau < dialect.tau_tick_s).any():
                told.append(
                    f"{name}: {parameter} is {tau.min():.3g} s, less than a tick ({dialect.tau_tick_s:.3g} s of the "
                    "file's time): hardly anything lasts from tick to tick; is `tau_tick_s` right?"
                )
    return told
