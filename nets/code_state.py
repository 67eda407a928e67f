"""Snapshots of encoders and decoders: a signature that says whose state it is, then its arrays as they lie in memory.

The signature names the class and its settings, so a snapshot is restored only into its own kind, set the same way.
Counters are accounting, not state: they are in no snapshot and in no hash.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LENGTH = struct.Struct("<I")


def pack_state(signature: str, arrays: Sequence[NDArray[Any]]) -> bytes:
    """One byte string for `restore_state`."""
    name = signature.encode()
    return b"".join([_LENGTH.pack(len(name)), name, *(np.ascontiguousarray(a).tobytes() for a in arrays)])


def restore_state(signature: str, arrays: Sequence[NDArray[Any]], snapshot: bytes) -> None:
    """Overwrite `arrays` in place from a snapshot; ValueError, with nothing touched, if it is not of this signature."""
    name = signature.encode()
    head = _LENGTH.pack(len(name)) + name
    if not snapshot.startswith(head):
        raise ValueError(f"snapshot is of {_owner(snapshot)}, expected {signature}")
    size = len(head) + sum(a.nbytes for a in arrays)
    if len(snapshot) != size:
        raise ValueError(f"snapshot of {signature}: {len(snapshot)} bytes, expected {size}")
    start = len(head)
    for array in arrays:
        array[...] = np.frombuffer(snapshot, array.dtype, array.size, start).reshape(array.shape)
        start += array.nbytes


def hash_state(signature: str, arrays: Sequence[NDArray[Any]]) -> bytes:
    """16 bytes that change when any of it does."""
    return hashlib.blake2b(pack_state(signature, arrays), digest_size=16).digest()


def _owner(snapshot: bytes) -> str:
    if len(snapshot) >= _LENGTH.size:
        (length,) = _LENGTH.unpack_from(snapshot)
        if 0 < length <= min(len(snapshot) - _LENGTH.size, 10_000):
            return snapshot[_LENGTH.size : _LENGTH.size + length].decode(errors="replace")
    return f"{len(snapshot)} bytes of something else"
