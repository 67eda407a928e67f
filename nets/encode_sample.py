"""Analog samples as graded events: one event a channel, its value the scaled sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets.code_options import numbers, whole, wholes
from nets.code_state import hash_state, pack_state, restore_state
from nets.encode_level import as_samples
from nets.encoded import Encoded


class SampleEncoder:
    """Samples (n, width) to events: index is the channel, value the sample times `scale`.

    With `channels` only those, numbered by their place in that list. Values that are not finite as float32 are refused
    and counted.
    """

    def __init__(self, width: int, scale: float | Sequence[float] = 1.0, channels: Sequence[int] | None = None) -> None:
        self._width = whole("width", width)
        chosen = range(width) if channels is None else wholes("channels", channels, len(channels))
        if max(chosen, default=width) >= width or len(set(chosen)) != len(chosen):
            raise ValueError(f"channels is {channels!r}, expected different ones of 0 to {width - 1}")
        self._chosen = None if channels is None else np.array(chosen, np.intp)
        self.units = len(chosen)
        """Channels that are taken."""
        self._channels = np.arange(self.units, dtype=np.int32)
        scales = numbers("scale", scale, self.units)
        self._scale = np.array(scales, np.float64)
        self._signature = f"sample {width} {list(chosen)} {list(scales)}"
        self._refused = 0

    @property
    def counters(self) -> Mapping[str, int]:
        return {"refused": self._refused}

    def encode(self, t: NDArray[np.int64], data: NDArray[Any]) -> Encoded:
        with np.errstate(over="ignore", invalid="ignore"):
            samples = as_samples(data, self._width)
            if self._chosen is not None:
                samples = samples[:, self._chosen]
            samples = samples * self._scale
            values = samples.astype(np.float32)
        if np.isfinite(values).all():
            count = len(samples)
            index = self._channels.copy() if count == 1 else np.tile(self._channels, count)
            return Encoded(np.repeat(t, self.units), index, values.ravel())
        fine = np.isfinite(values)
        self._refused += samples.size - int(np.count_nonzero(fine))
        sample, channel = np.nonzero(fine)
        return Encoded(t[sample], channel.astype(np.int32), values[fine])

    def reset(self) -> None:
        """Nothing to forget: no event depends on another."""

    def snapshot(self) -> bytes:
        return pack_state(self._signature, ())

    def restore(self, snapshot: bytes) -> None:
        restore_state(self._signature, (), snapshot)

    def hash(self) -> bytes:
        return hash_state(self._signature, ())
