"""A folder of images as frames: stamped by a table beside them, by their names, or by a rate.

The EuRoC layout is `cam0/data.csv` (time in ns, file name) with `cam0/data/*.png`; either folder may be given. Without
a table, names of at least 16 digits are ns since the epoch; others follow each other at `rate_hz`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from runtime.core.errors import FormatError
from sensors.formats.csv_events import TIME_NAMES, find_column, time_unit
from sensors.formats.reader import Chunk
from sensors.formats.table import read_blocks, read_columns
from sensors.playlist import natural

EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".pgm", ".ppm"})
TABLE = "data.csv"
MOST_PIXELS = 64 << 20


class ImageFolderReader:
    """Reads the images of one folder in the order of their times."""

    format: ClassVar[str] = "images"
    streams: tuple[str, ...] = ("frames",)
    extent: tuple[int, int] | None = None
    axes = ""

    def __init__(self, path: Path, rate_hz: float | None) -> None:
        self.path = path
        self.unordered = 0
        self._stamped = _stamped(path, rate_hz)
        self.frame_shape: tuple[int, ...] | None = read_image(self._stamped[0][1]).shape

    @property
    def times(self) -> list[int]:
        """The stamps in ns."""
        return [t for t, _ in self._stamped]

    def chunks(self, wanted: frozenset[str] | None = None) -> Iterator[Chunk]:
        if wanted is not None and "frames" not in wanted:
            return
        for t, path in self._stamped:
            image = read_image(path)
            if image.shape != self.frame_shape:
                raise FormatError(path, f"image of shape {image.shape}, the first was {self.frame_shape}", 0)
            yield Chunk("frames", np.array([t]), image[None], t)


def read_image(path: Path) -> NDArray[np.uint8]:
    """Pixels `(h, w)` for grey images, `(h, w, 3)` red first for all others."""
    try:
        with Image.open(path) as image:
            if image.width * image.height > MOST_PIXELS:
                raise FormatError(path, f"{image.width}x{image.height}, expected at most {MOST_PIXELS} pixels", 0)
            if image.mode.startswith("I;16"):
                return (np.asarray(image) >> 8).astype(np.uint8)
            return np.asarray(image.convert("L" if image.mode in ("L", "1", "LA") else "RGB"), np.uint8)
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError, Warning) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(path, f"not an image that can be read: {error}", 0) from None


def _stamped(folder: Path, rate_hz: float | None) -> list[tuple[int, Path]]:
    images = folder / "data" if (folder / "data").is_dir() and (folder / TABLE).is_file() else folder
    table = next((t for t in (folder / TABLE, folder.parent / TABLE) if t.is_file() and images.name == "data"), None)
    if table is not None:
        return _from_table(table, images)
    files = [f for f in images.iterdir() if f.suffix.lower() in EXTENSIONS and f.is_file()]
    if not files:
        raise FormatError(folder, f"holds no image ending in {', '.join(sorted(EXTENSIONS))}")
    if all(f.stem.isascii() and f.stem.isdecimal() and 16 <= len(f.stem) <= 19 for f in files):
        return sorted((int(f.stem), f) for f in files)
    if rate_hz is None:
        raise FormatError(folder, "neither a table nor the names stamp the images: set rate_hz")
    return [(round(i * 1e9 / rate_hz), f) for i, f in enumerate(sorted(files, key=natural))]


def _from_table(table: Path, images: Path) -> list[tuple[int, Path]]:
    columns = read_columns(table)
    t_column, name_column = find_column(table, columns, TIME_NAMES), find_column(table, columns, ("filename", "file"))
    stamped: list[tuple[int, Path]] = []
    for block in read_blocks(table, len(columns)):
        times = block.times(t_column, time_unit(table, columns[t_column]))
        for t, name in zip(times, block.columns[name_column], strict=True):
            stamped.append((int(t), images / Path(name.strip()).name))
    listed = sorted(entry for entry in stamped if entry[1].is_file())
    if not listed:
        raise FormatError(table, f"lists no image that is in {images}")
    return listed
