"""From a file to a running engine in one call."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nets.dialect import resolve
from nets.engine import Engine
from nets.nir import read


def load(path: Path | str, dialect: Mapping[str, Any] | None = None, dtype: Any = np.float32, t0: int = 0) -> Engine:
    """Read a .nir file and compile it under the dialect that the caller, its sidecar or the file itself states."""
    graph = read(path)
    return Engine(graph, resolve(graph, path, dialect), dtype=dtype, t0=t0)
