"""From a file to a running engine in one call."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload

import numpy as np

from nets.dialect import resolve
from nets.engine import Engine
from nets.errors import UnsupportedError
from nets.nir import read
from nets.sigma_delta.node import SigmaDelta
from nets.thresholds import DEFAULT, Thresholds

if TYPE_CHECKING:
    from nets.continuous.engine import ContinuousEngine
    from nets.sigma_delta.engine import SigmaDeltaEngine

AnyEngine: TypeAlias = "Engine | ContinuousEngine | SigmaDeltaEngine"
MODES = ("tick", "continuous", "sigma-delta")


@overload
def load(
    path: Path | str,
    dialect: Mapping[str, Any] | None = None,
    dtype: Any = np.float32,
    t0: int = 0,
    mode: Literal["tick"] = "tick",
    thresholds: Thresholds = DEFAULT,
) -> Engine: ...
@overload
def load(
    path: Path | str,
    dialect: Mapping[str, Any] | None = None,
    dtype: Any = np.float32,
    t0: int = 0,
    *,
    mode: str,
    thresholds: Thresholds = DEFAULT,
) -> AnyEngine: ...
def load(
    path: Path | str,
    dialect: Mapping[str, Any] | None = None,
    dtype: Any = np.float32,
    t0: int = 0,
    mode: str = "tick",
    thresholds: Thresholds = DEFAULT,
) -> AnyEngine:
    """Read a .nir file and compile it under the dialect that the caller, its sidecar or the file itself states.

    `mode` is "tick", the grid the network was trained on, or "continuous", where every event acts at its nanosecond; a
    sigma-delta network has its own.
    `thresholds` are the tick's: continuous mode has none.
    """
    if mode not in MODES:
        raise UnsupportedError(f"mode is {mode!r}, expected one of {', '.join(MODES)}")
    graph = read(path)
    if bool(graph.of_kind(SigmaDelta)) != (mode == "sigma-delta"):
        holds, other = ("a", "sigma-delta") if mode != "sigma-delta" else ("no", "tick")
        raise UnsupportedError(f"mode is {mode!r}, but {path} is {holds} sigma-delta network: expected {other!r}")
    if mode == "sigma-delta":
        from nets.sigma_delta.engine import UNSTATED, SigmaDeltaEngine  # a robot runs one of the three

        return SigmaDeltaEngine(graph, resolve(graph, path, UNSTATED | dict(dialect or {})), dtype=dtype, t0=t0)
    resolved = resolve(graph, path, dialect)
    if mode == "continuous":
        from nets.continuous.engine import ContinuousEngine

        return ContinuousEngine(graph, resolved, dtype=dtype, t0=t0)
    return Engine(graph, resolved, dtype=dtype, t0=t0, thresholds=thresholds)
