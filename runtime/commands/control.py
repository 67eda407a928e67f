"""The control process, started by the parent; not for people."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from runtime import lifeline
from runtime.commands import common
from runtime.core.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("robot", type=Path)
    parser.add_argument("--runtime-dir", type=Path, required=True)
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--run-id", required=True)
    parser.add_argument("--speed", type=float, default=1.0)
    parser.add_argument("--origin", type=int, required=True)
    parser.add_argument("--device", action="append", default=[], metavar="NAME=SOCKET")
    parser.add_argument("--until-end", action="store_true")
    parser.add_argument("--record", type=Path)
    parser.add_argument("--lifeline", action="store_true", help="stop when standard input ends: the parent is gone")


def run(args: argparse.Namespace, environment: dict[str, str]) -> int:
    if args.lifeline:
        lifeline.follow()
    common.use_kernel_cache(environment)
    from nets.kernels.build import is_built, warm
    from runtime.config import load_robot, with_sockets
    from runtime.control import ControlOptions, control, prepare_process
    from runtime.places import Places

    what = "Loading the kernels" if is_built() else "Compiling the kernels (once, about half a minute)"
    progress = common.Progress(what)
    warm(lambda detail, fraction: _quietly(lambda: progress(detail, fraction)))
    robot = load_robot(args.robot, environment)
    if robot.network is not None and robot.network.mode == "continuous":
        from nets.continuous import build

        build.warm(common.Progress("Compiling the kernels of continuous time (once)"))
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
    prepare_process()
    ready = f"Running (process {os.getpid()})"
    return asyncio.run(
        control(robot, args.robot.read_bytes(), options, lambda: _quietly(lambda: print(ready, flush=True)))
    )


def _quietly(say: Callable[[], None]) -> None:
    """A robot runs whether or not somebody reads what it says."""
    with contextlib.suppress(OSError):
        say()
