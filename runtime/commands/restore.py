"""`tectum restore`: open a sensor that was cut."""

from __future__ import annotations

import argparse

from runtime.links.local import call
from runtime.places import find

DESCRIPTION = "Open a sensor of the robot that runs which `tectum cut` has closed. Does nothing where it is open."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = DESCRIPTION
    parser.add_argument("sensor")
    parser.add_argument("--robot", help="which robot, where several run")


def run(args: argparse.Namespace, environment: dict[str, str]) -> int:
    call(find(args.robot, environment).bus, "sensors.restore", {"name": args.sensor})
    print(f"Restored {args.sensor}")
    return 0
