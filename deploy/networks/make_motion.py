"""Writes `motion.nir`: where in the picture something moves, in nine bearings from left to right, corrected by yaw.

Everything is designed by hand; nothing is trained. Two inputs, a layer of leaky detectors, a layer of leaky bearings:

    eye (2, 13, 18)  --weigh_eye-----------\\
                                            detect (20) --weigh_bearing--> bearing (9) --> output (9)
    vestibular (6)   --weigh_vestibular----/

`eye` is a 346x260 event camera downscaled by 20: ceil(260/20) = 13 rows, ceil(346/20) = 18 columns, OFF then ON.
`vestibular` is a gyro's level crossings in REP-103 axes (x forward, y left, z up): index 2 * axis for up, + 1 for down,
so 4 says that the turn to the left grew by a step, 5 that it shrank. A step of 0.05 rad/s is meant: a resting MEMS gyro
(noise 0.002 rad/s, bias 0.013 rad/s) then sends nothing.

A spike moves a potential by its weight, which then leaks with tau = 50 ms; the threshold is 1. NIR's LIF has
tau dv/dt = (v_leak - v) + r I, so with r = tau / dt a spike held for one tick of dt = 1 ms moves v by just the weight.

Detectors 0..17, one a column. Polarity and row do not matter to "something moves here", so all 26 cells of a column
weigh the same: 0.05, and 0.02 for those of the next column on either side, so that an edge passing a column border is
not lost. A detector fires once its column has had 20 events within its memory of 50 ms: 400 events/s. Noise (measured
on a street: about 10 events/s a column) takes it to 0.05 and never fires it. A passing vehicle (5,000 events/s a
column) makes it fire at 400 to 770 Hz, below the ceiling of one spike a tick, so busier still means faster.

When the head turns, every edge of the scene moves and the eye reports motion everywhere. As in saccadic suppression,
each step of rotation about any axis therefore takes 0.25 from every detector: five events' worth.

Detectors 18 and 19 relay the turn itself: growing to the left, growing to the right; each step fires the one and
restrains the other (weights 1 and -1). They say how the turn changes, not how fast it is: a leaky unit fed by level
crossings is phasic, as most canal afferents are, and a steady turn passes unnoticed after 50 ms.

Bearings 0..8 from left to right, two columns each. +0.10 from the own columns and -0.02 from all others: a bearing
fires only where its columns together are busier than a fifth of all the rest, so the busiest place stands out and
motion everywhere cancels (2 * 0.10 - 16 * 0.02 < 0). Yaw corrects them as the vestibulo-ocular reflex does: a turn to
the left carries the scene to the right, so relay 18 adds 0.3 * (k - 4) / 4 to bearing k and relay 19 the opposite.

Usage: python make_motion.py [FILE]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

ROWS, COLUMNS = 13, 18
BEARINGS = 9
TAU_S, DT_S = 0.05, 1e-3
YAW_UP, YAW_DOWN = 4, 5

Array = NDArray[np.float32]


def weigh_eye() -> Array:
    """(20, 468): from polarity, row, column to the detectors; nothing to the relays."""
    distance = np.abs(np.subtract.outer(np.arange(COLUMNS), np.arange(COLUMNS)))
    by_column = np.select([distance == 0, distance == 1], [0.05, 0.02], 0.0)
    weight = np.zeros((COLUMNS + 2, 2, ROWS, COLUMNS), np.float32)
    weight[:COLUMNS] = by_column[:, None, None, :]
    return weight.reshape(COLUMNS + 2, -1)


def weigh_vestibular() -> Array:
    """(20, 6): every step suppresses the detectors; yaw drives the relays."""
    weight = np.zeros((COLUMNS + 2, 6), np.float32)
    weight[:COLUMNS] = -0.25
    weight[COLUMNS, [YAW_UP, YAW_DOWN]] = 1.0, -1.0
    weight[COLUMNS + 1, [YAW_UP, YAW_DOWN]] = -1.0, 1.0
    return weight


def weigh_bearing() -> Array:
    """(9, 20): own columns against all others, and the reflex."""
    weight = np.full((BEARINGS, COLUMNS + 2), -0.02, np.float32)
    for k in range(BEARINGS):
        weight[k, 2 * k : 2 * k + 2] = 0.10
        weight[k, COLUMNS] = 0.3 * (k - 4) / 4
        weight[k, COLUMNS + 1] = -0.3 * (k - 4) / 4
    return weight


def lif(size: int) -> dict[str, Any]:
    """A layer of leaky units that a spike moves by its weight."""
    ones = np.ones(size, np.float32)
    return {
        "type": "LIF",
        "tau": ones * np.float32(TAU_S),
        "r": ones * np.float32(TAU_S / DT_S),
        "v_leak": ones * 0,
        "v_threshold": ones,
        "v_reset": ones * 0,
    }


NODES: dict[str, dict[str, Any]] = {
    "eye": {"type": "Input", "shape": np.array([2, ROWS, COLUMNS])},
    "flat": {
        "type": "Flatten",
        "start_dim": np.int64(0),
        "end_dim": np.int64(-1),
        "input_type": np.array([2, ROWS, COLUMNS]),
    },
    "weigh_eye": {"type": "Linear", "weight": weigh_eye()},
    "vestibular": {"type": "Input", "shape": np.array([6])},
    "weigh_vestibular": {"type": "Linear", "weight": weigh_vestibular()},
    "detect": lif(COLUMNS + 2),
    "weigh_bearing": {"type": "Linear", "weight": weigh_bearing()},
    "bearing": lif(BEARINGS),
    "output": {"type": "Output", "shape": np.array([BEARINGS])},
}
EDGES = [
    ("eye", "flat"),
    ("flat", "weigh_eye"),
    ("weigh_eye", "detect"),
    ("vestibular", "weigh_vestibular"),
    ("weigh_vestibular", "detect"),
    ("detect", "weigh_bearing"),
    ("weigh_bearing", "bearing"),
    ("bearing", "output"),
]


def write(path: Path) -> None:
    """The graph as NIR lays it out in HDF5; without time stamps, so the same bytes each time."""
    with h5py.File(path, "w", libver="earliest") as file:
        file["version"] = "1.0.8"
        graph = file.create_group("node")
        graph["type"] = "NIRGraph"
        graph["edges"] = np.array([[a.encode(), b.encode()] for a, b in EDGES], dtype=h5py.string_dtype())
        for name, fields in NODES.items():
            node = graph.create_group(f"nodes/{name}")
            for field, value in fields.items():
                if field == "weight":
                    node.create_dataset(field, data=value, compression="gzip")
                else:
                    node[field] = value


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("motion.nir"))
