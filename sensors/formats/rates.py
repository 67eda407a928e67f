"""How often a file's streams measure, from its beginning."""

from __future__ import annotations

import numpy as np

from sensors.formats.images import ImageFolderReader
from sensors.formats.reader import EventReader

ENOUGH = {"gyro": 65, "accel": 65, "frames": 9}


def measured_rates(reader: EventReader, streams: frozenset[str]) -> dict[str, float]:
    """Hz by stream: one over the median interval of its first items. Streams of a single item have none."""
    times: dict[str, list[int]] = {stream: [] for stream in streams}
    if isinstance(reader, ImageFolderReader):
        times = {"frames": reader.times}
        streams = frozenset()
    for chunk in reader.chunks(streams):
        seen = times[chunk.stream]
        seen.extend(int(t) for t in chunk.t[: ENOUGH[chunk.stream] - len(seen)])
        if all(len(seen) >= ENOUGH[stream] for stream, seen in times.items()):
            break
    rates = {}
    for stream, seen in times.items():
        interval = float(np.median(np.diff(seen))) if len(seen) > 1 else 0.0
        if interval > 0:
            rates[stream] = round(1e9 / interval, 1)
    return rates
