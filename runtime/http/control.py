"""The gateway's view of the control process: the last status, the live stream, and the way to ask for something."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Literal

from runtime import wire
from runtime.core.clock import SECOND, Clock
from runtime.core.errors import LinkError
from runtime.http.changes import Event, changes
from runtime.http.problems import ProblemError, away
from runtime.http.settings import Settings
from runtime.links.local import LocalClient

STATE_DEPTH = 100
HISTORY = 256
FIRST_RETRY_S = 0.05
LAST_RETRY_S = 1.0

log = logging.getLogger("tectum.http")


class Viewer:
    """One reader of the stream: a state lane that is never dropped and one slot for the newest picture."""

    def __init__(self) -> None:
        self.wake = asyncio.Event()
        self.streams: frozenset[str] = frozenset()
        self.overrun = False
        self._state: deque[bytes] = deque()
        self._live: bytes | None = None
        self.dropped = 0

    def tell(self, message: bytes) -> None:
        """Add to the state lane; a reader that leaves STATE_DEPTH of them is overrun and must go."""
        if len(self._state) >= STATE_DEPTH:
            self.overrun = True
        else:
            self._state.append(message)
        self.wake.set()

    def offer(self, message: bytes) -> None:
        """Replace the picture in the slot."""
        if self._live is not None:
            self.dropped += 1
        self._live = message
        self.wake.set()

    @property
    def has_live(self) -> bool:
        return self._live is not None

    def take_state(self) -> bytes | None:
        return self._state.popleft() if self._state else None

    def take_live(self) -> bytes | None:
        live, self._live = self._live, None
        return live


class Control:
    """A connection that mends itself. Reads cost control nothing: they are answered from what it pushed last."""

    def __init__(self, path: Path | str, settings: Settings, clock: Clock) -> None:
        self._path = path
        self._settings = settings
        self._clock = clock
        self._client: LocalClient | None = None
        self._status: dict[str, Any] | None = None
        self._status_at = 0
        self._reason = "not connected yet"
        self._viewers: set[Viewer] = set()
        self._listeners: set[Viewer] = set()
        self._history: deque[tuple[int, Event]] = deque(maxlen=HISTORY)
        self._number = 0
        self.reconnects = 0

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """Keep the connection while the context lasts."""
        task = asyncio.create_task(self._run(), name="gateway/control")
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    @property
    def status(self) -> dict[str, Any]:
        """The last status. Raises 503 while control is away or silent."""
        if self._status is None:
            raise away(self._reason)
        age = self.age_s
        if age > self._settings.max_status_age_s:
            raise away(f"control is connected and has said nothing for {age:.1f} s")
        return self._status

    @property
    def is_away(self) -> bool:
        return self._status is None or self.age_s > self._settings.max_status_age_s

    @property
    def age_s(self) -> float:
        """Since the last status."""
        return (self._clock.now() - self._status_at) / SECOND

    @property
    def viewers(self) -> int:
        return len(self._viewers)

    async def request(self, method: str, params: dict[str, Any] | None = None) -> Any:
        """Ask control. Raises Refusal as it says, LinkError when it is away, TimeoutError."""
        if self._client is None:
            raise LinkError(self._reason)
        return await self._client.request(method, params, self._settings.request_timeout_s)

    @contextmanager
    def viewing(self) -> Iterator[Viewer]:
        """A viewer of the live stream, which gets the current state first."""
        if len(self._viewers) >= self._settings.max_viewers:
            raise ProblemError(503, "Too many viewers", f"{self._settings.max_viewers} watch already")
        viewer = Viewer()
        viewer.tell(self._link_message())
        if self._status is not None:
            viewer.tell(_message("status", wire.encode(self._status)))
        self._viewers.add(viewer)
        self._watch()
        try:
            yield viewer
        finally:
            self._viewers.discard(viewer)
            self._watch()

    @contextmanager
    def listening(self, after: int | None = None) -> Iterator[Viewer]:
        """A reader of state changes; `after`: begin with those since this number, where they are still known."""
        if len(self._listeners) >= self._settings.max_viewers:
            raise ProblemError(503, "Too many viewers", f"{self._settings.max_viewers} listen already")
        listener = Viewer()
        for number, event in self._history:
            if after is not None and number > after:
                listener.tell(wire.encode([number, event]))
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def watch(self) -> None:
        """Tell control what is watched now; call it when a viewer changed its streams."""
        self._watch()

    async def _run(self) -> None:
        retry_s = FIRST_RETRY_S
        while True:
            try:
                async with LocalClient(self._path, self._pushed) as client:
                    self._client = client
                    self._watch()
                    retry_s = FIRST_RETRY_S
                    await client.closed()
                reason = "control went away"
            except LinkError as error:
                reason = str(error)
            finally:
                self._client = None
            self._gone(reason)
            await self._clock.sleep_until(self._clock.now() + int(retry_s * random.uniform(0.5, 1.0) * SECOND))
            retry_s = min(2 * retry_s, LAST_RETRY_S)
            self.reconnects += 1

    def _gone(self, reason: str) -> None:
        self._reason = reason
        if self._status is not None:
            log.info("%s", reason)
            self._status = None
            self._note([{"kind": "control", "from": "connected", "to": "away", "detail": reason}])
            for viewer in self._viewers:
                viewer.tell(self._link_message())

    def _pushed(self, lane: str, data: bytes) -> None:
        if lane == "status":
            status = finite(wire.decode(data))
            if not isinstance(status, dict):
                raise wire.FrameError(f"status is {type(status).__name__}, expected a map")
            try:
                events = changes(self._status, status)
            except (KeyError, TypeError, AttributeError) as error:
                raise wire.FrameError(f"status is not as declared: {type(error).__name__}: {error}") from None
            self._note(events)
            returned = self._status is None
            self._status, self._status_at = status, self._clock.now()
            for viewer in self._viewers:
                if returned:
                    viewer.tell(self._link_message())
                viewer.tell(_message("status", data))
        elif lane == "live":
            self._show(data)

    def _show(self, data: bytes) -> None:
        whole = _message("live", data)
        body: dict[str, Any] | None = None
        for viewer in self._viewers:
            if not viewer.streams:
                viewer.offer(whole)
                continue
            if body is None:
                body = wire.decode(data)
            chosen = {key: value for key, value in body.items() if key in viewer.streams or key in ("t", "n")}
            viewer.offer(_message("live", wire.encode(chosen)))

    def _note(self, events: list[Event]) -> None:
        for event in events:
            self._number += 1
            event["t"] = self._clock.now() + self._clock.wall_offset_ns
            self._history.append((self._number, event))
            for listener in self._listeners:
                listener.tell(wire.encode([self._number, event]))

    def _watch(self) -> None:
        if self._client is None:
            return
        if not self._viewers:
            self._client.unwatch()
            return
        wanted = [viewer.streams for viewer in self._viewers]
        self._client.watch(frozenset().union(*wanted) if all(wanted) else frozenset())

    def _link_message(self) -> bytes:
        state = "away" if self._status is None else "connected"
        return _message("link", wire.encode({"state": state, "reason": self._reason if state == "away" else ""}))


def finite(value: Any) -> Any:
    """The same value with NaN and infinities as None: JSON has neither."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return value


def _message(lane: Literal["status", "live", "link"], data: bytes) -> bytes:
    """`{"lane": lane, "data": data}` without encoding `data`, which is MessagePack already, once more."""
    return b"\x82" + wire.encode("lane") + wire.encode(lane) + wire.encode("data") + data
