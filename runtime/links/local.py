"""The control process's side of its private Unix socket: requests in, state and live pictures out.

Every message is one frame (`runtime.wire`) holding a map with `op`:

    request  {op, id, method, params}            client -> server
    reply    {op, id, result} | {op, id, error}  server -> client, error = {status, title, detail, type}
    watch    {op, on, streams}                   client -> server; no streams: all of them
    push     {op, lane, data}                    server -> client, data = one MessagePack value as `bin`

The server never waits for a client. Lane `status` is never dropped: a client that leaves more than `STATUS_BOUND`
bytes of it unread is disconnected. Lane `live` is conflated: a client has one slot, written when its socket is empty; a
picture that was overwritten there is counted. So a stuck client costs bounded memory and no time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal, Self

from runtime import wire
from runtime.core.errors import ConfigError, DeviceError, LinkError, StoppedError, TectumError

Lane = Literal["status", "live"]
Handler = Callable[[str, dict[str, Any]], Awaitable[Any]]
OnPush = Callable[[str, bytes], None]

STATUS_BOUND = 1024 * 1024
REPLY_BOUND = 2 * wire.MAX_FRAME
MAX_IN_FLIGHT = 64
PROBLEM = "urn:tectum:problem:"

log = logging.getLogger("tectum.local")


class Refusal(TectumError, RuntimeError):
    """A request that control refused, with the HTTP status that says why. A handler raises it to choose the answer."""

    def __init__(self, status: int, title: str, detail: str = "", type: str = "") -> None:
        self.status = status
        self.title = title
        self.detail = detail
        self.type = type or PROBLEM + "-".join(title.lower().split())
        super().__init__(f"{title}: {detail}" if detail else title)

    def to_dict(self) -> dict[str, Any]:
        return {"status": self.status, "title": self.title, "detail": self.detail, "type": self.type}


class LocalServer:
    """Serves `handle(method, params)` at `path` and pushes to every client, as an async context manager.

    What `handle` raises becomes the error of the reply: Refusal as it says, StoppedError 423, LookupError 404,
    PermissionError 403, other ValueErrors 422, OSErrors 503, anything else 500 (and is logged with its traceback).
    """

    def __init__(self, path: Path | str, handle: Handler) -> None:
        self._path = Path(path)
        self._handle = handle
        self._clients: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.AbstractServer | None = None
        self._last_status: bytes | None = None
        self._live_dropped = 0
        self._disconnected = 0

    async def __aenter__(self) -> Self:
        prepare(self._path)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: _Connection(self), str(self._path))
        os.chmod(self._path, 0o600)
        return self

    async def __aexit__(self, *exception: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for client in list(self._clients):
            client.close()
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()

    @property
    def clients(self) -> int:
        """How many clients are connected."""
        return len(self._clients)

    @property
    def live_dropped(self) -> int:
        """Pictures overwritten in a slot before their client had room for them."""
        return self._live_dropped

    @property
    def disconnected(self) -> int:
        """Clients cut off because they did not read."""
        return self._disconnected

    def watched(self) -> bool:
        """Whether any client wants live pictures."""
        return any(client.watching for client in self._clients)

    def streams(self) -> frozenset[str]:
        """The streams that are watched; empty: all of them."""
        wanted = [client.streams for client in self._clients if client.watching]
        return frozenset() if not all(wanted) else frozenset().union(*wanted)

    def push(self, lane: Lane, payload: bytes) -> None:
        """Send one encoded value to every client of the lane. Returns at once, whatever the clients do."""
        data = wire.frame(wire.encode({"op": "push", "lane": lane, "data": payload}))
        if lane == "status":
            self._last_status = data
            for client in list(self._clients):
                client.tell(data)
        else:
            for client in list(self._clients):
                if client.watching:
                    client.offer(data)

    def _joined(self, client: _Connection) -> None:
        self._clients.add(client)
        if self._last_status is not None:
            client.tell(self._last_status)

    def _start(self, client: _Connection, number: Any, method: str, params: dict[str, Any]) -> None:
        client.in_flight += 1
        task = asyncio.get_running_loop().create_task(
            self._answer(client, number, method, params), name=f"local/{method}"
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, client: _Connection, number: Any, method: str, params: dict[str, Any]) -> None:
        # A command goes on when its client is gone: an e-stop half done because a browser closed would be worse.
        try:
            reply = {"op": "reply", "id": number, "result": await self._handle(method, params)}
            data = wire.frame(wire.encode(reply))
        except Exception as error:
            if not isinstance(error, TectumError | LookupError | ValueError | OSError):
                log.exception("%s failed", method)
            data = wire.frame(wire.encode({"op": "reply", "id": number, "error": refusal(error).to_dict()}))
        finally:
            client.in_flight -= 1
        client.send(data)


class _Connection(asyncio.Protocol):
    """One client of the server."""

    def __init__(self, server: LocalServer) -> None:
        self._server = server
        self._reader = wire.FrameReader()
        self._transport: asyncio.Transport | None = None
        self._slot: bytes | None = None
        self._blocked = False
        self._unread = 0
        self.watching = False
        self.streams: frozenset[str] = frozenset()
        self.in_flight = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=0)  # paused from the first byte the kernel does not take
        self._server._joined(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._server._clients.discard(self)

    def pause_writing(self) -> None:
        self._blocked = True

    def resume_writing(self) -> None:
        self._blocked = False
        self._unread = 0
        slot, self._slot = self._slot, None
        if slot is not None and self._transport is not None:
            self._transport.write(slot)

    def data_received(self, data: bytes) -> None:
        try:
            for payload in self._reader.feed(data):
                self._received(wire.decode(payload))
        except wire.FrameError as error:
            log.warning("client cut off: %s", error)
            self._abort()

    def _received(self, message: Any) -> None:
        match message:
            case {"op": "request", "id": number, "method": str(method), **rest}:
                params = rest.get("params", {})
                if not isinstance(params, dict):
                    raise wire.FrameError(f"{method}: params are {type(params).__name__}, expected a map")
                if self.in_flight < MAX_IN_FLIGHT:
                    self._server._start(self, number, method, params)
                else:
                    busy = Refusal(429, "Too many requests", f"{MAX_IN_FLIGHT} are in flight")
                    self.send(wire.frame(wire.encode({"op": "reply", "id": number, "error": busy.to_dict()})))
            case {"op": "watch", "on": bool(on), **rest}:
                self.watching = on
                streams = rest.get("streams")
                self.streams = frozenset(str(name) for name in streams) if isinstance(streams, list) else frozenset()
                if not on:
                    self._slot = None
            case _:
                raise wire.FrameError("message has no op this server knows, expected request or watch")

    def send(self, data: bytes) -> None:
        """Write a reply now, behind whatever waits."""
        if self._transport is None or self._transport.is_closing():
            return
        if self._transport.get_write_buffer_size() > REPLY_BOUND:
            self._cut_off()
            return
        self._transport.write(data)

    def tell(self, data: bytes) -> None:
        """Write a status now; cut the client off when it has left too many unread."""
        if self._transport is None or self._transport.is_closing():
            return
        if self._blocked:
            self._unread += len(data)
            if self._unread > STATUS_BOUND:
                self._cut_off()
                return
        self._transport.write(data)

    def offer(self, data: bytes) -> None:
        """Write when nothing waits before it, else keep it in the slot in place of an older one."""
        if self._transport is None or self._transport.is_closing():
            return
        if not self._blocked:
            self._transport.write(data)
            return
        if self._slot is not None:
            self._server._live_dropped += 1
        self._slot = data

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _cut_off(self) -> None:
        assert self._transport is not None
        log.warning("client cut off: it left %d bytes unread", self._transport.get_write_buffer_size())
        self._server._disconnected += 1
        self._abort()

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
        self._server._clients.discard(self)


class LocalClient(asyncio.Protocol):
    """Another process's side of the socket, as an async context manager; pushes go to `on_push(lane, data)`."""

    def __init__(self, path: Path | str, on_push: OnPush | None = None) -> None:
        self._path = Path(path)
        self._on_push = on_push
        self._reader = wire.FrameReader()
        self._transport: asyncio.Transport | None = None
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._number = 0
        self._closed: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._closed = loop.create_future()
        try:
            await loop.create_unix_connection(lambda: self, str(self._path))
        except OSError as error:
            raise LinkError(f"{self._path}: no daemon answers ({error.strerror or error})") from None
        return self

    async def __aexit__(self, *exception: object) -> None:
        if self._transport is not None:
            self._transport.close()
        await self.closed()

    async def request(self, method: str, params: dict[str, Any] | None = None, timeout_s: float = 2.0) -> Any:
        """The result of `method`. Raises Refusal as control says, LinkError when it is gone, TimeoutError."""
        if self._transport is None:
            raise LinkError(f"{self._path}: not connected")
        self._number += 1
        number = self._number
        payload = wire.encode({"op": "request", "id": number, "method": method, "params": params or {}})
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            self._transport.write(wire.frame(payload))
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError:
            raise TimeoutError(f"{method}: no answer from {self._path} within {timeout_s} s") from None
        finally:
            del self._waiting[number]

    def watch(self, streams: frozenset[str] = frozenset()) -> None:
        """Ask for live pictures: of these streams, or of all."""
        self._write({"op": "watch", "on": True, "streams": sorted(streams)})

    def unwatch(self) -> None:
        """Ask for no more live pictures."""
        self._write({"op": "watch", "on": False, "streams": []})

    async def closed(self) -> None:
        """Return when the connection is gone."""
        assert self._closed is not None
        await asyncio.shield(self._closed)

    def _write(self, message: dict[str, Any]) -> None:
        if self._transport is not None:
            self._transport.write(wire.frame(wire.encode(message)))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(LinkError(f"{self._path}: control went away before it answered"))
        if self._closed is not None and not self._closed.done():
            self._closed.set_result(None)

    def data_received(self, data: bytes) -> None:
        try:
            for payload in self._reader.feed(data):
                self._received(wire.decode(payload))
        except wire.FrameError as error:
            log.warning("%s: %s", self._path, error)
            if self._transport is not None:
                self._transport.abort()

    def _received(self, message: Any) -> None:
        match message:
            case {"op": "push", "lane": str(lane), "data": bytes(data)}:
                if self._on_push is not None:
                    self._on_push(lane, data)
            case {"op": "reply", "id": int(number), **rest}:
                future = self._waiting.get(number)
                if future is None or future.done():
                    return
                match rest.get("error"):
                    case {"status": int(status), "title": str(title), "detail": str(detail), "type": str(kind)}:
                        future.set_exception(Refusal(status, title, detail, kind))
                    case None:
                        future.set_result(rest.get("result"))
                    case error:
                        raise wire.FrameError(f"reply {number} has an error without status or title: {error!r}")
            case _:
                raise wire.FrameError("message has no op this client knows, expected reply or push")


