"""The facts of the machine that a result depends on, and the file it is saved in; names no host and no folder."""

from __future__ import annotations

import datetime
import os
import platform
from pathlib import Path

from runtime.bench.report import Report
from runtime.core.clock import MonotonicClock
from runtime.provenance import machine

LIBRARIES = ("numpy", "numba", "llvmlite", "msgpack", "mcap")


def facts() -> dict[str, str]:
    """Processor, cores, system, Python and libraries."""
    known = machine()
    return {
        "processor": processor(),
        "cores": f"{os.cpu_count()} ({len(os.sched_getaffinity(0))} usable)",
        "load": " ".join(f"{load:.1f}" for load in os.getloadavg()) + " (1, 5, 15 minutes, when saved)",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}, {known['libc']}",
        "python": f"{platform.python_implementation()} {known['python']}",
        "libraries": ", ".join(f"{name} {known[name]}" for name in LIBRARIES),
        "tectum": known["tectum"],
    }


def processor() -> str:
    """The processor's model as the kernel names it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    for key in ("model name", "Model", "Hardware"):
        for line in lines:
            name, _, value = line.partition(":")
            if name.strip() == key:
                return value.strip()
    return platform.machine()


def today() -> str:
    """The date, by the machine's clock."""
    clock = MonotonicClock()
    seconds = (clock.now() + clock.wall_offset_ns) / 1e9
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")


def document(command: str, text: str) -> str:
    """The text of a result with when, on what and by which command it was made."""
    known = {"date": today(), **facts(), "command": command}
    head = "\n".join(f"{key + ':':<11}{value}" for key, value in known.items())
    return f"{head}\n\n{text.rstrip()}\n"


def save(folder: Path, command: str, report: Report) -> Path:
    """Write `NAME.txt`; returns where."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{report.name}.txt"
    path.write_text(document(command, report.text))
    return path
