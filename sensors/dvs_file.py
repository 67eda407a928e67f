"""`dvs.file`: the events of an event camera's recordings, of any format."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from runtime.core.errors import ConfigError
from runtime.core.topic import DVS, Topic
from sensors.formats.open import EXTENSIONS, open_events
from sensors.formats.reader import Chunk, EventReader
from sensors.playback import Playback, read_streams

EVENTS = frozenset({"events"})


class DvsFile(Playback):
    """Publishes `NAME/events` and `NAME/segment`."""

    kind: Literal["dvs.file"] = "dvs.file"
    extent: tuple[int, int] | None = Field(None)
    """(height, width) of the sensor, for formats whose header does not say."""
    frame_id: str = ""

    @property
    def extensions(self) -> Collection[str]:
        return EXTENSIONS

    def topics(self) -> Mapping[str, Topic]:
        reader = self._reader(self.playlist()[0].path)
        if reader.extent is None:
            raise ConfigError(
                f"sensors.{self.name}.extent: {reader.path} does not tell its sensor's size, expected [height, width]"
            )
        return {"events": Topic(f"{self.name}/events", DVS, extent=reader.extent, frame_id=self.frame_id)}

    def chunks(self, path: Path) -> Iterator[Chunk]:
        return read_streams(self._reader(path), EVENTS)

    def _reader(self, path: Path) -> EventReader:
        reader = open_events(path, self.extent)
        if "events" not in reader.streams:
            raise ConfigError(f"sensors.{self.name}.path: {path} holds {', '.join(reader.streams)}, expected events")
        return reader
