"""Starvation: how long a process was ready to run and the machine did not let it.

Linux counts it per thread (`/proc/PID/task/TID/schedstat`, second field, ns). A process that stalls while it is starved
is not at fault; one that stalls while it sleeps, hangs or is stopped is.
"""

from __future__ import annotations

from pathlib import Path


def run_delays(pid: int) -> dict[str, int]:
    """Ns each thread has waited for a processor so far; empty where the system does not say."""
    delays = {}
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            delays[thread.name] = int((thread / "schedstat").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return delays
    return delays


def starved_ns(before: dict[str, int], after: dict[str, int]) -> int:
    """The longest that any thread waited between two looks."""
    return max((delay - before[name] for name, delay in after.items() if name in before), default=0)
