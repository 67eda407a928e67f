"""The layers without memory of their own: a Threshold, and a Delay, which hands on what it received some ticks before.

    Threshold   z = 1 where x > threshold (or >=, as the dialect says), else 0       x: the tick's weighted spikes
    Delay       z(k) = x(k - d),  d = delay / tau_tick_s rounded to whole ticks

Both are v <- x in the engine's terms: a leak of 0, with a threshold or graded.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nets import nodes as n
from nets.dialect import Dialect
from nets.errors import UnsupportedError
from nets.kernels import layout as L
from nets.linear import Real
from nets.neuron import Rule

RELAYS = (n.Delay, n.Threshold)
LARGEST_RING = 1 << 26


def relay_rule(name: str, node: n.Node, size: int, drive: Real, dialect: Dialect, dtype: type) -> Rule:
    """The rule of a Delay or Threshold that biases drive with `drive`."""
    graded = isinstance(node, n.Delay)
    bound = np.full(size, np.inf)
    if isinstance(node, n.Threshold):
        bound = np.broadcast_to(node.threshold.astype(np.float64).ravel(), (size,)).copy()
    real = np.dtype(dtype).type
    compare = bound.astype(real)
    if dialect.threshold == ">" and not graded:
        compare = np.nextafter(compare, real(np.inf))
    rows = np.zeros((L.COEFFICIENTS[L.KIND_LEAK], size))
    rows[L.K_G], rows[L.K_CMP], rows[L.K_TH], rows[L.K_FLOOR], rows[L.K_C] = 1.0, compare, bound, -np.inf, drive
    if graded:
        sleep = L.SLEEP_NEVER if drive.any() else L.SLEEP_ZERO
    else:
        sleep = L.SLEEP_BELOW if (drive.astype(real) < compare).all() else L.SLEEP_NEVER
    return Rule(L.KIND_LEAK, sleep, graded, rows, False, dialect.threshold == ">", False, np.zeros(size))


def delay_ticks(name: str, node: n.Delay, size: int, dialect: Dialect) -> NDArray[np.int64]:
    """The delay of each element in ticks."""
    ticks = np.broadcast_to(np.rint(node.delay.astype(np.float64).ravel() / dialect.tau_tick_s), (size,))
    if (ticks.max(initial=0) + 1) * size > LARGEST_RING:
        raise UnsupportedError(f"{name}: a Delay of {ticks.max():.0f} ticks on {size} elements, at most {LARGEST_RING}")
    return ticks.astype(np.int64)
