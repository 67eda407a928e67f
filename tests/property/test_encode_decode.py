"""Encoders and decoders against slow, obvious twins; neither a split into packets nor a snapshot changes anything."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nets.decode import Decision, Decoder, make_decoder
from nets.encode import Encoded, Encoder, make_encoder
from runtime.core.topic import DVS, VECTOR3, Topic

MS = 1_000_000
TICKS = 60
unhurried = settings(deadline=None)

samples = st.lists(
    st.tuples(*[st.one_of(st.floats(-4, 4, width=32), st.sampled_from([0.5, -1.0, math.nan, math.inf, 3e38]))] * 3),
    max_size=40,
)
addresses = st.lists(
    st.tuples(st.integers(0, 12), st.one_of(st.integers(0, 9), st.just(65535)), st.integers(0, 2)), max_size=60
)
frames = st.lists(st.lists(st.integers(0, 255), min_size=20, max_size=20), max_size=8)
cuts = st.lists(st.integers(0, 60), max_size=5)
trains = st.lists(st.tuples(st.integers(1, TICKS), st.integers(0, 3), st.floats(-3, 3, width=32)), max_size=60).map(
    sorted
)
decoders = st.sampled_from(
    [
        ("argmax", {"period_s": 0.007, "window_s": 0.021}),
        ("argmax", {"period_s": 0.006, "window_s": 0.004, "hold": False}),
        ("argmax", {"period_s": 0.005, "map": [0.5, 1.5, 2.5, 3.5]}),
        ("count", {"period_s": 0.004, "window_s": 0.006, "weights": [1, -1, 0.5, 0.1]}),
        ("rate", {"period_s": 0.004, "tau_s": 0.01, "weights": [1, -1, 0.5, 0.1], "offset": 0.3}),
        ("population", {"period_s": 0.004, "tau_s": 0.01, "preferred": [-1, 0, 1, 2]}),
        ("latest", {"period_s": 0.003, "weights": [1, -1, 0.5, 0.1]}),
    ]
)


def cut(n: int, places: list[int]) -> list[slice]:
    edges = [0, *sorted(min(p, n) for p in places), n]
    return [slice(a, b) for a, b in pairwise(edges)]


def encode_cut(make: Any, t: NDArray[np.int64], data: NDArray[Any], places: list[int]) -> tuple[list[Any], bytes]:
    """Encode packet by packet, each by a fresh encoder restored from the last one's snapshot."""
    encoder: Encoder = make()
    sent: list[Any] = []
    for part in cut(len(t), places):
        heir: Encoder = make()
        heir.restore(encoder.snapshot())
        encoder = heir
        sent += as_list(encoder.encode(t[part], data[part]))
    return sent, encoder.hash()


def as_list(encoded: Encoded) -> list[tuple[int, int, float]]:
    assert encoded.t.dtype == np.int64
    assert encoded.index.dtype == np.int32
    value = np.ones(len(encoded.t)) if encoded.value is None else encoded.value
    return list(zip(encoded.t.tolist(), encoded.index.tolist(), value.tolist(), strict=True))


@unhurried
@given(samples, cuts, st.sampled_from(["zero", "first"]))
def test_level_crossing_is_that_of_going_sample_by_sample(
    rows: list[tuple[float, ...]], places: list[int], start: str
) -> None:
    topic = Topic("imu/gyro", VECTOR3)
    data = np.array(rows, np.float32).reshape(-1, 3)
    t = np.arange(len(data), dtype=np.int64)
    step = 0.25

    wanted = []
    level, origin = [0] * 3, [0.0 if start == "zero" else None] * 3
    for k, row in enumerate(data.astype(np.float64)):
        for c, x in enumerate(row):
            if not abs(x / step) <= 2**22:
                continue
            if origin[c] is None:
                origin[c] = x / step
            u = Fraction(x / step - (origin[c] or 0.0))  # exact: a level and a tiny float would round to the next level
            sent = 0
            while u - level[c] >= 1:
                level[c] += 1
                sent += 1
            while u - level[c] <= -1:
                level[c] -= 1
                sent -= 1
            if sent:
                wanted.append((k, 2 * c + (sent < 0), float(abs(sent))))

    def make() -> Encoder:
        return make_encoder("level", topic, (6,), {"step": step, "start": start})

    whole = make()
    assert as_list(whole.encode(t, data)) == wanted
    assert encode_cut(make, t, data, places) == (wanted, whole.hash())


