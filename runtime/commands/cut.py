"""`tectum cut`: close a sensor of the robot that runs."""

from __future__ import annotations

import argparse

from runtime.links.local import call
from runtime.places import find

DESCRIPTION = """\
Close a sensor of the robot that runs, until `tectum restore`. The rest goes on as if it had fallen silent: outputs
that require it reach their safe state, the others follow the network. A robot that starts anew starts with all sensors.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = DESCRIPTION
    parser.add_argument("sensor")
    parser.add_argument("--robot", help="which robot, where several run")


def run(args: argparse.Namespace, environment: dict[str, str]) -> int:
    call(find(args.robot, environment).bus, "sensors.cut", {"name": args.sensor})
    print(f"Cut {args.sensor}; `tectum restore {args.sensor}` opens it again")
    return 0
