"""The control process, started by the parent; not for people."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from runtime import lifeline
from runtime.commands import common
from runtime.core.clock import SECOND, MonotonicClock, machine_ns
from runtime.core.errors import ConfigError, LinkError

DEVICE_S = 10.0
LOOK_NS = SECOND // 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("robot", type=Path)
    parser.add_argument("--runtime-dir", type=Path, required=True)
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--run-id", required=True)
    parser.add_argument("--speed", type=float, default=1.0)
    parser.add_argument("--origin", type=int, required=True)
    parser.add_argument("--spawned", type=int, help="when it was started, by the machine's monotonic ns")
    parser.add_argument("--device", action="append", default=[], metavar="NAME=SOCKET")
    parser.add_argument("--until-end", action="store_true")
    parser.add_argument("--record", type=Path)
    parser.add_argument("--lifeline", action="store_true", help="stop when standard input ends: the parent is gone")


def run(args: argparse.Namespace, environment: dict[str, str]) -> int:
    began = machine_ns() if args.spawned is None else args.spawned
    if args.lifeline:
        lifeline.follow()
    common.use_kernel_cache(environment)
    from runtime.config import load_robot, with_sockets
    from runtime.control import ControlOptions, control, prepare_process
    from runtime.places import Places

    robot = load_robot(args.robot, environment)
    imported = machine_ns()
    if robot.network is not None:
        common.warm_kernels(robot.network.mode, robot.network.dtype, _quietly)
    loaded = machine_ns()
    sockets = {}
    for device in args.device:
        name, _, socket = device.partition("=")
        if not socket:
            raise ConfigError(f"--device {device}: expected NAME=SOCKET")
        sockets[name] = Path(socket)
    robot = with_sockets(robot, sockets)
    places = Places(args.runtime_dir)
    options = ControlOptions(
        socket=places.bus,
        beat=places.beat,
        state_dir=args.state_dir,
        run_id=args.run_id,
        speed=args.speed,
        origin=args.origin,
        until_end=args.until_end,
        record=args.record,
    )
    _await_devices(sockets.values())
    prepare_process()

    def ready() -> None:
        steps = f"imports {_s(began, imported)}, kernels {_s(imported, loaded)}, opening {_s(loaded, machine_ns())}"
        _quietly(lambda: print(f"Running (process {os.getpid()}): {steps}", flush=True))

    return asyncio.run(control(robot, args.robot.read_bytes(), options, ready))


def _await_devices(sockets: Iterable[Path]) -> None:
    """Until every device process answers: they start beside this one. Raises LinkError naming a missing one."""
    clock, never = MonotonicClock(), threading.Event()
    until = clock.now() + int(DEVICE_S * SECOND)
    for path in sockets:
        while not path.exists():
            if clock.now() > until:
                raise LinkError(f"{path}: no device process after {DEVICE_S:g} s")
            clock.wait_until(clock.now() + LOOK_NS, never)


def _s(since: int, until: int) -> str:
    return f"{(until - since) / SECOND:.2f} s"


def _quietly(say: Callable[[], None]) -> None:
    """A robot runs whether or not somebody reads what it says."""
    with contextlib.suppress(OSError):
        say()
