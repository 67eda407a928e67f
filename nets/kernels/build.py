"""Compiles kernels ahead of their first use, so that no run ever waits for the compiler.

A part is what one time mode needs in one precision: a robot needs one of them. Where several are missing from the cache
a second process compiles half of them.

    python -m nets.kernels.build        all parts
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numba import config

from nets import nodes as n
from nets.dialect import resolve
from nets.graph import Graph
from nets.kernels.jit import FOLDER
from nets.kernels.saving import saving
from nets.kernels.second import SecondProcess

PARTS = {
    "tick-float32": (67, 1.0),
    "tick-float64": (67, 1.0),
    "continuous-float32": (37, 0.5),
    "continuous-float64": (37, 0.5),
    "sigma-delta-float32": (37, 0.5),
    "sigma-delta-float64": (37, 0.5),
}
"""For each about how many functions it is, and how long it takes beside the others: for sharing and for progress."""
LOAD = 0.03
"""How long loading a part takes, on the same scale."""


def part(mode: str, dtype: Any) -> str:
    """The part that a network needs."""
    return f"{mode}-{np.dtype(dtype)}"


def warm(
    progress: Callable[[str, float], None] = lambda what, done: None, parts: Collection[str] = tuple(PARTS)
) -> None:
    """Load parts from the cache, compiling what is missing there; `progress(what, fraction done)`."""
    wanted = [name for name in parts if name not in _held]
    mine, theirs = share([name for name in wanted if not is_built([name])], 1 if config.DISABLE_JIT else _processors())
    order = [*mine, *(name for name in wanted if name not in mine)]
    bar = _Bar({name: PARTS[name][1] if name in mine else LOAD for name in order}, progress)
    with SecondProcess(theirs, FOLDER) as second:
        for name in order:
            if name in theirs:
                bar.say(f"{name}, in a second process")
                second.wait()
            bar.begin(name)
            _step(name, bar.compiled)
    progress("kernels ready", 1.0)


def is_warm(parts: Collection[str] = tuple(PARTS)) -> bool:
    """Whether this process holds compiled code for these parts: nothing will be compiled or loaded."""
    return _held.issuperset(parts)


def is_built(parts: Collection[str] = tuple(PARTS)) -> bool:
    """Whether the cache on disk holds these parts for this machine: `warm` will only load, in a moment."""
    return all(_mark(name).exists() for name in parts)


def share(missing: Sequence[str], processors: int) -> tuple[list[str], list[str]]:
    """(what this process compiles, what a second one does): the longest first, always to who has less."""
    mine: list[str] = []
    theirs: list[str] = []
    for name in sorted(missing, key=lambda name: -PARTS[name][1]):
        less = min(mine, theirs, key=lambda names: sum(PARTS[name][1] for name in names))
        (less if processors > 1 else mine).append(name)
    return mine, theirs


_held: set[str] = set()


def _mark(name: str) -> Path:
    """An empty file that says that a part was compiled into the folder it stands in."""
    return FOLDER / f"{name}.complete"


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _step(name: str, compiled: Callable[[], None]) -> None:
    """Run the smallest network there is: all of the code, none of the work."""
    mode, _, dtype = name.rpartition("-")
    make, neuron, kernels = _engine(mode)
    nodes = {"input": n.Input((1,)), "neuron": neuron, "output": n.Output((1,))}
    graph = Graph(nodes, [("input", "neuron"), ("neuron", "output")])
    dialect = resolve(graph, None, {"preset": "spec", "dt_s": 1e-3})
    with saving(FOLDER, kernels, compiled):
        engine = make(graph, dialect, dtype=dtype)
        engine.feed("input", np.zeros(1, np.int64), np.zeros(1, np.int32))
        engine.advance(engine.dt_ns)
    _held.add(name)
    if not config.DISABLE_JIT:
        with suppress(OSError):  # a cache that cannot be written only means compiling again next time
            _mark(name).touch()


def _engine(mode: str) -> tuple[Any, n.Node, tuple[Any, ...]]:
    """(class, one of its neurons, its kernels): imported late, for a robot runs one of them."""
    one = np.ones(1)
    neuron = n.LIF(tau=one, r=one, v_leak=0 * one, v_threshold=one)
    if mode == "tick":
        from nets.engine import Engine
        from nets.kernels.feed import feed
        from nets.kernels.run import run

        return Engine, neuron, (feed, run)
    from nets.kernels import continuous_feed

    if mode == "continuous":
        from nets.continuous.engine import ContinuousEngine
        from nets.kernels import continuous_run

        return ContinuousEngine, neuron, (continuous_feed.feed, continuous_run.run)
    from nets.kernels import sigma_run
    from nets.sigma_delta.engine import SigmaDeltaEngine
    from nets.sigma_delta.node import SigmaDelta

    return SigmaDeltaEngine, SigmaDelta(levels=1.0), (continuous_feed.feed, sigma_run.run)


class _Bar:
    """Turns parts begun and functions compiled into a fraction that never goes back."""

    def __init__(self, cost: dict[str, float], progress: Callable[[str, float], None]) -> None:
        self._cost = cost
        self._progress = progress
        self._name = ""
        self._done = 0.0
        self._functions = 0

    def begin(self, name: str) -> None:
        """The part before is done."""
        self._done += self._cost.get(self._name, 0.0)
        self._name, self._functions = name, 0
        self.say(name)

    def compiled(self) -> None:
        """One more function of the part is compiled."""
        self._functions += 1
        self.say(f"{self._name}, {self._functions} functions")

    def say(self, what: str) -> None:
        expected = PARTS[self._name][0] if self._name else 1
        within = min(self._functions / expected, 0.98) * self._cost.get(self._name, 0.0)
        self._progress(what, (self._done + within) / sum(self._cost.values()))


def _main(arguments: Sequence[str]) -> int:
    """Without arguments warm everything; `--second PART...`: those, while somebody holds the end of standard input."""
    if not arguments:
        warm(lambda what, done: print(f"{done:4.0%} {what}", flush=True))  # noqa: T201
        return 0
    flag, *parts = arguments
    if flag != "--second" or not parts or not PARTS.keys() >= set(parts):
        print(f"expected --second and some of {', '.join(PARTS)}, got {' '.join(arguments)}", file=sys.stderr)  # noqa: T201
        return 2
    threading.Thread(target=_end_with_input, name="input", daemon=True).start()
    for name in parts:
        _step(name, lambda: None)
    return 0


def _end_with_input() -> None:
    while os.read(0, 64):
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
