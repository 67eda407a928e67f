"""Encoders by name: from the events of a topic to the events of a port.

address   DVS events, by pixel                      value 1, or +1 and -1
level     analog samples, when they moved a step    value: steps
sample    analog samples, every one                 value: the sample
frame     camera frames, where a cell changed       value: steps
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any, Protocol

import numpy as np

from nets.code_options import call_with_options, suggest
from nets.encode_address import AddressEncoder
from nets.encode_frame import FrameEncoder
from nets.encode_level import LevelCrossingEncoder
from nets.encode_sample import SampleEncoder
from nets.encoded import Encoded, Encoder

__all__ = [
    "ENCODERS",
    "AddressEncoder",
    "Encoded",
    "Encoder",
    "FrameEncoder",
    "LevelCrossingEncoder",
    "SampleEncoder",
    "Source",
    "make_encoder",
]


class Source(Protocol):
    """What an encoder must know of a topic."""

    @property
    def name(self) -> str: ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of one event, its shape included."""

    @property
    def extent(self) -> tuple[int, int] | None:
        """(height, width) of the address space, for images and DVS events."""


def make_encoder(kind: str, source: Source, port_shape: Sequence[int], options: Mapping[str, Any]) -> Encoder:
    """The encoder of that kind; ValueError names the topic and the option that cannot be."""
    if kind not in ENCODERS:
        raise ValueError(f"{source.name}: unknown encoder {kind!r}{suggest(kind, ENCODERS)}")
    what = f"{source.name}: encoder {kind!r}"
    build = ENCODERS[kind](source, tuple(port_shape))
    try:
        return call_with_options(what, build, options)
    except ValueError as error:
        if str(error).startswith(what):
            raise
        raise ValueError(f"{what}: {error}") from None


def _address(source: Source, port_shape: tuple[int, ...]) -> Callable[..., Encoder]:
    def build(
        *,
        layout: str = "cyx",
        polarity: str = "split",
        on_first: bool = False,
        crop: Sequence[int] | None = None,
        downscale: int = 1,
    ) -> Encoder:
        if not {"x", "y", "on"} <= set(source.dtype.names or ()):
            raise ValueError(f"events are {source.dtype}, expected fields x, y, on")
        return AddressEncoder(
            _extent(source),
            port_shape,
            layout=layout,
            polarity=polarity,
            on_first=on_first,
            crop=crop,
            downscale=downscale,
        )

    return build


def _level(source: Source, port_shape: tuple[int, ...]) -> Callable[..., Encoder]:
    def build(*, step: float | Sequence[float], start: str = "zero") -> Encoder:
        channels = _channels(source)
        if prod(port_shape) != 2 * channels:
            raise ValueError(f"port shape is {port_shape}, expected {2 * channels} units: up and down of {channels}")
        return LevelCrossingEncoder(channels, step, start=start)

    return build


def _sample(source: Source, port_shape: tuple[int, ...]) -> Callable[..., Encoder]:
    def build(*, scale: float | Sequence[float] = 1.0, channels: Sequence[int] | None = None) -> Encoder:
        width = _channels(source)
        encoder = SampleEncoder(width, scale, channels)
        if prod(port_shape) != encoder.units:
            raise ValueError(f"port shape is {port_shape}, expected {encoder.units} units: one a channel")
        return encoder

    return build


def _frame(source: Source, port_shape: tuple[int, ...]) -> Callable[..., Encoder]:
    def build(*, grid: Sequence[int], step: float = 0.15, intensity: str = "log", on_first: bool = False) -> Encoder:
        extent = _extent(source)
        if source.dtype.names is not None or source.dtype.shape[:2] != extent or len(source.dtype.shape) > 3:
            raise ValueError(f"events are {source.dtype}, expected frames of {extent[0]}x{extent[1]}")
        return FrameEncoder(extent, port_shape, grid, step, intensity=intensity, on_first=on_first)

    return build


def _extent(source: Source) -> tuple[int, int]:
    if source.extent is None:
        raise ValueError("the topic declares no extent, expected (height, width)")
    return source.extent


def _channels(source: Source) -> int:
    if source.dtype.base.kind not in "iufb":
        raise ValueError(f"events are {source.dtype}, expected numbers")
    return prod(source.dtype.shape)


ENCODERS: dict[str, Callable[[Source, tuple[int, ...]], Callable[..., Encoder]]] = {
    "address": _address,
    "level": _level,
    "sample": _sample,
    "frame": _frame,
}
