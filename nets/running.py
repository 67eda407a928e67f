"""What a running network shows and takes, whatever computes it: ports, populations, spikes, counters, a description."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from nets import nodes as n
from nets.dialect import Dialect
from nets.errors import FeedError
from nets.graph import Graph
from nets.kernels.feed import INDEX, ORDER
from nets.units import Wiring

WATCH_EVENTS = 1 << 16
PICOJOULE = {"add": 0.9, "multiply_add": 4.6}
"""float32 at 45 nm (Horowitz 2014): an estimate of arithmetic alone, memory traffic not included."""


@dataclass(frozen=True)
class Port:
    """Where events enter or leave; events carry flat indices into `shape`."""

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Population:
    """A spiking layer, numbered by its place in `Engine.populations`."""

    name: str
    size: int
    shape: tuple[int, ...]


@dataclass(slots=True, eq=False)
class Spikes:
    """Output events in time order: t int64 (end of the tick, ns), port int16, index int32, value float32.

    `value` is the number of spikes of the tick, or the potential of a layer that does not spike.
    """

    t: NDArray[np.int64]
    port: NDArray[np.int16]
    index: NDArray[np.int32]
    value: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.t)


NONE = Spikes(np.zeros(0, np.int64), np.zeros(0, np.int16), np.zeros(0, np.int32), np.zeros(0, np.float32))


@dataclass(frozen=True)
class Counters:
    """Totals since the engine was made; `reset` and `restore` leave them alone."""

    events_in: int
    events_late: int
    events_dropped: int
    events_out: int
    synops: int
    synops_dense: int
    """What a clock-driven simulator would have done: every weight, every tick."""
    unit_touches: int
    ticks: int
    ticks_silent: int
    watch_lost: int
    spikes: Mapping[str, int]
    energy_j_estimate: float
    events_risky: int = 0
    """Late events that might have changed a spike had they come in time."""


@dataclass(frozen=True)
class Activity:
    """How a population uses its neurons: shares of 1 that never fired, and that fired in nine ticks of ten or more."""

    silent: float
    saturated: float


def energy_j(synops: int, unit_touches: int) -> float:
    """An addition for each synaptic operation, a multiplication for each neuron touched."""
    return (synops * PICOJOULE["add"] + unit_touches * PICOJOULE["multiply_add"]) * 1e-12


def input_ports(graph: Graph) -> Mapping[str, Port]:
    """By name, in the order of their numbers."""
    return MappingProxyType({name: Port(name, graph.shapes[name]) for name in graph.of_kind(n.Input)})


def output_ports(graph: Graph) -> Mapping[str, Port]:
    """By name, in the order of their numbers, in the shapes their nodes state."""
    found = {}
    for name in graph.of_kind(n.Output):
        node = graph.nodes[name]
        assert isinstance(node, n.Output)
        found[name] = Port(name, node.shape)
    return MappingProxyType(found)


# events in


INT64, INT32, FLOAT32 = np.dtype(np.int64), np.dtype(np.int32), np.dtype(np.float32)
Packet = tuple[int, NDArray[np.int64], NDArray[np.int32], NDArray[np.float32], bool]
"""Port number, times, indices, values, and whether there are values: as the kernels take events."""
NO_VALUES = np.zeros(0, np.float32)
NO_PACKET: Packet = (-1, np.zeros(0, np.int64), np.zeros(0, np.int32), NO_VALUES, False)


def packet_of(numbers: Mapping[str, int], port: str, t: Any, index: Any, value: Any) -> Packet:
    """Events for one of the ports that `numbers` counts, or a `FeedError`."""
    number = numbers.get(port)
    if number is None:
        raise FeedError(f"there is no input port {port!r}; there are {', '.join(numbers)}")
    times = t if _is_plain(t, INT64) else _typed(port, "t", t, INT64)
    where = index if _is_plain(index, INT32) else _typed(port, "index", index, INT32)
    given = NO_VALUES if value is None else value
    size = given if _is_plain(given, FLOAT32) else _typed(port, "value", given, FLOAT32)
    if len(times) != len(where) or (value is not None and len(size) != len(times)):
        raise FeedError(f"{port}: {len(times)} times, {len(where)} indices, {len(size)} values; expected as many each")
    return number, times, where, size, value is not None


def refuse_event(ports: Mapping[str, Port], status: int, at: int, packet: Packet) -> NoReturn:
    """Say what is wrong with event `at`, as the status of an intake kernel has it."""
    number, t, index, value, _ = packet
    port = list(ports.values())[number]
    if status == INDEX:
        size = math.prod(port.shape)
        raise FeedError(f"{port.name}: index {index[at]} of event {at}, expected below {size} {port.shape}")
    if status == ORDER:
        raise FeedError(f"{port.name}: time runs backwards at event {at}: {t[at]} after {t[at - 1]}")
    raise FeedError(f"{port.name}: value {value[at]} of event {at} is not finite")


def refuse_past(until: int, now: int) -> NoReturn:
    raise FeedError(f"cannot advance to {until}: the network is at {now}, and time never runs backwards")


def _is_plain(array: Any, dtype: Any) -> bool:
    """Whether a kernel takes it as it is: it is compiled for one type, and fast with writable arrays alone."""
    return type(array) is np.ndarray and array.dtype is dtype and array.ndim == 1 and array.flags.carray


def _typed(port: str, what: str, array: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    """As the kernel takes it."""
    if type(array) is np.ndarray and array.dtype == dtype and array.ndim == 1 and array.flags.c_contiguous:
        return np.array(array, dtype)  # of the one dtype there is, and writable
    given = np.asarray(array)
    if given.ndim != 1 or (given.size and given.dtype.kind not in ("fiu" if dtype is FLOAT32 else "iu")):
        raise FeedError(f"{port}: {what} is {given.dtype}{given.shape}, expected {dtype}(n,)")
    converted = np.array(given, dtype, order="C")
    if dtype is not FLOAT32 and given.size and not bool((converted == given).all()):
        raise FeedError(f"{port}: {'an' if what == 'index' else 'a'} {what} does not fit {dtype}")
    return converted


# events out


class Outputs:
    """Where a kernel writes output events until they are taken."""

    def __init__(self, room: int) -> None:
        self.t = np.zeros(room, np.int64)
        self.port = np.zeros(room, np.int16)
        self.index = np.zeros(room, np.int32)
        self.value = np.zeros(room, np.float32)

    @property
    def arrays(self) -> tuple[NDArray[np.int64], NDArray[np.int16], NDArray[np.int32], NDArray[np.float32]]:
        return self.t, self.port, self.index, self.value

    def take(self, count: int) -> Spikes:
        """A copy of the first `count`."""
        return Spikes(
            self.t[:count].copy(), self.port[:count].copy(), self.index[:count].copy(), self.value[:count].copy()
        )


def joined(parts: Sequence[Spikes]) -> Spikes:
    """One after the other."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return NONE
    return Spikes(*(np.concatenate([getattr(p, f) for p in parts]) for f in ("t", "port", "index", "value")))


