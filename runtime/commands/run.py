"""`tectum run`: start a robot."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from runtime.commands import common
from runtime.core.errors import ConfigError

DESCRIPTION = """\
Start a robot and keep it running until Ctrl-C, which stops it safely: actuators first.

  tectum run                       the gaze robot: a head on a shaken base, three sensors, one trained network
  tectum run digits                real N-MNIST recordings, a trained network, a pointer servo
  tectum run street                events, frames, IMU and triggers of one camera at their native rates
  tectum run my.toml --record      your robot, recorded from the first packet on
  tectum run digits --speed 4      four times as fast
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = DESCRIPTION
    common.robot_argument(parser)
    parser.add_argument("--speed", type=common.speed, default=1.0, help="speed of the clock, e.g. 0.5 or 20")
    parser.add_argument("--record", nargs="?", const="", metavar="FILE", help="record from the first packet on")
    parser.add_argument("--no-http", action="store_true", help="without the gateway and its page")
    parser.add_argument("--until-end", action="store_true", help="stop when every sensor has come to its end")
    parser.add_argument("--control-cpu", type=int, metavar="N", help="pin the control process to this processor")
    parser.add_argument("--gateway-cpu", type=int, metavar="N", help="pin the gateway to this processor")


def run(args: argparse.Namespace, environment: dict[str, str]) -> int:
    from runtime.config import state_dir_of
    from runtime.parent import Parent, RunOptions
    from runtime.places import places

    path, robot = common.load(args.robot, environment)
    if args.speed is None:
        raise ConfigError("--speed max: a running robot follows the machine's clock; `tectum replay` can go at max")
    record = _record_path(args.record, robot.recording.folder)
    where = f"http://{robot.http.host}:{robot.http.port}/"
    print(f"Robot {robot.robot!r} from {path.name}", flush=True)
    if not args.no_http and robot.http.enabled:
        print(f"Page:  {where}   (Ctrl-C stops safely)", flush=True)
    options = RunOptions(
        robot_file=path,
        places=places(robot.robot, environment),
        state_dir=state_dir_of(robot, environment),
        environment=environment,
        speed=args.speed,
        http=not args.no_http,
        until_end=args.until_end,
        record=record,
        control_cpu=args.control_cpu,
        gateway_cpu=args.gateway_cpu,
        say=lambda text: print(text, flush=True),
    )
    return asyncio.run(Parent(robot, options).run())


def _record_path(argument: str | None, folder: Path) -> Path | None:
    if argument is None:
        return None
    if argument:
        path = Path(argument).absolute()
        if path.exists():
            raise ConfigError(f"--record {argument}: exists already: choose another name")
        return path
    number = 1
    while (folder / f"run-{number:04d}.mcap").exists():
        number += 1
    return folder / f"run-{number:04d}.mcap"
