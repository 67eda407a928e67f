"""Reading FlatBuffers without a schema compiler: fields of tables, vectors, and columns of vectors of tables.

Every access is checked against the buffer: a damaged offset raises `Damaged`, never reads elsewhere.
A table begins with the signed distance back to its vtable; a vtable is its size, the table's size and, per field, the
distance from the table to the value (0: the default).
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]


class Damaged(ValueError):
    """An offset points outside its buffer."""


class Table:
    """One table in a buffer."""

    def __init__(self, buffer: bytes, position: int) -> None:
        self._buffer = buffer
        self._position = position
        self._vtable = position - _scalar(buffer, "<i", position)
        self._vtable_size = _scalar(buffer, "<H", self._vtable)

    def scalar(self, field: int, kind: str, default: int) -> int:
        """The value of a field, `kind` as in `struct`."""
        at = self._at(field)
        return default if at is None else _scalar(self._buffer, f"<{kind}", at)

    def vector(self, field: int) -> tuple[int, int]:
        """(position of the first element, count) of a vector field; (0, 0) where it is absent."""
        at = self._at(field)
        if at is None:
            return 0, 0
        start = at + _scalar(self._buffer, "<I", at)
        return start + 4, _scalar(self._buffer, "<I", start)

    def raw(self, field: int, item_bytes: int) -> bytes:
        """The elements of a vector of scalars or structures."""
        start, count = self.vector(field)
        if start + count * item_bytes > len(self._buffer):
            raise Damaged(f"a vector of {count} x {item_bytes} bytes at {start} exceeds {len(self._buffer)} bytes")
        return self._buffer[start : start + count * item_bytes]

    def tables(self, field: int) -> Tables:
        """A vector of tables, as columns."""
        start, count = self.vector(field)
        if start + count * 4 > len(self._buffer):
            raise Damaged(f"a vector of {count} tables at {start} exceeds {len(self._buffer)} bytes")
        at = start + 4 * np.arange(count)
        return Tables(self._buffer, at + np.frombuffer(self._buffer, "<u4", count, start).astype(np.int64))

    def _at(self, field: int) -> int | None:
        slot = 4 + 2 * field
        if slot + 2 > self._vtable_size:
            return None
        distance = _scalar(self._buffer, "<H", self._vtable + slot)
        return self._position + distance if distance else None


class Tables:
    """Many tables of one kind, read a field at a time."""

    def __init__(self, buffer: bytes, positions: NDArray[np.int64]) -> None:
        self._bytes = np.frombuffer(buffer, np.uint8)
        self._positions = positions
        self._vtables = positions - self._gather(positions, "<i4")
        self._sizes = self._gather(self._vtables, "<u2").astype(np.int64)

    def __len__(self) -> int:
        return len(self._positions)

    def column(self, field: int, dtype: str) -> NDArray[Any]:
        """The field of every table; 0 where it is absent."""
        slot = 4 + 2 * field
        column = np.zeros(len(self._positions), dtype)
        there = np.flatnonzero(slot + 2 <= self._sizes)
        distance = self._gather(self._vtables[there] + slot, "<u2").astype(np.int64)
        there, distance = there[distance > 0], distance[distance > 0]
        column[there] = self._gather(self._positions[there] + distance, dtype)
        return column

    def _gather(self, at: NDArray[np.int64], dtype: str) -> NDArray[Any]:
        size = np.dtype(dtype).itemsize
        if len(at) and (int(at.min()) < 0 or int(at.max()) + size > len(self._bytes)):
            raise Damaged(f"an offset points outside {len(self._bytes)} bytes")
        return np.ascontiguousarray(self._bytes[at[:, None] + np.arange(size)]).view(dtype).reshape(len(at))


def root(buffer: bytes, at: int = 4) -> Table:
    """The root table of a buffer that begins with its own size."""
    return Table(buffer, at + _scalar(buffer, "<I", at))


def _scalar(buffer: bytes, kind: str, at: int) -> int:
    if at < 0 or at + struct.calcsize(kind) > len(buffer):
        raise Damaged(f"offset {at} points outside {len(buffer)} bytes")
    return int(struct.unpack_from(kind, buffer, at)[0])
