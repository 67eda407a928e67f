"""Whatever a packet holds comes back; whatever bytes come in, the codec says PacketError or gives a valid packet."""

from __future__ import annotations

import contextlib
import tracemalloc

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.codec import decode_frame, decode_packet, encode_packet
from runtime.core.errors import PacketError
from runtime.core.packet import Packet, check_packet
from runtime.core.topic import COMMAND, DVS, SEGMENT, VECTOR3, Topic

DTYPES = [DVS, VECTOR3, COMMAND, SEGMENT, np.dtype("u1"), np.dtype(("<f4", (4, 5))), np.dtype("?"), np.dtype(">i8")]


@st.composite
def packets(draw: st.DrawFn) -> Packet:
    topic = Topic(draw(st.sampled_from(["a", "eye/events", "gyro/rate-2"])), draw(st.sampled_from(DTYPES)))
    t = np.array(sorted(draw(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20))), np.int64)
    raw = draw(st.binary(min_size=len(t) * topic.dtype.itemsize, max_size=len(t) * topic.dtype.itemsize))
    data = np.frombuffer(raw, topic.element).reshape(len(t), *topic.shape)
    until = draw(st.integers(int(t[-1]) if len(t) else -(2**63), 2**63 - 1))
    return Packet(topic, t, data, until, draw(st.integers(0, 2**63 - 1)), draw(st.integers(-1, 2**63 - 1)))


@given(packets())
@settings(max_examples=150, deadline=None)
def test_round_trip(packet: Packet) -> None:
    back = decode_packet(encode_packet(packet), packet.topic)
    assert back.t.tobytes() == packet.t.tobytes()
    assert back.data.tobytes() == packet.data.tobytes()
    assert back.data.dtype == packet.data.dtype
    assert (back.until, back.seq, back.lost) == (packet.until, packet.seq, packet.lost)


@given(packets(), st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4), st.data())
@settings(max_examples=400, deadline=None)
def test_changed_bytes_never_crash(packet: Packet, changes: list[tuple[int, int]], data: st.DataObject) -> None:
    frame = bytearray(encode_packet(packet, {"clock": "c", "index": 3}))
    for position, value in changes:
        frame[position % len(frame)] = value
    cut = data.draw(st.integers(0, len(frame)))
    for mutant in (bytes(frame), bytes(frame[:cut])):
        with contextlib.suppress(PacketError):
            check_packet(decode_frame(mutant).packet)


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_any_bytes_never_crash(data: bytes) -> None:
    with contextlib.suppress(PacketError):
        decode_frame(data)


def test_bombs_do_not_allocate_beyond_the_cap() -> None:
    bombs = [bytes([first]) + b"\xff" * 8 for first in range(256)]
    bombs += [b"\x81\xa1a" + bomb for bomb in bombs]
    bombs += [b"\xdd\x00\x00\xff\xff" * 10_000, b"\xdc\xff\xff" + b"\x9f" * 2**16, b"\x9f" * 2**20]
    tracemalloc.start()
    try:
        for bomb in bombs:
            with contextlib.suppress(PacketError):
                decode_frame(bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**20
