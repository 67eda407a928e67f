"""`davis.file`: every stream of a recording of a camera that has events, frames and inertial samples, read once."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from runtime.core.errors import ConfigError
from runtime.core.topic import DVS, TRIGGER, Topic
from sensors.axes import rotation
from sensors.camera_file import frame_topic
from sensors.formats.open import open_events
from sensors.formats.reader import Chunk
from sensors.imu_file import imu_topics, turned
from sensors.playback import Playback, read_streams


class DavisFile(Playback):
    """Publishes `NAME/events`, `frames`, `gyro`, `accel`, `triggers`, as the file has them, and `NAME/segment`."""

    kind: Literal["davis.file"] = "davis.file"
    imu_rate_hz: float | None = Field(None, gt=0)
    frame_rate_hz: float | None = Field(None, gt=0)
    """Promised rates of the file; measured at its beginning where not given."""
    axes: str | None = None
    """Which of the device's axes are forward, left and up; those of the DAVIS, "-z,x,-y", where not given."""
    frame_id: str = ""

    @field_validator("axes")
    @classmethod
    def _rotates(cls, axes: str | None) -> str | None:
        if axes is not None:
            rotation(axes)
        return axes

    @property
    def extensions(self) -> Collection[str]:
        return (".aedat4", ".aedat")

    def topics(self) -> Mapping[str, Topic]:
        path = self.playlist()[0].path
        reader = open_events(path)
        if reader.format not in ("aedat4", "aedat2"):
            raise ConfigError(f"sensors.{self.name}.path: {path} is {reader.format}, expected aedat4 or aedat2")
        topics: dict[str, Topic] = {}
        if "events" in reader.streams:
            topics["events"] = Topic(f"{self.name}/events", DVS, extent=reader.extent, frame_id=self.frame_id)
        topics |= frame_topic(reader, self.name, self.frame_rate_hz, self.speed, self.frame_id)
        topics |= imu_topics(reader, self.name, self.imu_rate_hz, self.speed, self.frame_id)
        if "triggers" in reader.streams:
            topics["triggers"] = Topic(f"{self.name}/triggers", TRIGGER, frame_id=self.frame_id)
        return topics

    def chunks(self, path: Path) -> Iterator[Chunk]:
        reader = open_events(path)
        return turned(read_streams(reader, frozenset(reader.streams)), self.axes or reader.axes)
