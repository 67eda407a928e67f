"""State: any split of the input is the same run, and a snapshot continues as if nothing had happened."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nets.engine import Engine, Spikes
from nets.errors import SnapshotError
from tests.reference.random_networks import DT_NS, Case, cases

relaxed = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def whole(case: Case) -> tuple[Engine, Spikes]:
    engine = Engine(case.graph, case.dialect)
    engine.feed("input", case.t, case.index, case.value)
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
    engine = Engine(case.graph, case.dialect)
    engine.watch(data.draw(st.booleans()))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(case.t)), max_size=6)))
    parts, fed = [], 0
    for cut in [*cuts, len(case.t)]:
        engine.feed("input", case.t[fed:cut], case.index[fed:cut], case.value[fed:cut])
        fed = cut
        if cut < len(case.t):
            parts.append(engine.advance(max(int(case.t[cut]), engine.now)))
            engine.hash()
            engine.potentials()
    parts.append(engine.advance(case.ticks * DT_NS))
    same(joined(parts), expected)
    assert engine.hash() == reference.hash()
    assert engine.counters.synops == reference.counters.synops
    assert engine.counters.spikes == reference.counters.spikes


@relaxed
@given(case=cases(), data=st.data())
def test_snapshot_restore_continue_equals_continue(case: Case, data: st.DataObject) -> None:
    reference, _ = whole(case)
    engine = Engine(case.graph, case.dialect)
    engine.feed("input", case.t, case.index, case.value)
    engine.advance(data.draw(st.integers(0, case.ticks)) * DT_NS)
    snapshot = engine.snapshot()
    rest = engine.advance(case.ticks * DT_NS)
    other = Engine(case.graph, case.dialect, t0=777)
    other.feed("input", case.t[:1], case.index[:1], case.value[:1])
    other.restore(snapshot)
    same(other.advance(case.ticks * DT_NS), rest)
    assert other.hash() == engine.hash() == reference.hash()


@relaxed
@given(case=cases())
def test_a_reset_network_repeats_itself(case: Case) -> None:
    engine, expected = whole(case)
    engine.reset(5 * DT_NS + 3)
    engine.feed("input", case.t + 5 * DT_NS + 3, case.index, case.value)
    again = engine.advance((case.ticks + 5) * DT_NS + 3)
    np.testing.assert_array_equal(again.t - 5 * DT_NS - 3, expected.t)
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
