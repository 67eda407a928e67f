"""The pipeline: encoders, network and decoders as one deterministic machine that a merge's steps drive. Sans-IO.

It never reads a clock. The same steps from the same state give the same decisions and the same window hashes, live,
in the network thread, or in a replay.

A window is `window_ns` of network time. When network time passes its end three digests are closed: of the inputs
taken, of the network's state there, and of the decisions made. Every step and every window is a row of the journal.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, NamedTuple

import msgpack
import numpy as np
from numpy.typing import NDArray

from nets.decode import Decision, Decoder, make_decoder
from nets.encode import Encoder, make_encoder
from nets.errors import NetsError
from nets.load import AnyEngine, load
from nets.running import Spikes
from nets.thresholds import Thresholds
from runtime.config import NetworkConfig, Robot
from runtime.core.clock import SECOND
from runtime.core.errors import ConfigError, RecordingError
from runtime.core.packet import Packet
from runtime.core.topic import Topic
from runtime.merge import Step


class StepRow(NamedTuple):
    """Events `seq : seq + n` of a topic (None: no packet) were taken, then network time passed to `until`."""

    topic: str | None
    seq: int
    n: int
    until: int | None
    late: int


class WindowRow(NamedTuple):
    """A window closed."""

    number: int
    end: int
    inputs: bytes
    state: bytes
    outputs: bytes


class ResetRow(NamedTuple):
    """Somebody asked for a reset, which took place at network time `t`."""

    t: int


class RestoreRow(NamedTuple):
    """Somebody restored a snapshot."""

    snapshot: bytes


Row = StepRow | WindowRow | ResetRow | RestoreRow


class Decided(NamedTuple):
    """A decision of one output, and when the packet that caused it arrived."""

    output: int
    decision: Decision
    arrived: int


@dataclass(slots=True)
class Outcome:
    """What a run of steps led to."""

    rows: list[Row] = field(default_factory=list)
    decided: list[Decided] = field(default_factory=list)
    spikes: list[Spikes] = field(default_factory=list)


@dataclass(slots=True)
class _Input:
    port: str
    encoder: Encoder
    silent_ns: int | None
    heard: int
    """The newest event's time; HUSHED since the port was told that there is nothing any more."""


@dataclass(frozen=True, slots=True)
class _Output:
    port: int
    to: str
    decoder: Decoder


HUSHED = -1
SILENCE_NS = 1_000_000_000
"""A longer one ends as one window, not as many."""


