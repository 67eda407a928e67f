"""Fixtures every test may use: the real data, and a check that no task or thread outlives its test."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real recordings and networks, or a skip."""
    folder = os.environ.get("TECTUM_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("needs the real recordings: set TECTUM_DATA to their folder")
    return Path(folder)


@pytest.fixture(scope="session")
def deploy() -> Path:
    """The example robots shipped with the project."""
    return REPOSITORY / "deploy"


@pytest.fixture(autouse=True)
def no_leaked_threads() -> Iterator[None]:
    """A thread that a test started and left running fails it. (A leaked task is a warning, and warnings are errors.)"""
    before = set(threading.enumerate())
    yield
    leaked = [t for t in threading.enumerate() if t not in before and not t.daemon and t.is_alive()]
    for thread in leaked:
        thread.join(2.0)
    leaked = [t for t in leaked if t.is_alive()]
    assert not leaked, f"left running: {leaked}"