@unhurried
@given(
    addresses,
    cuts,
    st.sampled_from(["cyx", "yxc"]),
    st.sampled_from(["split", "on", "off", "merge", "signed"]),
    st.booleans(),
    st.integers(1, 3),
)
def test_address_is_that_of_going_event_by_event(
    xyp: list[tuple[int, int, int]], places: list[int], layout: str, polarity: str, on_first: bool, downscale: int
) -> None:
    topic = Topic("eye/events", DVS, extent=(9, 12))
    top, left, h, w = 1, 2, 7, 9
    rows, columns = math.ceil(h / downscale), math.ceil(w / downscale)
    channels = 2 if polarity == "split" else 1
    shape = (channels, rows, columns) if layout == "cyx" else (rows, columns, channels)
    data = np.array(xyp, DVS)
    t = np.arange(len(data), dtype=np.int64) // 2

    wanted = []
    for k, (x, y, on) in enumerate(xyp):
        if not (top <= y < top + h and left <= x < left + w) or (polarity == "on" and not on):
            continue
        if polarity == "off" and on:
            continue
        channel = 0 if polarity != "split" else int(bool(on) != on_first)
        row, column = (y - top) // downscale, (x - left) // downscale
        place = (channel, row, column) if layout == "cyx" else (row, column, channel)
        wanted.append(
            (k // 2, int(np.ravel_multi_index(place, shape)), -1.0 if polarity == "signed" and not on else 1.0)
        )

    def make() -> Encoder:
        options = {"layout": layout, "polarity": polarity, "on_first": on_first, "downscale": downscale}
        return make_encoder("address", topic, shape, {**options, "crop": [top, left, h, w]})

    whole = make()
    assert as_list(whole.encode(t, data)) == wanted
    dropped = sum(whole.counters.values())
    assert dropped + len(wanted) == len(xyp)
    assert encode_cut(make, t, data, places) == (wanted, whole.hash())


@unhurried
@given(frames, cuts, st.sampled_from(["log", "linear"]))
def test_frames_do_not_depend_on_the_packets(pixels: list[list[int]], places: list[int], intensity: str) -> None:
    topic = Topic("camera/frames", np.dtype(("u1", (4, 5))), extent=(4, 5))
    data = np.array(pixels, np.uint8).reshape(-1, 4, 5)
    t = np.arange(len(data), dtype=np.int64)

    def make() -> Encoder:
        return make_encoder("frame", topic, (2, 2, 3), {"grid": [2, 3], "step": 0.1, "intensity": intensity})

    whole = make()
    wanted = as_list(whole.encode(t, data))
    assert encode_cut(make, t, data, places) == (wanted, whole.hash())


def as_facts(decisions: list[Decision]) -> list[Any]:
    return [(d.t, d.value, d.label, d.scores.tolist()) for d in decisions]


@unhurried
@given(decoders, trains, st.lists(st.integers(0, TICKS * MS), max_size=6).map(sorted), st.booleans())
def test_decisions_do_not_depend_on_the_calls(
    decoder: tuple[str, dict[str, Any]], train: list[tuple[int, int, float]], stops: list[int], graded: bool
) -> None:
    t = np.array([s[0] for s in train], np.int64) * MS
    index = np.array([s[1] for s in train], np.int32)
    value = np.array([s[2] for s in train], np.float32) if graded else None
    end = TICKS * MS

    def make() -> Decoder:
        return make_decoder(decoder[0], 4, decoder[1])

    whole = make()
    whole.start(0)
    wanted = as_facts(whole.advance(t, index, value, end))

    current = make()
    current.start(0)
    got: list[Any] = []
    done = 0
    for until in [*stops, end]:
        stop = int(np.searchsorted(t, until, side="right"))
        heir = make()
        heir.restore(current.snapshot())
        current = heir
        got += as_facts(
            current.advance(t[done:stop], index[done:stop], None if value is None else value[done:stop], until)
        )
        done = stop
    assert got == wanted
    assert current.hash() == whole.hash()


@unhurried
@given(trains, st.integers(1, 12), st.one_of(st.none(), st.integers(1, 30)))
def test_argmax_and_count_are_those_of_counting_each_window_anew(
    train: list[tuple[int, int, float]], period: int, window: int | None
) -> None:
    t = np.array([s[0] for s in train], np.int64) * MS
    index = np.array([s[1] for s in train], np.int32)
    options = {"period_s": period * 1e-3, "window_s": None if window is None else window * 1e-3}
    counter = make_decoder("count", 4, options)
    argmax = make_decoder("argmax", 4, options)
    counter.start(0)
    argmax.start(0)
    counted = counter.advance(t, index, None, TICKS * MS)
    decided = argmax.advance(t, index, None, TICKS * MS)

    held = None
    grid = range(period, TICKS + 1, period)
    for g, count, decision in zip(grid, counted, decided, strict=True):
        scores = [0.0] * 4
        for tick, unit, _ in train:
            if tick <= g and (window is None or tick > g - window):
                scores[unit] += 1
        if any(scores):
            held = max(range(4), key=lambda unit: (scores[unit], -unit))
        assert count.t == decision.t == g * MS
        assert count.scores.tolist() == decision.scores.tolist() == scores
        assert count.value == sum(scores)
        assert decision.label == held


@unhurried
@given(trains)
def test_rates_are_the_sum_of_every_spikes_remains(train: list[tuple[int, int, float]]) -> None:
    t = np.array([s[0] for s in train], np.int64) * MS
    index = np.array([s[1] for s in train], np.int32)
    value = np.array([s[2] for s in train], np.float32)
    decoder = make_decoder("rate", 4, {"period_s": 0.005, "tau_s": 0.02})
    decoder.start(0)
    for decision in decoder.advance(t, index, value, TICKS * MS):
        for unit in range(4):
            remains = sum(
                s / 0.02 * math.exp((tick * MS - decision.t) / 2e7)
                for tick, i, s in train
                if i == unit and tick * MS <= decision.t
            )
            assert math.isclose(decision.scores[unit], remains, rel_tol=1e-9, abs_tol=1e-9)
