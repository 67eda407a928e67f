"""Frames survive any cut of the stream, and hostile payloads are refused before they are built."""

from __future__ import annotations

import struct
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import wire

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=8), inner, max_size=20),
    max_leaves=40,
)


@given(values)
def test_what_is_encoded_decodes_to_the_same(value: Any) -> None:
    assert wire.decode(wire.encode(value), max_depth=64) == value


@given(st.lists(st.binary(max_size=300), max_size=8), st.data())
def test_any_cut_of_the_stream_gives_the_same_payloads(payloads: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(wire.frame(payload) for payload in payloads)
    reader = wire.FrameReader()
    read: list[bytes] = []
    at = 0
    while at < len(stream):
        step = data.draw(st.integers(1, len(stream) - at))
        read += reader.feed(stream[at : at + step])
        at += step
    assert read == payloads
    assert reader.pending == 0


@given(st.binary(max_size=200))
@settings(max_examples=300)
def test_arbitrary_bytes_decode_or_are_refused(payload: bytes) -> None:
    try:
        wire.decode(payload)
    except wire.FrameError:
        return
    wire.check(payload)


@given(values)
def test_the_walk_agrees_with_msgpack_on_where_a_value_ends(value: Any) -> None:
    payload = wire.encode(value)
    with pytest.raises(wire.FrameError):
        wire.check(payload + b"\x00", max_depth=64)
    if len(payload) > 1:
        with pytest.raises(wire.FrameError):
            wire.check(payload[:-1], max_depth=64)


def test_every_format_of_msgpack_is_walked() -> None:
    value = [
        2**7,
        2**15,
        2**31,
        2**63,
        -1,
        -(2**7),
        -(2**15),
        -(2**31),
        -(2**63),
        1.5,
        "a" * 40,
        "b" * 300,
        "c" * 70000,
    ]
    value += [b"d" * 10, b"e" * 300, b"f" * 70000, [0] * 20, [0] * 70000, {str(n): n for n in range(20)}, True, None]
    value += [msgpack.ExtType(5, b"x" * n) for n in (1, 2, 4, 8, 16, 3, 300, 70000)]
    wire.check(msgpack.packb(value))
    wire.check(msgpack.packb([1.5], use_single_float=True))


def test_an_oversize_frame_is_refused_from_its_length_alone() -> None:
    with pytest.raises(wire.FrameError, match="8388609 bytes announced, expected at most 8388608"):
        wire.FrameReader().feed(struct.pack("<I", wire.MAX_FRAME + 1))
    with pytest.raises(wire.FrameError, match="expected at most"):
        wire.frame(bytes(wire.MAX_FRAME + 1))


def test_nesting_is_refused_before_decoding() -> None:
    deep = b"\x91" * 17 + b"\x00"
    with pytest.raises(wire.FrameError, match="deeper than 16"):
        wire.decode(deep)
    assert wire.decode(deep[1:]) == [[[[[[[[[[[[[[[[0]]]]]]]]]]]]]]]]


def test_a_claim_of_four_billion_items_is_refused() -> None:
    with pytest.raises(wire.FrameError, match="announces 4294967295 items"):
        wire.decode(b"\xdd\xff\xff\xff\xff")


def test_numpy_scalars_travel_as_plain_numbers_and_arrays_do_not() -> None:
    assert wire.decode(wire.encode({"n": np.int64(3), "x": np.float32(0.5), "on": np.bool_(True)})) == {
        "n": 3,
        "x": 0.5,
        "on": True,
    }
    with pytest.raises(TypeError, match="ndarray does not travel"):
        wire.encode(np.zeros(3))
