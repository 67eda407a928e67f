"""Turns a trained gaze network into a sigma-delta graph whose outputs are commands and estimates in SI units.

    command = -gain * rate + pull * error, rad/s          error, rad          rate, rad/s          (pan, tilt) each

The heads are linear, so the command is a sum of their rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nets import nodes as n
from nets.graph import Graph
from nets.sigma_delta.node import SigmaDelta, Surface
from training.gaze_bench import SURFACE_S, TURN_S
from training.gaze_loop import Way
from training.gaze_network import INPUT_LEVELS, LEVELS, Conv, GazeNetwork

SURFACES = {"dvs": 1.0 / SURFACE_S, "turn": 1.0 / TURN_S}


def graph_of(network: GazeNetwork, way: Way, pixels_per_rad: float, metadata: Mapping[str, Any]) -> Graph:
    """Outputs `command`, `error` and `rate`, with the gains and the levels of this way of running it."""
    nodes: dict[str, n.Node] = {}
    edges: list[tuple[str, str]] = []
    sends: dict[str, str] = {}
    flat: dict[str, str] = {}
    for name, levels in INPUT_LEVELS.items():
        nodes[name] = n.Input(network.shapes[name])
        nodes[f"{name}_quantiser"] = (
            Surface(levels=levels, slope=1.0, leak_per_s=SURFACES[name])
            if name in SURFACES
            else SigmaDelta(levels=levels, slope=1.0)
        )
        edges.append((name, f"{name}_quantiser"))
        sends[name] = f"{name}_quantiser"

    def flattened(source: str) -> str:
        if len(network.shapes[source]) == 1:
            return sends[source]
        if source not in flat:
            flat[source] = f"{source}_flat"
            nodes[flat[source]] = n.Flatten(0, -1)
            edges.append((sends[source], flat[source]))
        return flat[source]

    for layer in network.layers:
        for source in layer.sources:
            product = network.products[f"{layer.name}:{source}"]
            weight, *rest = (parameter.detach().numpy().copy() for parameter in product.parameters())
            bias = rest[0] if rest else None
            if layer.name == "out":
                assert bias is not None
                for output, w, b in _outputs(weight, bias, way.gain, way.pull, pixels_per_rad):
                    nodes[f"{output}_weights"], nodes[output] = n.Affine(w, b), n.Output((len(b),))
                    edges += [(flattened(source), f"{output}_weights"), (f"{output}_weights", output)]
                continue
            key = f"{layer.name}_from_{source}"
            if isinstance(layer.product, Conv):
                c = layer.product
                zeros = np.zeros(len(weight), np.float32) if bias is None else bias
                nodes[key] = n.Conv2d(
                    network.shapes[source][1:], weight, (c.stride, c.stride), (c.padding, c.padding), (1, 1), 1, zeros
                )
                edges.append((sends[source], key))
            else:
                nodes[key] = n.Linear(weight) if bias is None else n.Affine(weight, bias)
                edges.append((flattened(source), key))
            edges.append((key, layer.name))
        if layer.name != "out":
            nodes[layer.name] = SigmaDelta(levels=LEVELS * way.fineness)
            sends[layer.name] = layer.name
    return Graph(nodes, edges, metadata)


def _outputs(weight: Any, bias: Any, gain: float, pull: float, pixels_per_rad: float) -> list[tuple[str, Any, Any]]:
    axes = len(weight) // 2
    found = []
    for name, of_error, of_rate in (
        ("command", pull / pixels_per_rad, -gain),
        ("error", 1.0 / pixels_per_rad, 0.0),
        ("rate", 0.0, 1.0),
    ):
        w = of_error * weight[:axes] + of_rate * weight[axes:]
        b = of_error * bias[:axes] + of_rate * bias[axes:]
        found.append((name, w.astype(np.float32), b.astype(np.float32)))
    return found
