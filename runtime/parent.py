"""The parent: starts the processes of a robot, keeps the gateway alive, and makes the robot safe when control cannot.

    parent ─┬─ device processes   simulated hardware; outlive the control process, as hardware would
            ├─ control            sensors, network, limiters, actuators, recording
            ├─ gateway            HTTP; restarted with backoff when it dies
            └─ standby            the next gateway, warm

A control process that dies, or whose beat is older than `STALL_S`, is killed first (it cannot watch itself: the
interpreter lock may be held), then every actuator kind's `make_safe()` runs here, and the run ends saying so: whether
to start again is the business of whoever started it. The parent's own socket latches the e-stop even while control or
gateway are gone. Where the parent itself is killed, its children end by their lifelines, control safely.
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
from runtime.core.clock import SECOND, MonotonicClock, machine_ns
from runtime.core.errors import ConfigError, LinkError, TectumError
from runtime.latch import LatchFile
from runtime.lifeline import GO
from runtime.links.local import LocalClient, LocalServer
from runtime.notify import notify
from runtime.places import Places
from runtime.ports import require_free
from runtime.starvation import run_delays, starved_ns
from runtime.supervisor import Backoff, Supervised, supervise

STALL_S = 0.2
STARVED_S = 1.0
LOOK_NS = 20_000_000
DEVICE_S = 10.0
STOP_S = 4.0
CONFIRM_S = 1.0
BURY_S = 2.0
ESTOP_ANSWER_S = 3.0
STANDBY_AFTER_S = 2.0
REPEAT_S = 60.0
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

EXIT_OK = 0
EXIT_CONTROL_DIED_SAFE = 3
EXIT_CONTROL_DIED_UNCONFIRMED = 4
EXIT_GATEWAY_REFUSED = 2

GATEWAY_BACKOFF = Backoff(first_s=0.05, most_s=5.0)


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
        self._devices = {
            name: options.places.device(name)
            for name, adapter in robot.actuators.items()
            if hasattr(adapter, "device_argv") and adapter.socket is None
        }
        self._robot = with_sockets(robot, self._devices)
        self._run_id = uuid.uuid4().hex[:12]
        self._latch = LatchFile(options.state_dir)
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._stop = asyncio.Event()
        self._ready = asyncio.Event()
        self._devices_answer = asyncio.Event()
        self._estops = asyncio.Lock()
        self._killed_because = ""
        self._said = ""
        self._said_at = 0
        self._notify = options.environment.get("NOTIFY_SOCKET")

    async def run(self) -> int:
        """Until a signal, the end of a run `until_end`, or the death of control; the exit status."""
        places = self._options.places
        places.make()
        lock = places.own()
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._stop.set)
        try:
            async with LocalServer(places.parent, self._handle):
                try:
                    await self._spawn_devices()
                    return await self._run_control()
                finally:
                    async with self._estops:
                        pass  # whoever asked for an e-stop gets the answer
        finally:
            await asyncio.gather(*(self._end(process) for process in self._processes.values()))
            lock.close()
            for number in SIGNALS:
                loop.remove_signal_handler(number)
                signal.signal(number, signal.SIG_IGN)  # all is done: a second Ctrl-C must not change the exit status

    async def _run_control(self) -> int:
        beat = Beat(self._options.places.beat, create=True)
        control = await self._start_control()
        try:
            await self._await_devices()
        except LinkError:
            if self._stop.is_set():  # a device that had not begun may have got the signal itself; control waits for it
                return EXIT_OK
            raise
        tasks: list[asyncio.Task[Any]] = [
            asyncio.create_task(self._watch(beat, control.pid), name="watch"),
            asyncio.create_task(self._stop.wait(), name="stop"),
            asyncio.create_task(control.wait(), name="control"),
        ]
        gateway = asyncio.create_task(self._keep_gateway(), name="gateway")
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            alive = control.returncode is None
            if self._stop.is_set() and not self._killed_because and (alive or not self._ready.is_set()):
                return await self._stop_control(control)
            if control.returncode == 0:
                return EXIT_OK
            return await self._rescue(control)
        finally:
            for task in (*tasks, gateway):
                task.cancel()
            await asyncio.gather(*tasks, gateway, return_exceptions=True)
            beat.close()

    async def _stop_control(self, control: asyncio.subprocess.Process) -> int:
        """The ordinary end: control makes safe, closes, flushes; killed, and made safe from here, if too slow."""
        notify(self._notify, "STOPPING=1")
        self._tell("Stopping: actuators to their safe state first")
        if control.returncode is None:
            control.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_S):
                await control.wait()
        except TimeoutError:
            self._killed_because = f"did not stop within {STOP_S:g} s and was killed"
        if control.returncode == 0:
            self._tell("Stopped")
            return EXIT_OK
        # A control process that had not begun may have got the signal itself, before it had a handler or a session.
        if control.returncode is not None and not self._ready.is_set() and (await self._make_safe())[0]:
            self._tell("Stopped before it began")
            return EXIT_OK
        return await self._rescue(control)

    async def _rescue(self, control: asyncio.subprocess.Process) -> int:
        """Control is dead or must be: kill it, make every actuator safe from here, and only then talk."""
        if control.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                control.kill()
        confirmed, report = await self._make_safe()
        with contextlib.suppress(TimeoutError):  # it runs no more, but the disk may hold it for a while
            async with asyncio.timeout(BURY_S):
                await control.wait()
        status = -signal.SIGKILL if control.returncode is None else control.returncode
        if status > 0 and not self._ready.is_set():
            return status  # it has said itself what is wrong with the robot file, and nothing has moved
        self._tell(
            f"The control process {self._killed_because or _how_it_died(status)}. Actuators made safe from here:"
        )
        self._tell(report)
        return EXIT_CONTROL_DIED_SAFE if confirmed else EXIT_CONTROL_DIED_UNCONFIRMED

    async def _make_safe(self) -> tuple[bool, str]:
        """`make_safe()` of every actuator, at once; whether read-back confirmed all, and a line for each."""
        began = self._clock.now()

        async def one(name: str, adapter: Any) -> tuple[bool, str]:
            loop = asyncio.get_running_loop()
            try:
                if name in self._devices and not self._devices_answer.is_set():
                    await self._await_device(name)
                await loop.run_in_executor(None, adapter.make_safe)
            except (TectumError, OSError) as error:
                return False, f"  {name}: NOT confirmed safe: {error}"
            if not hasattr(adapter, "is_safe"):
                return False, f"  {name}: told to be safe; this kind has no read-back that would confirm it"
            ok = await loop.run_in_executor(None, adapter.is_safe, adapter.travel_s / self._pace + CONFIRM_S)
            after = (self._clock.now() - began) / SECOND
            return ok, f"  {name}: {'safe, confirmed by read-back' if ok else 'NOT confirmed safe'} after {after:.2f} s"

        results = await asyncio.gather(*(one(*item) for item in self._robot.actuators.items()))
        return all(ok for ok, _ in results), "\n".join(line for _, line in results)

    @property
    def _pace(self) -> float:
        """Simulated devices move in runtime seconds; on a slow clock those are long."""
        return min(self._options.speed, 1.0)

    async def _watch(self, beat: Beat, pid: int) -> None:
        """Return when control stalls.

        Time for which the machine did not let control run is no stall, up to `STARVED_S`: past that the actuators are
        better off in their safe state whoever is at fault.
        """
        last = disarmed = notified = looked = self._clock.now()
        delays = run_delays(pid)
        while True:
            await self._clock.sleep_until(last + LOOK_NS)
            now = self._clock.now()
            own_delay = now - last - LOOK_NS
            last = now
            age = beat.age_s()
            if age is None:
                if self._ready.is_set() and now - disarmed > STOP_S * SECOND:
                    self._killed_because = f"began to stop by itself, did not end within {STOP_S:g} s and was killed"
                    return
                continue
            disarmed = now
            if not self._ready.is_set():
                self._ready.set()
                notify(self._notify, "READY=1")
            if age < 2 * LOOK_NS / SECOND:
                if now - looked > SECOND // 10:
                    looked, delays = now, run_delays(pid)
            elif own_delay < LOOK_NS * 2 and age > STALL_S:
                stalled = age - starved_ns(delays, run_delays(pid)) / SECOND
                if stalled > STALL_S or age > STARVED_S:
                    why = f"stalled for over {STALL_S:g} s" if stalled > STALL_S else "was not let run by the machine"
                    self._killed_because = f"{why} and was killed"
                    return
            if now - notified > SECOND // 2:
                notified = now
                notify(self._notify, "WATCHDOG=1")

    async def _spawn_devices(self) -> None:
        for name in self._devices:
            argv = self._robot.actuators[name].device_argv(self._clock.origin, self._options.speed, os.getpid())
            await self._spawn(f"device {name}", argv)

    async def _await_devices(self) -> None:
        """Until every device process answers. Control starts meanwhile and begins once they do.

        A stop asked for meanwhile waits as well, to confirm by read-back that they are safe.
        """
        for name in self._devices:
            await self._await_device(name)
        self._devices_answer.set()

    async def _await_device(self, name: str) -> None:
        """Until it answers. Raises LinkError where it ends, or takes too long."""
        until = self._clock.now() + int(DEVICE_S * SECOND)
        while not self._devices[name].exists():
            process = self._processes.get(f"device {name}")
            if (process is not None and process.returncode is not None) or self._clock.now() > until:
                raise LinkError(f"the device process of actuator {name!r} did not start")
            await self._clock.sleep_until(self._clock.now() + SECOND // 100)

    async def _start_control(self) -> asyncio.subprocess.Process:
        o = self._options
        argv = [sys.executable, "-m", "runtime", "_control", str(o.robot_file), "--runtime-dir", str(o.places.folder)]
        argv += ["--state-dir", str(o.state_dir), "--run-id", self._run_id, "--speed", repr(o.speed)]
        argv += ["--origin", str(self._clock.origin), "--lifeline", "--spawned", str(machine_ns())]
        for name, path in self._devices.items():
            argv += ["--device", f"{name}={path}"]
        if o.until_end:
            argv.append("--until-end")
        if o.record is not None:
            argv += ["--record", str(o.record)]
        return await self._spawn("control", argv, o.control_cpu)

    async def _keep_gateway(self) -> None:
        """Serve HTTP for as long as the run lasts, whatever happens to the gateway."""
        if not (self._options.http and self._robot.http.enabled):
            return
        status = Supervised("gateway")
        await supervise(status, self._run_gateway, self._clock, backoff=GATEWAY_BACKOFF, retry_at_end=True)
        self._tell_rarely(f"No HTTP (control is not affected): {status.error}")

    async def _run_gateway(self) -> None:
        """One life of the gateway; raises LinkError when it ends, ConfigError when another try would end the same."""
        http = self._robot.http
        try:
            await require_free(http.host, http.port)
        except LinkError as error:
            self._tell_rarely(f"No HTTP yet, trying again (control is not affected): {error}")
            raise
        process = self._processes.get("standby")
        if process is None or process.returncode is not None:
            process = await self._spawn_standby()
        self._processes["gateway"] = self._processes.pop("standby")
        assert process.stdin is not None
        process.stdin.write(GO)
        warm = asyncio.create_task(self._warm_standby(), name="standby")
        try:
            status = await process.wait()
        finally:
            warm.cancel()
            await asyncio.gather(warm, return_exceptions=True)
        if status == EXIT_GATEWAY_REFUSED:
            raise ConfigError("the gateway refused its configuration")
        if not self._stop.is_set():
            self._tell_rarely(f"The gateway {_how_it_died(status)}: starting it again (control is not affected)")
        raise LinkError(f"gateway ended with status {status}")

    async def _warm_standby(self) -> None:
        """Have the next gateway ready, begun when the robot is up: importing costs a second of processor."""
        await self._ready.wait()
        await self._clock.sleep_until(self._clock.now() + int(STANDBY_AFTER_S * SECOND))
        await self._spawn_standby()

    async def _spawn_standby(self) -> asyncio.subprocess.Process:
        http = self._robot.http
        argv = [sys.executable, "-m", "runtime.standby", "--socket", str(self._options.places.bus)]
        argv += ["--host", http.host, "--port", str(http.port)]
        if http.keys is not None:
            argv += ["--keys", str(http.keys)]
        for host in http.allowed_hosts:
            argv += ["--allowed-host", host]
        return await self._spawn("standby", argv, self._options.gateway_cpu)

    async def _spawn(self, name: str, argv: list[str], cpu: int | None = None) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=asyncio.subprocess.PIPE, start_new_session=True, env=self._options.environment
        )
        self._processes[name] = process
        if cpu is not None:
            os.sched_setaffinity(process.pid, {cpu})
        return process

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        if process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(1.5):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BURY_S):
                    await process.wait()

    async def _handle(self, method: str, params: dict[str, Any]) -> Any:
        match method:
            case "estop":
                async with self._estops:
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
        """Stop by control, or by killing it where it does not answer; latched on disk beside, as disks are slow.

        A control process that does not serve yet reads the latch after it has begun to serve: one or the other holds.
        """
        params = {"reason": reason, "source": source}
        wall = self._clock.now() + self._clock.wall_offset_ns
        latching = asyncio.get_running_loop().run_in_executor(None, self._latch.latch, reason, source, wall)
        answer = await self._ask_control_to_stop(params)
        try:
            await latching
            durable = True
        except OSError as error:
            durable = False
            self._tell(f"The e-stop latch cannot be written: {error}")
        if answer is None:
            answer = await self._ask_control_to_stop(params)
        if answer is None:
            confirmed, report = await self._make_safe()
            self._tell(f"E-stop without the control process:\n{report}")
        else:
            confirmed = bool(answer["confirmed"])
        return {"latched": durable, "confirmed": confirmed, "reason": reason}

    async def _ask_control_to_stop(self, params: dict[str, str]) -> dict[str, Any] | None:
        """Its answer; None where nobody serves, or where it had to be killed since it did not stop when asked."""
        try:
            async with LocalClient(self._options.places.bus) as client:
                try:
                    answer: dict[str, Any] = await client.request("estop", params, ESTOP_ANSWER_S)
                    return answer
                except (TectumError, OSError) as error:
                    self._kill_control(f"did not answer an e-stop ({error}) and was killed")
        except LinkError:
            pass
        return None

    def _kill_control(self, why: str) -> None:
        control = self._processes.get("control")
        if control is not None and control.returncode is None:
            self._killed_because = self._killed_because or why
            with contextlib.suppress(ProcessLookupError):
                control.kill()

    def _tell(self, text: str) -> None:
        with contextlib.suppress(OSError):  # nobody listening is no reason to leave a robot alone
            self._options.say(text)

    def _tell_rarely(self, text: str) -> None:
        """Say it where it is news, or was said long ago."""
        now = self._clock.now()
        if text != self._said or now - self._said_at > REPEAT_S * SECOND:
            self._said, self._said_at = text, now
            self._tell(text)


def _how_it_died(status: int) -> str:
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with status {status}"