class Pipeline:
    """One network with what feeds it and what reads it. Not thread-safe: one call at a time, from any thread."""

    def __init__(
        self,
        engine: AnyEngine,
        inputs: Sequence[tuple[str, str, Encoder, int | None]],
        outputs: Sequence[tuple[str, str, Decoder]],
        resets: Sequence[str],
        window_ns: int,
        t0: int,
    ) -> None:
        self.engine = engine
        ports = list(engine.outputs)
        self.inputs: dict[str, list[_Input]] = {}
        for topic, port, encoder, silent_ns in inputs:
            self.inputs.setdefault(topic, []).append(_Input(port, encoder, silent_ns, t0))
        self._hushed = [i for inputs in self.inputs.values() for i in inputs if i.silent_ns is not None]
        self.outputs = [_Output(ports.index(port), to, decoder) for port, to, decoder in outputs]
        self.resets = frozenset(resets)
        self.late = 0
        self.late_by: dict[str, int] = {}
        """Late events by the topic that brought them."""
        self._window_ns = window_ns
        self._window = 0
        self._t0 = t0
        self.digests = False
        """Whether windows are digested: only while somebody records."""
        self._inputs_hash = blake2b(digest_size=8)
        self._outputs_hash = blake2b(digest_size=8)
        self._now = t0
        engine.reset(t0)
        for output in self.outputs:
            output.decoder.start(t0)

    @property
    def now(self) -> int:
        """Network time."""
        return self._now

    @property
    def window(self) -> int:
        """Index of the open window."""
        return self._window

    def run(self, steps: Sequence[Step]) -> Outcome:
        """Take the steps in order."""
        outcome = Outcome()
        for step in steps:
            mark = len(outcome.rows)
            late = 0
            topic: str | None = None
            n = step.hi - step.lo
            seq = 0
            if step.packet is not None:
                topic = step.packet.topic.name
                seq = step.packet.seq + step.lo
                if n:
                    late = self._take(step.packet, step.lo, step.hi, step.arrived, outcome)
            if step.until is not None and step.until > self._now:
                self._advance(step.until, step.arrived, outcome)
            outcome.rows.insert(mark, StepRow(topic, seq, n, step.until, late))  # before the windows it closed
        return outcome

    def reset(self, t: int) -> Outcome:
        """Forget all state; grids start again at `t` or at network time, whichever is later."""
        outcome = Outcome()
        self._reset(max(t, self._now), 0, outcome)
        outcome.rows.insert(0, ResetRow(self._now))
        return outcome

    def snapshot(self) -> bytes:
        """Everything that decides what comes next."""
        return bytes(
            msgpack.packb(
                {
                    "now": self._now,
                    "window": self._window,
                    "engine": self.engine.snapshot(),
                    "encoders": [i.encoder.snapshot() for inputs in self.inputs.values() for i in inputs],
                    "heard": [i.heard for i in self._hushed],
                    "decoders": [o.decoder.snapshot() for o in self.outputs],
                }
            )
        )

    def restore(self, snapshot: bytes) -> None:
        """The inverse of `snapshot`, of the same pipeline or one built from the same configuration."""
        try:
            state: Mapping[str, Any] = msgpack.unpackb(snapshot)
            encoders = [i.encoder for inputs in self.inputs.values() for i in inputs]
            sizes = (len(encoders), len(self.outputs), len(self._hushed))
            if tuple(len(state[key]) for key in ("encoders", "decoders", "heard")) != sizes:
                raise RecordingError("the snapshot is of a robot with other inputs or outputs")
            self.engine.restore(state["engine"])
            for encoder, saved in zip(encoders, state["encoders"], strict=True):
                encoder.restore(saved)
            for output, saved in zip(self.outputs, state["decoders"], strict=True):
                output.decoder.restore(saved)
            for hushed, heard in zip(self._hushed, state["heard"], strict=True):
                hushed.heard = int(heard)
            self._now, self._window = int(state["now"]), int(state["window"])
        except (KeyError, TypeError, ValueError, msgpack.UnpackException) as error:
            raise RecordingError(f"not a snapshot of this pipeline: {error}") from error

    def restart_digests(self) -> None:
        """Digest from here on, the open window anew: a recording begins."""
        self.digests = True
        self._inputs_hash = blake2b(digest_size=8)
        self._outputs_hash = blake2b(digest_size=8)

    def _take(self, packet: Packet, lo: int, hi: int, arrived: int, outcome: Outcome) -> int:
        name = packet.topic.name
        t, data = packet.t[lo:hi], packet.data[lo:hi]
        if self.digests:
            self._inputs_hash.update(name.encode())
            self._inputs_hash.update(t.tobytes())
            self._inputs_hash.update(data.tobytes())
        late = 0
        for entry in self.inputs.get(name, ()):
            late += self._feed(entry.port, entry.encoder, t, data)
            if entry.silent_ns is not None:
                entry.heard = max(entry.heard, int(t[-1]))
        if name in self.resets:
            for event in t:
                self._reset(max(int(event), self._now), arrived, outcome)
        if late:
            self.late += late
            self.late_by[name] = self.late_by.get(name, 0) + late
        return late

    def _feed(self, port: str, encoder: Encoder, t: NDArray[np.int64], data: NDArray[Any]) -> int:
        encoded = encoder.encode(t, data)
        if not len(encoded.t):
            return 0
        return self.engine.feed(port, encoded.t, encoded.index, encoded.value)

    def _reset(self, t: int, arrived: int, outcome: Outcome) -> None:
        if t > self._now:
            self._advance(t, arrived, outcome)
        self.engine.reset(t)
        for inputs in self.inputs.values():
            for i in inputs:
                i.encoder.reset()
                i.heard = t
        for output in self.outputs:
            output.decoder.reset(t)

    def _advance(self, until: int, arrived: int, outcome: Outcome) -> None:
        end = self._t0 + (self._window + 1) * self._window_ns
        if until - end > SILENCE_NS:
            self._window = (until - self._t0) // self._window_ns - 1
            end = self._t0 + (self._window + 1) * self._window_ns
        while end <= until:
            self._decode(end, arrived, outcome)
            if self.digests:
                inputs, outputs = self._inputs_hash.digest(), self._outputs_hash.digest()
                outcome.rows.append(WindowRow(self._window, end, inputs, self.engine.hash(), outputs))
                self.restart_digests()
            self._window += 1
            end += self._window_ns
        if until > self._now:
            self._decode(until, arrived, outcome)

    def _decode(self, until: int, arrived: int, outcome: Outcome) -> None:
        """Let the network run to `until`, ports of topics that fall silent on the way told 0 at their moment."""
        due = [(max(i.heard + i.silent_ns, self._now), i) for i in self._hushed if i.silent_ns and i.heard != HUSHED]
        for moment, entry in sorted((d for d in due if d[0] <= until), key=lambda d: d[0]):
            size = math.prod(self.engine.inputs[entry.port].shape)
            t, index = np.full(size, moment, np.int64), np.arange(size, dtype=np.int32)
            self.engine.feed(entry.port, t, index, np.zeros(size, np.float32))
            entry.heard = HUSHED
            if moment < until:
                self._decode_to(moment, arrived, outcome)
        self._decode_to(until, arrived, outcome)

    def _decode_to(self, until: int, arrived: int, outcome: Outcome) -> None:
        spikes = self.engine.advance(until)
        self._now = until
        if len(spikes.t):
            outcome.spikes.append(spikes)
        for number, output in enumerate(self.outputs):
            t, index, weight = spikes.t, spikes.index, spikes.value
            if len(t) and len(self.engine.outputs) > 1:
                mine = spikes.port == output.port
                t, index, weight = t[mine], index[mine], weight[mine]
            for decision in output.decoder.advance(t, index, weight, until):
                if self.digests:
                    label = -1 if decision.label is None else decision.label
                    value = math.nan if decision.value is None else decision.value
                    self._outputs_hash.update(struct.pack("<iqdi", number, decision.t, value, label))
                outcome.decided.append(Decided(number, decision, arrived))


