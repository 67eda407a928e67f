"""The client's end of a servo's device process: lines of JSON over a Unix socket.

to the device    {"take": who}                        be the one who commands; the newest to ask wins
                 {"set": rad, "t": ns, "ttl_s": s}    a set-point and when it was issued
                 {"safe": who}                        go to the safe position; obeyed from anybody
from the device  {"t", "position", "velocity", "safe", "fault", "target", "late"}   read-back, 200 times a second
                 {"safe_set": true}                   the safe position is the set-point now
                 {"refused": why}                     the last line was not obeyed
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from actuators.servo_physics import ReadBack
from runtime.core.clock import SECOND, Clock, MonotonicClock
from runtime.core.errors import DeviceError

ANSWER_S = 0.5
STALE_S = 0.2
STALE_MACHINE_S = 0.05
"""On a clock that runs faster than the machine's, a read-back is not stale before this much of the machine's time."""
BACKLOG = 65536
LONGEST_LINE = 4096


def encode(message: dict[str, Any]) -> bytes:
    """One message as one line."""
    return json.dumps(message, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """The inverse of `encode`; raises ValueError."""
    message = json.loads(line)
    if not isinstance(message, dict):
        raise ValueError(f"got {type(message).__name__}, expected an object")
    return message


class Link:
    """A held servo."""

    def __init__(self, name: str, clock: Clock, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._name = name
        self._clock = clock
        self._reader = reader
        self._writer = writer
        self._read_back: ReadBack | None = None
        self._arrived = 0
        self._ended: str | None = None
        self._lost_to_another = False
        self._first = asyncio.Event()
        self._safe_set = asyncio.Event()
        self._stale = round(max(STALE_S, STALE_MACHINE_S * clock.speed) * SECOND)

    def send_command(self, value: float, issued: int, ttl_s: float) -> None:
        """Hand a set-point to the device without waiting for it."""
        if self._ended is not None:
            raise DeviceError(f"{self._name}: {self._ended}")
        if self._writer.transport.get_write_buffer_size() > BACKLOG:
            raise DeviceError(f"{self._name}: the device takes no commands, {BACKLOG} bytes wait for it")
        self._writer.write(encode({"set": value, "t": issued, "ttl_s": ttl_s}))

    def newest(self) -> ReadBack:
        """The newest read-back. Raises DeviceError for one too old to be the device's state."""
        if self._ended is not None:
            raise DeviceError(f"{self._name}: {self._ended}")
        age = self._clock.now() - self._arrived
        if self._read_back is None or age > self._stale:
            allowed_s = self._stale / SECOND
            raise DeviceError(
                f"{self._name}: read-back is {age / SECOND:.3f} s old, expected at most {allowed_s:.3f} s"
            )
        return self._read_back

    async def start(self) -> None:
        """Become the commander and wait for the first read-back."""
        self._writer.write(encode({"take": self._name}))
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._first.wait()
        except TimeoutError:
            raise DeviceError(f"{self._name}: the device did not answer within {ANSWER_S} s") from None
        if self._ended is not None:
            raise DeviceError(f"{self._name}: {self._ended}")

    async def leave_safe(self) -> str | None:
        """Command the safe position and have it confirmed; says what went wrong, if anything did."""
        if self._lost_to_another:
            return None
        if self._ended is not None:
            return f"{self._name}: not confirmed safe: {self._ended}"
        self._safe_set.clear()
        self._writer.write(encode({"safe": self._name}))
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._safe_set.wait()
        except TimeoutError:
            return f"{self._name}: not confirmed safe: the device did not answer within {ANSWER_S} s"
        return f"{self._name}: not confirmed safe: {self._ended}" if self._ended is not None else None

    async def listen(self) -> None:
        """Take in what the device says, until it hangs up."""
        try:
            while line := await self._reader.readline():
                self._take_in(decode(line))
            self._end("the device process has hung up")
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._end(f"the device process cannot be understood: {error!r}")

    def _take_in(self, message: dict[str, Any]) -> None:
        if "position" in message:
            self._read_back = parse_read_back(message)
            self._arrived = self._clock.now()
            self._first.set()
        elif "safe_set" in message:
            self._safe_set.set()
        elif "refused" in message:
            self._lost_to_another = True
            self._end(str(message["refused"]))

    def _end(self, why: str) -> None:
        self._ended = self._ended or why
        self._first.set()
        self._safe_set.set()


