"""Runs the engine beside its dense twin and counts what they agree on; more than rounding apart is an error at once.

Rounding may move a potential by a part of its scale, the sum of the absolute values of what was added up to make it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets import nodes as n
from nets.engine import Engine
from nets.running import Spikes
from tests.reference.dense import Dense, Real
from tests.reference.random_networks import DT_NS, Case

WINDOW = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 1e-5}
"""Nearer to its threshold than this part of its scale, a potential may fall on either side."""
STATE = {np.dtype(np.float64): 1e-9, np.dtype(np.float32): 1e-4}
"""How far a state may be from the twin's, as a part of its scale."""
FLIPS = {np.dtype(np.float64): 1e-6, np.dtype(np.float32): 1e-4}
"""The share of ticks in which a spike may differ."""
FEW = {np.dtype(np.float64): 0, np.dtype(np.float32): 2}
"""What a short run may show of them."""
FREE = 1e-4
"""The share of spikes that may differ where a network that only feeds forward runs free."""
LEFT_OUT = 0.25
"""The share of ticks that may not be fit to compare, in thousands of networks far less."""
LARGEST = 1e4
"""Beyond it, in thresholds or so, a network runs away: floor(v / threshold) itself is not exact any more."""
PATH_BITS = 10
"""Binary places of the weights on any way from layer to layer of a dyadic network, multiplied out."""
RULE_BITS = 5
"""And of what a layer whose leaks halve makes of it: leak, gain and w_in."""


@dataclass
class Tally:
    """What was compared, over many networks."""

    kind: np.dtype[Any]
    graphs: int = 0
    programs: set[bytes] = field(default_factory=set)
    kinds: set[str] = field(default_factory=set)
    ticks: int = 0
    ticks_left_out: int = 0
    """Of networks that ran away, or whose sums would have to be rounded."""
    ticks_near: int = 0
    """Ticks with a potential so near to its threshold that a spike might differ."""
    ticks_flipped: int = 0
    """Ticks in which one did."""
    updates: int = 0
    """Neurons times ticks."""
    spikes: int = 0
    worst: float = 0.0
    """The largest distance of a state from the twin's, as a part of its scale."""
    free_spikes: int = 0
    free_differing: int = 0

    def begin(self, engine: Engine) -> None:
        self.graphs += 1
        self.programs.add(engine.program.fingerprint)
        self.kinds |= {node.kind for node in engine.graph.nodes.values()}

    def check(self) -> None:
        """Differences within rounding are rare; in a run too short to say how rare, there are hardly any."""
        few = FEW[self.kind]
        assert self.ticks_flipped <= max(FLIPS[self.kind] * self.ticks, few), self
        assert self.free_differing <= max(FREE * self.free_spikes, few), self
        assert self.ticks_left_out <= LEFT_OUT * self.ticks, self

    def __str__(self) -> str:
        lines = [
            f"{self.kind}: {self.graphs} graphs ({len(self.programs)} different programs), {self.ticks} ticks, "
            f"{self.updates} neuron updates, {self.spikes} spikes; {self.ticks_left_out} ticks left out",
        ]
        if self.ticks_near or self.worst:
            lines.append(
                f"  ticks near a threshold {self.ticks_near}, with a differing spike {self.ticks_flipped}; "
                f"largest state error {self.worst:.2g} of its scale"
            )
        if self.free_spikes:
            share = self.free_differing / self.free_spikes
            lines.append(f"  free-running: {self.free_differing} of {self.free_spikes} spikes differ ({share:.2g})")
        return "\n".join(lines)


def compare_ticks(case: Case, tally: Tally) -> None:
    """Each tick of the engine is what the twin makes of the engine's state before it."""
    kind = tally.kind
    engine = Engine(case.graph, case.dialect, dtype=kind, thresholds=case.thresholds)
    engine.watch(True)
    twin = Dense(case.graph, case.dialect, case.order)
    tally.begin(engine)
    for tick in range(case.ticks):
        feed_tick(engine, case, tick)
        out = delivered(engine, engine.advance((tick + 1) * DT_NS))
        state = engine.potentials()
        happened = emitted(engine)
        happened |= {name: state[name][0] for name in case.order if name not in happened}
        expected = twin.follow(case.frames(tick), case.sizes(tick), happened)
        if max(float(scale.max()) for scale in twin.scale.values()) > LARGEST:
            tally.ticks_left_out += case.ticks - tick
            return
        near = flipped = False
        for name in case.order:
            where = f"{name}, tick {tick}"
            differs = np.zeros(expected[name].shape, bool)
            if name in twin.margin:
                close = twin.margin[name] <= WINDOW[kind] * twin.scale[name]
                differs = happened[name] != expected[name]
                if (differs & ~close).any():
                    np.testing.assert_array_equal(happened[name], expected[name], err_msg=where)
                near, flipped = near or bool(close.any()), flipped or bool(differs.any())
                tally.spikes += int(happened[name].sum())
            tally.updates += differs.size
            if isinstance(case.graph.nodes[name], n.Threshold):
                continue
            v, i = state[name]
            _close(tally, STATE[kind], v, twin.v[name], twin.scale[name], ~differs, f"potential of {where}")
            twin.v[name] = v
            if i is not None:
                every = np.ones(i.shape, bool)
                _close(tally, STATE[kind], i, twin.i[name], twin.scale_i[name], every, f"current of {where}")
                twin.i[name] = i
        for name, received in out.items():
            scale = STATE[kind] * twin.scale[name] + 1e-7 * np.abs(expected[name])  # output values are float32
            np.testing.assert_array_less(
                np.abs(received - expected[name]), scale + 1e-30, err_msg=f"{name}, tick {tick}"
            )
        tally.ticks += 1
        tally.ticks_near += near
        tally.ticks_flipped += flipped


