"""The engine's own error tree.

    NetsError
    ├── GraphError (ValueError)         a graph is impossible: shapes, parameters, edges, cycles
    ├── NirError (ValueError)           a NIR file is not what it says it is; carries the path
    ├── DialectError (ValueError)       the discretisation is unknown, contradictory or not stated
    ├── UnsupportedError (ValueError)   a legal graph holds what this engine does not run
    ├── FeedError (ValueError)          input events break the port's contract
    └── SnapshotError (ValueError)      a snapshot is damaged or belongs to another program

A message says what, which, got, expected. An error leaves the engine's state as it was.
"""

from __future__ import annotations

from pathlib import Path


class NetsError(Exception):
    """Root of every error the engine raises on purpose."""


class GraphError(NetsError, ValueError):
    """The graph is impossible."""


class NirError(NetsError, ValueError):
    """A NIR file is not what it says it is."""

    def __init__(self, path: Path | str, problem: str) -> None:
        self.path = Path(path)
        self.problem = problem
        super().__init__(f"{self.path}: {problem}")


class DialectError(NetsError, ValueError):
    """The discretisation is unknown, contradictory or not stated."""


class UnsupportedError(NetsError, ValueError):
    """A legal graph holds what this engine does not run."""


class FeedError(NetsError, ValueError):
    """Input events break the port's contract."""


class SnapshotError(NetsError, ValueError):
    """A snapshot is damaged or belongs to another program."""
