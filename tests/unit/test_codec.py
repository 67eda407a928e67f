"""Frames keep what a packet says and refuse what is none."""

from __future__ import annotations

from typing import Any

import msgpack
import numpy as np
import pytest

from runtime.codec import MAX_DEPTH, check_bounds, decode_frame, decode_map, decode_packet, encode_map, encode_packet
from runtime.core.errors import PacketError
from runtime.core.packet import Packet, no_events
from runtime.core.topic import DVS, VECTOR3, Topic

EYE = Topic("eye/events", DVS, extent=(34, 34))
GYRO = Topic("gyro/rate", VECTOR3, "rad/s", 1000.0)


def dvs_packet(n: int = 3) -> Packet:
    data = np.zeros(n, DVS)
    data["x"] = np.arange(n)
    data["on"] = np.arange(n) % 2
    return Packet(EYE, np.arange(n) * 1000 + 5, data, n * 1000 + 5, seq=17, lost=2)


def fields_of(packet: Packet) -> dict[str, Any]:
    fields: dict[str, Any] = msgpack.unpackb(encode_packet(packet))
    return fields


def test_a_packet_comes_back_as_it_was() -> None:
    packet = dvs_packet()
    back = decode_packet(encode_packet(packet), EYE)
    assert back.topic is EYE
    assert back.t.tolist() == packet.t.tolist()
    assert back.data.tolist() == packet.data.tolist()
    assert (back.until, back.seq, back.lost) == (3005, 17, 2)


def test_decoded_arrays_are_read_only_and_aligned() -> None:
    back = decode_packet(encode_packet(dvs_packet()), EYE)
    assert not back.t.flags.writeable
    assert not back.data.flags.writeable
    assert back.t.flags.aligned


def test_a_frame_without_a_declared_topic_carries_its_own_dtype() -> None:
    packet = Packet(GYRO, np.array([1, 2]), np.ones((2, 3), np.float32), 2)
    back = decode_packet(encode_packet(packet))
    assert back.topic.dtype == VECTOR3
    assert back.data.shape == (2, 3)


def test_a_packet_of_no_events_still_moves_time() -> None:
    back = decode_packet(encode_packet(no_events(GYRO, 77)), GYRO)
    assert len(back) == 0
    assert back.until == 77
    assert back.data.shape == (0, 3)


def test_extras_travel_beside_the_packet() -> None:
    frame = decode_frame(encode_packet(dvs_packet(), {"clock": "c", "arrived": 9, "index": 4}), EYE)
    assert frame.extras == {"clock": "c", "arrived": 9, "index": 4}


def test_times_that_span_more_than_four_seconds_keep_their_nanoseconds() -> None:
    t = np.array([-(2**62), 0, 2**62])
    packet = Packet(GYRO, t, np.zeros((3, 3), np.float32), 2**62)
    assert decode_packet(encode_packet(packet), GYRO).t.tolist() == t.tolist()


def test_big_endian_data_travels_little_endian() -> None:
    topic = Topic("a", np.dtype(">i4"))
    packet = Packet(topic, np.array([1]), np.array([258], ">i4"), 1)
    assert fields_of(packet)["d"] == b"\x02\x01\x00\x00"
    back = decode_packet(encode_packet(packet), topic)
    assert back.data.dtype == topic.element
    assert back.data.tolist() == [258]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"v": 2}, "version 2, expected 1"),
        ({"topic": 3}, "topic is 3"),
        ({"topic": "Bad Name"}, "Bad Name"),
        ({"n": 4}, "for 4 events"),
        ({"n": -1}, "for -1 events"),
        ({"n": True}, "n is True"),
        ({"d": b""}, "0 of data for 3 events, expected 12 and 15"),
        ({"t": "text"}, "t is str, expected bin"),
        ({"until": 4}, "past until=4"),
        ({"until": 2**64 - 1}, "expected an int64"),
        ({"seq": -1}, "seq=-1"),
        ({"lost": -2}, "lost=-2"),
        ({"t0": 2**63 - 1}, "t0 is"),
        ({"x": [1]}, "extras are list"),
        ({"dt": {"base": "|O"}}, "dtype"),
        ({"dt": {"base": "<f4", "shape": [0]}}, "positive whole numbers"),
        ({"dt": {"base": "<f4", "shape": [2**31, 2**31]}}, "too large"),
        ({"dt": {"base": [["x", "<u2"], ["x", "<u2"]]}}, "dtype"),
        ({"dt": 5}, "dtype 5"),
        ({"dt": None}, "dtype None"),
    ],
)
def test_a_frame_that_contradicts_itself_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(PacketError, match=said):
        decode_packet(msgpack.packb(fields_of(dvs_packet()) | change))


