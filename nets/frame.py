"""A network's state as bytes: framed with what it belongs to and a checksum, read back array by array, digested.

magic 16 | fingerprint of the program 16 | length of the body, int64 | BLAKE2b-128 of the body | body
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets.errors import SnapshotError

DIGEST = 16
LENGTH = struct.Struct("<q")


def framed(magic: bytes, fingerprint: bytes, arrays: Iterable[NDArray[Any]]) -> bytes:
    """A snapshot of these arrays, in order."""
    body = b"".join(array.tobytes() for array in arrays)
    return magic + fingerprint + LENGTH.pack(len(body)) + blake2b(body) + body


def unframed(magic: bytes, fingerprint: bytes, snapshot: bytes) -> Reader:
    """The arrays of a whole snapshot of this very program, or a `SnapshotError`."""
    body_at = len(magic) + len(fingerprint) + LENGTH.size + DIGEST
    if len(snapshot) < body_at or snapshot[: len(magic)] != magic:
        raise SnapshotError(f"{len(snapshot)} bytes that are not a snapshot {magic.rstrip(bytes(1)).decode()}")
    theirs = snapshot[len(magic) : len(magic) + len(fingerprint)]
    if theirs != fingerprint:
        raise SnapshotError(f"the snapshot belongs to program {theirs.hex()}, this is {fingerprint.hex()}")
    (size,) = LENGTH.unpack_from(snapshot, len(magic) + len(fingerprint))
    body = memoryview(snapshot)[body_at:]
    if len(body) != size or blake2b(body) != snapshot[body_at - DIGEST : body_at]:
        raise SnapshotError(f"the snapshot is damaged: {len(body)} bytes, expected {size} with its checksum")
    return Reader(body)


class Reader:
    """Takes arrays off a snapshot's body one by one."""

    def __init__(self, body: memoryview) -> None:
        self._body, self._at = body, 0

    @property
    def left(self) -> int:
        """Bytes not taken yet."""
        return len(self._body) - self._at

    def array(self, kind: Any, count: int) -> NDArray[Any]:
        """The next `count` numbers, read-only; a `SnapshotError` where there are fewer."""
        width = np.dtype(kind).itemsize * count
        if not 0 <= width <= self.left:
            raise SnapshotError(f"the snapshot holds {self.left} more bytes, expected {width}")
        found = np.frombuffer(self._body[self._at : self._at + width], kind)
        self._at += width
        return found

    def end(self) -> None:
        """Refuse a snapshot that holds more."""
        if self.left:
            raise SnapshotError(f"the snapshot holds {self.left} bytes more than its counts say")


class StateDigest:
    """16 bytes over state and time; the arrays are read anew only where their version moved on."""

    def __init__(self) -> None:
        self._known: tuple[int, bytes] | None = None

    def forget(self) -> None:
        """Read the arrays next time, whatever their version."""
        self._known = None

    def over(self, version: int, arrays: Callable[[], Iterable[NDArray[Any]]], *times: int) -> bytes:
        """The digest of `arrays()`, contiguous all, and of `times`."""
        if self._known is None or self._known[0] != version:
            digest = hashlib.blake2b(digest_size=DIGEST)
            for array in arrays():
                digest.update(array.data)
            self._known = version, digest.digest()
        return blake2b(self._known[1] + struct.pack(f"<{len(times)}q", *times))


def blake2b(data: bytes | memoryview) -> bytes:
    return hashlib.blake2b(data, digest_size=DIGEST).digest()
