"""The text header of Prophesee's files: lines of `% key value` before the first byte of data."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from runtime.core.errors import FormatError

LONGEST_HEADER = 1 << 16

EXTENT_BY_PLUGIN = (("gen31", (480, 640)), ("gen3", (480, 640)), ("gen4", (720, 1280)), ("imx636", (720, 1280)))
"""What older files do not say, but the driver that wrote them knew."""


@dataclass(frozen=True, slots=True)
class Header:
    """Fields by lower-case key, and where the data begins."""

    fields: dict[str, str]
    end: int


def read_header(path: Path) -> Header:
    """The header of a RAW or DAT file. Raises FormatError where there is none."""
    with path.open("rb") as file:
        block = file.read(LONGEST_HEADER)
    fields: dict[str, str] = {}
    at = 0
    while block[at : at + 1] == b"%" and block[at + 1 : at + 2] in (b" ", b"\n"):
        end = block.find(b"\n", at)
        if end < 0:
            raise FormatError(path, "the header has no end", at)
        line = block[at + 1 : end].decode("ascii", "replace").strip()
        at = end + 1
        key, _, value = line.partition(" ")
        fields[key.lower()] = value.strip()
        if key == "end":
            break
    if not fields:
        raise FormatError(path, f"begins with {block[:8]!r}, expected a header of lines '% key value'", 0)
    return Header(fields, at)


def raw_version(path: Path, header: Header) -> str:
    """`2.0` or `3.0`: the encoding of a RAW file."""
    if named := re.match(r"EVT(\d+)", header.fields.get("format", "")):
        return {"2": "2.0", "21": "2.1", "3": "3.0"}.get(named[1], named[1])
    if "evt" in header.fields:
        return header.fields["evt"]
    raise FormatError(path, "the header names no encoding, expected '% evt 3.0' or '% format EVT3'", 0)


def raw_extent(header: Header) -> tuple[int, int] | None:
    """(height, width) of a RAW file's sensor, where the header betrays it."""
    if size := re.match(r"(\d+)x(\d+)$", header.fields.get("geometry", "")):
        return int(size[2]), int(size[1])
    width, height = (re.search(rf"\b{key}=(\d+)", header.fields.get("format", "")) for key in ("width", "height"))
    if width and height:
        return int(height[1]), int(width[1])
    plugin = header.fields.get("plugin_name", "")
    return next((extent for word, extent in EXTENT_BY_PLUGIN if word in plugin), None)
