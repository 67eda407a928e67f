"""The digest kept beside every message: 8 bytes of BLAKE2b over its record, channel and times included."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from hashlib import blake2b

SIZE = 8
_HEAD = struct.Struct("<HIQQ")


def digest(channel_id: int, sequence: int, log_time: int, publish_time: int, payload: bytes | memoryview) -> bytes:
    """Digest of one message as it lies in the file."""
    hashed = blake2b(_HEAD.pack(channel_id, sequence, log_time, publish_time), digest_size=SIZE)
    hashed.update(payload)
    return hashed.digest()


def split(digests: bytes) -> Iterator[bytes]:
    """The single digests of a chunk's digest message."""
    for start in range(0, len(digests) - SIZE + 1, SIZE):
        yield digests[start : start + SIZE]
