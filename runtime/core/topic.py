"""A topic: the name, type, unit and promised rate of one stream of events."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from runtime.core.errors import TopicError

NAME = re.compile(r"[a-z][a-z0-9_-]*(/[a-z0-9][a-z0-9_-]*)*")

DVS = np.dtype([("x", "<u2"), ("y", "<u2"), ("on", "u1")])
"""One DVS event: address with the origin top left, and polarity (1 = brighter)."""

VECTOR3 = np.dtype(("<f4", (3,)))
"""Gyro (rad/s) or accelerometer (m/s2) sample, axes as in REP-103: x forward, y left, z up."""

SEGMENT = np.dtype([("index", "<u4"), ("label", "<i4"), ("name", "S64")])
"""A playlist begins its next file: running index, label (-1: unknown) and the file's name."""

TRIGGER = np.dtype([("source", "u1")])
"""An external trigger, with the device's own code of its source."""

COMMAND = np.dtype([("value", "<f8"), ("ttl_s", "<f4")])
"""A command: the set-point in the topic's unit and how long it may act."""

STATE = np.dtype([("position", "<f8"), ("velocity", "<f8"), ("safe", "u1"), ("fault", "u1")])
"""Read-back of an actuator: measured position, velocity, whether it holds its safe state, fault code (0: none)."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One stream of events; `dtype` is the dtype of ONE event, its shape included (`('<f4', (3,))`)."""

    name: str
    dtype: np.dtype[Any]
    unit: str = "1"
    """UCUM code: "rad/s", "m/s2", "1"."""
    rate_hz: float | None = None
    """Promised packets-worth of coverage is judged against this; None for streams that follow the scene."""
    extent: tuple[int, int] | None = None
    """(height, width) of the address space, for images and DVS events."""
    frame_id: str = ""
    lossy: bool = False
    """True where the source may lose events without the packet's `lost` saying how many."""

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise TopicError(f"topic {self.name!r}: names are lower-case words of [a-z0-9_-] joined by '/'")
        if self.dtype.hasobject:
            raise TopicError(f"topic {self.name!r}: dtype {self.dtype} holds Python objects")
        if self.rate_hz is not None and not self.rate_hz > 0:
            raise TopicError(f"topic {self.name!r}: rate_hz is {self.rate_hz}, expected above 0 or None")

    @property
    def element(self) -> np.dtype[Any]:
        """The dtype of the array that holds events: `dtype` without its shape."""
        return self.dtype.base

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one event: `()` for scalars and structures."""
        return self.dtype.shape

    def to_dict(self) -> dict[str, Any]:
        """The topic as plain values; the dtype travels as its `descr`, since `.str` of a structure loses the names."""
        return {
            "name": self.name,
            "dtype": describe_dtype(self.dtype),
            "unit": self.unit,
            "rate_hz": self.rate_hz,
            "extent": None if self.extent is None else list(self.extent),
            "frame_id": self.frame_id,
            "lossy": self.lossy,
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Topic:
        """The inverse of `to_dict`."""
        extent = fields.get("extent")
        return cls(
            name=fields["name"],
            dtype=parse_dtype(fields["dtype"]),
            unit=fields.get("unit", "1"),
            rate_hz=fields.get("rate_hz"),
            extent=None if extent is None else (int(extent[0]), int(extent[1])),
            frame_id=fields.get("frame_id", ""),
            lossy=bool(fields.get("lossy", False)),
        )


def describe_dtype(dtype: np.dtype[Any]) -> dict[str, Any]:
    """`{"base": "<f4", "shape": [3]}`, or for a structure `{"base": [["x", "<u2"], ...], "shape": []}`."""
    base: Any = dtype.base.str if dtype.base.names is None else [list(field) for field in dtype.base.descr]
    return {"base": base, "shape": list(dtype.shape)}


def parse_dtype(described: Mapping[str, Any]) -> np.dtype[Any]:
    """The inverse of `describe_dtype`; refuses object dtypes and nested surprises."""
    base = described["base"]
    try:
        if isinstance(base, str):
            dtype = np.dtype(base)
        else:
            dtype = np.dtype([(str(f[0]), str(f[1]), *(tuple(int(n) for n in s) for s in f[2:])) for f in base])
        shape = tuple(int(n) for n in described.get("shape", ()))
    except (TypeError, ValueError, KeyError, IndexError) as error:
        raise TopicError(f"dtype {base!r} is not one numpy knows: {error}") from None
    if dtype.hasobject:
        raise TopicError(f"dtype {base!r} holds Python objects")
    return np.dtype((dtype, shape)) if shape else dtype
