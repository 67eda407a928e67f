"""The engine equals its dense, clock-driven twin."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from numpy.typing import NDArray

from nets.engine import Engine, Spikes
from tests.reference.dense import Dense
from tests.reference.random_networks import DT_NS, Case, cases

relaxed = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def feed_tick(engine: Engine, case: Case, tick: int) -> None:
    mine = case.t // DT_NS == tick
    engine.feed("input", case.t[mine], case.index[mine], case.value[mine])


def emitted(engine: Engine) -> dict[str, NDArray[np.float64]]:
    """The spikes of each population since last asked, dense."""
    _, population, index, count = engine.watched()
    found = {}
    for k, p in enumerate(engine.populations):
        dense = np.zeros(p.size)
        np.add.at(dense, index[population == k], count[population == k])
        found[p.name] = dense.reshape(p.shape)
    return found


def delivered(spikes: Spikes, engine: Engine) -> NDArray[np.float64]:
    dense = np.zeros(engine.outputs["output"].shape)
    np.add.at(dense, spikes.index, spikes.value)
    return dense


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-9), (np.float32, 2e-4)])
@relaxed
@given(case=cases())
def test_each_tick_from_the_engines_own_state_equals_the_twins(dtype: Any, tolerance: float, case: Case) -> None:
    engine = Engine(case.graph, case.dialect, dtype=dtype)
    engine.watch(True)
    twin = Dense(case.graph, case.dialect, case.order + case.graded)
    for tick in range(case.ticks):
        feed_tick(engine, case, tick)
        out = engine.advance((tick + 1) * DT_NS)
        expected = twin.step({"input": case.frame(tick)})
        spikes = emitted(engine)
        state = engine.potentials()
        # sums round by their largest term: a layer that runs away with many spikes a tick carries large ones
        scale = max(1.0, *(float(np.abs(x).max(initial=0.0)) for x in (*twin.v.values(), *expected.values())))
        if twin.closest > tolerance * scale:
            for name in case.order:
                np.testing.assert_array_equal(spikes[name], expected[name], err_msg=f"{name}, tick {tick}")
                v, i = state[name]
                np.testing.assert_allclose(v, twin.v[name], rtol=10 * tolerance, atol=10 * tolerance * scale)
                if i is not None:
                    np.testing.assert_allclose(i, twin.i[name], rtol=10 * tolerance, atol=10 * tolerance * scale)
            received, near = delivered(out, engine), max(tolerance, 1e-7)  # output values are float32
            np.testing.assert_allclose(received, expected["output"], rtol=10 * near, atol=10 * near * scale)
        for name in case.order + case.graded:
            v, i = state[name]
            twin.v[name] = v
            if i is not None:
                twin.i[name] = i
        twin.past[0] = twin.past[0] | spikes


@relaxed
@given(case=cases(exact=True))
def test_exact_numbers_give_the_same_bits_running_free(case: Case) -> None:
    engine = Engine(case.graph, case.dialect, dtype=np.float32)
    twin = Dense(case.graph, case.dialect, case.order + case.graded)
    engine.feed("input", case.t, case.index, case.value)
    out = engine.advance(case.ticks * DT_NS)
    for tick in range(case.ticks):
        expected = twin.step({"input": case.frame(tick)})["output"]
        mine = out.t == (tick + 1) * DT_NS
        got = delivered(Spikes(out.t[mine], out.port[mine], out.index[mine], out.value[mine]), engine)
        np.testing.assert_array_equal(got, expected, err_msg=f"tick {tick}")
    for name in case.order:
        np.testing.assert_array_equal(engine.potentials()[name][0], twin.v[name])
