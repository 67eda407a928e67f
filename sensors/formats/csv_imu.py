"""Inertial samples as text: time, gyro and accelerometer columns named with their units, as EuRoC and x-io write."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from runtime.core.errors import FormatError
from sensors.formats.csv_events import TIME_NAMES, find_column, time_unit
from sensors.formats.reader import Chunk, TimeOrder, together
from sensors.formats.table import Column, read_blocks
from sensors.formats.units import DEG, STANDARD_GRAVITY

GYRO = re.compile(r"(w_rs_s_|gyro\w*[ _]?|omega[ _])([xyz])")
ACCEL = re.compile(r"(a_rs_s_|acc\w*[ _]?)([xyz])")
SCALES = {
    "gyro": {"rad s^-1": 1.0, "rad/s": 1.0, "deg/s": DEG, "dps": DEG},
    "accel": {"m s^-2": 1.0, "m/s2": 1.0, "m/s^2": 1.0, "g": STANDARD_GRAVITY},
}


class CsvImuReader:
    """Reads one file."""

    format: ClassVar[str] = "csv-imu"
    extent: tuple[int, int] | None = None
    frame_shape: tuple[int, ...] | None = None
    axes = "x,y,z"

    def __init__(self, path: Path, columns: Sequence[Column]) -> None:
        self.path = path
        self.unordered = 0
        self._count = len(columns)
        self._t = find_column(path, columns, TIME_NAMES)
        self._unit = time_unit(path, columns[self._t])
        found = {"gyro": _vector(path, columns, GYRO, "gyro"), "accel": _vector(path, columns, ACCEL, "accel")}
        self._vectors = {stream: vector for stream, vector in found.items() if vector is not None}
        self.streams: tuple[str, ...] = tuple(self._vectors)
        if not self.streams:
            got = ", ".join(column.name for column in columns)
            raise FormatError(path, f"columns are {got[:200]}; expected events (t, x, y, p) or gyro x, y, z", 0)

    def chunks(self, wanted: frozenset[str] | None = None) -> Iterator[Chunk]:
        orders = {stream: TimeOrder() for stream in self.streams}
        for block in read_blocks(self.path, self._count):
            t = block.times(self._t, self._unit)
            parts = {}
            for stream, (columns, scale) in self._vectors.items():
                if wanted is None or stream in wanted:
                    values = np.stack([block.floats(column) for column in columns], axis=1) * scale
                    if float(np.abs(values).max()) > 1e9:
                        raise FormatError(self.path, f"{stream} from line {block.lines[0]} on is beyond 1e9")
                    parts[stream] = orders[stream].mend(t, values.astype(np.float32))
            self.unordered = max(order.unordered for order in orders.values())
            yield from together(parts, max((int(times[-1]) for times, _ in parts.values()), default=0))


def _vector(
    path: Path, columns: Sequence[Column], names: re.Pattern[str], stream: str
) -> tuple[tuple[int, int, int], float] | None:
    """Which columns are x, y and z, and the factor to SI; None where there are none."""
    found = {named[2]: i for i, column in enumerate(columns) if (named := names.fullmatch(column.name))}
    if not found:
        return None
    if set(found) != {"x", "y", "z"}:
        raise FormatError(path, f"{stream} has columns {', '.join(sorted(found))}, expected x, y, z", 0)
    units = {columns[i].unit for i in found.values()}
    if len(units) != 1 or not units <= set(SCALES[stream]):
        raise FormatError(path, f"{stream} is in {sorted(units)}, expected one of {sorted(SCALES[stream])}", 0)
    return (found["x"], found["y"], found["z"]), SCALES[stream][units.pop()]
