"""Errors and rates of single units over a million steps each: never outside their bounds."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from nets import nodes as n
from nets.graph import Graph
from nets.sigma_delta.engine import SigmaDeltaEngine
from nets.sigma_delta.node import SigmaDelta, Surface

MS = 1_000_000
SIZE, STEPS = 1000, 1000
"""A million unit steps in every test."""
TINY = 1e-9


def engine_of(node: SigmaDelta) -> SigmaDeltaEngine:
    nodes = {"input": n.Input((SIZE,)), "q": node, "output": n.Output((SIZE,))}
    return SigmaDeltaEngine(Graph(nodes, [("input", "q"), ("q", "output")]), dtype=np.float64)


def walk(rng: np.random.Generator, x: NDArray[np.float32], k: int) -> NDArray[np.float32]:
    """Steps of every size, rest, jumps back to nothing, and values at the middle between two quanta."""
    size = 10.0 ** rng.uniform(-4, 1, SIZE)
    moved = x + rng.normal(size=SIZE) * size * (rng.random(SIZE) < 0.7)
    moved[rng.random(SIZE) < 0.01] = 0.0
    middle = rng.random(SIZE) < 0.05
    moved[middle] = np.rint(moved[middle] * 8) / 8 + 1 / 16
    return moved.astype(np.float32)


def put(engine: SigmaDeltaEngine, t: int, x: NDArray[np.float32]) -> None:
    engine.feed("input", np.full(SIZE, t, np.int64), np.arange(SIZE, dtype=np.int32), x)


@pytest.mark.parametrize("hysteresis", [0.0, 0.25, 1.5])
def test_what_is_held_never_strays_and_each_step_sends_what_it_moved(hysteresis: float) -> None:
    rng = np.random.default_rng(1)
    levels = rng.uniform(0.5, 64, SIZE)
    levels[:500] = 8.0
    engine = engine_of(SigmaDelta(levels=levels, slope=1.0, hysteresis=hysteresis))
    engine.watch(True)
    x = np.zeros(SIZE, np.float32)
    times, moved, total = np.zeros(SIZE), np.zeros(SIZE), np.zeros(SIZE)
    for k in range(STEPS):
        before, x = x, walk(rng, x, k)
        put(engine, k, x)
        engine.advance(k)
        error = np.abs(engine.variables()["q"]["y"] - x) * levels
        assert error.max() <= 0.5 + hysteresis + TINY
        _, _, index, quanta = engine.watched()
        step = np.zeros(SIZE)
        step[index] = quanta
        path = np.abs(x.astype(np.float64) - before) * levels
        assert (np.abs(step) <= path + 1 + hysteresis + TINY).all()
        assert (step * (x - before) >= 0).all()
        times += step != 0
        moved += path
        total += step
    # from one send to the next the value moves by the hysteresis at least
    assert (times * hysteresis <= moved + TINY).all()
    assert (
        np.abs(total - levels * x).max() <= 0.5 + hysteresis + TINY
    )  # herding: all that was sent is one rounding away
    assert engine.counters.watch_lost == 0
    assert times.sum() > STEPS


def test_what_leaks_never_strays_and_its_rate_is_that_of_its_value() -> None:
    rng = np.random.default_rng(2)
    levels, leak = 16.0, 40.0
    engine = engine_of(SigmaDelta(levels=levels, slope=1.0, leak_per_s=leak))
    engine.watch(True)
    x = np.zeros(SIZE, np.float32)
    a = np.exp(-leak * 1e-3)
    sent, owed = np.zeros(SIZE), np.zeros(SIZE)
    bound = 1 / levels  # of PD coding, 1 / (kp + kd); the copy's own is half of it
    for k in range(1, STEPS + 1):
        before, x = x, walk(rng, x, k) if k % 3 else x
        held = engine.variables()["q"]["y"]
        put(engine, k * MS, x)
        engine.advance(k * MS)
        error = np.abs(engine.variables()["q"]["y"] - x)
        assert error.max() <= bound / 2 + TINY
        _, _, index, quanta = engine.watched()
        np.add.at(sent, index, quanta)
        # kp x and kd dx of a step: levels (x - a x_before), but for the copy's error before and after
        owed += levels * (x - a * before.astype(np.float64))
        stale = np.abs(sent - owed)
        assert (stale <= 1 + (1 - a) * k / 2 + TINY).all()
        assert np.abs(held).max() < np.inf
    assert engine.counters.watch_lost == 0


def test_a_constant_value_is_sent_at_its_own_rate() -> None:
    levels, leak = 16.0, 40.0
    engine = engine_of(SigmaDelta(levels=levels, slope=1.0, leak_per_s=leak))
    x = np.linspace(-3, 3, SIZE).astype(np.float32)
    put(engine, 0, x)
    engine.advance(SECOND := 1000 * MS)
    engine.watch(True)
    sent = np.zeros(SIZE)
    for k in range(1, STEPS + 1):
        engine.advance(SECOND + k * MS)
        _, _, index, quanta = engine.watched()
        np.add.at(sent, index, quanta)
        assert np.abs(engine.variables()["q"]["y"] - x).max() <= 1 / (2 * levels) + TINY
    a = np.exp(-leak * 1e-3)
    rate = levels * (1 - a) * x * STEPS
    # the copy stands within half a quantum of x, and so does what it loses
    assert (np.abs(sent - rate) <= (1 - a) * STEPS / 2 + 1 + TINY).all()
    quiet = np.abs(x) * levels < 0.5
    assert (sent[quiet] == 0).all()
    assert sent[~quiet].all()


def test_a_surface_never_strays_from_the_exact_one() -> None:
    rng = np.random.default_rng(3)
    levels, leak = 8.0, 30.0
    engine = engine_of(Surface(levels=levels, slope=1.0, leak_per_s=leak))
    exact, last, events = np.zeros(SIZE), 0, 0
    for _ in range(STEPS):
        t = last + int(rng.integers(1, 3 * MS))
        index = np.sort(rng.integers(0, SIZE, 1000))
        value = rng.choice([-0.2, 0.2, 0.01], 1000).astype(np.float32)
        engine.feed("input", np.full(1000, t), index.astype(np.int32), value)
        engine.advance(t)
        exact *= np.exp(-leak * 1e-9 * (t - last))
        np.add.at(exact, index, value.astype(np.float64))
        last, events = t, events + 1000
        found = engine.variables()["q"]
        assert np.abs(found["z"] - exact).max() <= TINY
        assert np.abs(found["y"] - exact).max() <= 1 / (2 * levels) + TINY
    assert events == SIZE * STEPS
    assert engine.counters.spikes["q"] <= events
