"""Who may do what: API keys by scope, or everybody where there are no keys (loopback only)."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path

from fastapi import Request, WebSocket
from starlette.requests import HTTPConnection

from runtime.core.clock import SECOND, Clock
from runtime.http.keys import Key, read_keys, split_key
from runtime.http.problems import ProblemError

SUBPROTOCOL = "tectum"
MAX_FAILURES = 10
FAILURE_WINDOW_S = 60

log = logging.getLogger("tectum.http")


class Auth:
    """Checks keys against their file, which is read again when it changes."""

    def __init__(self, path: Path | None, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._stamp: tuple[int, int] | None = None
        self._keys: dict[str, Key] = {}
        self._verified: dict[bytes, str] = {}
        self._failures: dict[str, deque[int]] = {}
        self._hashing = asyncio.Semaphore(1)  # scrypt takes 16 MB and 40 ms: one guess at a time

    @property
    def required(self) -> bool:
        return self._path is not None

    async def check(self, connection: HTTPConnection, scope: str | None) -> str:
        """Who asks ("" without keys). `scope` None: any valid key. Raises 401, 403 or 429."""
        if self._path is None:
            return ""
        self._reload(self._path)
        token = _token(connection)
        if token is None:
            raise _unauthorized("send a key as `Authorization: Bearer tectum_...`")
        key = await self._find(token, connection.client.host if connection.client else "", scope)
        if scope is not None and not key.allows(scope):
            raise ProblemError(403, "Forbidden", f"key {key.name!r} has scopes {sorted(key.scopes)}, expected {scope}")
        return key.name

    async def _find(self, token: str, address: str, scope: str | None) -> Key:
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        if (known := self._verified.get(digest)) is not None:
            return self._keys[known]
        recent = self._recent_failures(address)
        # Guesses from the same address must not keep a good key from stopping the robot.
        if len(recent) >= MAX_FAILURES and scope is not None:
            raise ProblemError(429, "Too many requests", f"{MAX_FAILURES} wrong keys in {FAILURE_WINDOW_S} s")
        parts = split_key(token)
        key = self._keys.get(parts[0]) if parts else None
        if parts and key is not None:
            async with self._hashing:
                if await asyncio.to_thread(key.matches, parts[1]) and self._keys.get(key.id) == key:
                    self._verified[digest] = key.id
                    return key
        recent.append(self._clock.now())
        log.warning("wrong key from %s", address)
        raise _unauthorized("this key is not known here")

    def _recent_failures(self, address: str) -> deque[int]:
        if address not in self._failures and len(self._failures) >= 1024:
            del self._failures[next(iter(self._failures))]
        recent = self._failures.setdefault(address, deque(maxlen=MAX_FAILURES))
        while recent and self._clock.now() - recent[0] > FAILURE_WINDOW_S * SECOND:
            recent.popleft()
        return recent

    def _reload(self, path: Path) -> None:
        try:
            found = path.stat()
            stamp = (found.st_mtime_ns, found.st_ino)
            if stamp == self._stamp:
                return
            keys = read_keys(path)
        except (OSError, ValueError) as error:
            # Unreadable means nobody is known: a key that was revoked must not live on by an accident.
            log.error("%s", error)
            stamp, keys = None, []
        self._stamp = stamp
        self._keys = {key.id: key for key in keys}
        self._verified.clear()


def allow(scope: str | None) -> Callable[[Request], Awaitable[str]]:
    """A dependency that lets only keys with `scope` pass and gives the name of the key."""

    async def dependency(request: Request) -> str:
        auth: Auth = request.app.state.auth
        return await auth.check(request, scope)

    return dependency


async def allow_websocket(websocket: WebSocket) -> str:
    """The same for the live stream, where browsers can send a key only as a subprotocol."""
    auth: Auth = websocket.app.state.auth
    return await auth.check(websocket, "read")


def _token(connection: HTTPConnection) -> str | None:
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip()
    if connection.scope["type"] == "websocket":
        offered: list[str] = connection.scope.get("subprotocols", [])
        return next((word.removeprefix("key.") for word in offered if word.startswith("key.")), None)
    return None


def _unauthorized(detail: str) -> ProblemError:
    return ProblemError(401, "Unauthorized", detail, headers={"www-authenticate": 'Bearer realm="tectum"'})
