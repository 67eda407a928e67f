"""Notes which sites of a unit anything reached: one bit each, read and cleared as stretches in their order."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic

from nets.kernels.jit import op

BITS = 64
ALL = np.uint64(2**64 - 1)


def _lowest(word: Any) -> Any:
    """The same in Python, for runs without the compiler."""
    number = int(word)
    return np.uint64((number & -number).bit_length() - 1 if number else BITS)


def _emit_lowest(typing: Any, word: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), generate


lowest = _lowest if config.DISABLE_JIT else intrinsic(_emit_lowest)
"""lowest(word): how many zeros stand below its lowest one; 64 where there is none."""


@op
def reach(marks, at, first, many):  # type: ignore[no-untyped-def]
    """Mark `many` sites, 1 to 64, from `first` on; all numbers unsigned 64 bit."""
    word = at + (first >> np.uint64(6))
    bit = first & np.uint64(63)
    sites = ALL >> (np.uint64(64) - many)
    marks[word] |= sites << bit
    marks[word + np.uint64(1)] |= (sites >> np.uint64(1)) >> (np.uint64(63) - bit)


@op
def stretches(di, marks, at, sites, list_at):  # type: ignore[no-untyped-def]
    """List the marked sites as (first, how many), clear their marks; return how many stretches and sites there were."""
    count = np.uint64(0)
    total = np.int64(0)
    end = np.uint64(1) << np.uint64(40)
    for w in range((sites + 63) >> 6):
        word = marks[at + np.uint64(w)]
        if word == np.uint64(0):
            continue
        marks[at + np.uint64(w)] = np.uint64(0)
        while word != np.uint64(0):
            bit = lowest(word)
            many = lowest(~(word >> bit))
            first = np.uint64(w) * np.uint64(64) + bit
            if first == end:
                di[list_at + count * np.uint64(2) - np.uint64(1)] += np.int32(many)
            else:
                di[list_at + count * np.uint64(2)] = np.int32(first)
                di[list_at + count * np.uint64(2) + np.uint64(1)] = np.int32(many)
                count += np.uint64(1)
            end = first + many
            total += np.int64(many)
            bit += many
            word = word & (ALL << bit) if bit < np.uint64(64) else np.uint64(0)
    return np.int64(count), total


@op
def clear(marks, at, sites):  # type: ignore[no-untyped-def]
    """Forget all marks."""
    for w in range((sites + 63) >> 6):
        marks[at + np.uint64(w)] = np.uint64(0)
