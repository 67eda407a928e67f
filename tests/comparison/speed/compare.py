"""Measures tectum beside Brian2's C++ mode, GeNN, hand-written PyTorch and the frameworks; writes docs/engine-speed.md.

    python3.11 -m venv /tmp/comparison
    /tmp/comparison/bin/pip install torch==2.13.0
    /tmp/comparison/bin/pip install --no-deps -r requirements/comparison.txt
    python3.11 -m venv /tmp/brian2
    /tmp/brian2/bin/pip install brian2==2.9.0 'numpy<2'
    git clone --branch 5.4.0 https://github.com/genn-team/genn && /tmp/comparison/bin/pip install ./genn psutil
    .venv/bin/python -m tests.comparison.speed.compare --save \\
        --others /tmp/comparison/bin/python --with brian2=/tmp/brian2/bin/python

(GeNN needs libffi's header to build; it is on no package index.) A simulator that is not installed is left out, and
the page says so. Nothing here is collected by pytest.

Every simulator is a process of its own. For each workload and rate all of them pass over the same second of events in
turns; a figure is the least processor time of its passes, with one thread. Exit status 1: a target was missed or could
not be judged, or the spikes of a layer differ by more than 1 %.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from runtime.bench.facts import facts, today
from runtime.bench.workload import RATES, stream, w1, w2
from tests.comparison.speed.cell import Cell
from tests.comparison.speed.process import Process, WorkerError
from tests.comparison.speed.result import SIMULATORS, Found, differing, misses, page, targeted
from tests.comparison.speed.unfold import write

ROOT = Path(__file__).resolve().parents[3]
NETWORK = ROOT / "deploy" / "networks" / "cnn_sinabs.nir"
PAGE = ROOT / "docs" / "engine-speed.md"
BEGIN, END = "<!-- table: written by tests/comparison/speed/compare.py --save -->\n", "<!-- end of table -->\n"
OURS = ("tectum", "tectum_merged")


def main(arguments: Sequence[str]) -> int:
    args = _parser().parse_args(arguments)
    chosen = [name for name in SIMULATORS if name in OURS or not args.only or name in args.only]
    versions: dict[str, dict[str, str]] = {}
    absent: list[str] = []
    found: list[Found] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        processes: dict[str, Process] = {}
        for name in chosen:
            python = sys.executable if name in OURS else dict(args.interpreters).get(name, args.others)
            process = stack.enter_context(Process(python, name, ROOT))
            try:
                versions[name] = process.versions()
                processes[name] = process
            except WorkerError as error:
                if name in OURS:
                    raise
                absent.append(name)
                print(error, file=sys.stderr)
        for workload in ("W1", "W2"):
            for rate in RATES:
                cell = Cell(workload, rate, args.ticks, str(NETWORK), str(folder / "cell.npz"))
                graph = w1(rate) if workload == "W1" else w2(rate, NETWORK)
                write(Path(cell.arrays), graph, stream(rate, args.ticks))
                found += race(processes, cell, args.rounds)
    unjudged = [f"{SIMULATORS[name]}: not installed, its targets are not judged" for name in absent if targeted(name)]
    missed = [*misses(found), *differing(found), *unjudged]
    known = {"date": today(), **facts(), "threads": "one", "ticks": str(args.ticks), "rounds": str(args.rounds)}
    text = page(found, known, versions, absent, missed)
    print(text)
    if args.save:
        whole = PAGE.read_text()
        start, end = whole.index(BEGIN) + len(BEGIN), whole.index(END)
        PAGE.write_text(whole[:start] + "\n" + text + "\n" + whole[end:])
    return int(bool(missed))


def race(processes: dict[str, Process], cell: Cell, rounds: int) -> list[Found]:
    """All of them on one cell: spikes first, then passes in turns."""
    spikes = {name: process.prepare(cell) for name, process in processes.items()}
    best = dict.fromkeys(processes, float("inf"))
    for _ in range(rounds):
        for name, process in processes.items():
            best[name] = min(best[name], process.measure())
    found = [
        Found(name, cell.workload, cell.rate_hz, best[name] / cell.ticks * 1e6, spikes[name]) for name in processes
    ]
    for row in found:
        print(f"{row.workload} {row.rate_hz:>7} {row.name:<14} {row.us:9.2f} µs a tick {row.spikes}", file=sys.stderr)
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--save", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    parser.add_argument("--others", default=sys.executable, metavar="PYTHON", help="runs all simulators but tectum")
    parser.add_argument(
        "--with",
        dest="interpreters",
        action="append",
        default=[],
        type=_named,
        metavar="NAME=PYTHON",
        help="runs one of them",
    )
    parser.add_argument("--only", nargs="+", choices=[name for name in SIMULATORS if name not in OURS])
    parser.add_argument("--ticks", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=7)
    return parser


def _named(text: str) -> tuple[str, str]:
    name, _, python = text.partition("=")
    if name not in SIMULATORS or not os.access(python, os.X_OK):
        raise argparse.ArgumentTypeError(f"{text!r}: expected NAME=PYTHON, a name of {', '.join(SIMULATORS)}")
    return name, python


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
