"""The models beyond NIR equal their dense, clock-driven twin, however the input is split and wherever it is resumed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nets import models as m
from nets.engine import Engine
from nets.running import Spikes
from tests.reference.models import DenseModels, taps
from tests.reference.random_models import model_cases
from tests.reference.random_networks import DT_NS, Case

relaxed = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
MILLIVOLTS = 100.0
"""The scale of the published models' potentials, where that of the others is 1."""


def emitted(engine: Engine) -> dict[str, NDArray[np.float64]]:
    _, population, index, count = engine.watched()
    found = {}
    for k, p in enumerate(engine.populations):
        dense = np.zeros(p.size)
        np.add.at(dense, index[population == k], count[population == k])
        found[p.name] = dense.reshape(p.shape)
    return found


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-9), (np.float32, 2e-4)])
@relaxed
@given(case=model_cases())
def test_each_tick_from_the_engines_own_state_equals_the_twins(dtype: Any, tolerance: float, case: Case) -> None:
    engine = Engine(case.graph, case.dialect, dtype=dtype)
    engine.watch(True)
    twin = DenseModels(case.graph, case.dialect, case.order)
    counts: Any = 0.0
    for tick in range(case.ticks):
        mine = case.t // DT_NS == tick
        engine.feed("input", case.t[mine], case.index[mine], case.value[mine])
        engine.advance((tick + 1) * DT_NS)
        expected = twin.step({"input": case.frame(tick)})
        error = tolerance * twin.largest
        spikes = emitted(engine)
        state = engine.variables()
        for name in case.order:
            node = case.graph.nodes[name]
            if isinstance(node, m.MaxPool2d):
                counts = counts + spikes["first"]
                windows = taps(node, counts, case.graph.shapes[name])
                out = windows.max(0)
                for t, window in enumerate(windows):
                    np.testing.assert_array_equal(state[name][f"behind{t}"], out - window, err_msg=f"tick {tick}")
                twin.extra[name] = {"count": counts, "out": out}
                continue
            if twin.closest > error:
                scale = MILLIVOLTS if isinstance(node, m.Izhikevich | m.HodgkinHuxley) else 1.0
                np.testing.assert_array_equal(spikes[name], expected[name], err_msg=f"{name}, tick {tick}")
                known = {"v": twin.v[name], "i": twin.i[name], **twin.extra[name]}
                for variable, value in state[name].items():
                    if variable in known:
                        np.testing.assert_allclose(
                            value, known[variable], 10 * tolerance, 10 * error * scale, err_msg=f"{name}.{variable}"
                        )
            for variable, value in state[name].items():
                if variable == "v":
                    twin.v[name] = value
                elif variable == "i":
                    twin.i[name] = value
                elif variable in twin.extra[name]:
                    twin.extra[name][variable] = value
        twin.past[0] = twin.past[0] | spikes


def whole(case: Case) -> tuple[Engine, Spikes]:
    engine = Engine(case.graph, case.dialect)
    engine.feed("input", case.t, case.index, case.value)
    return engine, engine.advance(case.ticks * DT_NS)


def same(a: Spikes, b: Spikes) -> None:
    for field in ("t", "port", "index", "value"):
        np.testing.assert_array_equal(getattr(a, field), getattr(b, field), err_msg=field)


@relaxed
@given(case=model_cases(), data=st.data())
def test_any_split_of_the_input_gives_the_same_output_and_hash(case: Case, data: st.DataObject) -> None:
    reference, expected = whole(case)
    engine = Engine(case.graph, case.dialect)
    parts, fed = [], 0
    for cut in [*sorted(data.draw(st.lists(st.integers(0, len(case.t)), max_size=6))), len(case.t)]:
        engine.feed("input", case.t[fed:cut], case.index[fed:cut], case.value[fed:cut])
        fed = cut
        if cut < len(case.t):
            parts.append(engine.advance(max(int(case.t[cut]), engine.now)))
            engine.variables()
    parts.append(engine.advance(case.ticks * DT_NS))
    same(Spikes(*(np.concatenate([getattr(p, f) for p in parts]) for f in ("t", "port", "index", "value"))), expected)
    assert engine.hash() == reference.hash()
    assert engine.counters.synops == reference.counters.synops


@relaxed
@given(case=model_cases(), data=st.data())
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
@given(case=model_cases())
def test_a_reset_network_repeats_itself(case: Case) -> None:
    engine, expected = whole(case)
    engine.reset(5 * DT_NS)
    engine.feed("input", case.t + 5 * DT_NS, case.index, case.value)
    again = engine.advance((case.ticks + 5) * DT_NS)
    np.testing.assert_array_equal(again.t - 5 * DT_NS, expected.t)
    np.testing.assert_array_equal(again.index, expected.index)
