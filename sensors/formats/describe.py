"""What is in an event file: the whole of it is decoded once, in bounded memory, and counted."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sensors.formats.images import ImageFolderReader
from sensors.formats.open import open_events
from sensors.formats.reader import Chunk

PEAK_WINDOW_S = 0.01


def describe_file(path: Path | str, extent: tuple[int, int] | None = None) -> dict[str, Any]:
    """Format, size, extent and, per stream, counts, first time, duration, mean and peak rate (over 10 ms).

    Raises FormatError where the file is damaged.
    """
    path = Path(path)
    reader = ImageFolderReader(path, None) if path.is_dir() else open_events(path, extent)
    tallies = {stream: _Tally() for stream in reader.streams}
    for chunk in reader.chunks():
        tallies[chunk.stream].add(chunk)
    return {
        "path": str(path),
        "format": reader.format,
        "bytes": path.stat().st_size if path.is_file() else None,
        "extent": None if reader.extent is None else list(reader.extent),
        "frame_shape": None if reader.frame_shape is None else list(reader.frame_shape),
        "unordered": reader.unordered,
        "streams": {stream: tally.summary() for stream, tally in tallies.items() if tally.count},
    }


@dataclass
class _Tally:
    """Counts of one stream."""

    count: int = 0
    on: int | None = None
    first: int = 0
    last: int = 0
    peak: int = 0
    largest: list[int] = field(default_factory=lambda: [0, 0])
    _window: tuple[int, int] = (-1, 0)

    def add(self, chunk: Chunk) -> None:
        if not len(chunk.t):
            return
        if not self.count:
            self.first = int(chunk.t[0])
        self.count += len(chunk.t)
        self.last = int(chunk.t[-1])
        windows, counts = np.unique((chunk.t - self.first) // round(PEAK_WINDOW_S * 1e9), return_counts=True)
        if int(windows[0]) == self._window[0]:
            counts[0] += self._window[1]
        self._window = int(windows[-1]), int(counts[-1])
        self.peak = max(self.peak, int(counts.max()))
        if chunk.stream == "events":
            self.on = (self.on or 0) + int(np.count_nonzero(chunk.data["on"]))
            self.largest = [max(self.largest[i], int(chunk.data[axis].max())) for i, axis in enumerate("yx")]

    def summary(self) -> dict[str, Any]:
        duration_s = (self.last - self.first) / 1e9
        summary: dict[str, Any] = {
            "count": self.count,
            "first_ns": self.first,
            "duration_s": duration_s,
            "rate_hz": self.count / duration_s if duration_s > 0 else None,
            "peak_rate_hz": self.peak / PEAK_WINDOW_S,
        }
        if self.on is not None:
            summary["on_fraction"] = self.on / self.count
            summary["largest_address"] = {"y": self.largest[0], "x": self.largest[1]}
        return summary
