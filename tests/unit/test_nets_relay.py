"""Delay and Threshold nodes: every element against what came in before."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nets import nodes as n
from nets.dialect import resolve
from nets.engine import Engine
from nets.errors import UnsupportedError
from nets.graph import Graph
from runtime.bench.workload import RULES

MS = 1_000_000
TICKS = 30


def chain(*middle: n.Node, width: int = 4, out: int = 4, **rules: Any) -> Engine:
    nodes: dict[str, n.Node] = {"input": n.Input((width,))}
    nodes |= {f"n{k}": node for k, node in enumerate(middle)}
    nodes["output"] = n.Output((out,))
    graph = Graph(nodes, list(pairwise(nodes)))
    return Engine(graph, resolve(graph, None, RULES | rules))


def frames(engine: Engine, counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """What leaves in each tick, given what enters."""
    tick, index = np.nonzero(counts)
    engine.feed("input", tick * MS, index.astype(np.int32), counts[tick, index].astype(np.float32))
    spikes = engine.advance(len(counts) * MS)
    found = np.zeros((len(counts), engine.outputs["output"].shape[0]))
    np.add.at(found, (spikes.t // MS - 1, spikes.index), spikes.value)
    return found


def noise(width: int = 4) -> NDArray[np.float64]:
    rng = np.random.default_rng(2)
    return np.where(rng.random((TICKS, width)) < 0.3, rng.integers(0, 3, (TICKS, width)), 0.0)


@pytest.mark.parametrize("delays", [[0, 0, 0, 0], [3, 3, 3, 3], [0, 1, 2, 7]])
def test_a_delay_hands_each_element_on_as_many_ticks_later(delays: list[int]) -> None:
    counts = noise()
    got = frames(chain(n.Delay(np.array(delays) * 1e-3)), counts)
    for element, ticks in enumerate(delays):
        np.testing.assert_array_equal(got[ticks:, element], counts[: TICKS - ticks, element])
        assert not got[:ticks, element].any()


def test_a_delayed_layer_is_the_layer_later() -> None:
    one = np.ones(4)
    w = np.random.default_rng(3).normal(0.5, 0.5, (4, 4))
    layers = n.Linear(w), n.LIF(tau=20e-3 * one, r=one, v_leak=0 * one, v_threshold=one)
    plain = frames(chain(*layers), noise())
    late = frames(chain(n.Delay(5e-3 * one), *layers), noise())
    assert plain.any()
    np.testing.assert_array_equal(late[5:], plain[:-5])


def test_a_threshold_fires_where_the_tick_reaches_it() -> None:
    th = np.array([0.5, 1.0, 1.5, 2.0])
    for rule in (">", ">="):
        counts = noise()
        expected = counts > th if rule == ">" else counts >= th
        np.testing.assert_array_equal(frames(chain(n.Threshold(th), threshold=rule), counts), expected)


def test_a_threshold_below_zero_fires_in_every_silent_tick() -> None:
    engine = chain(n.Threshold(np.array([-1.0, 1.0])), width=2, out=2)
    spikes = engine.advance(5 * MS)
    assert spikes.index.tolist() == [0] * 5


def test_delayed_events_survive_any_split_and_a_snapshot() -> None:
    counts = noise()
    expected = chain(n.Delay(np.array([0, 1, 2, 7]) * 1e-3))
    frames(expected, counts)
    split = chain(n.Delay(np.array([0, 1, 2, 7]) * 1e-3))
    tick, index = np.nonzero(counts)
    values = counts[tick, index].astype(np.float32)
    split.feed("input", tick * MS, index.astype(np.int32), values)
    for k in range(TICKS):
        split.advance((k + 1) * MS)
        split.restore(split.snapshot())
    assert split.hash() == expected.hash()


def loop(delay_s: float) -> Engine:
    one = np.ones(1)
    nodes: dict[str, n.Node] = {
        "input": n.Input((1,)),
        "if": n.IF(r=one, v_threshold=0.5 * one),
        "wait": n.Delay(delay_s * one),
        "output": n.Output((1,)),
    }
    graph = Graph(nodes, [("input", "if"), ("if", "wait"), ("wait", "if"), ("if", "output")])
    return Engine(graph, resolve(graph, None, RULES))


def test_a_spike_goes_round_a_loop_in_as_many_ticks_as_it_is_delayed() -> None:
    engine = loop(4e-3)
    engine.feed("input", np.zeros(1, np.int64), np.zeros(1, np.int32), None)
    assert (engine.advance(13 * MS).t // MS).tolist() == [1, 5, 9, 13]


def test_a_loop_through_a_delay_of_nothing_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedError, match="wait"):
        loop(0.0)
