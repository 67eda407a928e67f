"""The service: one robot, running. Sensors, bus, network, limiters, actuators, recording and links on one loop.

Order on exit: actuators reach their safe state, then sensors close, then the recording is flushed, then the local
link goes.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from runtime.actuation import NETWORK, Actuation
from runtime.bus import Bus
from runtime.config import Robot
from runtime.core.clock import SECOND, Clock
from runtime.core.errors import DeviceError, PacketError, RecordingError, StoppedError
from runtime.core.packet import Packet
from runtime.core.roles import Sensor
from runtime.health import TopicHealth
from runtime.journal import Journal
from runtime.latch import LatchFile
from runtime.live import Live
from runtime.pipeline import Decided, Outcome, Pipeline, RestoreRow, build_pipeline
from runtime.provenance import attachments, header
from runtime.recorder import Recorder
from runtime.stage import Stage
from runtime.supervisor import Supervised, supervise
from runtime.switch import Switch, switched

log = logging.getLogger("tectum")

KEEP = 100_000


@dataclass(slots=True)
class OutputState:
    """What one output last decided."""

    to: str
    value: float | None = None
    label: int | None = None
    scores: list[float] = field(default_factory=list)
    t: int | None = None
    stale: str = ""
    """The required topic that is silent; empty when none is."""
    withheld: int = 0
    """Decisions that did not become commands because a required topic was stale."""
    decisions: int = 0


@dataclass(slots=True)
class EStop:
    """The e-stop as this process knows it."""

    latched: bool = False
    confirmed: bool = False
    reason: str = ""
    since: int = 0


class Latencies:
    """The last `size` latencies from a sensor packet's arrival to the command it caused being applied, in ns."""

    def __init__(self, size: int = 4096) -> None:
        self._ring = np.zeros(size, np.int64)
        self.count = 0
        self._kept: deque[int] | None = None

    def add(self, latency: int) -> None:
        self._ring[self.count % len(self._ring)] = latency
        self.count += 1
        if self._kept is not None:
            self._kept.append(latency)

    def take(self) -> list[int]:
        """Every latency since the last taking, the newest KEEP of them; the first taking only begins to keep them."""
        kept, self._kept = self._kept, deque(maxlen=KEEP)
        return list(kept or ())

    def summary(self) -> dict[str, float | int | None]:
        n = min(self.count, len(self._ring))
        if not n:
            return {"p50_us": None, "p99_us": None, "max_us": None, "count": 0}
        p50, p99, most = np.percentile(self._ring[:n], [50, 99, 100]) / 1e3
        return {"p50_us": float(p50), "p99_us": float(p99), "max_us": float(most), "count": self.count}


