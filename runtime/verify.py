"""Verification: run the network, decoders and limiters of a recording again and compare window by window.

The journal says what was done in which order; the packets say with what. Compared are the digests of the inputs taken,
of the network's state, of the decisions, and of what the limiters let through. Packets the network did not take are
checked against the digest that was stored beside them. A device's read-back is not part of it: a device is not ours
to repeat.
"""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtime.codec import decode_frame
from runtime.config import InputConfig, NetworkConfig, OnConfig, OutputConfig, Robot
from runtime.core.errors import PacketError, RecordingError, StoppedError
from runtime.core.limits import Limits
from runtime.core.packet import Packet
from runtime.core.topic import Topic
from runtime.journal import CHANNEL, ActuationDigest, Call, perform, unpack_rows
from runtime.limiter import Limiter, LimiterState
from runtime.merge import Step
from runtime.pipeline import Outcome, Pipeline, WindowRow, build_pipeline
from runtime.provenance import FORMAT, NETWORK, machine
from runtime.recording.reader import Message, Recording


@dataclass(frozen=True, slots=True)
class Difference:
    """A window that is not as recorded."""

    window: int
    start_s: float
    """Since the run began."""
    what: str


@dataclass(slots=True)
class Verdict:
    """What a verification found."""

    windows: int = 0
    steps: int = 0
    commands: int = 0
    differences: list[Difference] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def same(self) -> bool:
        return not self.differences and not self.problems

    def first(self) -> Difference | None:
        """The first window that differs."""
        return min(self.differences, key=lambda d: d.window, default=None)


