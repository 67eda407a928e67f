"""The kernels of sigma-delta networks: compiled ahead of use, and the same bits as plain Python."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np

from nets import nodes as n
from nets.graph import Graph
from nets.kernels.build import is_warm, part, warm
from nets.sigma_delta.engine import SigmaDeltaEngine
from nets.sigma_delta.node import SigmaDelta, Surface


def result() -> str:
    """Hash, counters and outputs of a network with every kind of unit, run for a while in each precision."""
    rng = np.random.default_rng(3)
    nodes = {
        "eye": n.Input((2, 6, 6)),
        "surface": Surface(levels=9.0, slope=1.0, leak_per_s=80.0),
        "conv": n.Conv2d(None, rng.normal(size=(9, 2, 3, 3)), 1, 1, 1, 1, rng.normal(size=9)),
        "seen": SigmaDelta(levels=6.0, slope=0.1),
        "pool": n.AvgPool2d(2, 2, 0),
        "conv2": n.Conv2d(None, rng.normal(size=(17, 9, 3, 3)), 1, 1, 1, 1, rng.normal(size=17)),
        "more": SigmaDelta(levels=6.0),
        "flat": n.Flatten(0, -1),
        "fc": n.Affine(rng.normal(size=(20, 153)) / 5, rng.normal(size=20)),
        "gyro": n.Input((3,)),
        "rates": SigmaDelta(levels=30.0, slope=1.0, hysteresis=0.25),
        "gyro_fc": n.Linear(rng.normal(size=(20, 3))),
        "fused": SigmaDelta(levels=rng.uniform(2, 20, 20), leak_per_s=30.0),
        "readout": n.Linear(rng.normal(size=(2, 20))),
        "output": n.Output((2,)),
    }
    chain = ("eye", "surface", "conv", "seen", "pool", "conv2", "more", "flat", "fc", "fused", "readout", "output")
    edges = [*pairwise(chain), ("gyro", "rates"), ("rates", "gyro_fc"), ("gyro_fc", "fused")]
    told = []
    for dtype in (np.float32, np.float64):
        engine = SigmaDeltaEngine(Graph(nodes, edges), dtype=dtype)
        shown = []
        for k in range(12):
            t = np.sort(rng.integers(k * 3_000_000, (k + 1) * 3_000_000, 4))
            engine.feed("eye", t, rng.integers(0, 72, 4).astype(np.int32), rng.normal(size=4).astype(np.float32))
            engine.feed("gyro", t[:1], rng.integers(0, 3, 1).astype(np.int32), rng.normal(size=1).astype(np.float32))
            shown.append(engine.advance((k + 1) * 3_000_000).value)
        counters = engine.counters
        told.append(
            f"{np.concatenate(shown).sum():.9g} {counters.synops} {counters.unit_touches} {engine.hash().hex()}"
        )
    return " ".join(told)


def test_the_compiled_kernels_give_the_same_bits_as_plain_python(deploy: Path) -> None:
    script = "from tests.unit.test_sigma_kernels import result; print(result())"
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(deploy.parent)}
    plain = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert plain.stdout.strip() == result()


def test_warming_compiles_both_precisions() -> None:
    parts = [part("sigma-delta", "float32"), part("sigma-delta", "float64")]
    warm(parts=parts)
    assert is_warm(parts)