class Service:
    """One robot on one clock. `run()` until `stop()`; everything else may be called on the loop in between."""

    def __init__(
        self,
        robot: Robot,
        clock: Clock,
        state_dir: Path,
        *,
        robot_file: bytes = b"",
        pipeline: Pipeline | None = None,
        beat: Callable[[int], None] = lambda now: None,
    ) -> None:
        self.robot = robot
        self.clock = clock
        self.bus = Bus(clock)
        self.started = clock.now()
        self.latch = LatchFile(state_dir)
        self.journal = Journal()
        self.latencies = Latencies()
        self.estop = EStop()
        self.loop_lag_ns = 0
        self.observers: list[Callable[[Outcome], None]] = []
        """Called with every outcome of the network, in order."""
        self.links: list[Callable[[], Mapping[str, Any]]] = []
        self.ended = asyncio.Event()
        """Set when every sensor has ended or failed."""
        self.sensors: dict[str, tuple[Sensor, Supervised]] = {}
        self._switches = {name: Switch() for name in robot.sensors}
        self.health: dict[str, TopicHealth] = {}
        self._beat = beat
        self.failure = ""
        """What failed in a way that ended the run; empty while nothing did."""
        self._stop = asyncio.Event()
        self._closing_at: int | None = None
        self._changed = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        for name, sensor in robot.sensors.items():
            self.sensors[name] = (sensor, Supervised(name))
            for topic in sensor.describe():
                self.bus.declare(topic, name)
                self.health[topic.name] = TopicHealth(topic, self.started)
        for remote in () if robot.mqtt is None else robot.mqtt.subscribe:
            topic = self.bus.declare(remote.describe(), "mqtt")
            self.health[topic.name] = TopicHealth(topic, self.started)
        self.actuations = {
            name: Actuation(adapter, clock, self.bus, self.journal, self._applied)
            for name, adapter in robot.actuators.items()
        }
        for actuation in self.actuations.values():
            for topic in actuation.adapter.describe():
                self.health[topic.name] = TopicHealth(topic, self.started)
        self.actuator_status = {name: Supervised(name) for name in self.actuations}
        self.outputs = [OutputState(output.to) for output in robot.outputs]
        self.stage: Stage | None = None
        if robot.network is not None:
            topics = {name: stats.topic for name, stats in self.bus.topics.items()}
            built = build_pipeline(robot, topics, self.started) if pipeline is None else pipeline
            self.stage = Stage(built, robot.network, self.bus, clock, self.journal, self._act)
        self.live = Live({} if self.stage is None else {p.name: p.size for p in self.stage.pipeline.engine.populations})
        self.recorder = Recorder(
            robot.recording.folder,
            self.bus,
            clock,
            lambda: header(self),
            lambda: attachments(robot, robot_file),
            robot.recording.queue_bytes,
        )
        self.bus.tap(self._tapped)

    # -- running

    async def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Until `stop`, safely whatever happens. A recording that begins at start begins before the first packet."""
        self.bus.bind()
        latch = self.latch.read()
        async with self._stopping():
            if self.robot.recording.auto:
                await self.start_recording(None)
            for name, actuation in self.actuations.items():
                self._spawn(f"actuator {name}", supervise(self.actuator_status[name], actuation.run, self.clock))
            if latch.latched:
                self._stop_all(latch.reason)
            self._spawn("watch", self._watch())
            if self.stage is not None:
                self._spawn("network", self.stage.run())
            await asyncio.sleep(0)  # actuators take their devices before the first command can come
            for name, (sensor, status) in self.sensors.items():
                work = functools.partial(self._sense, sensor, status)
                self._spawn(f"sensor {name}", switched(status, self._switches[name], work, self.changed))
            ready()
            await self._stop.wait()

    def stop(self) -> None:
        """Begin the safe exit."""
        self._stop.set()

    def spawn(self, name: str, work: Awaitable[None]) -> None:
        """Run something beside the rest until the service stops (links)."""
        self._spawn(name, work)

    @asynccontextmanager
    async def _stopping(self) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await asyncio.shield(self._close())

    async def _close(self) -> None:
        self._closing_at = self.clock.now()  # nobody commands any more: the next decision would undo it
        for actuation in self.actuations.values():
            actuation.make_safe("shutting down")
        longest = max((a.stop_time_s for a in self.actuations.values()), default=0.0)
        deadline = self.clock.now() + int(min(longest + 0.2, 3.0) * max(self.clock.speed, 1.0) * SECOND)
        while self.clock.now() < deadline and not all(self._at_rest(a) for a in self.actuations.values()):
            await self.clock.sleep_until(self.clock.now() + int(self.robot.check_s * SECOND))
        await self._cancel("actuator")
        await self._cancel("sensor")
        await self._cancel("")
        await self.stop_recording()

    def _at_rest(self, actuation: Actuation) -> bool:
        limiter, measured = actuation.limiter, actuation.measured
        if limiter.applied != limiter.safe_value:
            return False
        if actuation.fault or measured is None:
            return True
        return measured.safe and measured.t >= (self._closing_at or 0)

    def _spawn(self, name: str, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        task.set_name(name)
        self._tasks[name] = task
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            log.critical("%s failed: stopping", task.get_name(), exc_info=task.exception())
            self.failure = self.failure or f"{task.get_name()}: {task.exception()!r}"
            self._stop.set()

    async def _cancel(self, prefix: str) -> None:
        chosen = [task for name, task in self._tasks.items() if name.startswith(prefix) and not task.done()]
        for task in chosen:
            task.cancel()
        if chosen:
            await asyncio.wait(chosen, timeout=2.0)

    # -- sensors

    async def _sense(self, sensor: Sensor, status: Supervised) -> None:
        async def once() -> None:
            async with sensor.open(self.clock) as packets:
                async for packet in packets:
                    await self.bus.publish(packet)

        await supervise(status, once, self.clock, changed=self.changed)
        if status.state == "failed":
            log.error("sensor %s failed and will not be retried: %s", sensor.name, status.error)
        if all(s.state in ("ended", "failed") for _, s in self.sensors.values()):
            self.ended.set()

    def restart_sensor(self, name: str) -> None:
        """Close a sensor and open it again, whatever state it is in but cut. Raises LookupError, DeviceError."""
        switch = self._switch(name)
        if not switch.on:
            raise DeviceError(f"sensor {name} is cut: restore it")
        self.sensors[name][1].restarts += 1
        switch.restore()

    def cut_sensor(self, name: str) -> None:
        """Close a sensor until it is restored: for the rest of the robot it falls silent. Raises LookupError.

        Does nothing where it is cut. Journalled for whoever reads the recording: what follows from it is there anyway.
        """
        switch = self._switch(name)
        if switch.on:
            self.journal.write([["c", self.clock.now(), name, "cut"]])
            switch.cut()

    def restore_sensor(self, name: str) -> None:
        """Open a sensor that was cut; does nothing where it was not. Raises LookupError."""
        switch = self._switch(name)
        if not switch.on:
            self.journal.write([["c", self.clock.now(), name, "restored"]])
            switch.restore()

    def _switch(self, name: str) -> Switch:
        if name not in self._switches:
            raise LookupError(f"there is no sensor {name!r} (there are {', '.join(self._switches) or 'none'})")
        return self._switches[name]

    def _tapped(self, arrived: int, packet: Packet) -> None:
        health = self.health.get(packet.topic.name)
        if health is not None:
            health.on_packet(arrived, packet)
        if self.live.running:
            self.live.on_packet(packet)

    # -- network

    def _act(self, outcome: Outcome) -> None:
        for observe in self.observers:
            observe(outcome)
        for decided in outcome.decided:
            self.outputs[decided.output].decisions += 1
        # After a silence many fall due at once: the newest of each output is what it says now.
        for decided in {decided.output: decided for decided in outcome.decided}.values():
            self._decided(decided)

    def _decided(self, decided: Decided) -> None:
        state = self.outputs[decided.output]
        decision = decided.decision
        state.t, state.value, state.label, state.scores = (
            decision.t,
            decision.value,
            decision.label,
            [float(score) for score in decision.scores],
        )
        if self.live.running:
            self.live.on_decision(state.to, decision.t, state.scores, decision.value)
        actuation = self.actuations[state.to]
        state.stale = self._stale(decided.output)
        if state.stale or decision.value is None or self._closing_at is not None or actuation.limiter.mode == "stopped":
            state.withheld += bool(state.stale)
            return
        with contextlib.suppress(PacketError):  # refused and counted by the limiter: a decoder gave what is not finite
            actuation.command(decision.value, NETWORK, decided.arrived)

    def show_spikes(self) -> None:
        """Hand the page the spikes since last time, once a frame; those of a call in flight wait for the next one."""
        if self.stage is None or self.stage.lock.locked():
            return
        engine = self.stage.pipeline.engine
        t, population, index, count = engine.watched()
        for number, layer in enumerate(engine.populations):
            mine = population == number
            if mine.any():
                self.live.on_spikes(t[mine], layer.name, index[mine], count[mine])

    def watch_spikes(self, on: bool) -> None:
        """Let the engine keep the spikes of every population for the page. Changes no result."""
        if self.stage is not None and not self.stage.lock.locked():
            self.stage.pipeline.engine.watch(on)

    # -- safety

    async def _watch(self) -> None:
        """Every check period: freshness, expiry, slew, read-back, the merge's patience, the beat."""
        period = int(self.robot.check_s * SECOND)
        due = self.clock.now()
        while True:
            now = self.clock.now()
            self.loop_lag_ns = max(now - due, int(self.loop_lag_ns * 0.99))
            for number, state in enumerate(self.outputs):
                state.stale = self._stale(number)
                if state.stale:
                    self.actuations[state.to].make_safe(f"{state.stale} is silent")
            for actuation in self.actuations.values():
                actuation.tick()
                self._read(actuation)
            if self.estop.latched and not self.estop.confirmed:
                self.estop.confirmed = self._confirmed()
                if self.estop.confirmed:
                    self.changed()
            if self.stage is not None:
                self.stage.poll()
            self._beat(now)
            due = max(due + period, now - 10 * period)
            await self.clock.sleep_until(due)

    def _read(self, actuation: Actuation) -> None:
        measured = actuation.read()
        if measured is not None and self.live.running:
            self.live.on_state(
                actuation.name, measured.t, measured.position, measured.velocity, measured.safe, measured.fault
            )

    def _stale(self, output: int) -> str:
        """The first required topic that has said nothing for too long, or nothing."""
        config = self.robot.outputs[output]
        now = self.clock.now()
        for topic in config.requires:
            health = self.health.get(topic)
            if health is not None and health.age(now) > config.stale_after_s * SECOND:
                return topic
        return ""

    def _confirmed(self) -> bool:
        return all(
            a.measured is not None and a.measured.safe and a.measured.t >= self.estop.since and not a.fault
            for a in self.actuations.values()
        )

    def _stop_all(self, reason: str) -> None:
        self.estop = EStop(True, False, reason, self.clock.now())
        for actuation in self.actuations.values():
            actuation.stop(reason)
        self.changed()

    async def latch_estop(self, reason: str, source: str, timeout_s: float = 2.0) -> EStop:
        """Stop everything, make it durable, and wait for read-back to confirm (or not)."""
        self._stop_all(reason)
        wall = self.clock.now() + self.clock.wall_offset_ns
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(None, self.latch.latch, reason, source, wall)
        except OSError as error:  # a full disk must not keep the caller from hearing that the robot has stopped
            log.critical("the e-stop latch cannot be written: %s", error)
            self.estop.reason = f"{reason} (NOT durable: {error})"
        deadline = self.clock.now() + int(timeout_s * SECOND)
        while not self.estop.confirmed and self.clock.now() < deadline:
            await self.clock.sleep_until(self.clock.now() + int(self.robot.check_s * SECOND))
        return self.estop

    async def release_estop(self, source: str) -> None:
        """Accept commands again; none given before counts."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self.latch.release, source, self.clock.now() + self.clock.wall_offset_ns)
        self.estop = EStop()
        for actuation in self.actuations.values():
            actuation.release()
        self.changed()

    def command(self, name: str, value: float, source: str, ttl_s: float | None = None) -> float:
        """A command from outside; returns the set-point the limiter let through.

        Raises LookupError, StoppedError and PacketError.
        """
        if name not in self.actuations:
            raise LookupError(f"there is no actuator {name!r} (there are {', '.join(self.actuations) or 'none'})")
        if self._closing_at is not None:
            raise StoppedError(f"{name}: the robot is shutting down")
        limited = self.actuations[name].command(value, source, 0, ttl_s)
        if limited is None:
            raise StoppedError(f"{name}: another source holds the lease")
        return limited.applied

    def _applied(self, name: str, arrived: int, commanded: float, applied: float) -> None:
        now = self.clock.now()
        if arrived:
            self.latencies.add(now - arrived)
        if self.live.running:
            asked = self.actuations[name].commanded
            self.live.on_command(name, now, commanded if asked is None else asked, applied)

    # -- recording

    async def start_recording(self, name: str | None, path: Path | None = None) -> Path:
        """Begin a recording here and now."""
        snapshot: bytes | None = None
        if self.stage is None:
            made = self._begin_recording(name, path, snapshot)
        else:
            async with self.stage.lock:
                made = self._begin_recording(name, path, self.stage.pipeline.snapshot())
                self.stage.pipeline.restart_digests()
        self.changed()
        return made

    def _begin_recording(self, name: str | None, path: Path | None, snapshot: bytes | None) -> Path:
        waiting = [] if self.stage is None else self.stage.waiting()
        made = self.recorder.start(name, path, waiting)
        self.journal.record(self.recorder.rows)
        window = 0 if self.stage is None else self.stage.pipeline.window
        limiters = {name: list(a.limiter.state()) for name, a in self.actuations.items()}
        self.journal.write([["0", snapshot, limiters, window]])
        return made

    async def stop_recording(self) -> None:
        """End it; returns when the file is whole on disk. Does nothing where none runs."""
        self.journal.record(None)
        if self.stage is not None:
            self.stage.pipeline.digests = False
        writer = self.recorder.detach()
        if writer is not None:
            await asyncio.get_running_loop().run_in_executor(None, writer.close)
            if writer.error is not None:
                log.error("recording %s: %s", writer.path, writer.error)
            self.changed()

    async def restore(self, snapshot: bytes) -> None:
        """Put the network in a saved state; journalled, so that a replay does the same."""
        if self.stage is None:
            raise RecordingError("this robot has no network to restore")
        async with self.stage.lock:
            self.stage.pipeline.engine.restore(snapshot)
            self.journal.pipeline([RestoreRow(snapshot)])

    # -- being watched

    def changed(self) -> None:
        """Something that people wait for has changed: push the status now."""
        self._changed.set()

    async def until_changed(self, deadline: int) -> None:
        """Return at the deadline, or as soon as something changed."""
        sleeper = asyncio.ensure_future(self.clock.sleep_until(deadline))
        change = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait((sleeper, change), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sleeper, change):
                task.cancel()
            await asyncio.gather(sleeper, change, return_exceptions=True)
            self._changed.clear()
