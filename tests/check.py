"""Everything that must hold, in one run: lint, format, types, import contracts, tests. `make test` is this.

    python tests/check.py           all of it
    python tests/check.py --soak    what takes minutes; results to docs/results
    python tests/check.py --bench   the benchmarks

With TECTUM_STRICT_SKIPS=1 (CI) a skip that is not in tests/allowed_skips.txt fails the run.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
TOGETHER = [f"tests/{name}" for name in ("unit", "property", "reference", "conformance", "replay")]
"""Bound by the processor: two at a time."""
ALONE = [f"tests/{name}" for name in ("e2e", "fault", "bench")]
"""With deadlines on the machine's clock: one at a time."""
PACKAGES = ["runtime", "sensors", "actuators", "nets", "tests", "deploy", "training"]


def main(argv: list[str]) -> int:
    os.chdir(ROOT)
    if "--bench" in argv:
        return run("bench", [str(BIN / "tectum"), "bench", "all", "--save"])
    if "--soak" in argv:
        os.environ.setdefault("TECTUM_RESULTS", str(ROOT / "docs" / "results"))
        return pytest(["-m", "soak", "--timeout=1800", "-s"])
    failed = [
        name
        for name, command in [
            ("lint", [str(BIN / "ruff"), "check", *PACKAGES]),
            ("format", [str(BIN / "ruff"), "format", "--check", "--quiet", *PACKAGES]),
            ("imports", [str(BIN / "lint-imports"), "--no-cache"]),
            ("types", [str(BIN / "mypy")]),
            ("kernels", [sys.executable, "-m", "nets.kernels.build"]),
        ]
        if run(name, command)
    ]
    quick = ["-m", "not soak and not bench"]
    if pytest([*quick, "-n", "2", "--dist", "loadfile", *TOGETHER]):
        failed.append("tests")
    if pytest([*quick, *ALONE]):
        failed.append("tests of processes")
    print(f"check: {'failed: ' + ', '.join(failed) if failed else 'all good'}", flush=True)
    return bool(failed)


def run(name: str, command: list[str]) -> int:
    """Run one check; print its name, and its output where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(f"{name}: {'ok' if done.returncode == 0 else 'FAILED'}", flush=True)
    if done.returncode or name == "bench":
        print(done.stdout + done.stderr, flush=True)
    return done.returncode


def pytest(arguments: list[str]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", f"--junit-xml={report}", *arguments]
        status = subprocess.run(command, check=False).returncode
        if status == 0 and os.environ.get("TECTUM_STRICT_SKIPS"):
            status = unexpected_skips(report)
        return status


def unexpected_skips(report: Path) -> int:
    """How many tests were skipped without leave."""
    allowed = [
        re.compile(line.split("#")[0].strip())
        for line in (ROOT / "tests" / "allowed_skips.txt").read_text().splitlines()
        if line.split("#")[0].strip()
    ]
    count = 0
    for case in ET.parse(report).iter("testcase"):
        if case.find("skipped") is None:
            continue
        name = f"{case.get('classname')}::{case.get('name')}"
        if not any(pattern.search(name) for pattern in allowed):
            print(f"skipped without leave: {name}", flush=True)
            count += 1
    return count


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
