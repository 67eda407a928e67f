"""From a file to a running engine in one call."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from nets.dialect import resolve
from nets.engine import Engine
from nets.errors import UnsupportedError
from nets.nir import read

if TYPE_CHECKING:
    from nets.continuous.engine import ContinuousEngine


@overload
def load(
    path: Path | str,
    dialect: Mapping[str, Any] | None = None,
    dtype: Any = np.float32,
    t0: int = 0,
    mode: Literal["tick"] = "tick",
) -> Engine: ...
@overload
def load(
    path: Path | str, dialect: Mapping[str, Any] | None = None, dtype: Any = np.float32, t0: int = 0, *, mode: str
) -> Engine | ContinuousEngine: ...
def load(
    path: Path | str,
    dialect: Mapping[str, Any] | None = None,
    dtype: Any = np.float32,
    t0: int = 0,
    mode: str = "tick",
) -> Engine | ContinuousEngine:
    """Read a .nir file and compile it under the dialect that the caller, its sidecar or the file itself states.

    `mode` is "tick", the grid the network was trained on, or "continuous", where every event acts at its nanosecond.
    """
    if mode not in ("tick", "continuous"):
        raise UnsupportedError(f"mode is {mode!r}, expected 'tick' or 'continuous'")
    graph = read(path)
    resolved = resolve(graph, path, dialect)
    if mode == "continuous":
        from nets.continuous.engine import ContinuousEngine  # most robots run in ticks

        return ContinuousEngine(graph, resolved, dtype=dtype, t0=t0)
    return Engine(graph, resolved, dtype=dtype, t0=t0)
