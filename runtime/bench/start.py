"""Start-up: from `tectum run` to the first packet processed, with everything compiled; and compiling everything.

A start is that of the whole robot, gateway included: a parent, device processes, control. The steps follow each other:

    imports        of the parent until it has read the robot file, then of control until it has read it too
    kernels        the part that the robot's network needs, from the cache
    opening        network, device processes, sensors, until control says that it runs
    first packet   until the status, pushed ten times a second, counts an event of the network, or of a topic
    processes      what remains: starting interpreters, sockets

The first start is not counted: it fills caches. Compiling is that of every part, on all processors this process may
use, into an empty folder.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import re
import resource
import statistics
import subprocess
import sys
import tempfile
from asyncio.subprocess import Process
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from runtime import wire
from runtime.bench.child import ROOT, child, end
from runtime.bench.daemon import START_S, free_port
from runtime.bench.report import Report, Say, table, targets
from runtime.commands import common
from runtime.config import load_robot
from runtime.core.clock import SECOND, MonotonicClock, machine_ns
from runtime.core.errors import LinkError
from runtime.links.local import LocalClient
from runtime.places import places

SUMMARY = "start-up: from `tectum run` to the first packet processed, and compiling everything from cold"
BEYOND_S = 3.0
HELP_S = 0.5
COLD_S = 90.0
LOOK_NS = SECOND // 200
STEPS = re.compile(rb"Running .*imports ([0-9.]+) s, kernels ([0-9.]+) s, opening ([0-9.]+) s")


@dataclass(frozen=True, slots=True)
class Start:
    """One start, in seconds."""

    imports: float
    kernels: float
    opening: float
    first_packet: float
    total: float

    @property
    def processes(self) -> float:
        """What no step accounts for."""
        return self.total - self.imports - self.kernels - self.opening - self.first_packet

    @property
    def beyond_imports(self) -> float:
        return self.total - self.imports


@dataclass(frozen=True, slots=True)
class Work:
    """What a command took."""

    wall_s: float
    processor_s: float
    """Of all processors together, which a busy machine lengthens less."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--robot", type=Path, default=None, help="robot file, or the name of one in deploy/ (gaze)")
    parser.add_argument("--runs", type=int, default=5, help="starts measured (5)")
    parser.add_argument("--warm", action="store_true", help="only starts: compile nothing from cold")


def run(args: argparse.Namespace, environment: dict[str, str], say: Say) -> Report:
    file = common.find_robot_file(args.robot)
    network = load_robot(file, environment).network
    if network is not None:
        common.use_kernel_cache(environment)
        common.warm_kernels(network.mode, network.dtype)
    starts = []
    for number in range(args.runs + 1):
        found = asyncio.run(start(file, environment))
        say(f"start {number or '(not counted)'}: {found.total:.2f} s, {found.beyond_imports:.2f} s beyond imports")
        if number:
            starts.append(found)
    shown = work([sys.executable, "-m", "runtime", "--help"], environment)
    compiled = None
    if not args.warm:
        say("compiling everything from cold")
        with tempfile.TemporaryDirectory() as folder:
            compiled = work([sys.executable, "-m", "nets.kernels.build"], {**environment, "NUMBA_CACHE_DIR": folder})
    return report(file.stem, starts, shown, compiled)


async def start(robot_file: Path, environment: Mapping[str, str]) -> Start:
    """Start a robot, wait for its first packet, stop it. Raises LinkError where it does not come so far."""
    with tempfile.TemporaryDirectory() as folder:
        own = {key: value for key, value in environment.items() if not key.startswith("TECTUM__")}
        own |= {
            "TECTUM_RUNTIME_DIR": f"{folder}/run",
            "XDG_STATE_HOME": f"{folder}/state",
            "TECTUM__HTTP__PORT": str(free_port()),
            "TECTUM__RECORDING__FOLDER": f"{folder}/recordings",
        }
        bus = places(load_robot(robot_file, own).robot, own).bus
        began = machine_ns()
        async with child([sys.executable, "-m", "runtime", "run", str(robot_file)], own) as process:
            heard = _Lines(process)
            listening = asyncio.create_task(heard.listen(), name="lines")
            try:
                async with asyncio.timeout(START_S):
                    first = await _first_packet(bus, process)
            except TimeoutError:
                raise LinkError(f"no packet within {START_S:g} s; tectum run said:\n{heard.text()}") from None
            except LinkError as error:
                raise LinkError(f"{error}; tectum run said:\n{heard.text()}") from None
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)
                await end(process)
        read, _ = heard.first(re.compile(rb"Robot "))
        ready, steps = heard.first(STEPS)
        imports, kernels, opening = (float(step) for step in steps.groups())
        parent, after_ready, total = ((ns / SECOND) for ns in (read - began, max(first - ready, 0), first - began))
        return Start(parent + imports, kernels, opening, after_ready, total)


