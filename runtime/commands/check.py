"""`tectum check`: the wiring of a robot, without opening a device."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from runtime.commands import common

DESCRIPTION = """\
Print what a robot file means: topics with dtype, unit and rate, the network with its dialect, how outputs reach
actuators, and how long each fault takes to end in the safe state. Opens no device; reads file headers and networks.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = DESCRIPTION
    common.robot_argument(parser)
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def run(args: argparse.Namespace, environment: dict[str, str]) -> int:
    common.use_kernel_cache(environment)
    from runtime.wiring import wiring

    path, robot = common.load(args.robot, environment)
    found = wiring(robot)
    if args.json:
        print(json.dumps({"file": str(path), **found}, indent=2))
    else:
        _print(path.name, found)
    return 0


def _print(file: str, found: dict[str, Any]) -> None:
    print(f"Robot {found['robot']!r} ({file})\n\nTopics")
    rows = [
        (
            t["name"],
            t["dtype"],
            t["unit"],
            "as it comes" if t["rate_hz"] is None else f"{t['rate_hz']:g} Hz",
            t["source"],
        )
        for t in found["topics"]
    ]
    _table(("topic", "event", "unit", "rate", "from"), rows)
    network = found["network"]
    if network is not None:
        print(f"\nNetwork {network['file']}: {network['dt_s'] * 1e3:g} ms ticks, {network['merge']} merge")
        for port, shape in network["inputs"].items():
            print(f"  input  {port} {shape}  <- {', '.join(network['fed_by'].get(port, [])) or 'nothing'}")
        for port, shape in network["outputs"].items():
            print(f"  output {port} {shape}")
        print("  dialect")
        for key, value, source in network["dialect"]:
            print(f"    {key:<16} {value:<12} from {source}")
    for stop in found["stops"]:
        print(f"\nActuator {stop['actuator']} ({stop['kind']}, {stop['unit']}), safe at {stop['safe_value']:g}")
        limits = f"range {stop['min']:g} to {stop['max']:g}, slew {stop['slew']:g} a second"
        print(f"  {limits}; travel {stop['travel_s']:.3f} s")
        for reason, seconds in stop["after_s"].items():
            print(f"  {reason}: safe within {seconds:.3f} s")
    for warning in found["warnings"]:
        print(f"\nWarning: {warning}")
    print("\nNothing was opened. This is supervisory software: a robot that can hurt needs a hardware stop as well.")


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    for row in [head, *rows]:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