def test_a_frame_of_another_topic_is_refused() -> None:
    with pytest.raises(PacketError, match=r"eye/events.*expected gyro/rate"):
        decode_packet(encode_packet(dvs_packet()), GYRO)


def test_times_that_run_backwards_are_refused() -> None:
    frame = fields_of(dvs_packet()) | {"t": np.array([3, 2, 1], "<u4").tobytes()}
    with pytest.raises(PacketError, match="times run backwards"):
        decode_packet(msgpack.packb(frame))


def test_bytes_after_the_frame_are_refused() -> None:
    with pytest.raises(PacketError, match="expected"):
        decode_packet(encode_packet(dvs_packet()) + b"\x00")


def test_a_frame_above_the_cap_is_neither_made_nor_read() -> None:
    with pytest.raises(PacketError, match="expected at most 64"):
        encode_packet(dvs_packet(100), max_bytes=64)
    with pytest.raises(PacketError, match="expected at most 64"):
        decode_packet(encode_packet(dvs_packet(100)), max_bytes=64)


def test_deep_nesting_is_refused_before_decoding() -> None:
    with pytest.raises(PacketError, match="nested deeper"):
        decode_map(b"\x91" * 1_000_000 + b"\xc0")
    check_bounds(b"\x91" * MAX_DEPTH + b"\xc0")


def test_a_header_that_claims_four_billion_items_is_refused() -> None:
    for bomb in (b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff"):
        with pytest.raises(PacketError):
            decode_map(bomb)


def test_many_small_items_are_refused_before_decoding() -> None:
    with pytest.raises(PacketError, match="more than"):
        decode_map(b"\xdd\x00\x10\x00\x00" + b"\x90" * 2**20)


def test_extension_types_are_refused() -> None:
    with pytest.raises(PacketError, match="not a MessagePack type of ours"):
        decode_map(msgpack.packb({"a": msgpack.Timestamp(1)}))


def test_times_near_the_end_of_int64_come_back() -> None:
    packet = Packet(GYRO, np.array([2**63 - 1]), np.zeros((1, 3), np.float32), 2**63 - 1)
    assert decode_packet(encode_packet(packet), GYRO).t.tolist() == [2**63 - 1]


@pytest.mark.parametrize(
    "value",
    [
        *(0, 127, 128, 2**16, 2**32, -1, -33, -(2**15), -(2**31), -(2**63), 2**64 - 1, 1.5, None, True, False),
        *("", "a" * 31, "a" * 32, "a" * 256, "a" * 70_000, b"", b"a" * 256, b"a" * 70_000),
        *([], list(range(15)), list(range(16)), {}, {str(i): i for i in range(20)}),
    ],
)
def test_every_plain_value_passes_the_bounds_and_comes_back(value: Any) -> None:
    assert decode_map(encode_map({"value": value})) == {"value": value}


def test_a_packet_that_does_not_fit_its_topic_is_not_encoded() -> None:
    with pytest.raises(PacketError, match="gyro/rate: data is float64"):
        encode_packet(Packet(GYRO, np.array([1]), np.ones((1, 3)), 1))
    with pytest.raises(PacketError, match="gyro/rate: times are float64"):
        encode_packet(Packet(GYRO, np.array([1.0]), np.ones((1, 3), np.float32), 1))


def test_a_padded_dtype_does_not_travel() -> None:
    topic = Topic("padded", np.dtype([("a", "u1"), ("b", "<f8")], align=True))
    with pytest.raises(PacketError, match="padding"):
        encode_packet(no_events(topic, 1))
