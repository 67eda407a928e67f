"""A playlist: the files of a folder in natural order, with the labels a table beside them gives."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from runtime.core.errors import ConfigError, FormatError

LABELS = "labels.tsv"


@dataclass(frozen=True, slots=True)
class Track:
    """One file of a playlist; `label` is -1 where no table tells."""

    path: Path
    label: int
    split: str


def read_playlist(path: Path, extensions: Collection[str], field: str, split: str | None = None) -> tuple[Track, ...]:
    """The file itself, or every file of the folder with one of the extensions, `2.bs2` before `10.bs2`.

    With `split`, only those the table puts there. `field` names the configuration field in errors.
    """
    if path.is_file():
        files = [path]
    elif path.is_dir():
        files = sorted(
            (
                f
                for f in path.iterdir()
                if f.suffix.lower() in extensions and f.is_file() and not f.name.startswith(".")
            ),
            key=natural,
        )
        if not files:
            raise ConfigError(f"{field}: folder {path} holds no file ending in {', '.join(sorted(extensions))}")
    else:
        raise ConfigError(f"{field}: {path} is neither a file nor a folder")
    labels = read_labels(files[0].parent)
    tracks = tuple(Track(file, *labels.get(file.stem, (-1, ""))) for file in files)
    if split is None:
        return tracks
    chosen = tuple(track for track in tracks if track.split == split)
    if not chosen:
        known = sorted({track.split for track in tracks})
        raise ConfigError(f"{field}: no file of {path} is in split {split!r}, expected one of {known}")
    return chosen


def natural(path: Path) -> list[tuple[int, str]]:
    """A sort key in which digits count as numbers."""
    return [
        (int(part), "") if part.isascii() and part.isdigit() else (-1, part)
        for part in re.split(r"([0-9]+)", path.name)
    ]


def read_labels(folder: Path) -> dict[str, tuple[int, str]]:
    """`{id: (label, split)}` from the folder's or its parent's `labels.tsv`; empty where there is none."""
    table = next((t for t in (folder / LABELS, folder.parent / LABELS) if t.is_file()), None)
    if table is None:
        return {}
    labels: dict[str, tuple[int, str]] = {}
    with table.open(newline="", encoding="utf-8") as lines:
        rows = csv.DictReader(lines, delimiter="\t")
        if not {"id", "label"} <= set(rows.fieldnames or ()):
            raise FormatError(table, f"columns are {rows.fieldnames}, expected id, label and perhaps split", 0)
        for number, row in enumerate(rows, 2):
            try:
                labels[row["id"]] = (int(row["label"]), row.get("split") or "")
            except (TypeError, ValueError):
                raise FormatError(table, f"line {number}: label is {row['label']!r}, expected an integer") from None
    return labels
