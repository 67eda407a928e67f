"""The vector instructions of sigma-delta kernels, each against a loop over single numbers; and the tables they read."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numba
import numpy as np
import pytest
from numpy.typing import NDArray

from nets.kernels import sigma_layout as L
from nets.kernels.sigma_add import add_chunk
from nets.kernels.sigma_reach import lowest, reach, stretches
from nets.kernels.sigma_simd import (
    ALIVE,
    CHANGED,
    CUT,
    HAD,
    HELD,
    differing,
    gather,
    requantise,
    requantise_faded,
)
from nets.sigma_delta.chunks import Strides, shape_of
from nets.sigma_delta.program import inverse

KINDS = [np.float32, np.float64]
ROOM = 64


def compiled(function: Any) -> Any:
    """What a kernel calls, made something that a test can call."""
    return numba.njit(function)


@compiled
def _add(real, z, weights, dyn, places, factors, group, ints, chunk):  # type: ignore[no-untyped-def]
    add_chunk(
        real,
        np.uint64(z),
        weights,
        dyn,
        np.uint64(places),
        np.uint64(factors),
        np.uint64(group),
        ints,
        np.uint64(chunk),
    )


@compiled
def _look(real, z, zl, di, q, index, change, first, many, eager, rule):  # type: ignore[no-untyped-def]
    z, q, index, change, first = np.uint64(z), np.uint64(q), np.uint64(index), np.uint64(change), np.uint64(first)
    if zl < 0:
        return requantise(real, z, di, q, index, change, first, np.uint64(many), eager, rule)
    return requantise_faded(real, z, np.uint64(zl), di, q, index, change, first, np.uint64(many), eager, rule)


@compiled
def _gather(di, q, index, change, first, many):  # type: ignore[no-untyped-def]
    return gather(di, np.uint64(q), np.uint64(index), np.uint64(change), np.uint64(first), np.uint64(many))


@compiled
def _differing(real, z, wide, shown, di, index, first, many):  # type: ignore[no-untyped-def]
    return differing(
        real, np.uint64(z), wide, np.uint64(shown), di, np.uint64(index), np.uint64(first), np.uint64(many)
    )


@compiled
def _lowest(word):  # type: ignore[no-untyped-def]
    return lowest(np.uint64(word))


@pytest.mark.parametrize("kind", KINDS)
def test_every_form_of_a_chunk_adds_as_one_change_at_a_time_does(kind: Any) -> None:
    rng = np.random.default_rng(1)
    for form, (width, rows, pieces) in enumerate(L.FORMS):
        run, group, z = width * pieces, int(rng.integers(1, 6)), 3
        real = rng.normal(size=z + rows * 400 + 10).astype(kind)
        weights = rng.normal(size=4000 + 400 * rows).astype(kind)
        dyn = rng.integers(0, 2000, group)
        heads = [(r * 300 + 7, r * 210 + 11) for r in range(rows)]
        ints = np.array([rows, form, 0, *(number for head in heads for number in head)], np.int32)
        factors = len(real) - 8
        real[factors : factors + group] = rng.integers(-3, 4, group)
        expected = real.copy()
        for k in range(group):
            for to, start in heads:
                at = dyn[k] + start
                expected[z + to : z + to + run] += real[factors + k] * weights[at : at + run]
        _add(real, z, weights, dyn, 0, factors, group, ints, 0)
        np.testing.assert_array_equal(real, expected, err_msg=f"{width}x{rows}x{pieces}")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize("faded", [False, True])
def test_requantising_lists_what_a_loop_over_neurons_lists(kind: Any, eager: bool, faded: bool) -> None:
    rng = np.random.default_rng(2)
    lanes = 64 // np.dtype(kind).itemsize
    for case in range(300):
        rule = tuple(kind(number) for number in (2.0 ** rng.integers(0, 5), rng.choice([0.0, 0.25, 1.0]), 0.5))
        size = 10.0 ** rng.uniform(-3, 7 if case % 3 == 0 else 1)
        real = (rng.normal(size=2 * ROOM) * size).astype(kind)
        real[rng.random(2 * ROOM) < 0.2] = 0.0
        quanta = np.rint(np.clip(real[:ROOM] * rule[0], -1e6, 1e6)).astype(np.int32)
        quanta += rng.integers(-1, 2, ROOM).astype(np.int32) * (rng.random(ROOM) < 0.3)
        many, at = int(rng.integers(1, 40)), int(rng.integers(0, 20))
        di = np.concatenate([quanta, np.full(4 * ROOM, 77, np.int32)])
        index, change, first = ROOM + 3, 3 * ROOM + 3, 1000
        x = real[:ROOM] + real[ROOM:] if faded else real[:ROOM]
        held, listed = di.copy(), []
        cut = 0
        for j in range(at, at + min(many, lanes)):
            v = rule[0] * (x[j] if x[j] > 0 else x[j] * rule[1])
            if abs(v - kind(held[j])) >= rule[2]:
                cut += int(abs(v) > L.MOST)
                new = int(np.rint(min(max(v, kind(-L.MOST)), kind(L.MOST))))
                if new != held[j]:
                    listed.append((first + j - at, new - int(held[j])))
                    held[j] = new
        before = di[:ROOM].copy()
        told = int(_look(real, at, ROOM + at if faded else -1, di, at, index, change, first, many, eager, rule))
        looked = slice(at, at + min(many, lanes))
        assert (told >> CHANGED) & 255 == len(listed)
        if told & 0xFFFFFFFF or eager:
            nonzero = np.count_nonzero(held[looked]) - np.count_nonzero(before[looked])
            assert ((told >> HELD) & 255) - ((told >> HAD) & 255) == nonzero
        assert (told >> CUT) & 255 == cut
        alive = bool((np.abs(real[ROOM:][looked]) * rule[0] > kind(L.GONE)).any()) if faded else False
        assert bool(told >> ALIVE) == alive
        np.testing.assert_array_equal(di[:ROOM], held[:ROOM])
        found = list(zip(di[index:].tolist(), di[change:].tolist(), strict=False))[: len(listed)]
        assert found == listed


def test_gathering_and_comparing_list_what_a_loop_lists() -> None:
    rng = np.random.default_rng(3)
    for _ in range(200):
        di = np.concatenate([rng.integers(-1, 2, ROOM).astype(np.int32), np.zeros(4 * ROOM, np.int32)])
        many, at = int(rng.integers(1, 30)), int(rng.integers(0, 20))
        holding = [(5 + j, int(di[at + j])) for j in range(min(many, 16)) if di[at + j]]
        assert _gather(di, at, ROOM, 3 * ROOM, 5, many) == len(holding)
        assert list(zip(di[ROOM:].tolist(), di[3 * ROOM :].tolist(), strict=False))[: len(holding)] == holding
        for kind in KINDS:
            real = rng.normal(size=ROOM).astype(kind)
            wide = np.where(rng.random(ROOM) < 0.5, real.astype(np.float32), 0.0).astype(np.float64)
            other = [5 + j for j in range(min(many, 8)) if np.float32(real[at + j]) != wide[at + j]]
            assert _differing(real, at, wide, at, di, ROOM, 5, many) == len(other)
            assert di[ROOM:].tolist()[: len(other)] == other


def test_marks_are_read_as_the_stretches_they_were_set_in() -> None:
    rng = np.random.default_rng(4)
    assert [int(_lowest(np.uint64(word))) for word in (0, 1, 8, 1 << 63)] == [64, 0, 3, 63]
    for sites in (1, 5, 63, 64, 65, 128, 300):
        for _ in range(50):
            at, words = 2, -(-sites // 64) + 1
            marks = np.zeros(at + words, np.uint64)
            touched: NDArray[np.bool_] = np.zeros(sites, np.bool_)
            for _ in range(int(rng.integers(0, 12))):
                first = int(rng.integers(0, sites))
                many = int(rng.integers(1, min(64, sites - first) + 1))
                reach(marks, np.uint64(at), np.uint64(first), np.uint64(many))
                touched[first : first + many] = True
            di = np.zeros(sites + 8, np.int32)
            count, total = stretches(di, marks, np.uint64(at), sites, np.uint64(3))
            assert total == touched.sum()
            assert not marks.any()
            again = np.zeros(sites, np.int64)
            pairs = di[3 : 3 + 2 * count].reshape(-1, 2).tolist()
            for first, many in pairs:
                again[first : first + many] += 1
            np.testing.assert_array_equal(again, touched.astype(np.int64))
            assert all(a + n < b for (a, n), (b, _) in pairwise(pairs))  # none could be joined


def test_a_shape_holds_every_number_of_its_rectangles_once() -> None:
    rng = np.random.default_rng(5)
    for _ in range(300):
        count = int(rng.integers(0, 4))
        run, rows = rng.integers(1, 500, count), rng.integers(1, 9, count)
        first, weight, stride = rng.integers(0, 900, count), rng.integers(0, 900, count), rng.integers(500, 700, count)
        site, many = rng.integers(0, 9, count), rng.integers(1, 150, count)
        shape = shape_of(np.stack([first, weight, rows, run, stride, site, many], axis=1), Strides(1000, 40))
        work, chunks, site_rows, rows_at = shape[: L.S_HEAD]
        assert work == (run * rows).sum()
        pairs = [
            (k, first[k] + r * 1000 + j, weight[k] + r * stride[k] + j)
            for k in range(count)
            for r in range(rows[k])
            for j in range(run[k])
        ]
        found = []
        at = L.S_HEAD
        for _ in range(chunks):
            width, high, pieces = L.FORMS[shape[at + L.K_FORM]]
            assert high == shape[at + L.K_ROWS]
            for r in range(high):
                z, w = shape[at + L.K_HEAD + r * L.K_SIZE : at + L.K_HEAD + (r + 1) * L.K_SIZE]
                found += [(shape[at + L.K_GAIN], z + j, w + j) for j in range(width * pieces)]
            at += L.K_HEAD + high * L.K_SIZE
        assert sorted(found) == sorted(pairs)
        assert at == rows_at
        marked = [(shape[k] + s) for k in range(rows_at, rows_at + 2 * site_rows, 2) for s in range(int(shape[k + 1]))]
        assert max((shape[k + 1] for k in range(rows_at, rows_at + 2 * site_rows, 2)), default=1) <= L.MOST_SITES
        sites = [site[k] + r * 40 + s for k in range(count) for r in range(rows[k]) for s in range(many[k])]
        assert sorted(marked) == sorted(sites)


@pytest.mark.parametrize("divisor", [1, 2, 3, 7, 48, 64, 999, 1 << 20])
def test_dividing_by_multiplying_is_exact(divisor: int) -> None:
    for below in (1, 10, 5000, 1 << 20, (1 << 31) - 1):
        multiplier, shift = inverse(divisor, below)
        edges = {0, below - 1, *(k * divisor + e for k in (1, 2, 5, below // divisor) for e in (-1, 0, 1))}
        for i in (number for number in edges if 0 <= number < below):
            assert i * multiplier < 1 << 63
            assert i * multiplier >> shift == i // divisor
