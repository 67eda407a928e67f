"""Speaks to a simulator's process, tests.comparison.speed.worker."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.comparison.speed.cell import Cell

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


class WorkerError(RuntimeError):
    """A simulator's process ended instead of answering."""


class Process:
    """Runs while the context is open."""

    def __init__(self, python: str, name: str, root: Path) -> None:
        self._name = name
        self._process = subprocess.Popen(
            [python, "-W", "ignore", "-m", "tests.comparison.speed.worker", name],
            cwd=root,
            env=os.environ | dict.fromkeys(ONE_THREAD, "1"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    def versions(self) -> dict[str, str]:
        return dict(self._answer()["versions"])

    def prepare(self, cell: Cell) -> list[int]:
        """Spikes of each layer."""
        return [int(n) for n in self._ask({"prepare": cell.to_dict()})["spikes"]]

    def measure(self) -> float:
        """Processor seconds of one pass."""
        return float(self._ask("measure")["cpu_s"])

    def _ask(self, what: Any) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise WorkerError(f"{self._name}: its process ended with status {self._process.wait()}, see above")
        return json.loads(line)
