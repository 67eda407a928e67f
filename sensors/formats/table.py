"""Tables as text: comma-separated columns under a header that names each and its unit, read in blocks of lines.

`t [us]`, `Time (s)`, `t_ns` and `#timestamp [ns]` are ways to name a column with its unit. Times become int64 ns
without passing through floating point.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, DecimalException
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from runtime.core.errors import FormatError

TIME_NS = {"ns": 1, "us": 1000, "µs": 1000, "ms": 1_000_000, "s": 1_000_000_000}
BLOCK_BYTES = 1 << 17
LONGEST_LINE = 1 << 11
LAST_NS = 2**62


class Column(NamedTuple):
    """The lower-case name of a column and its unit; empty where none is given."""

    name: str
    unit: str


@dataclass(frozen=True, slots=True)
class Block:
    """Some rows, column by column, as text, with the numbers of their lines."""

    path: Path
    lines: Sequence[int]
    columns: Sequence[Sequence[str]]

    def integers(self, column: int) -> NDArray[np.int64]:
        return self._parsed(column, np.int64)

    def floats(self, column: int) -> NDArray[np.float64]:
        values = self._parsed(column, np.float64)
        if not np.isfinite(values).all():
            line = self.lines[int(np.argmin(np.isfinite(values)))]
            raise FormatError(self.path, f"line {line}: column {column + 1} is not finite")
        return values

    def times(self, column: int, unit: str) -> NDArray[np.int64]:
        """Times in ns."""
        scale, ns = TIME_NS[unit], np.empty(len(self.columns[column]), np.int64)
        for i, text in enumerate(self.columns[column]):
            try:
                t = int(text) * scale if text.isdecimal() else _exact(text, scale)
            except (ValueError, DecimalException):
                t = LAST_NS
            if not -LAST_NS < t < LAST_NS:
                raise FormatError(self.path, f"line {self.lines[i]}: {text[:40]!r} is not a time in {unit}")
            ns[i] = t
        return ns

    def _parsed(self, column: int, dtype: type) -> NDArray[Any]:
        texts = self.columns[column]
        try:
            return np.array(texts).astype(dtype)
        except (ValueError, OverflowError):
            bad = next((i for i, text in enumerate(texts) if not _parses(text, dtype)), 0)
            raise FormatError(
                self.path, f"line {self.lines[bad]}: column {column + 1} is {texts[bad][:40]!r}, expected a number"
            ) from None


def read_columns(path: Path) -> tuple[Column, ...]:
    """The header: the first line."""
    with path.open("rb") as file:
        line = file.readline(LONGEST_LINE)
    if not line.endswith(b"\n"):
        raise FormatError(path, "the first line has no end, expected the names of the columns", 0)
    columns = tuple(_column(text) for text in line.decode("utf-8-sig", "replace").strip().lstrip("#").split(","))
    if not any(re.search("[a-z]", column.name) for column in columns):
        raise FormatError(path, "the first line names no columns, expected something like 't [us],x,y,p'", 0)
    return columns


def read_blocks(path: Path, count: int) -> Iterator[Block]:
    """Rows of `count` columns after the header; empty lines and lines that begin with # are skipped."""
    with path.open("rb") as file:
        offset = len(file.readline(LONGEST_LINE))
        number, rest = 2, b""
        while block := file.read(BLOCK_BYTES):
            *lines, rest = (rest + block).split(b"\n")
            if len(rest) > LONGEST_LINE:
                raise FormatError(path, f"line {number + len(lines)} is longer than {LONGEST_LINE} bytes")
            yield from _block(path, lines, number, count, offset)
            number += len(lines)
            offset += sum(map(len, lines)) + len(lines)
        yield from _block(path, [rest], number, count, offset)


def _block(path: Path, lines: Sequence[bytes], first: int, count: int, offset: int) -> Iterator[Block]:
    """The lines as one block, or none where they hold no rows."""
    rows, numbers = [], []
    for number, line in enumerate(lines, first):
        if len(line) > LONGEST_LINE:
            raise FormatError(path, f"line {number} is longer than {LONGEST_LINE} bytes", offset)
        text = line.decode("utf-8", "replace").strip()
        if text and not text.startswith("#"):
            row = text.split(",")
            if len(row) != count:
                raise FormatError(path, f"line {number} has {len(row)} columns, expected {count}", offset)
            rows.append(row)
            numbers.append(number)
        offset += len(line) + 1
    if rows:
        yield Block(path, numbers, tuple(zip(*rows, strict=True)))


def _column(text: str) -> Column:
    text = text.strip().lower()
    if named := re.fullmatch(r"(.*?)\s*[\[(]\s*(.*?)\s*[\])]", text):
        return Column(named[1], named[2])
    if named := re.fullmatch(r"(.+)_(ns|us|µs|ms|s)", text):
        return Column(named[1], named[2])
    return Column(text, "")


def _exact(text: str, scale: int) -> int:
    value = Decimal(text)
    if not value.is_finite() or abs(value.adjusted()) > 30:
        if value == 0:
            return 0
        raise ValueError(text)
    return round(value * scale)


def _parses(text: str, dtype: type) -> bool:
    try:
        np.array([text]).astype(dtype)
    except (ValueError, OverflowError):
        return False
    return True
