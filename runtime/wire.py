"""Length-prefixed MessagePack frames for stream sockets.

A frame is a 4-byte little-endian length and that many bytes, one MessagePack value. Nothing is decoded before its
size, nesting and number of items are known to be within bounds: a header of five bytes may claim 2**32 items.
"""

from __future__ import annotations

import struct
from typing import Any

import msgpack

from runtime.core.errors import TectumError

MAX_FRAME = 8 * 1024 * 1024
MAX_DEPTH = 16
MAX_ITEMS = 200_000

_LENGTH = struct.Struct("<I")


class FrameError(TectumError, ValueError):
    """Bytes that are no frame, or more than a frame may hold. The stream cannot be trusted after it."""


def encode(value: object) -> bytes:
    """One value as MessagePack. Scalars with an `item()` (numpy's) travel as plain numbers, buffers as `bin`."""
    payload: bytes = msgpack.packb(value, use_bin_type=True, default=_plain)
    return payload


def decode(payload: bytes, max_depth: int = MAX_DEPTH, max_items: int = MAX_ITEMS) -> Any:
    """The inverse of `encode`. Raises FrameError before anything is built when the payload breaks a bound."""
    check(payload, max_depth, max_items)
    try:
        return msgpack.unpackb(payload, raw=False, strict_map_key=True)
    except ValueError as error:
        raise FrameError(f"payload of {len(payload)} bytes does not decode: {error}") from None


def frame(payload: bytes) -> bytes:
    """The payload with its length in front."""
    if len(payload) > MAX_FRAME:
        raise FrameError(f"frame of {len(payload)} bytes, expected at most {MAX_FRAME}")
    return _LENGTH.pack(len(payload)) + payload


class FrameReader:
    """Cuts a byte stream into payloads, without I/O."""

    def __init__(self, max_frame: int = MAX_FRAME) -> None:
        self._max_frame = max_frame
        self._buffer = bytearray()

    @property
    def pending(self) -> int:
        """Bytes of a frame that is not complete yet."""
        return len(self._buffer)

    def feed(self, data: bytes | bytearray | memoryview) -> list[bytes]:
        """Take the next bytes; return the payloads they complete. Raises FrameError on an oversize length."""
        buffer = self._buffer
        buffer += data
        payloads: list[bytes] = []
        start = 0
        while len(buffer) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(buffer, start)
            if length > self._max_frame:
                raise FrameError(f"frame of {length} bytes announced, expected at most {self._max_frame}")
            end = start + _LENGTH.size + length
            if len(buffer) < end:
                break
            payloads.append(bytes(memoryview(buffer)[start + _LENGTH.size : end]))
            start = end
        del buffer[:start]
        return payloads


def check(payload: bytes, max_depth: int = MAX_DEPTH, max_items: int = MAX_ITEMS) -> None:
    """Walk over one MessagePack value without building it; raise FrameError where it breaks a bound or is cut short."""
    size = len(payload)
    at = items = 0
    left = [1]
    while left:
        if not left[-1]:
            left.pop()
            continue
        left[-1] -= 1
        items += 1
        if items > max_items:
            raise FrameError(f"payload holds over {max_items} items")
        if at >= size:
            raise FrameError(f"payload ends at byte {size} inside a value")
        code = payload[at]
        if code < 0x80 or code >= 0xE0:
            at += 1
            continue
        header, unit, children = _sizes(payload, at, code)
        at += header + unit
        if at > size:
            raise FrameError(f"payload ends at byte {size} inside a value of {header + unit} bytes")
        if children:
            if children > max_items:
                raise FrameError(f"payload announces {children} items, expected at most {max_items}")
            if len(left) > max_depth:
                raise FrameError(f"payload nests deeper than {max_depth}")
            left.append(children)
    if at != size:
        raise FrameError(f"payload has {size - at} bytes after its value")


_FIXED = {0xC0: 1, 0xC2: 1, 0xC3: 1, 0xCA: 5, 0xCB: 9, 0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9, 0xD0: 2, 0xD1: 3, 0xD2: 5}
_FIXED |= {0xD3: 9, 0xD4: 3, 0xD5: 4, 0xD6: 6, 0xD7: 10, 0xD8: 18}
_BLOB = {0xC4: (1, 0), 0xC5: (2, 0), 0xC6: (4, 0), 0xC7: (1, 1), 0xC8: (2, 1), 0xC9: (4, 1)}
_BLOB |= {0xD9: (1, 0), 0xDA: (2, 0), 0xDB: (4, 0)}
_LIST = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}


def _sizes(payload: bytes, at: int, code: int) -> tuple[int, int, int]:
    """(header bytes, bytes of content, child values) of the value at `at`, as the MessagePack specification lists."""
    if code < 0x90:
        return 1, 0, 2 * (code & 0x0F)
    if code < 0xA0:
        return 1, 0, code & 0x0F
    if code < 0xC0:
        return 1, code & 0x1F, 0
    if code in _FIXED:
        return _FIXED[code], 0, 0
    if code in _BLOB:
        width, extra = _BLOB[code]
        return 1 + width + extra, int.from_bytes(payload[at + 1 : at + 1 + width], "big"), 0
    if code in _LIST:
        width, factor = _LIST[code]
        return 1 + width, 0, factor * int.from_bytes(payload[at + 1 : at + 1 + width], "big")
    raise FrameError(f"byte {at} is 0x{code:02x}, which begins no MessagePack value")


def _plain(value: Any) -> Any:
    if getattr(value, "shape", None) != ():
        raise TypeError(f"{type(value).__name__} does not travel: expected plain values, bytes or scalars")
    return value.item()
