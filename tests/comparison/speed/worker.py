"""One simulator as a process of its own: prepares cells and measures passes as its standard input asks, in JSON lines.

    {"prepare": cell}  ->  {"spikes": [per layer]}
    "measure"          ->  {"cpu_s": seconds}

The first line it writes is {"versions": {...}}.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from importlib.metadata import version
from typing import Any

from tests.comparison.speed.cell import Cell, Contestant


def main(name: str) -> None:
    # simulators print as they like: what is written to standard output goes to standard error
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        module = importlib.import_module(f"tests.comparison.speed.{name}_speed")
        ready: Contestant | None = None

        def answer(what: dict[str, Any]) -> None:
            answers.write(json.dumps(what) + "\n")
            answers.flush()

        python = sys.version.split()[0]
        answer({"versions": {library: version(library) for library in module.LIBRARIES} | {"Python": python}})
        for line in sys.stdin:
            asked = json.loads(line)
            if asked == "measure":
                assert ready is not None
                answer({"cpu_s": ready.measure()})
            else:
                ready = None
                ready = module.contestant(Cell(**asked["prepare"]))
                answer({"spikes": ready.spikes()})


if __name__ == "__main__":
    main(sys.argv[1])
