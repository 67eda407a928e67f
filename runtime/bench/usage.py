"""The processor time this process has used: what a pass costs, whatever else the machine does meanwhile."""

from __future__ import annotations

import resource


def cpu_s() -> float:
    """Of all its threads, in the kernel too."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
