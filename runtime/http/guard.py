"""Refuses, before any route runs, what a browser could be tricked into and what is too large.

Any web page can make its visitor's browser send requests to loopback. So: the Host must be one of ours (a name that
an attacker points at us is not), an unsafe method or a WebSocket from another origin is refused, and a body must be
JSON, which no form can send. There is no CORS: no other page may read an answer.
"""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.http.problems import UNSAFE, ProblemError, respond
from runtime.http.settings import Settings

BINARY_PATHS = frozenset({"/v1/network/restore"})
BODY_TIMEOUT_S = 10.0
HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}


class Guard:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        send = _with_headers(send)
        try:
            self._check(scope)
            if scope["type"] == "http" and scope["method"] in UNSAFE:
                receive = await self._read(scope, receive)
        except ProblemError as problem:
            if scope["type"] == "websocket":
                # Before acceptance, a close is answered as HTTP 403.
                await receive()
                await send({"type": "websocket.close", "code": 1008, "reason": problem.title})
                return
            await respond(problem, scope["path"])(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        host = hosts[0] if len(hosts) == 1 else ""
        if not self._settings.accepts_host(_name(host)):
            raise ProblemError(403, "Foreign host", f"addressed as {host!r}, which is not a name of this gateway")
        if scope["type"] == "http" and scope["method"] not in UNSAFE:
            return
        origins = headers.getlist("origin")
        if origins and not (len(origins) == 1 and self._accepts_origin(origins[0], host)):
            raise ProblemError(403, "Foreign origin", f"a page of {origins[0]!r} may not command this robot")
        if not origins and headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise ProblemError(403, "Foreign origin", "a page of another site may not command this robot")

    def _accepts_origin(self, origin: str, host: str) -> bool:
        if origin in self._settings.origins:
            return True
        parts = urlsplit(origin)
        default = {"http": ":80", "https": ":443"}.get(parts.scheme)
        if default is None or not parts.netloc:
            return False
        return parts.netloc.lower() in (host.lower(), host.lower().removesuffix(default))

    async def _read(self, scope: Scope, receive: Receive) -> Receive:
        """Take the body in, within its bounds of size, kind and time; return what gives it to the application."""
        headers = Headers(scope=scope)
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        binary = scope["path"] in BINARY_PATHS and kind == "application/octet-stream"
        bound = self._settings.max_snapshot_bytes if binary else self._settings.max_json_bytes
        announced = headers.get("content-length", "0")
        if announced.isdigit() and int(announced) > bound:
            raise ProblemError(413, "Too large", f"{announced} bytes, expected at most {bound}")
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                more = True
                while more:
                    message = await receive()
                    if message["type"] != "http.request":
                        break
                    body += message.get("body", b"")
                    more = message.get("more_body", False)
                    if len(body) > bound:
                        raise ProblemError(413, "Too large", f"over {bound} bytes")
        except TimeoutError:
            raise ProblemError(408, "Request timeout", f"the body did not arrive in {BODY_TIMEOUT_S} s") from None
        if body and not binary and kind != "application/json":
            raise ProblemError(415, "Unsupported media type", f"{kind or 'none'!r}, expected application/json")
        pending = [bytes(body)]

        async def replay() -> Message:
            if pending:
                return {"type": "http.request", "body": pending.pop(), "more_body": False}
            return await receive()

        return replay


def _name(host: str) -> str:
    """The name in a Host header, without port and brackets, in lower case."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def _with_headers(send: Send) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("cache-control", "no-store")
        await send(message)

    return wrapped
