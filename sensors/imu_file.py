"""`imu.file`: gyro and accelerometer of recordings (AEDAT 4 and 2, or text as EuRoC and x-io write it)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from runtime.core.errors import ConfigError
from runtime.core.topic import VECTOR3, Topic
from sensors.axes import mapped, rotation
from sensors.formats.open import open_events
from sensors.formats.rates import measured_rates
from sensors.formats.reader import Chunk, EventReader
from sensors.playback import Playback, read_streams

VECTORS = frozenset({"gyro", "accel"})
UNITS = {"gyro": "rad/s", "accel": "m/s2"}


class ImuFile(Playback):
    """Publishes `NAME/gyro`, `NAME/accel` where the file has one, and `NAME/segment`."""

    kind: Literal["imu.file"] = "imu.file"
    rate_hz: float | None = Field(None, gt=0)
    """The promised rate of the file; measured at its beginning where not given."""
    axes: str | None = None
    """Which of the device's axes are forward, left and up, as in "-z,x,-y"; the format's own where not given."""
    frame_id: str = "imu"

    @field_validator("axes")
    @classmethod
    def _rotates(cls, axes: str | None) -> str | None:
        if axes is not None:
            rotation(axes)
        return axes

    @property
    def extensions(self) -> Collection[str]:
        return (".csv", ".aedat", ".aedat4")

    def topics(self) -> Mapping[str, Topic]:
        reader = self._reader(self.playlist()[0].path)
        return imu_topics(reader, self.name, self.rate_hz, self.speed, self.frame_id)

    def chunks(self, path: Path) -> Iterator[Chunk]:
        reader = self._reader(path)
        return turned(read_streams(reader, VECTORS), self.axes or reader.axes)

    def _reader(self, path: Path) -> EventReader:
        reader = open_events(path)
        if VECTORS.isdisjoint(reader.streams):
            raise ConfigError(
                f"sensors.{self.name}.path: {path} holds {', '.join(reader.streams)}, expected gyro or accel"
            )
        return reader


def imu_topics(reader: EventReader, name: str, rate_hz: float | None, speed: float, frame_id: str) -> dict[str, Topic]:
    """Topics of the inertial streams a file has, by stream."""
    streams = tuple(stream for stream in ("gyro", "accel") if stream in reader.streams)
    rates = measured_rates(reader, frozenset(streams)) if rate_hz is None and streams else {}
    topics: dict[str, Topic] = {}
    for stream in streams:
        rate = rates.get(stream) if rate_hz is None else rate_hz
        promised = None if rate is None else rate * speed
        topics[stream] = Topic(f"{name}/{stream}", VECTOR3, UNITS[stream], promised, frame_id=frame_id)
    return topics


def turned(chunks: Iterator[Chunk], axes: str) -> Iterator[Chunk]:
    """The chunks with their vectors in REP-103 axes."""
    matrix = rotation(axes) if axes else None
    for chunk in chunks:
        if matrix is not None and chunk.stream in VECTORS:
            chunk = chunk._replace(data=mapped(chunk.data, matrix))
        yield chunk
