"""What a program runs: the units of a graph in order of computation, and the linear paths between them.

A unit is a layer of neurons, a Delay or Threshold, or the sum in front of an Output that no neuron precedes. A path
that closes a cycle is delayed; cycles are opened at the unit nearest to an input, so the same graph always opens at the
same place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nets import nodes as n
from nets.graph import Graph
from nets.linear import LINEAR


@dataclass(frozen=True)
class Path:
    """Linear nodes from a unit or Input to a unit."""

    source: str
    nodes: tuple[str, ...]
    target: str
    delayed: bool = False


@dataclass(frozen=True)
class Tap:
    """A unit whose events leave by an Output, merely relabelled."""

    unit: str
    output: str


@dataclass(frozen=True)
class Wiring:
    units: tuple[str, ...]
    paths: tuple[Path, ...]
    taps: tuple[Tap, ...]


def wire(graph: Graph) -> Wiring:
    """Order the units and find every path."""
    paths: list[Path] = []
    taps: list[Tap] = []
    units = list(graph.of_kind(*n.UNITS, n.Delay, n.Threshold))
    for name in units:
        paths += _paths_into(graph, name)
    for name in graph.of_kind(n.Output):
        found = list(_paths_into(graph, name))
        if all(_relabels(graph, path) for path in found):
            taps += [Tap(path.source, name) for path in found]
        else:
            units.append(name)
            paths += found
            taps.append(Tap(name, name))
    order = _order(graph, units, paths)
    rank = {name: k for k, name in enumerate(order)}
    timed = tuple(
        Path(p.source, p.nodes, p.target, p.source in rank and rank[p.source] >= rank[p.target])
        for p in sorted(paths, key=lambda p: (rank[p.target], p.source, p.nodes))
    )
    return Wiring(tuple(order), timed, tuple(taps))


def _paths_into(graph: Graph, target: str) -> Iterator[Path]:
    def walk(name: str, tail: tuple[str, ...]) -> Iterator[Path]:
        for source in graph.into(name):
            if isinstance(graph.nodes[source], LINEAR):
                yield from walk(source, (source, *tail))
            else:
                yield Path(source, tail, target)

    yield from walk(target, ())


def _relabels(graph: Graph, path: Path) -> bool:
    return isinstance(graph.nodes[path.source], n.UNITS) and all(
        isinstance(graph.nodes[name], n.Flatten) for name in path.nodes
    )


def _order(graph: Graph, units: list[str], paths: list[Path]) -> list[str]:
    before: dict[str, set[str]] = {name: set() for name in units}
    for path in paths:
        if path.source in before and path.source != path.target:
            before[path.target].add(path.source)
    distance = _distances(graph, units, paths)
    order: list[str] = []
    waiting = set(units)
    while waiting:
        ready = [name for name in waiting if not before[name] & waiting]
        if not ready:
            above = {name: _above(name, before, waiting) for name in waiting}
            # only a unit that everything above it also depends on stands on a cycle with nothing before it
            ready = [name for name in waiting if all(name in above[other] for other in above[name])]
        first = min(ready, key=lambda name: (distance[name], name))
        order.append(first)
        waiting.remove(first)
    return order


def _above(name: str, before: dict[str, set[str]], waiting: set[str]) -> set[str]:
    found: set[str] = set()
    frontier = [name]
    while frontier:
        fresh = (before[frontier.pop()] & waiting) - found
        found |= fresh
        frontier += fresh
    return found


def _distances(graph: Graph, units: list[str], paths: list[Path]) -> dict[str, int]:
    distance = dict.fromkeys(graph.of_kind(n.Input), 0)
    while True:
        found = {
            path.target: distance[path.source] + 1
            for path in sorted(paths, key=lambda p: (-distance.get(p.source, 0), p.target))
            if path.source in distance and path.target not in distance
        }
        if not found:
            return distance | {name: len(units) + 1 for name in units if name not in distance}
        distance |= found
