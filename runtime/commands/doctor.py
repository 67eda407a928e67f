"""`tectum doctor`: look at the machine, say what to mend."""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from runtime.commands import common
from runtime.core.clock import MonotonicClock
from runtime.places import places, root

DESCRIPTION = (
    "Look at clock, permissions, devices, broker and kernel cache; exit status 1 where something must be mended."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = DESCRIPTION
    common.robot_argument(parser)


def run(args: argparse.Namespace, environment: dict[str, str]) -> int:
    broken = 0
    for level, subject, text in findings(args, environment):
        broken += level == "mend"
        print(f"{ {'good': 'ok  ', 'note': 'note', 'mend': 'MEND'}[level] }  {subject:<16} {text}")
    return 1 if broken else 0


def findings(args: argparse.Namespace, environment: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    """(good | note | mend, subject, what was found and what to do)"""
    yield "good", "python", f"{sys.version.split()[0]}, {os.cpu_count()} processors"
    yield from _clock()
    yield from _kernels(environment)
    base = root(environment)
    try:
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield "good", "runtime dir", f"{base}"
    except OSError as error:
        yield "mend", "runtime dir", f"{base}: {error.strerror}: set TECTUM_RUNTIME_DIR to a folder of yours"
    if (os.cpu_count() or 1) < 2:
        yield "note", "processors", "one only: HTTP load will delay the control loop"
    for pattern, what in (("/dev/iio:device*", "IIO sensors"), ("/dev/video*", "cameras"), ("/dev/i2c-*", "I2C")):
        found = sorted(Path("/").glob(pattern.lstrip("/")))
        denied = [str(p) for p in found if not os.access(p, os.R_OK)]
        if denied:
            yield "mend", what, f"no permission for {', '.join(denied)}: join its group"
        else:
            yield "good" if found else "note", what, ", ".join(map(str, found)) or "none"
    for module, extra in (("torch", "comparison benchmarks"),):
        if importlib.util.find_spec(module) is None:
            yield "note", module, f"not installed; only needed for {extra}"
    yield ("good" if shutil.which("mosquitto") else "note"), "mosquitto", shutil.which("mosquitto") or "no broker here"
    path, robot = common.load(args.robot, environment)
    yield "good", "robot file", str(path)
    if robot.mqtt is not None:
        yield _reach(robot.mqtt.host, robot.mqtt.port)
    if places(robot.robot, environment).running():
        yield "note", "http port", f"robot {robot.robot!r} is running here"
    elif robot.http.enabled:
        yield _port(robot.http.host, robot.http.port)


def _clock() -> Iterator[tuple[str, str, str]]:
    clock, never = MonotonicClock(), threading.Event()
    late = []
    for _ in range(100):
        due = clock.now() + 1_000_000
        clock.wait_until(due, never)
        late.append(clock.now() - due)
    late.sort()
    level = "good" if late[98] < 2_000_000 else "note"
    hint = "" if level == "good" else ": the machine is busy or power-saving; expect jitter"
    yield level, "clock", f"1 ms waits end {late[50] / 1e3:.0f} us late (median), {late[98] / 1e3:.0f} us (99 %){hint}"


def _kernels(environment: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    folder = common.use_kernel_cache(environment)
    from nets.kernels.build import PARTS, is_built

    missing = [name for name in PARTS if not is_built([name])]
    if not missing:
        yield "good", "kernels", f"compiled, in {folder}"
    else:
        yield "note", "kernels", f"to be compiled once, when first needed: {', '.join(missing)}; the cache is {folder}"


def _reach(host: str, port: int) -> tuple[str, str, str]:
    try:
        socket.create_connection((host, port), 1.0).close()
    except OSError as error:
        return "mend", "mqtt broker", f"{host}:{port}: {error}"
    return "good", "mqtt broker", f"{host}:{port} answers"


def _port(host: str, port: int) -> tuple[str, str, str]:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, port))
        except OSError as error:
            return "mend", "http port", f"{host}:{port}: {error.strerror}: set TECTUM__HTTP__PORT to a free one"
    return "good", "http port", f"{host}:{port} is free"
