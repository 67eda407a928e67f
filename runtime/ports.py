"""Ports: whether an address can be listened on, asked before a process is started to do it."""

from __future__ import annotations

import asyncio
import os
import socket

from runtime.core.errors import LinkError


async def require_free(host: str, port: int) -> None:
    """Raises LinkError that says why `host:port` cannot be listened on."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in found:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
    except OSError as error:
        why = error.strerror if isinstance(error, socket.gaierror) or not error.errno else os.strerror(error.errno)
        raise LinkError(f"http://{host}:{port}/ cannot be served: {why}") from None