def parse_read_back(message: dict[str, Any]) -> ReadBack:
    """The read-back of one message; raises KeyError, TypeError or ValueError."""
    return ReadBack(
        t=int(message["t"]),
        position=float(message["position"]),
        velocity=float(message["velocity"]),
        safe=bool(message["safe"]),
        fault=int(message["fault"]),
    )


@asynccontextmanager
async def connect(path: Path, clock: Clock, name: str) -> AsyncIterator[Link]:
    """Hold the servo at `path`; leaving commands its safe position and waits until the device confirms that."""
    try:
        reader, writer = await asyncio.open_unix_connection(path, limit=LONGEST_LINE)
    except OSError as error:
        raise DeviceError(f"{name}: no device process at {path}: {error.strerror or error}") from error
    link = Link(name, clock, reader, writer)
    listener = asyncio.create_task(link.listen(), name=f"{name} read-back")
    try:
        await link.start()
        try:
            yield link
        except BaseException as error:
            if problem := await link.leave_safe():
                error.add_note(problem)
            raise
        if problem := await link.leave_safe():
            raise DeviceError(problem)
    finally:
        listener.cancel()
        await asyncio.gather(listener, return_exceptions=True)
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def make_safe(path: Path, name: str) -> None:
    """From any process, blocking: command the safe position; DeviceError where it is not confirmed within 0.5 s."""
    with _lines(path, ANSWER_S) as lines:
        try:
            lines.send({"safe": name})
            while "safe_set" not in lines.receive():
                pass
        except (OSError, ValueError) as error:
            raise DeviceError(
                f"{name}: the device process at {path} did not confirm its safe state: {error}"
            ) from error


def is_safe(path: Path, timeout_s: float) -> bool:
    """From any process, blocking: whether read-back shows the safe state within `timeout_s`."""
    try:
        with _lines(path, timeout_s) as lines:
            while not lines.receive().get("safe"):
                pass
            return True
    except (OSError, ValueError):
        return False


class _Lines:
    """Messages over a blocking socket, with one deadline for all of them."""

    def __init__(self, connection: socket.socket, timeout_s: float) -> None:
        self._connection = connection
        self._clock = MonotonicClock()
        self._deadline = self._clock.now() + round(timeout_s * SECOND)
        self._rest = b""

    def send(self, message: dict[str, Any]) -> None:
        self._connection.settimeout(self._left())
        self._connection.sendall(encode(message))

    def receive(self) -> dict[str, Any]:
        while b"\n" not in self._rest:
            if len(self._rest) > LONGEST_LINE:
                raise ValueError(f"a line of over {LONGEST_LINE} bytes")
            self._connection.settimeout(self._left())
            part = self._connection.recv(LONGEST_LINE)
            if not part:
                raise ConnectionResetError("the device process has hung up")
            self._rest += part
        line, _, self._rest = self._rest.partition(b"\n")
        return decode(line)

    def _left(self) -> float:
        left = (self._deadline - self._clock.now()) / SECOND
        if left <= 0:
            raise TimeoutError("no answer in time")
        return left


@contextmanager
def _lines(path: Path, timeout_s: float) -> Iterator[_Lines]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(max(timeout_s, 1e-3))
        try:
            connection.connect(str(path))
        except OSError as error:
            raise DeviceError(f"no device process at {path}: {error.strerror or error}") from error
        yield _Lines(connection, timeout_s)