class WatchRing:
    """The newest spikes inside a network: rows of (t, population, index, count) that a kernel writes around and around.

    The kernel counts what it has written; nothing is lost while less than a ring's length is unread.
    """

    def __init__(self, length: int = WATCH_EVENTS) -> None:
        self.rows = np.zeros((1, 4), np.int64)
        self.lost = 0
        self._length = length
        self._read = 0

    def start(self, written: int) -> None:
        """Make room, and forget what was written before."""
        if len(self.rows) == 1:
            self.rows = np.zeros((self._length, 4), np.int64)
        self.forget(written)

    def forget(self, written: int) -> None:
        """What was written until now is nobody's business any more."""
        self._read = written

    def take(self, written: int) -> tuple[NDArray[np.int64], NDArray[np.int16], NDArray[np.int32], NDArray[np.int32]]:
        """(t, population, index, spikes) since last asked; where the ring overflowed, the newest of them."""
        lost = max(written - self._read - len(self.rows), 0)
        self.lost += lost
        rows = self.rows[np.arange(self._read + lost, written) % len(self.rows)]
        self._read = written
        return rows[:, 0].copy(), rows[:, 1].astype(np.int16), rows[:, 2].astype(np.int32), rows[:, 3].astype(np.int32)


# the whole


def description(
    graph: Graph,
    dialect: Dialect,
    wiring: Wiring,
    populations: Sequence[Population],
    *,
    mode: str,
    dtype: Any,
    synops_dense: int,
    memory_bytes: Mapping[str, int],
    fingerprint: bytes,
) -> dict[str, Any]:
    """The network for people and for HTTP: nodes, shapes, sizes, memory, dialect with provenance."""
    return {
        "inputs": [{"name": p.name, "shape": list(p.shape)} for p in input_ports(graph).values()],
        "outputs": [{"name": p.name, "shape": list(p.shape)} for p in output_ports(graph).values()],
        "populations": [{"name": p.name, "size": p.size, "shape": list(p.shape)} for p in populations],
        "nodes": [
            {"name": k, "type": v.kind, "shape": list(graph.shapes[k]), "parameters": graph.parameter_count(k)}
            for k, v in graph.nodes.items()
        ],
        "edges": [list(edge) for edge in graph.edges],
        "delayed_edges": [[p.source, *p.nodes, p.target] for p in wiring.paths if p.delayed],
        "notes": list(graph.notes),
        "mode": mode,
        "dtype": str(dtype),
        "parameters": sum(graph.parameter_count(name) for name in graph.nodes),
        "synops_dense_per_tick": synops_dense,
        "memory_bytes": dict(memory_bytes),
        "dialect": dialect.to_dict(),
        "fingerprint": fingerprint.hex(),
    }
