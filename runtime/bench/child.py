"""Child processes of a benchmark: modules of ours or programs, pinned to a processor, ended with their context."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import runtime
from runtime.core.errors import DeviceError

ROOT = Path(runtime.__file__ or "").resolve().parent.parent
STOP_S = 10.0


@asynccontextmanager
async def child(
    argv: Sequence[str],
    environment: Mapping[str, str],
    *,
    cpu: int | None = None,
    priority: int = 0,
    log: Path | None = None,
) -> AsyncIterator[Process]:
    """A running program; its output goes to `log`, or its standard output to the pipe. Terminated at the end."""

    def settle() -> None:
        if cpu is not None:
            os.sched_setaffinity(0, {cpu})
        if priority:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))

    with contextlib.ExitStack() as files:
        out = PIPE if log is None else files.enter_context(log.open("wb"))
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=DEVNULL,
            stdout=out,
            stderr=DEVNULL if log is None else out,
            cwd=ROOT,
            env=dict(environment),
            preexec_fn=settle,
        )
    try:
        yield process
    finally:
        await end(process)


async def end(process: Process) -> bytes:
    """Terminate, kill what does not end in time; returns what was left in the pipe."""
    if process.returncode is None:
        process.terminate()
    try:
        async with asyncio.timeout(STOP_S):
            left, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        left, _ = await process.communicate()
    return left or b""


def module(name: str, **options: object) -> list[str]:
    """The command that runs one of our modules."""
    argv = [sys.executable, "-m", f"runtime.bench.{name}"]
    for option, value in options.items():
        argv += [f"--{option}", str(value)]
    return argv


async def measured(argv: Sequence[str], environment: Mapping[str, str], cpu: int | None, priority: int = 0) -> Any:
    """Run to its end and read its JSON."""
    async with child(argv, environment, cpu=cpu, priority=priority) as process:
        out, _ = await process.communicate()
        if process.returncode != 0:
            raise DeviceError(f"{argv[2]} ended with status {process.returncode}, expected 0")
    return json.loads(out)


def may_prioritise() -> bool:
    """Whether this process may use real-time priorities."""
    policy, parameter = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        return False
    os.sched_setscheduler(0, policy, parameter)
    return True


def prioritise(pid: int, priority: int) -> None:
    """Real-time priority for every thread of a process: the neighbours' work then waits for it, as on a robot.

    The main thread is one above the others: at equal priority nothing would take the processor from a long kernel.
    """
    for thread in Path(f"/proc/{pid}/task").iterdir():
        number = int(thread.name)
        os.sched_setscheduler(number, os.SCHED_FIFO, os.sched_param(priority if number == pid else priority - 1))


def scheduled_ns(pid: int) -> tuple[int, int]:
    """(ran, waited for a processor) by the main thread so far, in ns."""
    ran, waited, _ = Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()
    return int(ran), int(waited)


def rss_bytes(pid: int) -> int:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise DeviceError(f"process {pid} has no resident memory: it has ended")
