"""Compares this engine with the simulators themselves, and writes the table of docs/dialects.md and the golden files.

    python3.11 -m venv /tmp/comparison
    /tmp/comparison/bin/pip install torch==2.13.0
    /tmp/comparison/bin/pip install --no-deps -r requirements/comparison.txt
    /tmp/comparison/bin/python -m tests.comparison.compare [--save] [simulator ...]

Each network is exported by its simulator, stored by `nir`, read by our own reader, and run for one second of noise
at 1 ms. Nothing here is collected by pytest; tests/unit/test_dialect_golden.py holds what `--save` stores.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from nets.nir import read
from tests.comparison import golden
from tests.comparison.case import Case
from tests.comparison.measure import identical, play, tick_by_tick

ROOT = Path(__file__).resolve().parent.parent.parent
GOLDEN = ROOT / "tests" / "golden" / "dialects.npz.xz"
PAGE = ROOT / "docs" / "dialects.md"
BEGIN, END = "<!-- table: written by tests/comparison/compare.py --save -->\n", "<!-- end of table -->\n"
SIMULATORS = ("norse", "snntorch", "sinabs", "rockpool", "spikingjelly")
LIBRARIES = (*SIMULATORS, "nir", "nirtorch", "torch", "numpy")


@dataclass(frozen=True)
class Row:
    case: Case
    settings: str
    spikes: int
    free32: float
    free64: float
    tick: float | None

    @property
    def good(self) -> bool:
        held = self.tick if self.tick is not None else min(self.free32, self.free64)
        return held >= self.case.expected


def main(arguments: list[str]) -> int:
    save = "--save" in arguments
    chosen = [name for name in SIMULATORS if name in arguments] or list(SIMULATORS)
    missing = [name for name in LIBRARIES if not installed(name)]
    if missing:
        print(f"{', '.join(missing)} not installed: {__doc__}")
        return 2
    warnings.simplefilter("ignore")  # the exporters announce their own deprecations
    rows: list[Row] = []
    kept: dict[str, golden.Golden] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in chosen:
            for case in importlib.import_module(f"tests.comparison.{name}_networks").cases():
                row, content = compare(case, Path(folder))
                rows.append(row)
                print(line(row), "" if row.good else "BELOW WHAT WAS EXPECTED", flush=True)
                if case.golden:
                    kept[slug(case)] = golden.Golden(content, dict(case.dialect), case.x, list(case.spikes))
    if save and len(chosen) == len(SIMULATORS):
        page = PAGE.read_text()
        start, end = page.index(BEGIN) + len(BEGIN), page.index(END)
        PAGE.write_text(page[:start] + "\n".join(table(rows)) + "\n" + page[end:])
        golden.store(GOLDEN, kept)
        GOLDEN.with_name("dialects.txt").write_text(provenance(rows))
    return 0 if all(row.good for row in rows) else 1


def compare(case: Case, folder: Path) -> tuple[Row, bytes]:
    nir = importlib.import_module("nir")
    path = folder / "network.nir"
    nir.write(path, case.graph)
    graph = read(path)
    free = [identical(play(graph, case.dialect, case.x, dtype), case.spikes) for dtype in (np.float32, np.float64)]
    tick = tick_by_tick(graph, case.dialect, case.x, case.spikes, case.states) if case.states else None
    settings = ", ".join(f"{k} = {v!r}" for k, v in case.dialect.items() if k != "dt_s").replace("'", "")
    total = int(sum(layer.sum() for layer in case.spikes))
    return Row(case, settings, total, free[0], free[1], tick), path.read_bytes()


def installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def slug(case: Case) -> str:
    words = "".join(c if c.isalnum() else " " for c in case.name.lower()).split()
    return "-".join([case.simulator, *words])


def line(row: Row) -> str:
    tick = "" if row.tick is None else f", tick by tick {100 * row.tick:.3f} %"
    free = f"free {100 * row.free32:.3f} % float32, {100 * row.free64:.3f} % float64"
    return f"{row.case.simulator:12} {row.case.name}: {row.spikes} spikes, {free}{tick}"


def table(rows: list[Row]) -> Iterator[str]:
    versions = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    yield f"\nVersions: {versions}; Python {sys.version.split()[0]}.\n"
    yield "| simulator | network | dialect set | spikes | free, float32 | free, float64 | tick by tick |"
    yield "|---|---|---|---:|---:|---:|---:|"
    for row in rows:
        tick = "" if row.tick is None else f"{100 * row.tick:.2f} %"
        name = row.case.name + (f" (deviation: {row.case.note})" if row.case.note else "")
        figures = f"{row.spikes} | {100 * row.free32:.2f} % | {100 * row.free64:.2f} % | {tick}"
        yield f"| {row.case.simulator} | {name} | {row.settings} | {figures} |"


def provenance(rows: list[Row]) -> str:
    versions = "\n".join(f"    {name} {version(name)}" for name in LIBRARIES)
    names = "\n".join(f"    {slug(row.case)}: {row.case.name}" for row in rows if row.case.golden)
    return (
        "dialects.npz.xz: random networks, exported to NIR by the simulator named first, fed\n"
        f"{golden.TICKS} ticks of seeded noise, with the spikes the simulator itself gave. Made by\n"
        "`python -m tests.comparison.compare --save`.\n"
        f"Nothing in them is trained or taken from elsewhere.\n\nVersions:\n{versions}\n\nNetworks:\n{names}\n"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
