"""Address events to port indices: crop, downscale, polarity, layout.

Each of the three coordinates adds its own share of the flat index, so one event costs three table look-ups. What is to
be dropped has a share so negative that no sum with it reaches zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets.code_options import choice, flag, whole, wholes
from nets.code_state import hash_state, pack_state, restore_state
from nets.encoded import Encoded

LAYOUTS = ("cyx", "yxc", "yx")
POLARITIES = ("split", "on", "off", "merge", "signed")
_DROP = np.int32(-(2**29))


class AddressEncoder:
    """DVS events (fields x, y, on) of a sensor of `extent` (h, w) to spikes of a port.

    `split` has a channel a polarity (OFF then ON; `on_first` for the other order), `on` and `off` keep one polarity,
    `merge` keeps both alike, `signed` gives values +1 and -1. `crop` is (y, x, h, w) in pixels of the sensor;
    `downscale` then joins blocks of pixels (a last incomplete block counts as one). The port has the shape of the
    layout, or is flat.
    """

    def __init__(
        self,
        extent: tuple[int, int],
        port_shape: Sequence[int],
        *,
        layout: str = "cyx",
        polarity: str = "split",
        on_first: bool = False,
        crop: Sequence[int] | None = None,
        downscale: int = 1,
    ) -> None:
        height, width = wholes("extent", extent, 2, 1)
        choice("layout", layout, LAYOUTS)
        choice("polarity", polarity, POLARITIES)
        flag("on_first", on_first)
        whole("downscale", downscale)
        top, left, h, w = (0, 0, height, width) if crop is None else wholes("crop", crop, 4)
        if not (h and w and top + h <= height and left + w <= width):
            raise ValueError(f"crop is {[top, left, h, w]}, expected [y, x, h, w] inside {height}x{width}")
        channels = 2 if polarity == "split" else 1
        if layout == "yx" and channels == 2:
            raise ValueError("layout 'yx' has no channel for polarity 'split', expected 'cyx' or 'yxc'")
        rows, columns = -(-h // downscale), -(-w // downscale)
        shape = {"cyx": (channels, rows, columns), "yxc": (rows, columns, channels), "yx": (rows, columns)}[layout]
        size = channels * rows * columns
        if tuple(port_shape) not in (shape, (size,)):
            raise ValueError(
                f"port shape is {tuple(port_shape)}, expected {shape} or {(size,)}: "
                f"{h}x{w} pixels by {downscale}, layout {layout!r}, polarity {polarity!r}"
            )
        if size >= -int(_DROP):
            raise ValueError(f"port of {size} units, expected fewer than {-int(_DROP)}")

        channel_step, row_step, column_step = {
            "cyx": (rows * columns, columns, 1),
            "yxc": (1, columns * channels, channels),
            "yx": (0, columns, 1),
        }[layout]
        self._row = _shares(top, h, downscale, row_step)
        self._column = _shares(left, w, downscale, column_step)
        self._channel = np.zeros(256, np.int32)
        if polarity == "split":
            self._channel[:] = 0 if on_first else channel_step
            self._channel[0] = channel_step if on_first else 0
        self._kept = {"on": True, "off": False}.get(polarity)
        self._signed = polarity == "signed"
        self._signature = (
            f"address {height}x{width} {shape} {layout} {polarity} {on_first} {[top, left, h, w]} {downscale}"
        )
        self._outside = 0
        self._other_polarity = 0

    @property
    def counters(self) -> Mapping[str, int]:
        return {"outside": self._outside, "other_polarity": self._other_polarity}

    def encode(self, t: NDArray[np.int64], data: NDArray[Any]) -> Encoded:
        x, y, on = data["x"], data["y"], data["on"]
        if x.dtype.kind != "u" or y.dtype.kind != "u" or x.dtype.itemsize > 2 or y.dtype.itemsize > 2:
            raise ValueError(f"addresses are x {x.dtype}, y {y.dtype}, expected uint16")
        index: NDArray[np.int32] = self._row[y]
        index += self._column[x]
        index += self._channel[on]
        keep = index >= 0
        outside = len(index) - int(np.count_nonzero(keep))
        self._outside += outside
        if self._kept is not None:
            right = (on != 0) == self._kept
            self._other_polarity += int(np.count_nonzero(keep & ~right))
            keep &= right
            outside = 1
        if outside:
            t, index, on = t[keep], index[keep], on[keep]
        value = np.where(on != 0, np.float32(1), np.float32(-1)) if self._signed else None
        return Encoded(t, index, value)

    def reset(self) -> None:
        """Nothing to forget: no event depends on another."""

    def snapshot(self) -> bytes:
        return pack_state(self._signature, ())

    def restore(self, snapshot: bytes) -> None:
        restore_state(self._signature, (), snapshot)

    def hash(self) -> bytes:
        return hash_state(self._signature, ())


def _shares(start: int, length: int, downscale: int, step: int) -> NDArray[np.int32]:
    """What each of the 65536 possible coordinates adds to the index."""
    shares = np.full(65536, _DROP, np.int32)
    shares[start : start + length] = np.arange(length, dtype=np.int32) // downscale * step
    return shares
