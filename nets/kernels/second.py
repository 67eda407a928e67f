"""A second process that compiles into the same cache, as numba compiles on one core only."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import nets

ROOT = Path(nets.__file__ or "").resolve().parent.parent


class SecondProcess:
    """One that compiles these parts until its context ends; none where there are no parts.

    It is a help, never a need: whoever waited for it compiles what it did not.
    """

    def __init__(self, parts: Sequence[str], cache: Path) -> None:
        self._command = [sys.executable, "-m", "nets.kernels.build", "--second", *parts] if parts else []
        self._cache = cache
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> SecondProcess:
        if self._command:
            path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
            environment = {**os.environ, "NUMBA_CACHE_DIR": str(self._cache), "PYTHONPATH": path}
            try:
                # A session of its own: Ctrl-C reaches it through us, in order. Its input ends when we do.
                self._process = subprocess.Popen(
                    self._command, stdin=subprocess.PIPE, env=environment, cwd=ROOT, start_new_session=True
                )
            except OSError:
                self._process = None
        return self

    def wait(self) -> None:
        """Until it has ended, whether or not it did all of its work."""
        if self._process is not None:
            self._process.wait()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            assert self._process.stdin is not None
            self._process.stdin.close()
