"""A robot for tests that holds its gaze, poorly and cheaply, with a sigma-delta network of three sensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nets import nodes as n
from nets.graph import Graph
from nets.models import ExportWarning
from nets.nir import write
from nets.sigma_delta.node import SigmaDelta, Surface

ROBOT = """
robot = "gaze"
[network]
file = "gaze.nir"
mode = "sigma-delta"
[sensors.camera]
kind = "gaze.camera"
world = "world.toml"
[sensors.dvs]
kind = "gaze.dvs"
world = "world.toml"
threshold = 0.3
step_s = 0.004
[sensors.gyro]
kind = "gaze.gyro"
world = "world.toml"
rate_hz = 250.0
[sensors.truth]
kind = "gaze.truth"
world = "world.toml"
rate_hz = 50.0
[[inputs]]
from = "camera/frames"
port = "camera"
encode = { kind = "sample" }
[[inputs]]
from = "dvs/events"
port = "dvs"
encode = { kind = "address", layout = "cyx", polarity = "split" }
[[inputs]]
from = "gyro/gyro"
port = "gyro"
encode = { kind = "sample" }
[[outputs]]
port = "command"
decode = { kind = "latest", period_s = 0.004, weights = [1.0, 0.0] }
to = "pan"
requires = ["camera/frames"]
stale_after_s = 0.3
[[outputs]]
port = "command"
decode = { kind = "latest", period_s = 0.004, weights = [0.0, 1.0] }
to = "tilt"
requires = ["camera/frames"]
stale_after_s = 0.3
[actuators.pan]
kind = "gaze.pan"
world = "world.toml"
[actuators.tilt]
kind = "gaze.tilt"
world = "world.toml"
"""
WORLD = """
shape = [32, 32]
pixels_per_rad = 40.0
in_sight_px = 13.0
base_sd_rad_s = 0.8
bump_rad_s = 3.0
bump_hz = 0.5
"""
SIDE, PIXELS_PER_RAD = 32, 40.0


def reflex() -> Graph:
    """Turns against the gyro, and towards what is brightest; the event camera's share is small."""
    cell, pull, against = 4, 0.03, 0.5
    centres = (np.arange(SIDE // cell) + 0.5) * cell - SIDE / 2
    across, down = np.meshgrid(centres, centres)
    towards = np.stack([-across.ravel(), down.ravel()]) * pull / PIXELS_PER_RAD
    turn = np.array([[0, 0, -against], [0, -against, 0]])
    events = np.random.default_rng(0).normal(0, 2e-4, (2, 2 * SIDE * SIDE))
    mean = np.full((1, 1, cell, cell), 1 / cell**2)
    nodes: dict[str, n.Node] = {
        "camera": n.Input((1, SIDE, SIDE)),
        "grey": SigmaDelta(levels=1 / 16, slope=1.0),
        "cells": n.Conv2d((SIDE, SIDE), mean, (cell, cell), (0, 0), (1, 1), 1, np.array([-90.0])),
        "bright": SigmaDelta(levels=0.5),
        "bright_flat": n.Flatten(0, -1),
        "towards": n.Affine(towards, np.zeros(2)),
        "dvs": n.Input((2, SIDE, SIDE)),
        "changes": Surface(levels=1.0, slope=1.0, leak_per_s=50.0),
        "changes_flat": n.Flatten(0, -1),
        "flow": n.Linear(events),
        "gyro": n.Input((3,)),
        "rates": SigmaDelta(levels=4.0, slope=1.0),
        "turn": n.Linear(turn),
        "command": n.Output((2,)),
    }
    edges = [("camera", "grey"), ("grey", "cells"), ("cells", "bright"), ("bright", "bright_flat")]
    edges += [("bright_flat", "towards"), ("towards", "command"), ("dvs", "changes"), ("changes", "changes_flat")]
    edges += [("changes_flat", "flow"), ("flow", "command"), ("gyro", "rates"), ("rates", "turn"), ("turn", "command")]
    return Graph(nodes, edges)


def robot_file(folder: Path) -> Path:
    """The robot's files in this folder."""
    with pytest.warns(ExportWarning):
        write(folder / "gaze.nir", reflex())
    (folder / "world.toml").write_text(WORLD)
    (folder / "gaze.toml").write_text(ROBOT)
    return folder / "gaze.toml"
