"""The journal: every decision that a replay must repeat, in the one order in which it was made.

Rows are short MessagePack lists on the channel `tectum/journal`:

    ["0", pipeline snapshot | None, {actuator: limiter state}, window]   the recording begins here
    ["s", topic | None, seq, n, until | None, late]                       the network took events and moved its time
    ["r", t]                                                              the network was reset by hand
    ["R", snapshot]                                                       a snapshot was restored
    ["c", t, sensor, "cut" | "restored"]                                  a sensor was cut or restored by hand
    ["a", actuator, now, call, value, ttl_s, text, applied | None]        a limiter was called, and what it gave
    ["w", index, end, inputs, state, outputs, actuation]                  a window closed with these digests
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, NamedTuple

import msgpack

from runtime.core.errors import PacketError, StoppedError
from runtime.limiter import Limited, Limiter
from runtime.pipeline import ResetRow, RestoreRow, Row, StepRow, WindowRow

CHANNEL = "tectum/journal"


class Call(NamedTuple):
    """One call of a limiter: `begin`, `step`, `expire`, `make_safe`, `stop` or `release`."""

    actuator: str
    now: int
    call: str
    value: float = 0.0
    ttl_s: float = 0.0
    text: str = ""


def perform(limiter: Limiter, call: Call) -> Limited | None:
    """Make the call. PacketError and StoppedError pass through: the refusal is part of what happened."""
    match call.call:
        case "begin":
            limiter.begin(call.now, call.value)
        case "step":
            return limiter.step(call.now, call.value, call.ttl_s)
        case "expire":
            return limiter.expire(call.now)
        case "make_safe":
            return limiter.make_safe(call.now, call.text)
        case "stop":
            return limiter.stop(call.now, call.text)
        case "release":
            limiter.release(call.now)
        case _:
            raise PacketError(f"{call.actuator}: there is no limiter call {call.call!r}")
    return None


class ActuationDigest:
    """What the limiters did in the open window."""

    def __init__(self) -> None:
        self._hash = blake2b(digest_size=8)

    def add(self, call: Call, limiter: Limiter) -> None:
        self._hash.update(call.actuator.encode())
        self._hash.update(struct.pack("<qd", call.now, limiter.applied))
        self._hash.update(limiter.mode.encode())

    def close(self) -> bytes:
        digest = self._hash.digest()
        self._hash = blake2b(digest_size=8)
        return digest


class Journal:
    """Collects rows and hands them to whoever records; costs almost nothing while nobody does."""

    def __init__(self) -> None:
        self._sink: Callable[[list[list[Any]]], None] | None = None
        self._digest = ActuationDigest()

    def record(self, sink: Callable[[list[list[Any]]], None] | None) -> None:
        """Hand batches of rows to `sink` from now on; digests begin anew."""
        self._sink = sink
        self._digest = ActuationDigest()

    @property
    def recorded(self) -> bool:
        return self._sink is not None

    def write(self, rows: list[list[Any]]) -> None:
        if self._sink is not None:
            self._sink(rows)

    def pipeline(self, rows: list[Row]) -> None:
        """What the pipeline did."""
        if self._sink is None or not rows:
            return
        out: list[list[Any]] = []
        for row in rows:
            match row:
                case StepRow():
                    out.append(["s", *row])
                case WindowRow():
                    out.append(["w", *row, self._digest.close()])
                case ResetRow():
                    out.append(["r", *row])
                case RestoreRow():
                    out.append(["R", *row])
        self._sink(out)

    def call(self, limiter: Limiter, call: Call) -> Limited | None:
        """Make a limiter call and write it down."""
        limited: Limited | None = None
        try:
            limited = perform(limiter, call)
        except (PacketError, StoppedError):
            self._called(limiter, call, None)
            raise
        self._called(limiter, call, limited)
        return limited

    def _called(self, limiter: Limiter, call: Call, limited: Limited | None) -> None:
        if self._sink is not None:
            self._digest.add(call, limiter)
            self._sink([["a", *call, None if limited is None else limited.applied]])


def pack_rows(rows: list[list[Any]]) -> bytes:
    return bytes(msgpack.packb(rows))


def unpack_rows(payload: bytes) -> list[list[Any]]:
    rows = msgpack.unpackb(payload)
    if not isinstance(rows, list) or not all(isinstance(row, list) and row for row in rows):
        raise PacketError("journal: not a list of rows")
    return rows
