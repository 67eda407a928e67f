"""What a benchmark hands back: text for people, plain values for programs, and the targets it missed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Say = Callable[[str], None]
"""Takes one line about how far a benchmark has come."""


@dataclass(frozen=True, slots=True)
class Report:
    """The result of one benchmark."""

    name: str
    text: str
    data: dict[str, Any]
    missed: tuple[str, ...] = ()
    """The targets that were not met, each with the figure and the bound."""


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Columns of text: the first to the left, the others to the right."""
    columns = zip(head, *rows, strict=True)
    padded = [
        [cell.rjust(width) if number else cell.ljust(width) for cell in column]
        for number, column in enumerate(columns)
        for width in (max(map(len, column)),)
    ]
    return "\n".join("  ".join(line).rstrip() for line in zip(*padded, strict=True))


def targets(checks: list[tuple[str, float, float]]) -> tuple[str, tuple[str, ...]]:
    """(lines for people, those missed) of checks (what, figure, most it may be)."""
    lines, missed = [], []
    for what, figure, most in checks:
        met = figure <= most
        line = f"{what}: {figure:.2f} (at most {most:g})"
        lines.append(f"{line}: {'met' if met else 'MISSED'}")
        if not met:
            missed.append(line)
    return "\n".join(lines), tuple(missed)
