"""Runs the gaze robot's own service on virtual time, its network in the seat or a rival in it, and measures."""

from __future__ import annotations

import asyncio
import copy
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from nets.graph import Graph
from nets.load import AnyEngine
from nets.nir import read
from nets.sigma_delta.engine import SigmaCounters, SigmaDeltaEngine
from runtime.bench.gaze.dense import DenseEngine
from runtime.bench.gaze.scaled import finer
from runtime.bench.gaze.ways import SENSORS, Way
from runtime.bench.usage import cpu_s
from runtime.config import Robot, make_robot
from runtime.core.clock import SECOND, VirtualClock, run_virtual, stopwatch_ns
from runtime.core.errors import ConfigError
from runtime.core.packet import Packet
from runtime.pipeline import Outcome, build_pipeline, load_engine
from runtime.service import Service

SETTLE_S = 0.5
"""Seconds before anything counts."""
PERIOD_NS = 1_000_000
HALF_NS = 100_000_000
"""A bump is answered within this, or not at all."""
Real = NDArray[np.float64]


@dataclass(frozen=True)
class Gaze:
    """A gaze robot as its file has it; `network` in place of the file's where given."""

    tables: Mapping[str, Any]
    folder: Path
    network: Graph | None = None

    @property
    def world(self) -> dict[str, Any]:
        """Said by every adapter alike; a path is read by the adapters."""
        import tomllib

        world = self.tables["sensors"]["truth"]["world"]
        return tomllib.loads((self.folder / world).read_text()) if isinstance(world, str) else dict(world)

    @property
    def graph(self) -> Graph:
        return self.network or read(self.folder / self.tables["network"]["file"])


@dataclass
class Measured:
    """A way in a world of one seed; rates are a simulated second's."""

    rms_px: float
    latency_ms: list[float]
    """From each bump's onset until the command had answered half of it, event time; nan: not within 100 ms."""
    synops: float
    adds: float
    touches: float
    events_in: float
    """Values fed to the network's ports."""
    nonzero: float
    input_events: float
    """DVS events, frames and gyro samples."""
    network_s: float
    """Seconds spent in the network: of tectum all calls, of a rival its passes alone."""
    process_s: float
    """Processor time of the whole process, the world's simulation included."""
    periods_us: list[float] = field(repr=False)
    """Time in the network in each millisecond."""
    lost: int = 0
    largest: float = 0.0
    """Largest command that an actuator was given, as a share of its limit."""