class Verifier:
    """Follows one recording from its first journal row."""

    def __init__(self, recording: Recording) -> None:
        header = recording.header
        if header.get("format") != FORMAT:
            got = f"recording format {header.get('format')!r}, expected {FORMAT}"
            raise RecordingError(f"{recording.path}: {got}: not a recording of tectum, or its header is damaged")
        self.recording = recording
        self.verdict = Verdict()
        self.outcomes: Callable[[Outcome], None] = lambda outcome: None
        """Set to see what the network decides while it is followed."""
        self._t0 = int(header["t0"])
        self._window_ns = int(header["window_ns"])
        self._topics: dict[str, Topic] = {t["name"]: Topic.from_dict(t) for t in header["topics"]}
        self._limiters = {
            name: Limiter(Limits(f["min"], f["max"], f["slew"]), f["safe_value"], f["ttl_s"], name)
            for name, f in header["limiters"].items()
        }
        self._pipeline = self._build()
        self._taken = set() if self._pipeline is None else set(self._pipeline.inputs) | self._pipeline.resets
        self._packets: dict[str, deque[Packet]] = {name: deque() for name in self._taken}
        self._actuation = ActuationDigest()
        self._window = 0
        self._began = False
        self._pending: deque[WindowRow] = deque()
        for key, now in machine().items():
            then = header.get("machine", {}).get(key)
            if then and now and then != now:
                self.verdict.notes.append(f"{key} was {then} when this was recorded, here it is {now}")

    @property
    def pipeline(self) -> Pipeline | None:
        return self._pipeline

    def follow(self, message: Message) -> None:
        """Take the next message of the recording, in the order of the file."""
        if not message.ok:
            window = self._window_at(message.log_time)
            self._differ(window, f"{message.channel}: the bytes are not as they were written")
        if message.channel == CHANNEL:
            try:
                rows = unpack_rows(message.payload)
            except (PacketError, ValueError) as error:
                self._differ(self._window, f"journal cannot be read: {error}")
                return
            for row in rows:
                try:
                    self._row(row)
                except (TypeError, ValueError, LookupError) as error:
                    self._differ(self._window, f"a journal row cannot be followed: {type(error).__name__}: {error}")
        elif message.channel in self._taken:
            try:
                packet = decode_frame(message.payload, self._topics[message.channel]).packet
            except PacketError as error:
                self._differ(self._window_at(message.log_time), f"{message.channel}: {error}")
                return
            self._packets[message.channel].append(packet)

    def finish(self) -> Verdict:
        """The verdict, with what the file itself is missing."""
        verdict = self.verdict
        if not self._began:
            verdict.problems.append("the journal is missing: nothing could be compared")
        verdict.problems += [p for p in self.recording.problems if p not in verdict.problems]
        for start, end, problem in self.recording.damage:
            for window in range(self._window_at(start), self._window_at(end) + 1):
                self._differ(window, f"its bytes are damaged: {problem}")
        for gap in self.recording.gaps:
            verdict.problems.append(f"{gap.channel}: {gap.count} messages were not recorded ({gap.reason})")
        return verdict

    def _build(self) -> Pipeline | None:
        tables = self.recording.header["tables"]
        if tables["network"] is None:
            return None
        if NETWORK not in self.recording.attachments:
            problems = "; ".join(self.recording.problems) or "it was not stored"
            raise RecordingError(f"{self.recording.path}: the network file in it cannot be read: {problems}")
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / NETWORK
            file.write_bytes(self.recording.attachments[NETWORK])
            sidecar = self.recording.attachments.get("network.dialect.toml")
            if sidecar is not None:
                file.with_suffix(".dialect.toml").write_bytes(sidecar)
            robot = Robot.model_construct(
                robot=tables["robot"],
                network=NetworkConfig.model_validate(tables["network"] | {"file": file}),
                inputs=tuple(InputConfig.model_validate(t) for t in tables["inputs"]),
                outputs=tuple(OutputConfig.model_validate(t) for t in tables["outputs"]),
                on=tuple(OnConfig.model_validate(t) for t in tables["on"]),
                window_s=tables["window_s"],
            )
            return build_pipeline(robot, self._topics, self._t0)

    def _row(self, row: list[Any]) -> None:
        kind, *fields = row
        if kind == "0":
            self._begin(*fields)
            return
        if not self._began:
            return
        match kind:
            case "s":
                self._step(*fields)
            case "r":
                self._run(self._the_pipeline().reset(int(fields[0])))
            case "R":
                self._the_pipeline().engine.restore(fields[0])
            case "c":
                self._hand(*fields)
            case "a":
                self._call(Call(*fields[:6]), fields[6])
            case "w":
                self._close(WindowRow(*fields[:5]), fields[5])
            case _:
                self._differ(self._window, f"the journal has a row of unknown kind {kind!r}")

    def _begin(self, snapshot: bytes | None, limiters: dict[str, list[Any]], window: int) -> None:
        self._began = True
        self._window = window
        if self._pipeline is not None and snapshot is not None:
            self._pipeline.restore(snapshot)
            self._pipeline.restart_digests()
        for name, state in limiters.items():
            self._limiters[name].restore(LimiterState(*state))

    def _the_pipeline(self) -> Pipeline:
        if self._pipeline is None:
            raise RecordingError("the journal speaks of a network, the recording has none")
        return self._pipeline

    def _step(self, topic: str | None, seq: int, n: int, until: int | None, late: int) -> None:
        packet, lo = None, 0
        if topic is not None and n:
            found = self._find(topic, seq, n)
            if found is None:
                self._differ(self._window, f"{topic}: events {seq} to {seq + n} are missing")
                return
            packet, lo = found
        self.verdict.steps += 1
        self._run(self._the_pipeline().run([Step(packet, lo, lo + n, 0, until)]))

    def _find(self, topic: str, seq: int, n: int) -> tuple[Packet, int] | None:
        """The recorded packet that holds these events; older packets are let go."""
        waiting = self._packets[topic]
        while waiting and waiting[0].seq + len(waiting[0]) <= seq:
            waiting.popleft()
        if not waiting or not waiting[0].seq <= seq or seq + n > waiting[0].seq + len(waiting[0]):
            return None
        return waiting[0], seq - waiting[0].seq

    def _run(self, outcome: Outcome) -> None:
        self._pending.extend(row for row in outcome.rows if isinstance(row, WindowRow))
        self.verdict.commands += len(outcome.decided)
        self.outcomes(outcome)

    def _hand(self, t: int, sensor: str, what: str) -> None:
        """What follows from it, that packets are missing, is in the recording: nothing to repeat."""
        self.verdict.notes.append(f"sensor {sensor} was {what} by hand {(t - self._t0) / 1e9:.3f} s after the start")

    def _call(self, call: Call, applied: float | None) -> None:
        limiter = self._limiters[call.actuator]
        given: float | None = None
        try:
            limited = perform(limiter, call)
            given = None if limited is None else limited.applied
        except (PacketError, StoppedError):
            pass
        self._actuation.add(call, limiter)
        if given != applied:
            self._differ(self._window, f"{call.actuator}: the limiter gave {given}, recorded is {applied}")

    def _close(self, recorded: WindowRow, actuation: bytes) -> None:
        """A window's row came: what was computed must be the same."""
        self.verdict.windows += 1
        self._window = recorded.number + 1
        wrong = [] if self._actuation.close() == actuation else ["actuation"]
        if self._pipeline is not None:
            if not self._pending:
                self._differ(recorded.number, "the network did not come to its end")
                return
            computed = self._pending.popleft()
            if computed.number != recorded.number or computed.end != recorded.end:
                wrong.append(f"ends at {computed.end} as window {computed.number}")
            wrong += [
                name
                for name, now, then in zip(("inputs", "states", "commands"), computed[2:], recorded[2:], strict=True)
                if now != then
            ]
        if wrong:
            self._differ(recorded.number, ", ".join(wrong))

    def _differ(self, window: int, what: str) -> None:
        start = window * self._window_ns / 1e9
        self.verdict.differences.append(Difference(window, start, what))

    def _window_at(self, log_time: int) -> int:
        return max(log_time - self._t0, 0) // self._window_ns