def call(path: Path | str, method: str, params: dict[str, Any] | None = None, timeout_s: float = 2.0) -> Any:
    """One request from a program without an event loop. Raises as `LocalClient.request` does."""

    async def once() -> Any:
        async with LocalClient(path) as client:
            return await client.request(method, params, timeout_s)

    return asyncio.run(once())


def refusal(error: Exception) -> Refusal:
    """What an exception of the control process says to a client."""
    match error:
        case Refusal():
            return error
        case StoppedError():
            return Refusal(423, "Stopped", str(error))
        case LookupError():
            return Refusal(404, "Not found", str(error.args[0]) if error.args else "")
        case PermissionError():
            return Refusal(403, "Forbidden", str(error))
        case TimeoutError():
            return Refusal(504, "No answer in time", str(error))
        case DeviceError() | LinkError() | OSError():
            return Refusal(503, "Not available", str(error))
        case ValueError():
            return Refusal(422, "Not acceptable", str(error))
        case _:
            return Refusal(500, "Control failed", f"{type(error).__name__}: {error}")


def prepare(path: Path) -> None:
    """Make the socket's folder private and clear what a dead daemon left there. Raises ConfigError or LinkError."""
    if len(os.fsencode(path)) > 107:
        raise ConfigError(f"{path}: {len(os.fsencode(path))} bytes, a Unix socket's path has at most 107")
    folder = path.parent
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        mode = f"{stat.S_IMODE(found.st_mode):04o}"
        raise ConfigError(f"{folder}: owner {found.st_uid} mode {mode}, expected owner {os.geteuid()} mode 0700")
    if not path.exists():
        return
    if not stat.S_ISSOCK(path.stat().st_mode):
        raise ConfigError(f"{path}: exists and is not a socket")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(0.2)
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink()
        else:
            raise LinkError(f"{path}: another daemon is serving there")
