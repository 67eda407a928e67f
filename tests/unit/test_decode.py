"""Decoders: what is decided when, and from which spikes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from nets.decode import ArgmaxDecoder, CountDecoder, LatestDecoder, PopulationDecoder, RateDecoder, make_decoder

MS = 1_000_000


def spikes(*t_index: tuple[int, int]) -> tuple[Any, Any, None]:
    """Times in ms."""
    t = np.array([t * MS for t, _ in t_index], np.int64)
    return t, np.array([i for _, i in t_index], np.int32), None


def test_one_decision_at_each_grid_time() -> None:
    decoder = CountDecoder(2, period_s=0.02)
    decoder.start(5 * MS)
    decisions = decoder.advance(*spikes(), 64 * MS)
    assert [d.t for d in decisions] == [25 * MS, 45 * MS]
    assert [d.t for d in decoder.advance(*spikes(), 65 * MS)] == [65 * MS]
    assert decoder.advance(*spikes(), 65 * MS) == []


def test_window_is_open_at_its_start_and_closed_at_its_end() -> None:
    decoder = CountDecoder(2, period_s=0.02, window_s=0.03)
    decoder.start(0)
    decisions = decoder.advance(*spikes((10, 0), (11, 0), (20, 1), (40, 1), (41, 0)), 60 * MS)
    assert [d.scores.tolist() for d in decisions] == [[2, 1], [1, 2], [1, 1]]
    assert [d.t // MS for d in decisions] == [20, 40, 60]


def test_window_shorter_than_the_period_skips_what_lies_between() -> None:
    decoder = CountDecoder(1, period_s=0.02, window_s=0.005)
    decoder.start(0)
    decisions = decoder.advance(*spikes((15, 0), (16, 0), (20, 0), (21, 0)), 40 * MS)
    assert [d.value for d in decisions] == [2.0, 0.0]


def test_without_a_window_everything_since_the_start_counts() -> None:
    decoder = ArgmaxDecoder(3, period_s=0.01)
    decoder.start(0)
    labels = [d.label for d in decoder.advance(*spikes((1, 2), (15, 1), (25, 1), (95, 0)), 100 * MS)]
    assert labels == [2, 1, 1, 1, 1, 1, 1, 1, 1, 1]


def test_no_decision_before_any_spike_and_ties_go_to_the_lower_index() -> None:
    decoder = ArgmaxDecoder(3, period_s=0.01, window_s=0.01, map=[0.0, 0.6, 1.2])
    decoder.start(0)
    before, tie, held = decoder.advance(*spikes((12, 2), (13, 1)), 30 * MS)
    assert (before.label, before.value) == (None, None)
    assert (tie.label, tie.value) == (1, 0.6)
    assert (held.label, held.value, held.scores.tolist()) == (1, 0.6, [0, 0, 0])


def test_without_hold_an_empty_window_decides_nothing() -> None:
    decoder = ArgmaxDecoder(2, period_s=0.01, window_s=0.01, hold=False)
    decoder.start(0)
    assert [d.label for d in decoder.advance(*spikes((2, 1)), 20 * MS)] == [1, None]


def test_graded_spikes_count_their_value() -> None:
    decoder = ArgmaxDecoder(2, period_s=0.01)
    decoder.start(0)
    t, index, _ = spikes((1, 0), (2, 0), (3, 1))
    (decision,) = decoder.advance(t, index, np.array([1, 1, 5], np.float32), 10 * MS)
    assert (decision.label, decision.value, decision.scores.tolist()) == (1, 1.0, [2, 5])


def test_count_is_weighted_and_offset() -> None:
    decoder = CountDecoder(2, period_s=0.01, weights=[-0.5, 0.5], offset=2.0)
    decoder.start(0)
    (decision,) = decoder.advance(*spikes((1, 1), (1, 1), (2, 1), (3, 0)), 10 * MS)
    assert decision.value == 3.0


def test_rate_of_a_steady_train_is_its_rate() -> None:
    decoder = RateDecoder(2, tau_s=0.2, period_s=0.001, weights=[0.01, -0.01], offset=1.0)
    decoder.start(0)
    train = [(t, 1) for t in range(5, 5000, 5)]
    decisions = decoder.advance(*spikes(*train), 5000 * MS)
    settled = [d.scores[1] for d in decisions[-1000:]]
    assert np.mean(settled) == pytest.approx(200.0, rel=0.02)
    assert decisions[-1].value == pytest.approx(1.0 - 2.0, abs=0.05)


def test_rate_decays_in_closed_form() -> None:
    decoder = RateDecoder(1, tau_s=0.05, period_s=0.01)
    decoder.start(0)
    values = [d.value for d in decoder.advance(*spikes((10, 0)), 40 * MS)]
    assert values == pytest.approx([20.0 * math.exp(-0.2 * k) for k in range(4)], rel=1e-12)


def test_population_vector_lies_between_the_preferred_values() -> None:
    decoder = PopulationDecoder(3, tau_s=0.1, period_s=0.01, preferred=[-1.0, 0.0, 1.0], hold=False)
    decoder.start(0)
    silent, active, *rest = decoder.advance(*spikes((12, 1), (12, 2)), 3000 * MS)
    assert (silent.value, silent.label) == (None, None)
    assert (active.value, active.label) == (0.5, 1)
    assert (rest[-1].value, rest[-1].label) == (None, None)


def test_reset_forgets_and_moves_the_grid() -> None:
    decoder = ArgmaxDecoder(2, period_s=0.01, window_s=1.0)
    decoder.start(0)
    decoder.advance(*spikes((1, 1)), 10 * MS)
    decoder.reset(13 * MS)
    (decision,) = decoder.advance(*spikes(), 23 * MS)
    assert (decision.t, decision.label) == (23 * MS, None)


@pytest.mark.parametrize("kind", ["argmax", "count", "rate"])
def test_time_is_refused_that_runs_backwards_or_away(kind: str) -> None:
    options = {"period_s": 0.01, "tau_s": 0.1} if kind == "rate" else {"period_s": 0.01}
    decoder = make_decoder(kind, 2, options)
    with pytest.raises(ValueError, match="not started"):
        decoder.advance(*spikes(), MS)
    decoder.start(0)
    decoder.advance(*spikes(), 15 * MS)
    with pytest.raises(ValueError, match="runs backwards: until=14000000, was at 15000000"):
        decoder.advance(*spikes(), 14 * MS)
    with pytest.raises(ValueError, match="expected after 15000000, up to 20000000"):
        decoder.advance(*spikes((15, 0)), 20 * MS)
    with pytest.raises(ValueError, match="expected after 15000000, up to 20000000"):
        decoder.advance(*spikes((21, 0)), 20 * MS)
    with pytest.raises(ValueError, match="1000000 steps"):
        decoder.advance(*spikes(), 10**18)
    assert [d.t for d in decoder.advance(*spikes((16, 0)), 20 * MS)] == [20 * MS]


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("argmx", {}, "unknown decoder 'argmx': did you mean 'argmax'?"),
        ("argmax", {}, "decoder 'argmax': option 'period_s' is missing"),
        ("argmax", {"period_s": 0.1, "windows_s": 1}, "unknown option 'windows_s': did you mean 'window_s'?"),
        ("argmax", {"period_s": 0.1, "map": [1.0]}, r"map is \[1.0\], expected 3 numbers: one a unit"),
        ("argmax", {"period_s": 0.1, "map": 4.0}, "map is 4.0, expected 3 numbers"),
        ("argmax", {"period_s": 0.0}, "period_s is 0.0, expected above 0"),
        ("argmax", {"period_s": 0.1, "window_s": 0.1234567}, "common divisor is 100 ns"),
        ("argmax", {"period_s": 0.1, "hold": "yes"}, "hold is 'yes', expected true or false"),
        ("rate", {"period_s": 0.1, "tau_s": -1}, "tau_s is -1, expected above 0"),
        ("rate", {"period_s": 0.1, "tau_s": 1, "weights": [1, 2]}, "weights has 2 numbers, expected 3"),
        ("population", {"period_s": 0.1, "tau_s": 1, "preferred": 2.0}, "preferred is 2.0, expected 3 numbers"),
    ],
)
def test_factory_names_what_is_wrong(kind: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        make_decoder(kind, 3, options)


def test_map_goes_only_with_labels() -> None:
    assert make_decoder("argmax", 2, {"period_s": 0.1}, map=[0, 1.5])
    with pytest.raises(ValueError, match="expected only with decoder 'argmax'"):
        make_decoder("count", 2, {"period_s": 0.1}, map=[0, 1.5])


def test_snapshot_goes_back_only_into_the_same_settings() -> None:
    decoder = ArgmaxDecoder(2, period_s=0.01)
    decoder.start(0)
    decoder.advance(*spikes((1, 1)), 5 * MS)
    snapshot, before = decoder.snapshot(), decoder.hash()
    with pytest.raises(ValueError, match="expected argmax 2 20000000"):
        ArgmaxDecoder(2, period_s=0.02).restore(snapshot)
    decoder.advance(*spikes((6, 0), (7, 0)), 20 * MS)
    assert decoder.hash() != before
    decoder.restore(snapshot)
    assert decoder.hash() == before
    assert [d.label for d in decoder.advance(*spikes(), 10 * MS)] == [1]


def test_latest_is_the_weighted_sum_of_the_newest_values_and_nothing_before_the_first() -> None:
    decoder = LatestDecoder(2, period_s=0.001, weights=[2.0, -1.0], offset=0.5)
    decoder.start(0)
    none = np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32)
    assert [d.value for d in decoder.advance(*none, 2_000_000)] == [None, None]
    t = np.array([2_500_000, 2_600_000, 3_500_000], np.int64)
    index, value = np.array([0, 0, 1], np.int32), np.array([7.0, 3.0, 1.0], np.float32)
    found = decoder.advance(t, index, value, 4_000_000)
    assert [(d.t, d.value) for d in found] == [(3_000_000, 6.5), (4_000_000, 5.5)]
    assert found[-1].scores.tolist() == [3.0, 1.0]
    again = LatestDecoder(2, period_s=0.001, weights=[2.0, -1.0], offset=0.5)
    again.restore(decoder.snapshot())
    assert again.hash() == decoder.hash()
    assert again.advance(*none, 5_000_000)[0].value == 5.5
    decoder.reset(5_000_000)
    assert decoder.advance(*none, 6_000_000)[0].value is None
