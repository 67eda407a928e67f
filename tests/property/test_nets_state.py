"""State: any split of the input is the same run, and a snapshot continues as if nothing had happened."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nets.engine import Engine
from nets.errors import SnapshotError
from nets.running import Spikes
from tests.reference.exactness import feed
from tests.reference.random_networks import DT_NS, Case, cases

relaxed = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def fresh(case: Case, t0: int = 0) -> Engine:
    return Engine(case.graph, case.dialect, t0=t0, thresholds=case.thresholds)


def whole(case: Case) -> tuple[Engine, Spikes]:
    engine = fresh(case)
    feed(engine, case)
    return engine, engine.advance(case.ticks * DT_NS)


def same(a: Spikes, b: Spikes) -> None:
    for field in ("t", "port", "index", "value"):
        np.testing.assert_array_equal(getattr(a, field), getattr(b, field), err_msg=field)


def joined(parts: list[Spikes]) -> Spikes:
    return Spikes(*(np.concatenate([getattr(p, f) for p in parts]) for f in ("t", "port", "index", "value")))


@relaxed
@given(case=cases(), data=st.data())
def test_any_split_of_the_input_gives_the_same_output_and_hash(case: Case, data: st.DataObject) -> None:
    reference, expected = whole(case)
    engine = fresh(case)
    engine.watch(data.draw(st.booleans()))
    fed = dict.fromkeys(case.streams, 0)
    parts = []
    while waiting := [port for port, events in case.streams.items() if fed[port] < len(events.t)]:
        port = data.draw(st.sampled_from(waiting))
        first, size = fed[port], data.draw(st.integers(1, 1 + len(case.streams[port].t) // 3))
        packet = case.streams[port][first : first + size]
        fed[port] = first + size
        # what is still to come at any port must not come late
        to_come = [int(e.t[fed[name]]) for name, e in case.streams.items() if fed[name] < len(e.t)]
        until = max(min(to_come, default=0), engine.now)
        match data.draw(st.sampled_from(["feed", "feed and advance", "step"])):
            case "feed":
                engine.feed(port, packet.t, packet.index, packet.value)
            case "feed and advance":
                engine.feed(port, packet.t, packet.index, packet.value)
                parts.append(engine.advance(until))
                engine.hash()
                engine.potentials()
            case "step":
                parts.append(engine.step(port, packet.t, packet.index, packet.value, until))
    parts.append(engine.advance(case.ticks * DT_NS))
    same(joined(parts), expected)
    assert engine.hash() == reference.hash()
    assert engine.counters.events_late == 0
    assert engine.counters.synops == reference.counters.synops
    assert engine.counters.spikes == reference.counters.spikes


@relaxed
@given(case=cases(), data=st.data())
def test_snapshot_restore_continue_equals_continue(case: Case, data: st.DataObject) -> None:
    reference, _ = whole(case)
    engine = fresh(case)
    feed(engine, case)
    engine.advance(data.draw(st.integers(0, case.ticks)) * DT_NS)
    snapshot = engine.snapshot()
    rest = engine.advance(case.ticks * DT_NS)
    other = fresh(case, t0=777)
    other.feed("input", case.t[:1], case.index[:1], case.value[:1])
    other.restore(snapshot)
    same(other.advance(case.ticks * DT_NS), rest)
    assert other.hash() == engine.hash() == reference.hash()


@relaxed
@given(case=cases())
def test_a_reset_network_repeats_itself(case: Case) -> None:
    engine, expected = whole(case)
    later = 5 * DT_NS + 3
    engine.reset(later)
    for port, events in case.streams.items():
        engine.feed(port, events.t + later, events.index, events.value)
    again = engine.advance(case.ticks * DT_NS + later)
    np.testing.assert_array_equal(again.t - later, expected.t)
    np.testing.assert_array_equal(again.port, expected.port)
    np.testing.assert_array_equal(again.index, expected.index)
    np.testing.assert_array_equal(again.value, expected.value)


@relaxed
@given(case=cases(), data=st.data())
def test_a_damaged_snapshot_is_refused_and_changes_nothing(case: Case, data: st.DataObject) -> None:
    engine, _ = whole(case)
    before, snapshot = engine.hash(), engine.snapshot()
    at = data.draw(st.integers(0, len(snapshot) - 1))
    damaged = snapshot[:at] + bytes([snapshot[at] ^ data.draw(st.integers(1, 255))]) + snapshot[at + 1 :]
    for bad in (damaged, snapshot[:at], b""):
        with pytest.raises(SnapshotError):
            engine.restore(bad)
    assert engine.hash() == before
    assert engine.snapshot() == snapshot
