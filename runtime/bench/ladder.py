"""A trained network whose file states the scales of its activations, as a sigma-delta network of any levels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nets.convert.layers import relu_network
from nets.convert.sigma_delta import quantised, with_levels
from nets.graph import Graph
from nets.nir import read
from runtime.core.errors import ConfigError


@dataclass(frozen=True, eq=False)
class Ladder:
    """`network` is the trained one; `quanta` are what its training rounded each scale to."""

    network: Graph
    scales: dict[str, float]
    quanta: int

    def rung(self, quanta: int) -> Graph:
        """The sigma-delta network with so many quanta over each layer's scale."""
        return with_levels(quantised(self.network), {name: quanta / scale for name, scale in self.scales.items()})


def read_ladder(path: Path) -> Ladder:
    """The network of a file that states its scales."""
    graph = read(path)
    try:
        fitted = graph.metadata["tectum"]["fitted"]
        scales = {str(name): float(scale) for name, scale in fitted["scales"].items()}
        return Ladder(relu_network(graph), scales, int(fitted["quanta"]))
    except KeyError as error:
        raise ConfigError(f"{path}: states no {error} in the metadata of the graph, expected fitted scales") from None
