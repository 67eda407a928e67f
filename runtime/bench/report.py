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


Check = tuple[str, float, str, float]
"""What, the figure, whether it must be "at most" or "at least", of what."""


def judged(checks: Sequence[Check], form: str = ".3g") -> tuple[str, tuple[str, ...]]:
    """(lines for people, those missed)."""
    lines, missed = [], []
    for what, figure, side, bound in checks:
        met = figure <= bound if side == "at most" else figure >= bound
        line = f"{what}: {figure:{form}} ({side} {bound:g})"
        lines.append(f"{line}: {'met' if met else 'MISSED'}")
        if not met:
            missed.append(line)
    return "\n".join(lines), tuple(missed)


def targets(checks: list[tuple[str, float, float]]) -> tuple[str, tuple[str, ...]]:
    """`judged`, of checks (what, figure, most it may be)."""
    return judged([(what, figure, "at most", most) for what, figure, most in checks], ".2f")
