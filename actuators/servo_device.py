"""The device process of a simulated servo: `python -m actuators.servo_device --socket PATH --name NAME ...`.

It is to its clients what hardware behind a bus is: it has its own physics on the machine's time, its own time to live,
serves any number of them and outlives every one. One client at a time commands (the newest to ask); anybody may send it
to its safe position. It ignores Ctrl-C, as hardware would, and on SIGTERM goes to its safe position before it ends.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from actuators.servo_physics import ReadBack, ServoPhysics
from actuators.servo_sim import ServoSim
from actuators.servo_socket import BACKLOG, LONGEST_LINE, decode, encode
from runtime.core.clock import SECOND, MonotonicClock
from runtime.core.errors import ConfigError, DeviceError

PUSH_NS = 5_000_000
"""Read-back 200 times a second, of the machine's time where the clock runs faster."""
SETTLE_S = 1.0


class Device:
    """A servo and its clients."""

    def __init__(self, servo: ServoSim, clock: MonotonicClock) -> None:
        self._servo = servo
        self._clock = clock
        self._physics = ServoPhysics(servo.parameters, clock.now())
        self._clients: dict[asyncio.StreamWriter, asyncio.Task[Any] | None] = {}
        self._commander: asyncio.StreamWriter | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Obey one client until it hangs up, or says something that is no message."""
        self._clients[writer] = asyncio.current_task()
        try:
            while line := await reader.readline():
                self._obey(writer, line)
        except (ValueError, KeyError, TypeError) as error:
            self._answer(writer, {"refused": f"not a message: {error}"})
        except OSError:
            pass  # a client that died is its own affair: its command's time to live runs out here
        finally:
            del self._clients[writer]
            if self._commander is writer:
                self._commander = None
            writer.close()

    async def push(self, ended: asyncio.Event, parent: int | None) -> None:
        """Send every client the read-back, until `ended`; ends by itself where `parent` is gone."""
        period = round(PUSH_NS * max(1.0, self._clock.speed))
        due = self._clock.now()
        while not ended.is_set():
            self._push_once()
            if parent is not None and os.getppid() != parent:
                ended.set()
            due = max(due + period, self._clock.now())
            await self._clock.sleep_until(due)

    async def go_safe(self) -> None:
        """Move to the safe position, telling the clients, for as long as that may take."""
        self._physics.make_safe(self._clock.now())
        give_up = self._clock.now() + round((self._servo.travel_s + SETTLE_S) * SECOND)
        while not self._push_once().safe and self._clock.now() < give_up:
            await self._clock.sleep_until(self._clock.now() + PUSH_NS)

    async def hang_up(self) -> None:
        """End every connection, without waiting for clients that do not read."""
        serving = [task for task in self._clients.values() if task is not None]
        for writer in self._clients:
            writer.transport.abort()
        if serving:
            await asyncio.wait(serving)

    def _obey(self, writer: asyncio.StreamWriter, line: bytes) -> None:
        message, now = decode(line), self._clock.now()
        if "safe" in message:
            self._physics.make_safe(now)
            self._answer(writer, {"safe_set": True})
        elif "take" in message:
            self._commander = writer
        elif "set" not in message:
            raise KeyError(f"none of take, set, safe in {sorted(message)}")
        elif writer is not self._commander:
            self._answer(writer, {"refused": "another commander has taken the servo"})
        else:
            value = self._servo.limits_si.clip(float(message["set"]))
            self._physics.command(now, value, int(message["t"]), float(message["ttl_s"]))

    def _push_once(self) -> ReadBack:
        read = self._physics.read(self._clock.now())
        message = {**read._asdict(), "target": self._physics.target, "late": self._physics.late}
        for writer in self._clients:
            self._answer(writer, message)
        return read

    def _answer(self, writer: asyncio.StreamWriter, message: dict[str, object]) -> None:
        # A client that does not read must not cost memory; what it misses is superseded anyway.
        if not writer.is_closing() and writer.transport.get_write_buffer_size() <= BACKLOG:
            writer.write(encode(message))


async def run(servo: ServoSim, path: Path, clock: MonotonicClock, parent: int | None) -> None:
    """Serve the servo at `path` until SIGTERM, or until `parent` is gone; then go safe."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    device = Device(servo, clock)
    server = await asyncio.start_unix_server(device.serve, sock=_listen(path), limit=LONGEST_LINE)
    try:
        push = asyncio.create_task(device.push(ended, parent), name=f"{servo.name} push")
        stop = asyncio.create_task(ended.wait(), name=f"{servo.name} stop")
        await asyncio.wait((push, stop), return_when=asyncio.FIRST_COMPLETED)
        ended.set()
        await push
        await stop
        await device.go_safe()
    finally:
        server.close()
        await device.hang_up()
        _remove(path)


def _remove(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()


def _listen(path: Path) -> socket.socket:
    """A listening socket at `path`, private; a file left by a dead process is replaced, a live one is not."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except FileNotFoundError:
            pass
        except ConnectionRefusedError:
            pass  # left by a process that was killed
        except OSError as error:
            raise DeviceError(f"{path}: {error.strerror or error}") from error
        else:
            raise DeviceError(f"{path}: another device process serves it")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    unready = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        umask = os.umask(0o177)
        try:
            listener.bind(str(unready))
        finally:
            os.umask(umask)
        listener.listen(socket.SOMAXCONN)
        listener.setblocking(False)
        # Who sees the path can connect to it.
        unready.replace(path)
    except OSError as error:
        listener.close()
        raise DeviceError(f"{path}: cannot listen: {error.strerror or error}") from error
    return listener


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 ended on SIGTERM, 1 could not serve, 2 wrong arguments."""
    parser = argparse.ArgumentParser(prog="python -m actuators.servo_device", description=__doc__)
    parser.add_argument("--socket", type=Path, required=True, help="path of the Unix socket")
    parser.add_argument("--name", required=True, help="the actuator's name")
    parser.add_argument("--config", default="{}", help="the servo.sim configuration as JSON")
    parser.add_argument("--origin", type=int, default=None, help="origin of the runtime clock, monotonic ns")
    parser.add_argument("--speed", type=float, default=1.0, help="speed of the runtime clock")
    parser.add_argument("--parent", type=int, default=None, help="end when this parent process does")
    arguments = parser.parse_args(argv)
    try:
        fields = json.loads(arguments.config)
        servo = ServoSim.model_validate({**fields, "name": arguments.name})
        clock = MonotonicClock(arguments.speed, arguments.origin)
    except (ValueError, TypeError, ConfigError) as error:
        parser.error(str(error))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        asyncio.run(run(servo, arguments.socket, clock, arguments.parent))
    except OSError as error:
        parser.exit(1, f"{arguments.name}: {error}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
