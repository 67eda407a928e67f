"""`tectum bench`: measure, each figure beside its baseline."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runtime.bench.unavailable import UnavailableError

DESCRIPTION = """\
Measure. Every figure is printed beside its baseline, both measured in the same run.

  tectum bench latency               sensor to actuator, with and without HTTP load (minutes)
  tectum bench bus --json            as JSON
  tectum bench accuracy FOLDER       whole-recording and live accuracy over N-MNIST recordings
  tectum bench engine                the network engine, beside PyTorch and the machine's ceiling
  tectum bench start                 from `tectum run` to the first packet; compiling everything
  tectum bench sigma-delta           sigma-delta networks, beside ONNX Runtime on natural video
  tectum bench multirate --plot FILE.svg     the gaze robot by events and dense: error, latency, work
  tectum bench all --save            everything; writes docs/results/NAME.txt

Exit status: 0 measured and every target met, 1 a target was missed.
"""
BENCHES = {
    "latency": "runtime.bench.latency",
    "bus": "runtime.bench.bus",
    "accuracy": "runtime.bench.accuracy",
    "engine": "runtime.bench.engine",
    "start": "runtime.bench.start",
    "sigma-delta": "runtime.bench.sigma_delta",
    "multirate": "runtime.bench.multirate",
}
"""Modules with SUMMARY, add_arguments(parser) and run(args, environment, say) -> Report; every argument optional."""
RESULTS = Path("docs") / "results"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = DESCRIPTION
    benches = parser.add_subparsers(dest="bench", metavar="BENCH", required=True)
    for name, module in BENCHES.items():
        bench = importlib.import_module(module)
        sub = benches.add_parser(name, help=bench.SUMMARY, description=bench.__doc__, formatter_class=_RAW)
        bench.add_arguments(sub)
        _output_arguments(sub)
    _output_arguments(benches.add_parser("all", help="every benchmark with its defaults"))


def run(args: argparse.Namespace, environment: dict[str, str], benches: Mapping[str, str] = BENCHES) -> int:
    names = list(benches) if args.bench == "all" else [args.bench]
    missed = False
    results: dict[str, Any] = {}
    for name in names:
        bench = importlib.import_module(benches[name])
        try:
            report = bench.run(_defaults(bench) if args.bench == "all" else args, environment, _say)
        except UnavailableError as error:
            if args.bench != "all":
                raise
            _say(f"{name} is left out: {error}")
            results[name] = {"left_out": str(error)}
            continue
        missed = missed or bool(report.missed)
        results[name] = report.data | {"missed": list(report.missed)}
        if not args.json:
            print(f"{report.text}\n", flush=True)
        if args.save is not None:
            from runtime.bench.facts import save

            _say(f"written to {save(args.save, _command(args), report)}")
    if args.json:
        from runtime.bench.facts import facts

        print(json.dumps({"machine": facts(), **results}, indent=1))
    return int(missed)


_RAW = argparse.RawDescriptionHelpFormatter


def _output_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--save", nargs="?", type=Path, const=RESULTS, metavar="FOLDER", help=f"write NAME.txt (to {RESULTS})"
    )


def _defaults(bench: Any) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    return parser.parse_args([])


def _command(args: argparse.Namespace) -> str:
    """What was asked for, without folders of this machine."""
    plain = {"bench", "command", "json", "save", "traceback", "version"}
    words = [f"tectum bench {args.bench}"]
    for name, value in vars(args).items():
        if name in plain or value is None or value is False:
            continue
        shown = value.name if isinstance(value, Path) else value
        words.append(f"--{name}" if value is True else str(shown) if name == "folder" else f"--{name} {shown}")
    return " ".join(words)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
