"""Camera frames to events: the mean of each cell of a grid, and an event each time it has changed by a step.

A slow camera thus looks to the network like a coarse event camera: a still scene sends nothing. Intensity I is taken
relative to full scale; on the log scale, log(I + 1/255), a step is a contrast whatever the illumination.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets.code_options import choice, flag, positive, wholes
from nets.encode_level import Levels
from nets.encoded import Encoded

_DARK = 1.0 / 255.0


class FrameEncoder:
    """Frames (n, h, w) or (n, h, w, colours), unsigned or float in 0..1, to a port (2, *grid): OFF then ON, or flat.

    The first frame sets the levels and sends nothing. `value` is the number of steps. Cells with a non-finite pixel are
    refused and counted.
    """

    def __init__(
        self,
        extent: tuple[int, int],
        port_shape: Sequence[int],
        grid: Sequence[int],
        step: float = 0.15,
        *,
        intensity: str = "log",
        on_first: bool = False,
    ) -> None:
        self._extent = wholes("extent", extent, 2, 1)
        rows, columns = wholes("grid", grid, 2, 1)
        if rows > extent[0] or columns > extent[1]:
            raise ValueError(f"grid is {rows}x{columns}, expected at most the frame's {extent[0]}x{extent[1]}")
        if tuple(port_shape) not in ((2, rows, columns), (2 * rows * columns,)):
            raise ValueError(
                f"port shape is {tuple(port_shape)}, expected {(2, rows, columns)} or {(2 * rows * columns,)}: "
                f"OFF and ON of a {rows}x{columns} grid"
            )
        self._log = choice("intensity", intensity, ("log", "linear")) == "log"
        self._step = positive("step", step)
        self._on_first = flag("on_first", on_first)
        self._cells = rows * columns
        self._top = np.arange(rows) * extent[0] // rows
        self._left = np.arange(columns) * extent[1] // columns
        height = np.diff(self._top, append=extent[0])
        width = np.diff(self._left, append=extent[1])
        self._area = np.outer(height, width).astype(np.float64)
        signature = f"frame {self._extent} {rows}x{columns} {self._step} {intensity} {on_first}"
        self._levels = Levels(self._cells, "first", signature)

    @property
    def counters(self) -> Mapping[str, int]:
        return {"refused": self._levels.refused}

    def encode(self, t: NDArray[np.int64], data: NDArray[Any]) -> Encoded:
        if data.dtype.kind not in "uf" or data.ndim not in (3, 4) or data.shape[1:3] != self._extent:
            raise ValueError(f"frames are {data.dtype}{data.shape}, expected unsigned or float (n, *{self._extent})")
        cells = np.empty((len(data), self._cells), np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            for frame, row in zip(data, cells, strict=True):
                row[:] = self._means(frame).ravel()
        if self._log:
            cells = np.log(np.maximum(cells, 0.0) + _DARK)
        sample, cell, steps = self._levels.cross(cells / self._step)
        channel = (steps > 0) != self._on_first
        return Encoded(t[sample], (channel * self._cells + cell).astype(np.int32), np.abs(steps).astype(np.float32))

    def _means(self, frame: NDArray[Any]) -> NDArray[np.float64]:
        full = float(np.iinfo(frame.dtype).max) if frame.dtype.kind == "u" else 1.0
        sums = np.add.reduceat(frame, self._top, axis=0, dtype=np.int64 if frame.dtype.kind == "u" else np.float64)
        sums = np.add.reduceat(sums, self._left, axis=1)
        if sums.ndim == 3:
            full *= sums.shape[2]
            sums = sums.sum(axis=2)
        means: NDArray[np.float64] = sums / (self._area * full)
        return means

    def reset(self) -> None:
        self._levels.reset()

    def snapshot(self) -> bytes:
        return self._levels.snapshot()

    def restore(self, snapshot: bytes) -> None:
        self._levels.restore(snapshot)

    def hash(self) -> bytes:
        return self._levels.hash()