class Metered:
    """The robot's engine, with a stopwatch at the door."""

    def __init__(self, engine: SigmaDeltaEngine) -> None:
        self._engine = engine
        self._feeding = 0
        self.ns: list[tuple[int, int]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def feed(self, port: str, t: Any, index: Any, value: Any = None) -> int:
        began = stopwatch_ns()
        late = self._engine.feed(port, t, index, value)
        self._feeding += stopwatch_ns() - began
        return late

    def advance(self, until: int) -> Any:
        began = stopwatch_ns()
        found = self._engine.advance(until)
        self.ns.append((until, stopwatch_ns() - began + self._feeding))
        self._feeding = 0
        return found


def measure(gaze: Gaze, way: Way, seed: int, seconds: float) -> Measured:
    """One run."""
    tables = _tables(gaze, way, seed)
    robot = make_robot(tables, gaze.folder, "gaze")
    assert robot.network is not None
    topics = {topic.name: topic for sensor in robot.sensors.values() for topic in sensor.describe()}
    seat: Metered | DenseEngine
    if way.kind == "dense":
        slow = {"dvs": round(way.dvs_ms * 1e6)} if way.dvs_ms else {}
        seat = DenseEngine(gaze.graph, round(way.period_ms * 1e6), cached=way.cached, slow=slow, frames=way.frames)
    elif gaze.network is None and way.fineness == 1.0:
        seat = Metered(cast(SigmaDeltaEngine, load_engine(robot.network)))
    else:
        seat = Metered(SigmaDeltaEngine(finer(gaze.graph, way.fineness)))
    watched = _Watched()

    async def main(clock: VirtualClock) -> Measured:
        pipeline = build_pipeline(robot, topics, clock.now(), cast(AnyEngine, seat))
        with tempfile.TemporaryDirectory(prefix="tectum-bench") as state:
            service = Service(robot, clock, Path(state), pipeline=pipeline)
            service.bus.tap(watched.packet)
            service.observers.append(watched.outcome)
            task = asyncio.create_task(service.run())
            start = clock.now()
            clock.release()
            await clock.sleep_until(start + round(SETTLE_S * SECOND))
            before, events, spent = _counts(seat), _arrived(service), cpu_s()
            seat_ns = seat.ns if isinstance(seat, Metered) else seat.spent.ns
            seat_ns.clear()
            await clock.sleep_until(start + round((SETTLE_S + seconds) * SECOND))
            after, spent = _counts(seat), cpu_s() - spent
            events = _arrived(service) - events
            lost = sum(stats.lost for stats in service.bus.topics.values())
            service.stop()
            await task
        if service.failure:
            raise ConfigError(f"{way.name}: the service failed: {service.failure}")
        change = (after - before) / seconds
        error, latency = watched.judged(start + round(SETTLE_S * SECOND))
        periods = _periods(seat_ns, start + round(SETTLE_S * SECOND), seconds)
        return Measured(
            rms_px=error,
            latency_ms=latency,
            synops=float(change[0]),
            adds=float(change[1]),
            touches=float(change[2]),
            events_in=float(change[3]),
            nonzero=seat.nonzero_macs * float(change[4]) if isinstance(seat, DenseEngine) else float("nan"),
            input_events=events / seconds,
            network_s=float(periods.sum()) / 1e9 / seconds,
            process_s=spent / seconds,
            periods_us=(periods / 1e3).tolist(),
            lost=lost,
            largest=watched.largest(robot),
        )

    return run_virtual(main)


def _tables(gaze: Gaze, way: Way, seed: int) -> dict[str, Any]:
    tables = copy.deepcopy(dict(gaze.tables))
    world = gaze.world | way.world | {"seed": seed}
    for group in ("sensors", "actuators"):
        for name, table in tables[group].items():
            table["world"] = world
            if group == "sensors" and name in SENSORS:
                table["seed"] = seed
                table |= way.sensors.get(name, {})
    tables["sensors"]["truth"]["rate_hz"] = 1000.0
    for name in way.without:
        del tables["sensors"][name]
        tables["inputs"] = [entry for entry in tables["inputs"] if entry["from"].split("/")[0] != name]
    if way.kind == "none":
        tables["outputs"] = []
    return tables


def _counts(seat: Metered | DenseEngine) -> Real:
    """Synaptic operations, adds, touches, events fed, passes."""
    c = seat.counters
    adds = c.synops_adds if isinstance(c, SigmaCounters) else c.synops
    return np.array([c.synops, adds, c.unit_touches, c.events_in, c.ticks], np.float64)


def _arrived(service: Service) -> int:
    return sum(stats.events for name, stats in service.bus.topics.items() if name.split("/")[0] in SENSORS)


def _periods(spent: list[tuple[int, int]], start: int, seconds: float) -> Real:
    """ns in each period that began at `start`; what belongs to (k, k + 1] ms is in the k-th."""
    found = np.zeros(round(seconds * SECOND) // PERIOD_NS)
    if spent:
        t, ns = np.array(spent, np.int64).T
        k = (t - start - 1) // PERIOD_NS
        inside = (k >= 0) & (k < len(found))
        np.add.at(found, k[inside], ns[inside])
    return found


class _Watched:
    """The truth and the commands of a run."""

    def __init__(self) -> None:
        self._t: list[int] = []
        self._error: list[Real] = []
        self._bump: list[Real] = []
        self._commands: dict[int, list[tuple[int, float]]] = {}
        self._applied: dict[str, float] = {}

    def packet(self, arrived: int, packet: Packet) -> None:
        name, stream = packet.topic.name.split("/", 1)
        if stream == "command":
            self._applied[name] = max(self._applied.get(name, 0.0), float(np.abs(packet.data["value"]).max()))
        if packet.topic.name == "truth/truth":
            for t, row in zip(packet.t, packet.data, strict=True):
                self._t.append(int(t))
                self._error.append(np.array(row["error_px"], np.float64))
                self._bump.append(np.array(row["bump_rad_s"], np.float64))

    def outcome(self, outcome: Outcome) -> None:
        for decided in outcome.decided:
            if decided.decision.value is not None:
                self._commands.setdefault(decided.output, []).append((decided.decision.t, decided.decision.value))

    def largest(self, robot: Robot) -> float:
        """Of what the limiters let through."""
        limits = {name: actuator.limits_si.max for name, actuator in robot.actuators.items()}
        return max((most / limits[name] for name, most in self._applied.items()), default=0.0)

    def judged(self, start: int) -> tuple[float, list[float]]:
        """(RMS of the error in px, latencies in ms), from `start` on."""
        t, error, bump = np.array(self._t), np.array(self._error), np.array(self._bump)
        counts = t >= start
        rms = float(np.sqrt((error[counts] ** 2).sum(axis=1).mean()))
        latencies: list[float] = []
        for axis, commands in sorted(self._commands.items()):
            times, values = (np.array(column) for column in zip(*commands, strict=True))
            b = bump[:, axis]
            onsets = np.flatnonzero((b[1:] != 0) & (b[:-1] == 0)) + 1
            inside = onsets[(t[onsets] >= start) & (t[onsets] + HALF_NS <= t[-1])]
            latencies += [_answered(times, values, int(t[k]), float(b[k])) for k in inside]
        return rms, latencies


def _answered(t: NDArray[np.int64], u: Real, onset: int, bump: float) -> float:
    """ms until the command has moved against a bump by half its rate; nan where it does not."""
    first = int(np.searchsorted(t, onset, side="right"))
    last = int(np.searchsorted(t, onset + HALF_NS, side="right"))
    if first == 0:
        return float("nan")
    moved = -(u[first:last] - u[first - 1]) * np.sign(bump)
    answered = np.flatnonzero(moved >= abs(bump) / 2)
    return float(t[first + answered[0]] - onset) / 1e6 if len(answered) else float("nan")
