"""Random sigma-delta networks against their rounding networks: any order of arrival, any split, any way of summing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nets import nodes as n
from nets.errors import SnapshotError
from nets.graph import Graph
from nets.sigma_delta.engine import SigmaDeltaEngine
from nets.sigma_delta.node import SigmaDelta, Surface
from nets.sigma_delta.thresholds import SigmaThresholds
from tests.reference.rounding import Rounding, whole_numbers

relaxed = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
BEAT = 1_000_000
WAYS = [SigmaThresholds(), SigmaThresholds(rebuild=1e-3), SigmaThresholds(rebuild=1e5), SigmaThresholds(refresh=3)]
"""The defaults; every layer rebuilt each time; never; now and then, for its rounding."""


@dataclass(frozen=True)
class Reading:
    t: int
    port: str
    index: int
    value: float


@dataclass(frozen=True)
class Case:
    graph: Graph
    readings: list[Reading]
    """In order of time."""
    thresholds: SigmaThresholds


@st.composite
def cases(draw: st.DrawFn, *, leaks: bool = False, dyadic: bool = False) -> Case:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    nodes: dict[str, n.Node] = {}
    edges: list[tuple[str, str]] = []

    def add(name: str, node: n.Node, *sources: str) -> str:
        nodes[name] = node
        edges.extend((source, name) for source in sources)
        return name

    def weights(*shape: int) -> NDArray[np.float64]:
        w = rng.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape)
        return np.asarray(w * (rng.random(shape) < 0.8), np.float64)

    def levels(shape: tuple[int, ...]) -> NDArray[np.float64]:
        each = draw(st.booleans())
        if dyadic:
            return np.asarray(2.0 ** rng.integers(0, 6, shape if each else ()), np.float64)
        return np.asarray(rng.uniform(1, 40, shape if each else ()), np.float64)

    rate = float(rng.uniform(5, 200)) if leaks else 0.0

    def unit(shape: tuple[int, ...], slope: float = 0.0, leaky: bool = False) -> SigmaDelta:
        return SigmaDelta(levels=levels(shape), slope=slope, leak_per_s=rate if leaky else 0.0)

    def source(name: str, shape: tuple[int, ...]) -> str:
        add(name, n.Input(shape))
        if leaks and draw(st.booleans()):
            return add(name + "_q", Surface(levels=levels(shape), slope=1.0, leak_per_s=rate), name)
        return add(name + "_q", unit(shape, 1.0, leaks and draw(st.booleans())), name)

    if draw(st.booleans()):
        channels, groups = draw(st.sampled_from([(1, 1), (2, 1), (2, 2)]))
        height, width = draw(st.integers(3, 6)), draw(st.integers(3, 6))
        kernel, stride, padding = draw(st.integers(1, 3)), draw(st.integers(1, 2)), draw(st.integers(0, 1))
        last = source("eye", (channels, height, width))
        if draw(st.booleans()) and height % 2 == 0 and width % 2 == 0:
            pool = draw(st.sampled_from([n.SumPool2d, n.AvgPool2d]))
            last = add("pool", pool(2, 2, 0), last)
            height, width = height // 2, width // 2
            kernel = min(kernel, height + 2 * padding, width + 2 * padding)
        c_out = groups * draw(st.integers(1, 3))
        weight = weights(c_out, channels // groups, kernel, kernel)
        last = add("conv", n.Conv2d(None, weight, stride, padding, 1, groups, rng.normal(0, 0.3, c_out)), last)
        height, width = ((size + 2 * padding - kernel) // stride + 1 for size in (height, width))
        last = add(
            "seen",
            unit((c_out, height, width), draw(st.sampled_from([0.0, 0.25, 1.0])), leaks and draw(st.booleans())),
            last,
        )
        if draw(st.booleans()):
            last = add("again", n.Conv2d(None, weights(2, c_out, 3, 3), 1, 1, 1, 1, np.zeros(2)), last)
            c_out, last = 2, add("more", unit((2, height, width)), last)
        last = add("flat", n.Flatten(0, -1), last)
        size = c_out * height * width
    else:
        size = draw(st.integers(1, 6))
        last = source("eye", (size,))
    into = [add("fc", n.Affine(weights(4, size), rng.normal(0, 0.3, 4)), last)]
    if draw(st.booleans()):
        other = draw(st.integers(1, 3))
        into.append(add("gyro_fc", n.Linear(weights(4, other)), source("gyro", (other,))))
    last = add("fused", unit((4,), draw(st.sampled_from([0.0, 1.0])), leaks and draw(st.booleans())), *into)
    if draw(st.booleans()):
        last = add("readout", n.Linear(weights(2, 4)), last)
        add("output", n.Output((2,)), last)
    else:
        add("output", n.Output((4,)), last)
    graph = Graph(nodes, edges)
    readings = []
    times = sorted(draw(st.lists(st.integers(0, 20 * BEAT), min_size=1, max_size=30, unique=True)))
    for t in times:
        port = draw(st.sampled_from(graph.of_kind(n.Input)))
        for index in np.flatnonzero(rng.random(int(np.prod(graph.shapes[port]))) < draw(st.sampled_from([0.1, 1.0]))):
            value = float(np.float32(rng.normal()))
            readings += [Reading(t, port, int(index), value)]
    return Case(graph, readings, draw(st.sampled_from(WAYS)))


def feed(engine: SigmaDeltaEngine, readings: list[Reading]) -> None:
    """Feed readings as they come: each alone."""
    for r in readings:
        engine.feed(r.port, np.array([r.t]), np.array([r.index], np.int32), np.array([r.value], np.float32))


def read(twin: Rounding, readings: list[Reading]) -> None:
    for r in readings:
        twin.read(r.port, np.array([r.t]), np.array([r.index]), np.array([r.value]))


def equal(engine: SigmaDeltaEngine, twin: Rounding, within: float) -> None:
    """All sums, and what all receivers hold."""
    for name, found in engine.variables().items():
        np.testing.assert_allclose(found["z"], _sum(twin, name), rtol=0, atol=within, err_msg=f"{name}: z")
        if "y" in found:
            np.testing.assert_allclose(found["y"], twin.held[name], rtol=0, atol=within, err_msg=f"{name}: y")


def _sum(twin: Rounding, name: str) -> NDArray[np.float64]:
    return twin.z[name]


@relaxed
@given(case=cases(), data=st.data())
def test_any_order_and_split_of_arrival_gives_the_rounding_network(case: Case, data: st.DataObject) -> None:
    end = 20 * BEAT
    twin = Rounding(case.graph)
    read(twin, case.readings)
    twin.settle(end)
    assume(twin.closest > 1e-9)
    arrival = data.draw(st.permutations(case.readings))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(arrival)), max_size=4)))
    engine = SigmaDeltaEngine(case.graph, dtype=np.float64, thresholds=case.thresholds)
    shown = {name: np.zeros(int(np.prod(port.shape))) for name, port in engine.outputs.items()}
    done = 0
    for part, cut in enumerate([*cuts, len(arrival)]):
        feed(engine, arrival[done:cut])
        done = cut
        last = part == len(cuts)
        out = engine.advance(end if last else max(engine.now, data.draw(st.integers(0, end))))
        for port, index, value in zip(out.port.tolist(), out.index.tolist(), out.value.tolist(), strict=True):
            shown[list(engine.outputs)[port]][index] = value
    equal(engine, twin, 1e-9)
    for name, values in shown.items():
        np.testing.assert_allclose(values, twin.held[name].ravel(), rtol=1e-6, atol=1e-6)
    assert engine.counters.saturated == 0


@relaxed
@given(case=cases(dyadic=True), data=st.data())
def test_fixed_point_equals_whole_numbers_exactly_in_any_order(case: Case, data: st.DataObject) -> None:
    engine = SigmaDeltaEngine(case.graph, dtype=np.int64, thresholds=case.thresholds)
    arrival = data.draw(st.permutations(case.readings))
    cut = data.draw(st.integers(0, len(arrival)))
    feed(engine, arrival[:cut])
    engine.advance(data.draw(st.integers(0, 20 * BEAT)))
    feed(engine, arrival[cut:])
    engine.advance(20 * BEAT)
    ordered = SigmaDeltaEngine(case.graph, dtype=np.int64, thresholds=SigmaThresholds(rebuild=1e5))
    feed(ordered, case.readings)
    ordered.advance(20 * BEAT)
    readings = Rounding(case.graph)
    read(readings, case.readings)
    bits = {unit.name: unit.bits for unit in engine.program.units}
    quanta = whole_numbers(case.graph, readings.x, bits)
    for name, found in engine.variables().items():
        same = ordered.variables()[name]
        assert np.array_equal(found["z"], same["z"])
        node = case.graph.nodes[name]
        if isinstance(node, SigmaDelta):
            assert np.array_equal(found["y"], quanta[name] / node.levels), name
        else:
            assert np.array_equal(found["z"], quanta[name] / 2.0 ** bits[name]), name


@relaxed
@given(case=cases(), data=st.data())
def test_float32_holds_the_same_quanta_but_at_the_middle_between_two(case: Case, data: st.DataObject) -> None:
    twin = Rounding(case.graph)
    read(twin, case.readings)
    twin.settle(20 * BEAT)
    assume(twin.closest > 1e-3)
    engine = SigmaDeltaEngine(case.graph, thresholds=case.thresholds)
    feed(engine, data.draw(st.permutations(case.readings)))
    engine.advance(20 * BEAT)
    equal(engine, twin, 1e-4)


@relaxed
@given(case=cases(leaks=True), data=st.data())
def test_what_leaks_equals_the_twin_that_fades_its_copies(case: Case, data: st.DataObject) -> None:
    engine = SigmaDeltaEngine(case.graph, dtype=np.float64, thresholds=case.thresholds)
    twin = Rounding(case.graph)
    engine.advance(0)
    twin.settle(0)
    readings = [r for r in case.readings if r.t > 0]
    ends = sorted({*data.draw(st.lists(st.integers(1, 30 * BEAT), max_size=4)), 30 * BEAT})
    done = 0
    for end in ends:
        due = [r for r in readings[done:] if r.t <= end]
        feed(engine, due)
        done += len(due)
        for beat in range((twin.now // BEAT + 1) * BEAT, end + 1, BEAT):
            read(twin, [r for r in due if r.t <= beat])
            due = [r for r in due if r.t > beat]
            twin.settle(beat)
        if due:
            read(twin, due)
            twin.settle(end)
        engine.advance(end)
    assert twin.now == engine.now
    assume(twin.closest > 1e-7)
    equal(engine, twin, 1e-7)


@relaxed
@given(case=cases(leaks=True), data=st.data())
def test_snapshot_restore_continue_equals_continue(case: Case, data: st.DataObject) -> None:
    engine = SigmaDeltaEngine(case.graph, thresholds=case.thresholds)
    feed(engine, case.readings)
    engine.advance(data.draw(st.integers(0, 20 * BEAT)))
    snapshot = engine.snapshot()
    before = engine.hash()
    rest = engine.advance(40 * BEAT)
    other = SigmaDeltaEngine(case.graph, thresholds=case.thresholds, t0=777)
    feed(other, case.readings[:1])
    other.restore(snapshot)
    assert other.hash() == before
    again = other.advance(40 * BEAT)
    for field in ("t", "port", "index", "value"):
        np.testing.assert_array_equal(getattr(again, field), getattr(rest, field))
    assert other.hash() == engine.hash() != before
    damaged = bytearray(snapshot)
    damaged[data.draw(st.integers(0, len(snapshot) - 1))] ^= data.draw(st.integers(1, 255))
    for bad in (bytes(damaged), snapshot[:-1], b""):
        with pytest.raises(SnapshotError):
            other.restore(bad)
    assert other.hash() == engine.hash()


@relaxed
@given(case=cases(leaks=True))
def test_a_reset_network_repeats_itself(case: Case) -> None:
    engine = SigmaDeltaEngine(case.graph, thresholds=case.thresholds)
    feed(engine, case.readings)
    engine.advance(40 * BEAT)
    state = {name: {k: v.copy() for k, v in values.items()} for name, values in engine.variables().items()}
    engine.reset(100 * BEAT)
    feed(engine, [Reading(r.t + 100 * BEAT, r.port, r.index, r.value) for r in case.readings])
    engine.advance(140 * BEAT)
    for name, values in engine.variables().items():
        for key, value in values.items():
            np.testing.assert_array_equal(value, state[name][key], err_msg=f"{name}.{key}")


@relaxed
@given(case=cases(leaks=True), data=st.data())
def test_watching_changes_nothing_and_sees_every_change(case: Case, data: st.DataObject) -> None:
    plain, seen = (SigmaDeltaEngine(case.graph, thresholds=case.thresholds) for _ in range(2))
    seen.watch(True)
    for engine in (plain, seen):
        feed(engine, case.readings)
        engine.advance(20 * BEAT)
    assert plain.hash() == seen.hash()
    t, population, index, quanta = seen.watched()
    assert (np.diff(t) >= 0).all()
    for number, p in enumerate(seen.populations):
        mine = population == number
        assert int(mine.sum()) == seen.counters.spikes[p.name] == plain.counters.spikes[p.name]
        node = case.graph.nodes[p.name]
        assert isinstance(node, SigmaDelta)
        if node.leak_per_s == 0:
            total = np.zeros(p.size)
            np.add.at(total, index[mine], quanta[mine])
            levels = np.broadcast_to(node.levels, p.shape).ravel()
            np.testing.assert_allclose(total / levels, seen.variables()[p.name]["y"].ravel(), rtol=1e-12)