def load_engine(config: NetworkConfig) -> AnyEngine:
    """The engine of a robot's network. Raises ConfigError naming the file and what it is missing."""
    given = dict(config.dialect) | ({} if config.dt_s is None else {"dt_s": config.dt_s})
    try:
        thresholds = Thresholds(**config.thresholds.model_dump())
        return load(config.file, given, dtype=config.dtype, mode=config.mode, thresholds=thresholds)
    except (NetsError, OSError) as error:
        raise ConfigError(f"network.file: {config.file}: {error}") from error


def build_pipeline(robot: Robot, topics: Mapping[str, Topic], t0: int, engine: AnyEngine | None = None) -> Pipeline:
    """The pipeline that a robot file describes. Raises ConfigError naming the table that cannot be."""
    config = robot.network
    assert config is not None
    if engine is None:
        engine = load_engine(config)
    inputs = []
    for i, entry in enumerate(robot.inputs):
        if entry.port not in engine.inputs:
            raise ConfigError(
                f"inputs[{i}].port: the network has no port {entry.port!r} (it has {list(engine.inputs)})"
            )
        options = dict(entry.encode)
        kind = options.pop("kind", "address")
        try:
            encoder = make_encoder(kind, topics[entry.from_], engine.inputs[entry.port].shape, options)
        except ValueError as error:
            raise ConfigError(f"inputs[{i}].encode: {error}") from None
        if entry.silent_after_s is not None and config.mode != "sigma-delta":
            raise ConfigError(
                f"inputs[{i}].silent_after_s: the network's mode is {config.mode!r}, expected 'sigma-delta': a spiking "
                "input holds no value that could grow old"
            )
        silent_ns = None if entry.silent_after_s is None else int(entry.silent_after_s * SECOND)
        inputs.append((entry.from_, entry.port, encoder, silent_ns))
    outputs = []
    for i, output in enumerate(robot.outputs):
        if output.port not in engine.outputs:
            known = list(engine.outputs)
            raise ConfigError(f"outputs[{i}].port: the network has no port {output.port!r} (it has {known})")
        options = dict(output.decode)
        kind = options.pop("kind", "argmax")
        if output.map is not None:
            options["map"] = output.map
        size = int(np.prod(engine.outputs[output.port].shape))
        try:
            decoder = make_decoder(kind, size, options)
        except ValueError as error:
            raise ConfigError(f"outputs[{i}].decode: {error}") from None
        outputs.append((output.port, output.to, decoder))
    resets = [rule.topic for rule in robot.on if rule.do == "network.reset"]
    t0 -= t0 % engine.dt_ns  # on the beat of sensors that keep to whole milliseconds, not between two of theirs
    return Pipeline(engine, inputs, outputs, resets, int(robot.window_s * SECOND), t0)
