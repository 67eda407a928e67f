"""The parent: starts the processes of a robot, keeps the gateway alive, and makes the robot safe when control cannot.

    parent ─┬─ device processes   simulated hardware; outlive the control process, as hardware would
            ├─ control            sensors, network, limiters, actuators, recording
            └─ gateway            HTTP; restarted with backoff when it dies

A control process that dies, or whose beat is older than `STALL_S`, is killed first (it cannot watch itself: the
interpreter lock may be held), then every actuator kind's `make_safe()` runs here, and the run ends saying so: whether
to start again is the business of whoever started it. The parent's own socket latches the e-stop even while control or
gateway are gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtime.beat import Beat
from runtime.config import Robot, with_sockets
from runtime.core.clock import SECOND, MonotonicClock
from runtime.core.errors import LinkError, TectumError
from runtime.latch import LatchFile
from runtime.links.local import LocalClient, LocalServer
from runtime.notify import notify
from runtime.places import Places
from runtime.supervisor import Backoff, Supervised, supervise

STALL_S = 0.2
LOOK_NS = 20_000_000
STOP_S = 5.0

EXIT_OK = 0
EXIT_CONTROL_DIED_SAFE = 3
EXIT_CONTROL_DIED_UNCONFIRMED = 4


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What `tectum run` was asked for."""

    robot_file: Path
    places: Places
    state_dir: Path
    environment: dict[str, str]
    speed: float = 1.0
    http: bool = True
    until_end: bool = False
    record: Path | None = None
    control_cpu: int | None = None
    gateway_cpu: int | None = None
    say: Callable[[str], None] = field(default=print)


