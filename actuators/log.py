"""`log`: an actuator that writes every command to a file, as CSV or as lines of JSON.

Commands wait in memory (at most `backlog`) and are written every `flush_s`, off the event loop. What does not fit is
counted and the count is written as a row of its own, so the file never hides a loss. Its read-back is the command in
force; its safe state is its safe value, written as a last row when it is closed.
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
import math
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from runtime.core.clock import SECOND, Clock
from runtime.core.errors import ConfigError, DeviceError, PacketError
from runtime.core.limits import Limits
from runtime.core.packet import Packet, no_events, one_event
from runtime.core.roles import Adapter, LiveActuator
from runtime.core.topic import COMMAND, STATE, Topic

COLUMNS = ("t_ns", "wall_ns", "what", "value", "ttl_s")
Row = tuple[int, int, str, float, float]


class LogLimits(BaseModel):
    """What its limiter holds the set-point to, in the log's unit."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    min: float = -1e9
    max: float = 1e9
    slew: float = Field(default=1e12, gt=0)


class SafeValue(BaseModel):
    """What counts as doing nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    value: float = 0.0


class LogActuator(Adapter):
    """A file of commands; `format` defaults to what the file's name ends in. Appends to a file that exists."""

    kind: Literal["log"] = "log"
    path: Path
    format: Literal["csv", "jsonl"] | None = None
    unit: str = "1"
    limits: LogLimits = LogLimits()
    safe: SafeValue = SafeValue()
    ttl_s: float = Field(default=0.5, gt=0, le=60)
    flush_s: float = Field(default=0.25, gt=0, le=60)
    backlog: int = Field(default=65536, ge=1)

    _live: _LiveLog | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _consistent(self) -> LogActuator:
        if not self.limits.min <= self.safe.value <= self.limits.max:
            raise ConfigError(
                f"{self.name}: safe.value is {self.safe.value}, expected in [{self.limits.min}, {self.limits.max}]"
            )
        if self.format is None and self.path.suffix not in (".csv", ".jsonl"):
            raise ConfigError(f"{self.name}: path is {self.path}, expected .csv or .jsonl, or format to say which")
        return self

    @property
    def limits_si(self) -> Limits:
        """The limits in the unit of its commands."""
        return Limits(self.limits.min, self.limits.max, self.limits.slew)

    @property
    def safe_value(self) -> float:
        return self.safe.value

    @property
    def travel_s(self) -> float:
        return 0.0

    def describe(self) -> tuple[Topic, ...]:
        return (
            Topic(f"{self.name}/command", COMMAND, unit=self.unit),
            Topic(f"{self.name}/state", STATE, unit=self.unit),
        )

    def make_safe(self) -> None:
        """Let no command be in force. Moves nothing, so in another process there is nothing to do."""
        if self._live is not None:
            self._live.make_safe()

    def is_safe(self, timeout_s: float) -> bool:
        """Whether no command but the safe value is in force."""
        return self._live is None or self._live.holds_safe

    @asynccontextmanager
    async def _open(self, clock: Clock) -> AsyncIterator[LiveActuator]:
        live = _LiveLog(self, clock)
        await live.write()
        writer = asyncio.create_task(live.keep_writing(), name=f"{self.name} log")
        self._live = live
        try:
            yield live
        finally:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
            live.make_safe()
            await live.write()

    def open(self, clock: Clock) -> AbstractAsyncContextManager[LiveActuator]:
        return self._open(clock)


class _LiveLog:
    """A log that takes commands."""

    def __init__(self, log: LogActuator, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._command, self._state = log.describe()
        self._csv = (log.format or log.path.suffix.removeprefix(".")) == "csv"
        self._value = log.safe_value
        self._deadline = clock.now()
        self._rows: deque[Row] = deque()
        self._lost = 0
        self._problem: OSError | None = None
        self._applied = 0
        self._measured = 0

    @property
    def holds_safe(self) -> bool:
        return self._in_force() == self._log.safe_value

    def apply(self, command: Packet) -> Packet:
        if self._problem is not None:
            raise DeviceError(f"{self._log.name}: cannot write {self._log.path}: {self._problem}") from self._problem
        if not len(command):
            raise PacketError(f"{self._log.name}/command: the packet holds no command, expected at least one")
        value, ttl_s = float(command.data["value"][-1]), float(command.data["ttl_s"][-1])
        if not (math.isfinite(value) and ttl_s > 0):
            raise PacketError(f"{self._log.name}/command: got value={value}, ttl_s={ttl_s}, expected finite, above 0")
        now = self._clock.now()
        ttl_s = min(ttl_s, self._log.ttl_s)
        deadline = min(int(command.t[-1]), now) + round(ttl_s * SECOND)
        if deadline <= now:
            return no_events(self._command, now, self._applied)
        self._value, self._deadline = self._log.limits_si.clip(value), deadline
        self._add("command", self._value, ttl_s)
        packet = one_event(self._command, now, (self._value, ttl_s), self._applied)
        self._applied += 1
        return packet

    def read(self) -> Packet:
        value = np.array((self._in_force(), 0.0, self.holds_safe, 0), STATE)
        packet = one_event(self._state, self._clock.now(), value, self._measured)
        self._measured += 1
        return packet

    def make_safe(self) -> None:
        if not self.holds_safe or not self._applied or self._value != self._log.safe_value:
            self._add("safe", self._log.safe_value, 0.0)
        self._value = self._log.safe_value

    async def keep_writing(self) -> None:
        """Write what has gathered, every `flush_s`."""
        due = self._clock.now()
        while self._problem is None:
            due += round(self._log.flush_s * SECOND)
            await self._clock.sleep_until(due)
            await self.write()

    async def write(self) -> None:
        """Append what has gathered to the file; a failure is told by the next `apply`."""
        rows, self._rows = self._rows, deque()
        lost, self._lost = self._lost, 0
        if lost:
            now = self._clock.now()
            rows.append((now, now + self._clock.wall_offset_ns, f"lost {lost}", math.nan, math.nan))
        try:
            await asyncio.get_running_loop().run_in_executor(None, self._append, rows)
        except OSError as error:
            self._problem = error

    def _append(self, rows: deque[Row]) -> None:
        with self._log.path.open("a", encoding="utf-8", newline="") as file:
            text = io.StringIO()
            if self._csv:
                writer = csv.writer(text, lineterminator="\n")
                if file.tell() == 0:
                    writer.writerow(COLUMNS)
                writer.writerows([("" if x != x else x for x in row) for row in rows])
            else:
                for row in rows:
                    fields = {key: None if x != x else x for key, x in zip(COLUMNS, row, strict=True)}
                    text.write(json.dumps(fields, allow_nan=False) + "\n")
            file.write(text.getvalue())

    def _in_force(self) -> float:
        return self._value if self._clock.now() < self._deadline else self._log.safe_value

    def _add(self, what: str, value: float, ttl_s: float) -> None:
        if len(self._rows) >= self._log.backlog:
            self._lost += 1
            return
        now = self._clock.now()
        self._rows.append((now, now + self._clock.wall_offset_ns, what, value, ttl_s))
