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
    log: Path | None = None,
) -> AsyncIterator[Process]:
    """A running program; its output goes to `log`, or its standard output to the pipe. Terminated at the end."""
    with contextlib.ExitStack() as files:
        out = PIPE if log is None else files.enter_context(log.open("wb"))
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=DEVNULL,
            stdout=out,
            stderr=DEVNULL if log is None else out,
            cwd=ROOT,
            env=dict(environment),
            preexec_fn=None if cpu is None else (lambda: os.sched_setaffinity(0, {cpu})),
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


async def measured(argv: Sequence[str], environment: Mapping[str, str], cpu: int | None) -> Any:
    """Run to its end and read its JSON."""
    async with child(argv, environment, cpu=cpu) as process:
        out, _ = await process.communicate()
        if process.returncode != 0:
            raise DeviceError(f"{argv[2]} ended with status {process.returncode}, expected 0")
    return json.loads(out)


def rss_bytes(pid: int) -> int:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise DeviceError(f"process {pid} has no resident memory: it has ended")
