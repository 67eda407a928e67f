"""Stores a trained chain of layers with the scales of its activations: what `runtime.bench.ladder` reads.

NIR has no ReLU, so each layer says in its metadata that one stands behind it; the scales, from which any number of
levels follows, stand in the metadata of the graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from nets import nodes as n
from nets.convert.dense import Batch
from nets.convert.layers import chain, relu_network
from nets.convert.levels import fit_quanta
from nets.graph import Graph
from nets.nir import write

RELU = {"tectum": {"activation": "relu"}}


def store(path: Path, shape: tuple[int, ...], layers: Sequence[n.Node], samples: Batch, quanta: int) -> float:
    """Write the chain, a ReLU behind each layer but the last; return the error of so many quanta on the samples."""
    graph = chain(shape, *(replace(layer, metadata=RELU) for layer in layers[:-1]), layers[-1])
    fit = fit_quanta(relu_network(graph), {"input": samples}, quanta)
    fitted = {"quanta": quanta, "error": fit.error, "scales": dict(fit.scales)}
    write(path, Graph(graph.nodes, graph.edges, {"tectum": {"version": 1, "fitted": fitted}}))
    return fit.error
