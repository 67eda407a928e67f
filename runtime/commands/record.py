"""`tectum record`: recordings of the robot that runs."""

from __future__ import annotations

import argparse

from runtime.links.local import call
from runtime.places import find

DESCRIPTION = """\
Record the robot that runs: everything its sensors say, every command and read-back, and the journal that
`tectum replay --verify` follows. `tectum run --record` records from the first packet on.

  tectum record start [NAME]
  tectum record stop
  tectum record list
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = DESCRIPTION
    parser.add_argument("action", choices=("start", "stop", "list"))
    parser.add_argument("name", nargs="?", help="name of the recording (default: the next free run-NNNN)")
    parser.add_argument("--robot", help="which robot, where several run")


def run(args: argparse.Namespace, environment: dict[str, str]) -> int:
    bus = find(args.robot, environment).bus
    if args.action == "start":
        answer = call(bus, "recordings.start", {} if args.name is None else {"name": args.name})
        print(f"Recording {answer['name']}; `tectum record stop` ends it")
    elif args.action == "stop":
        answer = call(bus, "recordings.stop", {}, timeout_s=10.0)
        print(f"Recorded {answer['name']}")
    else:
        for entry in call(bus, "recordings.list", {}):
            print(f"{entry['name']:<30} {entry['bytes'] / 1e6:9.2f} MB{'  (running)' if entry['active'] else ''}")
    return 0
