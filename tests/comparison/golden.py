"""Golden networks: what simulators exported to NIR and did with it, small enough to stand in the repository.

One xz-compressed .npz for all: per case the .nir file as bytes, the dialect as JSON, the first ticks of the input and
of every layer's spikes as (tick, index, count).
"""

from __future__ import annotations

import io
import json
import lzma
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
TICKS = 100


@dataclass(frozen=True)
class Golden:
    nir: bytes
    dialect: dict[str, Any]
    x: Array
    """(TICKS, *input shape)."""
    spikes: list[Array]
    """(TICKS, layer size) each."""


def store(path: Path, cases: dict[str, Golden]) -> None:
    """Write all golden networks into one file."""
    columns: dict[str, Any] = {}
    for name, case in cases.items():
        columns[f"{name}/nir"] = np.frombuffer(case.nir, np.uint8)
        columns[f"{name}/dialect"] = np.frombuffer(json.dumps(case.dialect).encode(), np.uint8)
        columns[f"{name}/shape"] = np.array(case.x.shape[1:], np.int64)
        columns[f"{name}/x"] = _sparse(case.x[:TICKS])
        columns[f"{name}/sizes"] = np.array([layer[0].size for layer in case.spikes], np.int64)
        for k, layer in enumerate(case.spikes):
            columns[f"{name}/spikes{k}"] = _sparse(layer[:TICKS])
    buffer = io.BytesIO()
    np.savez(buffer, **columns)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(lzma.compress(buffer.getvalue(), preset=9 | lzma.PRESET_EXTREME))


def load(path: Path) -> dict[str, Golden]:
    """The golden networks by name."""
    with np.load(io.BytesIO(lzma.decompress(path.read_bytes()))) as file:
        names = sorted({key.rpartition("/")[0] for key in file.files})
        return {
            name: Golden(
                file[f"{name}/nir"].tobytes(),
                json.loads(file[f"{name}/dialect"].tobytes()),
                _dense(file[f"{name}/x"], int(np.prod(file[f"{name}/shape"]))).reshape(TICKS, *file[f"{name}/shape"]),
                [_dense(file[f"{name}/spikes{k}"], int(size)) for k, size in enumerate(file[f"{name}/sizes"])],
            )
            for name in names
        }


def _sparse(layer: Array) -> Array:
    flat = layer.reshape(len(layer), -1)
    tick, index = np.nonzero(flat)
    return np.stack([np.diff(tick, prepend=0), index, flat[tick, index]]).astype(np.uint16)


def _dense(rows: Array, size: int) -> Array:
    found = np.zeros((TICKS, size), np.float32)
    found[np.cumsum(rows[0].astype(np.int64)), rows[1]] = rows[2]
    return found
