"""Thousands of damaged copies of every trained network: each runs or is one named error, in bounded time and memory.

The copies are judged in a process of their own, and what memory they take is measured there. With TECTUM_RESULTS set to
a folder the figures are also added to nir_soak.txt there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.property.nir_mutations import Report

COPIES = 500
"""Of each network; with the data folder that makes 4,000."""
SECONDS = 10.0
"""For one copy, on a busy machine; the whole network takes a tenth of a second."""
MEGABYTES = 128
"""What the process may grow by over what it needed for the whole network."""
REPOSITORY = Path(__file__).resolve().parent.parent.parent

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]


def networks() -> list[Path]:
    """The networks that ship, and those of the data folder where it is."""
    folders = [REPOSITORY / "deploy" / "networks"]
    if given := os.environ.get("TECTUM_DATA"):
        folders.append(Path(given) / "networks")
    return [path for folder in folders for path in sorted(folder.glob("*.nir"))]


@pytest.mark.parametrize("path", networks(), ids=lambda path: f"{path.parent.parent.name}-{path.stem}")
def test_damaged_copies_run_or_are_refused(path: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.property.nir_mutations", str(path), str(COPIES)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=3000, check=False)
    assert done.returncode == 0, f"the process died with {done.returncode}: {done.stdout[-500:]}{done.stderr[-2000:]}"
    report = Report(**json.loads(done.stdout))
    print(f"\n{path.name}: {report}")
    if folder := os.environ.get("TECTUM_RESULTS"):
        with open(Path(folder) / "nir_soak.txt", "a") as file:
            file.write(f"{path.name}: {report}\n")
    assert report.escaped == []
    assert report.runs + report.not_run + report.refused == COPIES
    assert report.runs > 0
    assert report.refused > COPIES // 10
    assert report.slowest_s < SECONDS
    assert report.grown_mb < MEGABYTES
