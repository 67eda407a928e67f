"""`tectum release`: release a latched e-stop."""

from __future__ import annotations

import argparse

from runtime.core.clock import MonotonicClock
from runtime.core.errors import ConfigError
from runtime.latch import LatchFile
from runtime.links.local import call
from runtime.places import find

DESCRIPTION = """\
Release the e-stop. Commands given before it do not come back. With --file the latch of a robot that does not run is
released.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = DESCRIPTION
    parser.add_argument("--robot", help="which robot, where several run")
    parser.add_argument("--file", metavar="ROBOT", help="robot file of a robot that does not run")


def run(args: argparse.Namespace, environment: dict[str, str]) -> int:
    if args.file is not None:
        return _release_file(args.file, environment)
    places = find(args.robot, environment)
    call(places.parent, "estop.release", {"source": "command line"}, timeout_s=4.0)
    print("Released: the robot follows commands again")
    return 0


def _release_file(name: str, environment: dict[str, str]) -> int:
    from pathlib import Path

    from runtime.commands import common
    from runtime.config import state_dir_of
    from runtime.places import places

    _, robot = common.load(Path(name), environment)
    if places(robot.robot, environment).running():
        raise ConfigError(f"robot {robot.robot!r} is running: use `tectum release --robot {robot.robot}`")
    clock = MonotonicClock()
    latch = LatchFile(state_dir_of(robot, environment))
    before = latch.read()
    latch.release("command line", clock.now() + clock.wall_offset_ns)
    print(f"Released (it was {'latched: ' + before.reason if before.latched else 'not latched'})")
    return 0
