"""Packets as MessagePack maps: the one form in which they leave the process, on a wire or to a disk.

A frame is a map:

    v      1, the version of this layout
    topic  name of the topic
    seq, lost, until   as in the packet
    n      how many events
    dt     dtype of one event, as `runtime.core.topic.describe_dtype` writes it; little-endian
    t      bin: n times, ns, little-endian: int64, or, with `t0`, uint32 counted from there
    t0     time of the first event; only where all others are less than 2**32 ns later
    d      bin: n events
    x      optional map of extras: `clock` (id of the sender's clock), `arrived` (ns), `index` (order of consumption)

Times relative to the first take half the room on a disk: zstd makes 2.8 bytes of a DVS event instead of 5.4.

Bytes from outside are bounded before they are decoded: first their number, then, by walking over the type bytes
alone, how deeply they nest and how many items they hold. What MessagePack then allocates is bounded by those two.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

from runtime.core.errors import PacketError, TectumError
from runtime.core.packet import Packet, check_packet
from runtime.core.topic import Topic, describe_dtype, parse_dtype

VERSION = 1
MAX_BYTES = 8 * 2**20
MAX_DEPTH = 8
MAX_ITEMS = 4096

_TIME = np.dtype("<i8")
_OFFSET = np.dtype("<u4")
_SCALAR = re.compile(r"[<|][biufcmMSUV]\d{0,9}(\[\w{1,8}\])?")
_MAX_ELEMENT_BYTES = 2**31
_LATEST_FIRST = 2**63 - 2**32


@dataclass(frozen=True, slots=True)
class Frame:
    """A decoded packet and what travelled beside it."""

    packet: Packet
    extras: Mapping[str, Any] = field(default_factory=dict)


def encode_packet(packet: Packet, extras: Mapping[str, Any] | None = None, max_bytes: int = MAX_BYTES) -> bytes:
    """The packet as a frame. Raises `PacketError` where it does not fit its topic, or `max_bytes`."""
    topic, t, data = packet.topic, packet.t, packet.data
    described, element = _wire_dtype(topic.dtype)
    if t.dtype != np.int64 or t.ndim != 1:
        raise PacketError(f"{topic.name}: times are {t.dtype}{t.shape}, expected int64(n,)")
    if data.dtype != topic.element or data.shape != (len(t), *topic.shape):
        raise PacketError(f"{topic.name}: data is {data.dtype}{data.shape}, declared {topic.dtype} for {len(t)} events")
    frame: dict[str, Any] = {
        "v": VERSION,
        "topic": topic.name,
        "seq": packet.seq,
        "n": len(t),
        "lost": packet.lost,
        "until": packet.until,
        "dt": described,
        "d": _raw(data, element),
    }
    if len(t) and int(t[0]) <= _LATEST_FIRST and 0 <= int(t[-1]) - int(t[0]) < 2**32:
        frame["t0"] = int(t[0])
        frame["t"] = _raw(t - t[0], _OFFSET)
    else:
        frame["t"] = _raw(t, _TIME)
    if extras:
        frame["x"] = dict(extras)
    size = t.nbytes + data.nbytes
    if size <= max_bytes:
        encoded: bytes = msgpack.packb(frame)
        size = len(encoded)
        if size <= max_bytes:
            return encoded
    raise PacketError(f"{topic.name}: a frame of {len(t)} events takes {size} bytes, expected at most {max_bytes}")


def decode_packet(frame: bytes, topic: Topic | None = None, max_bytes: int = MAX_BYTES) -> Packet:
    """The packet of a frame; see `decode_frame`."""
    return decode_frame(frame, topic, max_bytes).packet


def decode_frame(frame: bytes, topic: Topic | None = None, max_bytes: int = MAX_BYTES) -> Frame:
    """The packet of a frame, its arrays read-only, and the extras.

    With `topic`, name and dtype must be the topic's, and the packet carries that topic; without, it carries one made
    of the frame's name and dtype. Raises `PacketError`, and nothing else, on any bytes.
    """
    fields = decode_map(frame, max_bytes)
    if fields.get("v") != VERSION:
        raise PacketError(f"frame: version {fields.get('v')!r}, expected {VERSION}")
    name = fields.get("topic")
    if not isinstance(name, str):
        raise PacketError(f"frame: topic is {name!r}, expected a name")
    n, seq, lost, until = (_integer(fields, key, name) for key in ("n", "seq", "lost", "until"))
    dtype = _read_dtype(fields.get("dt"), name)
    element = dtype.base
    times, events = (_binary(fields, key, name) for key in ("t", "d"))
    width = _OFFSET.itemsize if "t0" in fields else _TIME.itemsize
    if not 0 <= n <= max_bytes or len(times) != n * width or len(events) != n * dtype.itemsize:
        raise PacketError(
            f"{name}: {len(times)} bytes of times and {len(events)} of data for {n} events, "
            f"expected {n * width} and {n * dtype.itemsize}"
        )
    if topic is None:
        topic = _make_topic(name, dtype)
    elif topic.name != name or _wire_dtype(topic.dtype)[1] != element or topic.shape != dtype.shape:
        raise PacketError(f"{name}: {dtype}, expected {topic.name}: {topic.dtype}")
    extras = fields.get("x", {})
    if not isinstance(extras, dict):
        raise PacketError(f"{name}: extras are {type(extras).__name__}, expected a map")
    t: NDArray[np.int64]
    if "t0" in fields:
        t = np.frombuffer(times, _OFFSET).astype(np.int64)
        t += _first_time(fields, name)
    else:
        t = np.frombuffer(times, _TIME).astype(np.int64, copy=False)
    data = np.frombuffer(events, element).reshape(n, *dtype.shape).astype(topic.element, copy=False)
    return Frame(check_packet(Packet(topic, t, data, until, seq, lost)), extras)


def encode_map(fields: Mapping[str, Any]) -> bytes:
    """A map of plain values (numbers, text, bytes, lists, maps) as MessagePack."""
    encoded: bytes = msgpack.packb(dict(fields))
    return encoded


def decode_map(data: bytes, max_bytes: int = MAX_BYTES) -> dict[str, Any]:
    """A MessagePack map with text keys, bounded before it is decoded. Raises `PacketError`, and nothing else."""
    if len(data) > max_bytes:
        raise PacketError(f"frame: {len(data)} bytes, expected at most {max_bytes}")
    check_bounds(data)
    try:
        fields = msgpack.unpackb(data, raw=False, strict_map_key=True)
    except (ValueError, TypeError, msgpack.exceptions.UnpackException) as error:
        raise PacketError(f"frame: not MessagePack: {error or type(error).__name__}") from None
    if not isinstance(fields, dict) or not all(isinstance(key, str) for key in fields):
        raise PacketError(f"frame: {type(fields).__name__}, expected a map with text keys")
    return fields


def check_bounds(data: bytes, max_depth: int = MAX_DEPTH, max_items: int = MAX_ITEMS) -> None:
    """Raise `PacketError` where the MessagePack bytes nest deeper, or hold more items, or end too early or too late.

    Looks at type and length bytes only, and at no more than `max_items` of them.
    """
    position, size, items = 0, len(data), 0
    open_counts = [1]
    while open_counts:
        if open_counts[-1] == 0:
            open_counts.pop()
            continue
        open_counts[-1] -= 1
        items += 1
        if position >= size:
            raise PacketError(f"frame: ends after {size} bytes, expected item {items}")
        if items > max_items:
            raise PacketError(f"frame: more than {max_items} items")
        children, length_bytes, fixed = _TOKENS[data[position]]
        position += 1
        count = 0
        if length_bytes:
            count = int.from_bytes(data[position : position + length_bytes], "big")
            position += length_bytes
        if children == 0:
            position += count + fixed
        elif children > 0:
            open_counts.append(count * children + fixed)
            if len(open_counts) > max_depth + 1:
                raise PacketError(f"frame: nested deeper than {max_depth}")
        else:
            raise PacketError(f"frame: byte {position - 1} is {data[position - 1]:#x}, not a MessagePack type of ours")
    if position != size:
        raise PacketError(f"frame: {size} bytes, expected {position}")


def _tokens() -> tuple[tuple[int, int, int], ...]:
    """Per first byte: (items a counted child stands for or 0, bytes of the length that follows, fixed part)."""
    table = [(0, 0, 0)] * 256
    for n in range(16):
        table[0x80 + n] = (2, 0, 2 * n)
        table[0x90 + n] = (1, 0, n)
    for n in range(32):
        table[0xA0 + n] = (0, 0, n)
    for first, width in ((0xC4, 1), (0xD9, 1)):
        for power in range(3):
            table[first + power] = (0, width << power, 0)
    for first, width in ((0xCA, 4), (0xCB, 8), (0xCC, 1), (0xCD, 2), (0xCE, 4), (0xCF, 8)):
        table[first] = (0, 0, width)
    for power in range(4):
        table[0xD0 + power] = (0, 0, 1 << power)
    table[0xDC], table[0xDD] = (1, 2, 0), (1, 4, 0)
    table[0xDE], table[0xDF] = (2, 2, 0), (2, 4, 0)
    for refused in (0xC1, 0xC7, 0xC8, 0xC9, 0xD4, 0xD5, 0xD6, 0xD7, 0xD8):
        table[refused] = (-1, 0, 0)
    return tuple(table)


_TOKENS = _tokens()


@lru_cache(maxsize=1024)
def _wire_dtype(dtype: np.dtype[Any]) -> tuple[dict[str, Any], np.dtype[Any]]:
    """The description of the dtype's little-endian twin, and that twin's element."""
    little = np.dtype((dtype.base.newbyteorder("<"), dtype.shape))
    try:
        described = describe_dtype(little)
        same = parse_dtype(described) == little
    except (TectumError, ValueError, TypeError):
        same = False
    if not same or not little.itemsize:
        raise PacketError(f"dtype {dtype}: cannot travel (expected plain fields without padding or nesting)")
    return described, little.base


def _raw(array: NDArray[Any], dtype: np.dtype[Any]) -> memoryview:
    return np.ascontiguousarray(array.astype(dtype, copy=False)).reshape(-1).view(np.uint8).data


def _integer(fields: Mapping[str, Any], key: str, name: str) -> int:
    value = fields.get(key)
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise PacketError(f"{name}: {key} is {value!r}, expected an int64")
    return value


def _first_time(fields: Mapping[str, Any], name: str) -> int:
    first = _integer(fields, "t0", name)
    if first > _LATEST_FIRST:
        raise PacketError(f"{name}: t0 is {first}, expected at most {_LATEST_FIRST}")
    return first


def _binary(fields: Mapping[str, Any], key: str, name: str) -> bytes:
    value = fields.get(key)
    if type(value) is not bytes:
        raise PacketError(f"{name}: {key} is {type(value).__name__}, expected bin")
    return value


def _read_dtype(described: Any, name: str) -> np.dtype[Any]:
    try:
        base, shape = described["base"], tuple(described.get("shape", ()))
        key = base if isinstance(base, str) else tuple((f[0], f[1], *(tuple(s) for s in f[2:])) for f in base)
        return _parse_dtype(key, shape)
    except (TectumError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise PacketError(f"{name}: dtype {str(described)[:200]}: {error}") from None


@lru_cache(maxsize=1024)
def _parse_dtype(base: Any, shape: tuple[int, ...]) -> np.dtype[Any]:
    size = 1
    for field_ in [("", base, shape)] if isinstance(base, str) else [*base, ("", "|u1", shape)]:
        dimensions = field_[2] if len(field_) > 2 else ()
        if not isinstance(field_[0], str) or not isinstance(field_[1], str) or not _SCALAR.fullmatch(field_[1]):
            raise ValueError(f"field {field_[:2]} is not one of little-endian numbers, text or bytes")
        for length in dimensions:
            if type(length) is not int or length < 1:
                raise ValueError(f"shape {dimensions}, expected positive whole numbers")
            size *= length
        if len(dimensions) > 32 or size > _MAX_ELEMENT_BYTES:
            raise ValueError(f"shape {dimensions} is too large for one event")
    dtype = parse_dtype({"base": base if isinstance(base, str) else list(base), "shape": shape})
    if not 1 <= dtype.itemsize <= _MAX_ELEMENT_BYTES:
        raise ValueError(f"one event takes {dtype.itemsize} bytes")
    return dtype


@lru_cache(maxsize=1024)
def _make_topic(name: str, dtype: np.dtype[Any]) -> Topic:
    try:
        return Topic(name, dtype)
    except TectumError as error:
        raise PacketError(str(error)) from None
