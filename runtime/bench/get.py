"""The least HTTP/1.1 client that can keep a connection and count answers; loopback only."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import NamedTuple, Self

from runtime.core.errors import LinkError

HOST = "127.0.0.1"
TIMEOUT_S = 5.0


class Answer(NamedTuple):
    """Status and body of one answer."""

    status: int
    body: bytes


class Connection:
    """One kept connection, as an async context manager."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    async def get(self, path: str) -> Answer:
        """Ask and wait for the answer. Raises LinkError when the server is away or its answer is not understood."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                if self._reader is None or self._writer is None:
                    self._reader, self._writer = await asyncio.open_connection(HOST, self._port)
                self._writer.write(f"GET {path} HTTP/1.1\r\nhost: {HOST}:{self._port}\r\n\r\n".encode())
                return await _answer(self._reader)
        except (OSError, EOFError, TimeoutError, ValueError) as error:
            self._close()
            raise LinkError(f"GET {path} on port {self._port}: {type(error).__name__} {error}") from None

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


async def get(port: int, path: str) -> Answer:
    """One request on a connection of its own."""
    async with Connection(port) as connection:
        return await connection.get(path)


async def _answer(reader: asyncio.StreamReader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in head[1:] if ": " in line)
    body = await reader.readexactly(int(fields.get("content-length", "0")))
    return Answer(int(head[0].split(" ", 2)[1]), body)
