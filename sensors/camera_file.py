"""`camera.file`: the frames of AEDAT 4 recordings or of folders of images."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from runtime.core.errors import ConfigError
from runtime.core.topic import Topic
from sensors.formats.images import EXTENSIONS, ImageFolderReader
from sensors.formats.open import open_events
from sensors.formats.rates import measured_rates
from sensors.formats.reader import Chunk, EventReader
from sensors.playback import Playback, read_streams
from sensors.playlist import Track

FRAMES = frozenset({"frames"})


class CameraFile(Playback):
    """Publishes `NAME/frames` (`u1 (h, w)` or `(h, w, 3)`) and `NAME/segment`. A folder of images is one file."""

    kind: Literal["camera.file"] = "camera.file"
    rate_hz: float | None = Field(None, gt=0)
    """The promised rate of the file, and the rate of images that nothing stamps; measured where not given."""
    frame_id: str = ""

    @property
    def extensions(self) -> Collection[str]:
        return (".aedat4",)

    def playlist(self) -> tuple[Track, ...]:
        if self.path.is_dir():
            inside = (self.path, self.path / "data")
            if any(f.suffix.lower() in EXTENSIONS for d in inside if d.is_dir() for f in d.iterdir()):
                return (Track(self.path, -1, ""),)
        return super().playlist()

    def topics(self) -> Mapping[str, Topic]:
        return frame_topic(self._reader(self.playlist()[0].path), self.name, self.rate_hz, self.speed, self.frame_id)

    def chunks(self, path: Path) -> Iterator[Chunk]:
        return read_streams(self._reader(path), FRAMES)

    def _reader(self, path: Path) -> EventReader:
        reader = ImageFolderReader(path, self.rate_hz) if path.is_dir() else open_events(path)
        if "frames" not in reader.streams:
            raise ConfigError(f"sensors.{self.name}.path: {path} holds {', '.join(reader.streams)}, expected frames")
        return reader


def frame_topic(reader: EventReader, name: str, rate_hz: float | None, speed: float, frame_id: str) -> dict[str, Topic]:
    """The topic of a file's frames, by stream; none where it has no frames."""
    shape = reader.frame_shape
    if "frames" not in reader.streams or shape is None:
        return {}
    if rate_hz is None:
        rate_hz = measured_rates(reader, FRAMES).get("frames")
    promised = None if rate_hz is None else rate_hz * speed
    dtype = np.dtype(("u1", shape))
    return {"frames": Topic(f"{name}/frames", dtype, "1", promised, (shape[0], shape[1]), frame_id)}
