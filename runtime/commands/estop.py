"""`tectum estop`: stop the robot that runs."""

from __future__ import annotations

import argparse

from runtime.links.local import call
from runtime.places import find

DESCRIPTION = """\
Latch the e-stop of the robot that runs: every actuator goes to its safe state at once and refuses commands, also
after a restart, until `tectum release`. Goes through the parent process, so it works while the gateway is dead or the
control process hangs. Exit status 0 only where read-back confirms it and the latch is on disk. This is no certified
emergency stop.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = DESCRIPTION
    parser.add_argument("--robot", help="which robot, where several run")
    parser.add_argument("--reason", default="tectum estop", help="what to write down as the reason")


def run(args: argparse.Namespace, environment: dict[str, str]) -> int:
    places = find(args.robot, environment)
    answer = call(places.parent, "estop", {"reason": args.reason, "source": "command line"}, timeout_s=8.0)
    confirmed = bool(answer["confirmed"])
    print(
        "Stopped, confirmed by read-back" if confirmed else "Stopped, but NOT confirmed by read-back: look at the robot"
    )
    if not answer["latched"]:
        print("The latch could not be written: the next `tectum run` will not start stopped")
    return 0 if confirmed and answer["latched"] else 1
