"""The command line. Translates arguments, decides nothing; the only place that reads the environment or exits.

Exit status: 0 done; 1 it failed; 2 the configuration or the arguments are wrong; 3 the control process died and the
actuators were made safe; 4 the same, but not confirmed; 5 a recording did not verify; 6 a recording verified as far as
it goes; 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from pathlib import Path
from typing import Any

COMMANDS = {
    "run": "start a robot: sensors, network, actuators, and the page that shows them",
    "check": "print the wiring of a robot file and its stop times; opens no device",
    "replay": "play a recording through the network again; --verify says whether it is the same run",
    "record": "start, stop or list recordings of the robot that runs",
    "convert": "turn a trained ReLU network (ONNX) into a sigma-delta or rate-coded one, with its error and its cost",
    "info": "describe a recording, an event file, a folder of images or a .nir network",
    "top": "watch the robot that runs, in the terminal",
    "cut": "close a sensor of the robot that runs, to see what it does without",
    "restore": "open a sensor that was cut",
    "estop": "stop the robot that runs, latched, and say whether read-back confirms it",
    "release": "release a latched e-stop",
    "health": "ask a running robot whether it is well (for container health checks)",
    "bench": "measure: latency, bus, accuracy, engine",
    "keys": "create, list and revoke API keys",
    "doctor": "look at clock, permissions, devices, broker, kernel cache; say what to mend",
}
EPILOG = """\
A robot is one TOML file; see deploy/*.toml for examples and README.md for one of ten lines.
Values can be overridden by environment variables: TECTUM__HTTP__PORT=9000 sets `port` of table [http].

exit status: 0 done, 1 failed, 2 wrong configuration or arguments, 3 the control process died and the actuators were
made safe, 4 the same but not confirmed, 5 a recording did not verify, 6 it verified as far as it goes, 130 interrupted
"""


def main(argv: list[str] | None = None) -> None:
    """Run one command and exit."""
    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(
        prog="tectum",
        description="A daemon for robots: sensors at their native rates, one stateful spiking network, safe actuators.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    parser.add_argument("--traceback", action="store_true", help="show where an error came from")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    hidden = {"_control"}
    wanted = next((word for word in argv if word in COMMANDS or word in hidden), None)
    for name, summary in COMMANDS.items():
        sub = commands.add_parser(name, help=summary, formatter_class=argparse.RawDescriptionHelpFormatter)
        if name == wanted:
            _module(name).add_arguments(sub)
    if wanted in hidden:
        _module("control").add_arguments(commands.add_parser(wanted))
    args = parser.parse_args(argv)
    if args.version:
        from runtime.provenance import tectum_version

        print(f"tectum {tectum_version()}")
        sys.exit(0)
    if args.command is None:
        parser.print_help()
        sys.exit(0)
    logging.basicConfig(level=os.environ.get("TECTUM_LOG", "INFO"), format="%(levelname).1s %(name)s: %(message)s")
    sys.exit(_run(args))


def _run(args: argparse.Namespace) -> int:
    from nets.errors import NetsError
    from runtime.core.errors import ConfigError, TectumError

    try:
        _check_names()
        status: int = _module(args.command.lstrip("_")).run(args, dict(os.environ))
        return status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except (TectumError, NetsError, OSError) as error:
        if args.traceback:
            raise
        print(f"tectum {args.command}: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError | NetsError) else 1


def _module(name: str) -> Any:
    return importlib.import_module(f"runtime.commands.{name}")


def _check_names() -> None:
    """Refuse to start where another project owns one of our four import names."""
    from runtime.core.errors import ConfigError

    here = Path(__file__).resolve().parent.parent
    for name in ("sensors", "actuators", "nets"):
        module = importlib.import_module(name)
        found = Path(module.__file__ or "").resolve().parent.parent
        if found != here:
            raise ConfigError(
                f"the import name {name!r} belongs to {found}, expected {here}: tectum needs an environment of its own"
            )


if __name__ == "__main__":
    main()
