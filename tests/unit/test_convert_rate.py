"""A rate-coded network comes the nearer to the trained one the longer it is shown a frame, also in the engine."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from nets import nodes as n
from nets.convert.dense import Dense, relative_error
from nets.convert.errors import ConvertError
from nets.convert.layers import Activation, chain
from nets.convert.rate import Presented, Rate, frame_events, to_rate
from nets.dialect import resolve
from nets.engine import Engine
from nets.graph import Graph
from nets.nir import read, write


def weight(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    return (rng.normal(size=shape) / math.sqrt(math.prod(shape[1:]))).astype(np.float32)


def branching() -> Graph:
    """Two convolutions of different scale meet in a pool, and one of them skips the next layer."""
    rng = np.random.default_rng(1)

    def conv(c_out: int, c_in: int, size: int) -> n.Conv2d:
        return n.Conv2d((size, size), weight(rng, c_out, c_in, 3, 3), (1, 1), (1, 1), (1, 1), 1, weight(rng, c_out))

    nodes = {
        "input": n.Input((1, 6, 6)),
        "one": conv(3, 1, 6),
        "one_relu": Activation(),
        "two": n.Conv2d((6, 6), 5 * weight(rng, 3, 1, 3, 3), (1, 1), (1, 1), (1, 1), 1, weight(rng, 3)),
        "two_relu": Activation(),
        "pool": n.AvgPool2d((2, 2), (2, 2), (0, 0)),
        "three": conv(3, 3, 3),
        "three_relu": Activation(),
        "flat": n.Flatten(),
        "fc": n.Affine(weight(rng, 4, 27), weight(rng, 4)),
        "output": n.Output((4,)),
    }
    edges = [
        ("input", "one"), ("one", "one_relu"), ("input", "two"), ("two", "two_relu"), ("one_relu", "pool"),
        ("two_relu", "pool"), ("pool", "three"), ("three", "three_relu"), ("pool", "three_relu"),
        ("three_relu", "flat"), ("flat", "fc"), ("fc", "output"),
    ]  # fmt: skip
    return Graph(nodes, edges)


def frames(count: int = 6) -> dict[str, NDArray[np.float32]]:
    return {"input": np.random.default_rng(2).random((count, 1, 6, 6)).astype(np.float32)}


def shown_by_the_engine(rate: Rate, frame: NDArray[np.float32], engine: Engine) -> NDArray[np.float64]:
    engine.reset(engine.now)
    began, dt = engine.now, engine.dt_ns
    for tick in range(rate.ticks):
        for port, (t, index, value) in frame_events(rate.graph, {"input": frame}, tick, dt, began).items():
            engine.feed(port, t, index, value)
    sent = engine.advance(began + rate.ticks * dt)
    last = sent.t == began + rate.ticks * dt
    answer = np.zeros(4)
    answer[sent.index[last]] = sent.value[last]
    return answer


def test_the_error_falls_with_the_ticks() -> None:
    errors = [to_rate(branching(), frames(), ticks).error for ticks in (4, 32, 256)]
    assert errors[0] > 3 * errors[1] > 9 * errors[2]
    assert errors[2] < 0.01


def test_the_engine_answers_as_the_twin_does_and_as_the_file_says(tmp_path: Path) -> None:
    rate = to_rate(branching(), frames(), 16)
    write(tmp_path / "net.nir", rate.graph)
    stored = read(tmp_path / "net.nir")
    assert stored == rate.graph
    engine = Engine(stored, resolve(stored), dtype=np.float64)
    found = np.array([shown_by_the_engine(rate, frame, engine) for frame in frames()["input"]])
    twin = Presented(rate.graph, 16, np.float64).answers(frames())["output"]
    np.testing.assert_allclose(found, twin, atol=1e-6)
    true = Dense(branching()).outputs(frames())
    assert relative_error({"output": found}, true) == pytest.approx(rate.error, rel=0.05)


def test_operations_are_those_of_the_engine() -> None:
    rate = to_rate(branching(), frames(), 16)
    engine = Engine(rate.graph, resolve(rate.graph), dtype=np.float64)
    for frame in frames()["input"]:
        shown_by_the_engine(rate, frame, engine)
    assert sum(rate.synops.values()) == pytest.approx(engine.counters.synops / 6, rel=0.01)


def test_a_constant_rate_is_rounded_to_the_nearest() -> None:
    """|spikes / ticks - activation| <= 1 / (2 ticks), which a potential that begins at 0 would miss by half."""
    one = chain((1,), n.Linear(np.ones((1, 1))), Activation(), n.Linear(np.ones((1, 1))))
    x = np.linspace(0, 1, 201, dtype=np.float32)[:, None]
    for ticks in (4, 16):
        rate = to_rate(one, {"input": x}, ticks)
        scale = rate.scales["1_activation"]
        found = Presented(rate.graph, ticks, np.float64).answers({"input": x})["output"]
        assert np.abs(found - x).max() <= scale / (2 * ticks) + 1e-6


def test_a_negative_rate_is_refused() -> None:
    network = chain((2,), n.Linear(np.eye(2)), Activation(slope=0.1), n.Linear(np.eye(2)))
    with pytest.raises(ConvertError, match="1_activation: a rate is never negative"):
        to_rate(network, {"input": np.ones((2, 2))}, 8)


def test_the_name_of_the_starting_input_is_taken_by_nobody_else() -> None:
    nodes = {"input": n.Input((2,)), "start": n.Linear(np.eye(2)), "relu": Activation(), "output": n.Output((2,))}
    with pytest.raises(ConvertError, match="there is a node 'start' already"):
        to_rate(Graph(nodes, pairwise(nodes)), {"input": np.ones((2, 2))}, 8)
    with pytest.raises(ConvertError, match="ticks is 0"):
        to_rate(branching(), frames(), 0)
