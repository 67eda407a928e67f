"""The live stream over a WebSocket, and state changes as server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import StreamingResponse
from pydantic import ValidationError

from runtime import wire
from runtime.core.clock import SECOND, Clock
from runtime.http.auth import SUBPROTOCOL, allow, allow_websocket
from runtime.http.control import Control, Viewer
from runtime.http.problems import ProblemError, responses
from runtime.http.routes.read import control_of
from runtime.http.schemas import LiveRequest

router = APIRouter(prefix="/v1", tags=["live"])

KEEP_ALIVE_S = 15.0
CLOSE_POLICY = 1008
CLOSE_INVALID = 1007
CLOSE_SLOW = 1013


@router.websocket("/live")
async def live(websocket: WebSocket) -> None:
    """MessagePack messages `{lane, data}`: `status` (each one, in order), `link`, and `live` (the newest picture).

    The client may say at any time, as JSON text or MessagePack: `{"max_hz": 10, "streams": ["images"]}`.
    """
    control: Control = websocket.app.state.control
    try:
        await allow_websocket(websocket)
        with control.viewing() as viewer:
            offered = websocket.scope.get("subprotocols", [])
            await websocket.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in offered else None)
            await _Session(websocket, control, viewer).run()
    except ProblemError as problem:
        await websocket.close(CLOSE_POLICY, problem.title)


class _Session:
    """One viewer's connection; it ends when either side does."""

    def __init__(self, websocket: WebSocket, control: Control, viewer: Viewer) -> None:
        self._websocket = websocket
        self._control = control
        self._viewer = viewer
        self._clock: Clock = websocket.app.state.clock
        self._timeout_s: float = websocket.app.state.settings.send_timeout_s
        self._period = 0

    async def run(self) -> None:
        sender = asyncio.create_task(self._send(), name="live/send")
        receiver = asyncio.create_task(self._receive(), name="live/receive")
        try:
            done, _ = await asyncio.wait((sender, receiver), return_when=asyncio.FIRST_COMPLETED)
            code, reason = next(iter(done)).result()
            with suppress(RuntimeError, WebSocketDisconnect, TimeoutError):
                async with asyncio.timeout(self._timeout_s):
                    await self._websocket.close(code, reason)
        finally:
            sender.cancel()
            receiver.cancel()
            await asyncio.gather(sender, receiver, return_exceptions=True)

    async def _send(self) -> tuple[int, str]:
        viewer = self._viewer
        due = 0
        try:
            while True:
                viewer.wake.clear()
                while (message := viewer.take_state()) is not None:
                    await self._write(message)
                if viewer.overrun:
                    return CLOSE_SLOW, "too slow for the state"
                now = self._clock.now()
                if viewer.has_live and now >= due and (message := viewer.take_live()) is not None:
                    due = now + self._period
                    await self._write(message)
                    continue
                with suppress(TimeoutError):
                    async with asyncio.timeout((due - now) / SECOND if viewer.has_live else None):
                        await viewer.wake.wait()
        except TimeoutError:
            return CLOSE_SLOW, "too slow"
        except (WebSocketDisconnect, RuntimeError):
            return 1000, ""

    async def _write(self, message: bytes) -> None:
        async with asyncio.timeout(self._timeout_s):
            await self._websocket.send_bytes(message)

    async def _receive(self) -> tuple[int, str]:
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                return 1000, ""
            try:
                text, data = message.get("text"), message.get("bytes")
                asked = json.loads(text) if text is not None else wire.decode(data or b"", max_items=1000)
                wanted = LiveRequest.model_validate(asked)
            except (ValidationError, ValueError, RecursionError) as error:
                return CLOSE_INVALID, f"not as declared: {type(error).__name__}"
            self._period = int(SECOND / wanted.max_hz) * 9 // 10  # the source's own jitter must not halve the rate
            self._viewer.streams = frozenset(wanted.streams)
            self._control.watch()


@router.get(
    "/events",
    dependencies=[Depends(allow("read"))],
    response_class=StreamingResponse,
    responses={
        **responses(422, 503),
        200: {"description": "Server-sent events", "content": {"text/event-stream": {"schema": {"type": "string"}}}},
    },
)
async def events(
    request: Request, last_event_id: Annotated[str | None, Header(max_length=20, pattern=r"^[0-9]+$")] = None
) -> StreamingResponse:
    """Changes of e-stop, sensors, actuators, links, recording, readiness, control. `Last-Event-ID` resumes."""
    control = control_of(request)
    after = None if last_event_id is None else int(last_event_id)
    return StreamingResponse(_lines(control, after), media_type="text/event-stream")


async def _lines(control: Control, after: int | None) -> AsyncIterator[str]:
    with control.listening(after) as listener:
        yield ": state changes\n\n"
        while not listener.overrun:
            listener.wake.clear()
            while (message := listener.take_state()) is not None:
                number, event = wire.decode(message)
                yield f"id: {number}\nevent: {event['kind']}\ndata: {json.dumps(event)}\n\n"
            try:
                async with asyncio.timeout(KEEP_ALIVE_S):
                    await listener.wake.wait()
            except TimeoutError:
                yield ": still here\n\n"