class Parent:
    """One run of one robot."""

    def __init__(self, robot: Robot, options: RunOptions) -> None:
        self._options = options
        self._clock = MonotonicClock()
        sockets = {
            name: options.places.device(name)
            for name, adapter in robot.actuators.items()
            if hasattr(adapter, "device_argv") and adapter.socket is None
        }
        self._devices = sockets
        self._robot = with_sockets(robot, sockets)
        self._run_id = uuid.uuid4().hex[:12]
        self._latch = LatchFile(options.state_dir)
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._stop = asyncio.Event()
        self._ready = asyncio.Event()
        self._gateway = Supervised("gateway")
        self._stalled = False
        self._notify = options.environment.get("NOTIFY_SOCKET")

    async def run(self) -> int:
        """Until Ctrl-C, SIGTERM, the end of a run `until_end`, or the death of control; the exit status."""
        places, say = self._options.places, self._options.say
        places.make()
        lock = places.own()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        try:
            async with LocalServer(places.parent, self._handle):
                await self._start_devices()
                return await self._run_control(say)
        finally:
            await self._end("gateway")
            for name in self._devices:
                await self._end(f"device {name}")
            lock.close()

    async def _run_control(self, say: Callable[[str], None]) -> int:
        beat = Beat(self._options.places.beat, create=True)
        control = await self._start_control()
        gateway: asyncio.Task[None] | None = None
        if self._options.http and self._robot.http.enabled:
            backoff = Backoff(first_s=0.05, most_s=2.0)
            work = supervise(self._gateway, self._run_gateway, self._clock, backoff=backoff, retry_at_end=True)
            gateway = asyncio.create_task(work, name="gateway")
        watch = asyncio.create_task(self._watch(beat, control), name="watch")
        stop = asyncio.create_task(self._stop.wait(), name="stop")
        died = asyncio.create_task(control.wait(), name="control")
        try:
            await asyncio.wait((watch, stop, died), return_when=asyncio.FIRST_COMPLETED)
            if self._stop.is_set() and not died.done() and not watch.done():
                return await self._stop_control(control, say)
            if died.done() and control.returncode == 0:
                return EXIT_OK
            if died.done() and not self._ready.is_set():
                return control.returncode or 1
            return await self._rescue(control, say)
        finally:
            for task in (watch, stop, died, gateway):
                if task is not None:
                    task.cancel()
            await asyncio.gather(*(t for t in (watch, stop, died, gateway) if t is not None), return_exceptions=True)
            beat.close()

    async def _stop_control(self, control: asyncio.subprocess.Process, say: Callable[[str], None]) -> int:
        """The ordinary end: control makes safe, closes, flushes; killed and made safe from here if it takes too long."""
        notify(self._notify, "STOPPING=1")
        say("Stopping: actuators to their safe state first")
        control.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(control.wait(), STOP_S - 1.0)
        except TimeoutError:
            say("The control process does not stop: killing it")
            return await self._rescue(control, say)
        if control.returncode != 0:
            return await self._rescue(control, say)
        say("Stopped")
        return EXIT_OK

    async def _rescue(self, control: asyncio.subprocess.Process, say: Callable[[str], None]) -> int:
        """Control is dead or must be: kill it, then make every actuator safe from here."""
        if control.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                control.kill()
            await control.wait()
        how = f"stalled for over {STALL_S:g} s and was killed" if self._stalled else _how_it_died(control.returncode)
        say(f"The control process {how}. Making actuators safe from here")
        confirmed = await self._make_safe(say)
        return EXIT_CONTROL_DIED_SAFE if confirmed else EXIT_CONTROL_DIED_UNCONFIRMED

    async def _make_safe(self, say: Callable[[str], None]) -> bool:
        """`make_safe()` of every actuator; whether all confirmed."""
        loop = asyncio.get_running_loop()
        began = self._clock.now()
        confirmed = True
        for name, adapter in self._robot.actuators.items():
            try:
                await loop.run_in_executor(None, adapter.make_safe)
                is_safe = getattr(adapter, "is_safe", None)
                ok = is_safe is None or await loop.run_in_executor(None, is_safe, 2.0)
            except (TectumError, OSError) as error:
                say(f"  {name}: NOT confirmed safe: {error}")
                confirmed = False
                continue
            after = (self._clock.now() - began) / SECOND
            say(f"  {name}: {'safe, confirmed by read-back' if ok else 'NOT confirmed safe'} after {after:.2f} s")
            confirmed = confirmed and ok
        return confirmed

    async def _watch(self, beat: Beat, control: asyncio.subprocess.Process) -> None:
        """Return when control stalls. A turn of our own that came late proves the machine busy, not control stalled."""
        last = self._clock.now()
        armed = False
        while True:
            await self._clock.sleep_until(last + LOOK_NS)
            now = self._clock.now()
            own_delay = now - last - LOOK_NS
            last = now
            age = beat.age_s()
            if age is None:
                continue
            if not armed:
                armed = True
                self._ready.set()
                notify(self._notify, "READY=1")
            if own_delay < LOOK_NS * 2 and age > STALL_S:
                self._stalled = True
                return
            notify(self._notify, "WATCHDOG=1")

    async def _start_devices(self) -> None:
        for name in self._devices:
            argv = self._robot.actuators[name].device_argv(self._clock.origin, self._options.speed, os.getpid())
            await self._spawn(f"device {name}", argv)
        for name, path in self._devices.items():
            until = self._clock.now() + 10 * SECOND
            while not path.exists():
                process = self._processes[f"device {name}"]
                if process.returncode is not None or self._clock.now() > until:
                    raise LinkError(f"the device process of actuator {name!r} did not start")
                await self._clock.sleep_until(self._clock.now() + SECOND // 100)

    async def _start_control(self) -> asyncio.subprocess.Process:
        o = self._options
        argv = [sys.executable, "-m", "runtime", "_control", str(o.robot_file), "--runtime-dir", str(o.places.folder)]
        argv += ["--state-dir", str(o.state_dir), "--run-id", self._run_id, "--speed", repr(o.speed)]
        argv += ["--origin", str(self._clock.origin)]
        for name, path in self._devices.items():
            argv += ["--device", f"{name}={path}"]
        if o.until_end:
            argv.append("--until-end")
        if o.record is not None:
            argv += ["--record", str(o.record)]
        return await self._spawn("control", argv, o.control_cpu)

    async def _run_gateway(self) -> None:
        """One life of the gateway; raises LinkError when it ends."""
        http = self._robot.http
        argv = [sys.executable, "-m", "runtime.http", "--socket", str(self._options.places.bus)]
        argv += ["--host", http.host, "--port", str(http.port)]
        if http.keys is not None:
            argv += ["--keys", str(http.keys)]
        for host in http.allowed_hosts:
            argv += ["--allowed-host", host]
        process = await self._spawn("gateway", argv, self._options.gateway_cpu)
        status = await process.wait()
        if not self._stop.is_set():
            self._options.say(f"The gateway {_how_it_died(status)}: starting it again (control is not affected)")
        raise LinkError(f"gateway ended with status {status}")

    async def _spawn(self, name: str, argv: list[str], cpu: int | None = None) -> asyncio.subprocess.Process:
        pin = None if cpu is None else (lambda: os.sched_setaffinity(0, {cpu}))
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            preexec_fn=pin,
            start_new_session=True,
            env=self._options.environment,
        )
        self._processes[name] = process
        return process

    async def _end(self, name: str) -> None:
        process = self._processes.get(name)
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 1.5)
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _handle(self, method: str, params: dict[str, Any]) -> Any:
        match method:
            case "estop":
                return await self._estop(str(params.get("reason", "asked for")), str(params.get("source", "local")))
            case "estop.release":
                async with LocalClient(self._options.places.bus) as client:
                    return await client.request("estop.release", params)
            case "stop":
                self._stop.set()
                return {}
            case "processes":
                return {name: p.pid for name, p in self._processes.items() if p.returncode is None}
        raise LookupError(f"there is no method {method!r} (there are estop, estop.release, processes, stop)")

    async def _estop(self, reason: str, source: str) -> dict[str, Any]:
        """Latch on disk first, then ask control; if control does not answer, kill it and make safe from here."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(
            None, self._latch.latch, reason, source, self._clock.now() + self._clock.wall_offset_ns
        )
        try:
            async with LocalClient(self._options.places.bus) as client:
                answer = await client.request("estop", {"reason": reason, "source": source}, timeout_s=3.0)
        except (TectumError, OSError, TimeoutError):
            self._stalled = True
            control = self._processes.get("control")
            if control is not None and control.returncode is None:
                control.kill()
            return {"latched": True, "confirmed": await self._make_safe(self._options.say), "reason": reason}
        return {"latched": True, "confirmed": bool(answer["confirmed"]), "reason": reason}


def _how_it_died(status: int | None) -> str:
    if status is not None and status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with status {status}"