class _Lines:
    """What a process prints, each line with the machine's time at which it came."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._lines: list[tuple[int, bytes]] = []

    async def listen(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self._lines.append((machine_ns(), line))

    def first(self, pattern: re.Pattern[bytes]) -> tuple[int, re.Match[bytes]]:
        """The first that matches. Raises LinkError where none did."""
        for at, line in self._lines:
            match = pattern.match(line)
            if match is not None:
                return at, match
        raise LinkError(f"tectum run said nothing like {pattern.pattern!r}, but:\n{self.text()}")

    def text(self) -> str:
        return b"".join(line for _, line in self._lines).decode(errors="replace")


async def _first_packet(bus: Path, process: Process) -> int:
    """The machine's time at which a status first counts a packet that was processed."""
    clock = MonotonicClock()
    seen: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def pushed(lane: str, data: bytes) -> None:
        if lane == "status" and not seen.done() and processed(wire.decode(data)):
            seen.set_result(machine_ns())

    while process.returncode is None:
        try:
            async with LocalClient(bus, pushed) as client:
                gone = asyncio.ensure_future(client.closed())
                await asyncio.wait((seen, gone), return_when=asyncio.FIRST_COMPLETED)
                gone.cancel()
                if seen.done():
                    return seen.result()
        except LinkError:
            await clock.sleep_until(clock.now() + LOOK_NS)
    raise LinkError(f"tectum run ended with status {process.returncode}")


def processed(status: Mapping[str, Any]) -> bool:
    """Whether the network has taken an event; where there is no network, whether the bus has."""
    network = status["network"]
    counts = (topic["events"] for topic in status["topics"]) if network is None else (network["events_in"],)
    return any(count > 0 for count in counts)


def work(argv: Sequence[str], environment: Mapping[str, str]) -> Work:
    """Run a command to its end. Raises CalledProcessError where it fails."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), machine_ns()
    subprocess.run(argv, env=dict(environment), cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    after, ended = resource.getrusage(resource.RUSAGE_CHILDREN), machine_ns()
    spent = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return Work((ended - began) / SECOND, spent)


def report(robot: str, starts: Sequence[Start], shown: Work, compiled: Work | None) -> Report:
    """Steps, and the targets."""
    rows: list[tuple[str, Callable[[Start], float]]] = [
        ("imports", lambda s: s.imports),
        ("kernels", lambda s: s.kernels),
        ("opening", lambda s: s.opening),
        ("first packet", lambda s: s.first_packet),
        ("processes", lambda s: s.processes),
        ("total", lambda s: s.total),
        ("beyond imports", lambda s: s.beyond_imports),
    ]
    shapes = {
        name: {"median_s": statistics.median(values), "least_s": min(values), "most_s": max(values)}
        for name, step in rows
        for values in [[step(s) for s in starts]]
    }
    text = table(
        (f"{robot}, {len(starts)} starts", "median s", "least s", "most s"),
        [(name, *(f"{value:.2f}" for value in shape.values())) for name, shape in shapes.items()],
    )
    checks = [
        ("s beyond imports to the first packet, median", shapes["beyond imports"]["median_s"], BEYOND_S),
        ("s of processor for tectum --help", shown.processor_s, HELP_S),
    ]
    if compiled is not None:
        checks.append(("s to compile everything from cold", compiled.wall_s, COLD_S))
        text += f"\n\ncold: {compiled.wall_s:.1f} s on the clock, {compiled.processor_s:.1f} s of processors"
    lines, missed = targets(checks)
    text += f"\n\n{lines}\n\nbytecode of the libraries: {'kept' if bytecode() else 'none, each start compiles it'}"
    data = {
        "robot": robot,
        "steps": shapes,
        "starts": [asdict(s) for s in starts],
        "help": asdict(shown),
        "cold": None if compiled is None else asdict(compiled),
        "bytecode": bytecode(),
    }
    return Report("start", text, data, missed)


def bytecode() -> bool:
    """Whether a library's compiled bytecode is on disk, as installers leave it."""
    spec = importlib.util.find_spec("numba")
    return spec is not None and spec.cached is not None and Path(spec.cached).is_file()
