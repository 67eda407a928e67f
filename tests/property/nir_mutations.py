"""Judges damaged copies of one .nir file; run as a process of its own, so that its memory can be measured and limited.

    python -m tests.property.nir_mutations NET.nir COPIES

Four of five copies have one to eight bytes changed, half of those in the file's first 16 kB, where the structure lies;
the fifth is cut off.
"""

from __future__ import annotations

import faulthandler
import json
import resource
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from nets.dialect import resolve
from nets.errors import NetsError, NirError
from nets.nir import read
from nets.program import compile_program
from runtime.core.clock import MonotonicClock

STRUCTURE = 1 << 14
KEPT = 5
HANGS_S = 60.0
"""A copy that takes longer ends the process: a library that searches for ever hears no signal."""
GUARD = 4 << 30
"""No copy may take more than so many bytes, so that the machine outlives the measurement."""


@dataclass
class Report:
    """What became of the copies."""

    runs: int = 0
    not_run: int = 0
    """Read, and refused by dialect or compiler."""
    refused: int = 0
    escaped: list[str] = field(default_factory=list)
    """Number and error of the first copies that ended in anything else."""
    slowest_s: float = 0.0
    grown_mb: float = 0.0
    """Memory beyond what the whole network needed. HDF5 reserves what a damaged heap of names claims, and touches none
    of it: that is address space, which is limited and not counted."""


def damaged(content: bytes, seed: int) -> bytes:
    """Copy number `seed`."""
    rng = np.random.default_rng(seed)
    if rng.random() < 0.2:
        return content[: int(rng.integers(0, len(content)))]
    copy = bytearray(content)
    among = min(len(copy), STRUCTURE if rng.random() < 0.5 else len(copy))
    for at in rng.integers(0, among, int(rng.integers(1, 9))):
        copy[at] ^= int(rng.integers(1, 256))
    return bytes(copy)


def judge(path: Path, report: Report) -> None:
    """Read and compile; anything but an error of ours escapes."""
    try:
        graph = read(path)
    except NirError as error:
        if str(path) not in str(error):
            raise AssertionError(f"an error without its file: {error}") from error
        report.refused += 1
        return
    try:
        compile_program(graph, resolve(graph, path, {"preset": "sinabs", "dt_s": 1e-3}))
    except NetsError:
        report.not_run += 1
    else:
        report.runs += 1


def soak(content: bytes, copies: int) -> Report:
    """Judge every copy."""
    clock, report = MonotonicClock(), Report()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "copy.nir"
        path.write_bytes(content)
        judge(path, whole := Report())
        if not whole.runs:
            raise SystemExit("the network does not run before it is damaged")
        start = peak_bytes("VmHWM")
        limit = peak_bytes("VmPeak") + GUARD
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        for seed in range(copies):
            path.write_bytes(damaged(content, seed))
            print(f"copy {seed}", file=sys.stderr, flush=True)
            faulthandler.dump_traceback_later(HANGS_S, exit=True)
            before = clock.now()
            try:
                judge(path, report)
            except BaseException as error:  # a panic of a library would be one too
                if len(report.escaped) < KEPT:
                    report.escaped.append(f"copy {seed}: {type(error).__name__}: {error}")
            report.slowest_s = max(report.slowest_s, round((clock.now() - before) * 1e-9, 3))
        faulthandler.cancel_dump_traceback_later()
    report.grown_mb = round((peak_bytes("VmHWM") - start) / 1e6, 1)
    return report


def peak_bytes(what: str) -> int:
    """The most memory (VmHWM) or address space (VmPeak) this process ever had."""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith(f"{what}:")).split()[1]) * 1024


if __name__ == "__main__":
    print(json.dumps(asdict(soak(Path(sys.argv[1]).read_bytes(), int(sys.argv[2])))))
