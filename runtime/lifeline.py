"""The lifeline: standard input is a pipe that the parent holds; when it ends, this process ends itself by SIGTERM."""

from __future__ import annotations

import os
import signal
import threading

STDIN = 0
GO = b"go\n"
"""What a process in waiting is told by its lifeline."""


def follow() -> None:
    """Watch the lifeline from a thread of its own, so that an orphan stops in its ordinary, safe way."""
    threading.Thread(target=_watch, name="lifeline", daemon=True).start()


def _watch() -> None:
    while os.read(STDIN, 64):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