def _close(
    tally: Tally, part: float, got: Real, expected: Real, scale: Real, which: NDArray[np.bool_], where: str
) -> None:
    error = np.where(which, np.abs(got - expected), 0.0)
    wrong = error > part * scale + 1e-30
    assert not wrong.any(), f"{where}: {got[wrong]}, expected {expected[wrong]} within {part} of {scale[wrong]}"
    tally.worst = max(tally.worst, float(np.divide(error, scale, out=np.zeros_like(error), where=scale > 0).max()))


def compare_free_run(case: Case, tally: Tally) -> None:
    """Count the spikes that differ between an engine and a twin that never hear of each other."""
    engine = Engine(case.graph, case.dialect, dtype=tally.kind, thresholds=case.thresholds)
    engine.watch(True)
    twin = Dense(case.graph, case.dialect, case.order)
    feed(engine, case)
    tally.begin(engine)
    for tick in range(case.ticks):
        engine.advance((tick + 1) * DT_NS)
        expected = twin.step(case.frames(tick))
        for name, spikes in emitted(engine).items():
            tally.free_differing += int(np.abs(spikes - expected[name]).sum())
            tally.free_spikes += int(np.maximum(spikes, expected[name]).sum())
    tally.ticks += case.ticks


def compare_bits(case: Case, tally: Tally) -> None:
    """A dyadic network and its twin run free and agree bit for bit, as far as no sum needs to be rounded."""
    kind = tally.kind
    engine = Engine(case.graph, case.dialect, dtype=kind, thresholds=case.thresholds)
    engine.watch(True)
    twin = Dense(case.graph, case.dialect, case.order)
    feed(engine, case)
    tally.begin(engine)
    for tick in range(case.ticks):
        before = {name: (twin.v[name], twin.i[name]) for name in case.order}
        out = delivered(engine, engine.advance((tick + 1) * DT_NS))
        expected = twin.follow(case.frames(tick), case.sizes(tick), {})
        if _rounds(case, twin, before, np.finfo(kind).nmant + 1):
            tally.ticks_left_out += case.ticks - tick
            return
        happened, state = emitted(engine), engine.potentials()
        for name in case.order:
            where = f"{name}, tick {tick}"
            if name in happened:
                np.testing.assert_array_equal(happened[name], expected[name], err_msg=where)
                tally.spikes += int(happened[name].sum())
            if not isinstance(case.graph.nodes[name], n.Threshold):
                v, i = state[name]
                np.testing.assert_array_equal(v, twin.v[name], err_msg=f"potential of {where}")
                if i is not None:
                    np.testing.assert_array_equal(i, twin.i[name], err_msg=f"current of {where}")
            tally.updates += twin.v[name].size
        for name, received in out.items():
            np.testing.assert_array_equal(received, expected[name].astype(np.float32), err_msg=f"{name}, tick {tick}")
        tally.ticks += 1


def _rounds(case: Case, twin: Dense, before: Mapping[str, tuple[Real, Real]], bits: int) -> bool:
    """Whether a number of `bits` binary places might not hold some sum of the tick, in whatever order it is taken."""
    graded = [name for name in case.order if name not in twin.margin]
    passed = max((places(twin.v[name]) for name in graded), default=0)
    for name, scale in twin.scale.items():
        node = case.graph.nodes[name]
        own = 0 if name not in before else max(places(values) for values in before[name])
        rule = RULE_BITS * (not isinstance(node, n.IF | n.I | n.Delay | n.Threshold | n.Output))
        needed = max(own, PATH_BITS + max(1, passed)) + rule
        largest = max(float(scale.max()), float(twin.scale_i.get(name, scale).max()))
        if largest * 2.0**needed >= 2.0**bits:
            return True
    return False


def places(values: Real) -> int:
    """Binary places behind the point that all values need."""
    count = 0
    while (np.ldexp(values, count) % 1).any():
        count += 1
    return count


def feed(engine: Engine, case: Case) -> None:
    """The whole input at once."""
    for port, events in case.streams.items():
        engine.feed(port, events.t, events.index, events.value)


def feed_tick(engine: Engine, case: Case, tick: int) -> None:
    for port, events in case.streams.items():
        mine = events.of(tick)
        engine.feed(port, mine.t, mine.index, mine.value)


def emitted(engine: Engine) -> dict[str, Real]:
    """The spikes of each population since last asked, dense."""
    _, population, index, count = engine.watched()
    found = {}
    for k, p in enumerate(engine.populations):
        dense = np.zeros(p.size)
        np.add.at(dense, index[population == k], count[population == k])
        found[p.name] = dense.reshape(p.shape)
    return found


def delivered(engine: Engine, spikes: Spikes) -> dict[str, Real]:
    """What left by each Output, dense."""
    found = {}
    for k, (name, port) in enumerate(engine.outputs.items()):
        dense = np.zeros(port.shape)
        mine = spikes.port == k
        np.add.at(dense.reshape(-1), spikes.index[mine], spikes.value[mine])
        found[name] = dense
    return found
