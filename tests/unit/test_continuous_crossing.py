"""When a membrane reaches its threshold: each closed form against looking, and the bounds against the forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nets.kernels.continuous_crossing import (
    NEVER,
    ahead,
    lambert,
    peak_time,
    response,
    with_current,
    with_current_earliest,
    without_current,
)

RATIOS = [0.3, 0.999999, 1.0, 1.0 + 1e-12, 1.00001, 1.5, 2.0, 7.0]
"""tau_mem / tau_syn."""


def looked_up(u: float, j: float, h: float, a: float, b: float) -> float:
    """The first crossing on a fine grid, then by halving."""
    grid = np.concatenate([np.linspace(0, 12, 200_001), np.linspace(12, 400, 40_001)]) / min(a, b)
    d = abs(b - a) * grid
    shape = np.where(d > 0, -np.expm1(-d) / np.where(d > 0, d, 1), 1.0)
    above = np.exp(-a * grid) * u + j * np.exp(-min(a, b) * grid) * a * grid * shape >= h
    if not above.any():
        return NEVER
    k = int(np.argmax(above))
    if k == 0:
        return 0.0
    low, high = float(grid[k - 1]), float(grid[k])
    for _ in range(100):
        middle = 0.5 * (low + high)
        if ahead(middle, u, j, a, b) >= h:
            high = middle
        else:
            low = middle
    return high


@pytest.mark.parametrize("ratio", RATIOS)
def test_the_crossing_is_the_first_one(ratio: float) -> None:
    rng = np.random.default_rng(int(ratio * 1000))
    a = 1 / 0.02
    crossed = 0
    for _ in range(120):
        h = rng.choice([-1.0, 1.0, 1.0, 1.0]) * rng.uniform(0.01, 1.0)
        u = h - rng.exponential(1.0) - 1e-6
        j = rng.normal() * 4
        expected, found = looked_up(u, j, h, a, a * ratio), with_current(u, j, h, a, a * ratio)
        if expected == NEVER or found == NEVER:
            assert expected == found, (u, j, h)
            continue
        crossed += 1
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-14), (u, j, h)
        assert with_current_earliest(u, j, h, a, peak(a, a * ratio)) <= found * (1 + 1e-12)
    assert crossed > 20


def peak(a: float, b: float) -> float:
    top = peak_time(0.0, 1.0, a, b)
    return float(response(top, a, b)) * (1 + 1e-12)


@pytest.mark.parametrize("ratio", RATIOS)
def test_the_quick_reject_never_rejects_a_neuron_that_fires(ratio: float) -> None:
    rng = np.random.default_rng(7)
    a = 1 / 0.01
    rejected = 0
    for _ in range(2000):
        u, j, h = rng.uniform(-1, 0.5), rng.uniform(-3, 3), rng.uniform(0.5, 1.0)
        if with_current_earliest(u, j, h, a, peak(a, a * ratio)) == NEVER:
            rejected += 1
            assert with_current(u, j, h, a, a * ratio) == NEVER
    assert rejected > 500


@pytest.mark.parametrize("ratio", RATIOS)
def test_a_peak_just_above_threshold_is_seen_and_one_just_below_is_not(ratio: float) -> None:
    a, j, u = 1 / 0.02, 1.3, -0.2
    b = a * ratio
    top = ahead(peak_time(u, j, a, b), u, j, a, b)
    assert with_current(u, j, top * (1 - 1e-9), a, b) == pytest.approx(peak_time(u, j, a, b), rel=1e-3)
    assert with_current(u, j, top * (1 + 1e-9), a, b) == NEVER


def test_close_time_constants_meet_the_equal_ones() -> None:
    a, u, j, h = 1 / 0.02, -0.1, 4.0, 0.8
    equal = with_current(u, j, h, a, a)
    for nearness in (1e-12, 1e-10, 1e-8, 1e-6):
        assert with_current(u, j, h, a, a * (1 + nearness)) == pytest.approx(equal, rel=10 * nearness, abs=1e-15)


@pytest.mark.parametrize("x", [-1 / math.e, -0.36787, -0.3, -0.2, -1e-3, -1e-12])
def test_lambert_inverts_its_definition(x: float) -> None:
    w = lambert(x)
    assert w >= -1
    assert w * math.exp(w) == pytest.approx(x, rel=1e-14, abs=1e-300)


def test_constant_drive_alone() -> None:
    assert without_current(0.0, 2.0, 1.0, 1 / 0.02) == pytest.approx(0.02 * math.log(2), rel=1e-15)
    assert without_current(0.0, 1.0, 1.0, 1 / 0.02) == NEVER
    assert without_current(0.25, 500.0, 1.0, 0.0) == pytest.approx(0.0015, rel=1e-15)
    assert without_current(0.25, -500.0, 1.0, 0.0) == NEVER
