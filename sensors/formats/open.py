"""Choose the reader of a file by its first bytes, and by its extension where a format has no header."""

from __future__ import annotations

from pathlib import Path

from runtime.core.errors import FormatError
from sensors.formats import aedat2, aedat4, es, prophesee
from sensors.formats.csv_events import CsvEventReader
from sensors.formats.csv_imu import CsvImuReader
from sensors.formats.dat import DatReader
from sensors.formats.evt2 import Evt2Reader
from sensors.formats.evt3 import Evt3Reader
from sensors.formats.nmnist import NMnistReader
from sensors.formats.reader import EventReader
from sensors.formats.table import read_columns

EXTENSIONS = frozenset({".aedat", ".aedat4", ".raw", ".dat", ".es", ".csv", ".bin", ".bs2"})


def open_events(path: Path | str, extent: tuple[int, int] | None = None) -> EventReader:
    """A reader of the file; `extent` is for formats whose header does not say it.

    Raises FormatError for what no format fits, OSError for what cannot be opened.
    """
    path = Path(path)
    if not path.is_file():
        raise FormatError(path, "no such file")
    with path.open("rb") as file:
        head = file.read(64)
    if not head:
        raise FormatError(path, "the file is empty", 0)
    if head.startswith(aedat4.MAGIC):
        return aedat4.Aedat4Reader(path)
    if head.startswith(aedat2.MAGIC):
        return aedat2.Aedat2Reader(path)
    if head.startswith(es.MAGIC):
        return es.EsReader(path)
    if head.startswith(b"%"):
        return _open_prophesee(path, extent)
    if path.suffix.lower() == ".csv":
        return _open_table(path, extent)
    if path.suffix in (".bin", ".bs2"):
        return NMnistReader(path) if extent is None else NMnistReader(path, extent)
    raise FormatError(path, f"neither its first bytes {head[:8]!r} nor its extension {path.suffix!r} are known", 0)


def _open_table(path: Path, extent: tuple[int, int] | None) -> EventReader:
    columns = read_columns(path)
    if {"x", "y"} <= {column.name for column in columns}:
        return CsvEventReader(path, columns, extent)
    return CsvImuReader(path, columns)


def _open_prophesee(path: Path, extent: tuple[int, int] | None) -> EventReader:
    header = prophesee.read_header(path)
    if path.suffix == ".dat":
        return DatReader(path, header, extent)
    version, size = prophesee.raw_version(path, header), prophesee.raw_extent(header) or extent
    if version == "2.0":
        return Evt2Reader(path, header, size)
    if version == "3.0":
        return Evt3Reader(path, header, size)
    raise FormatError(path, f"encoding EVT {version}, expected 2.0 or 3.0", 0)
