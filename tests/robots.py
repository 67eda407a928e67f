"""Robots for tests: the shipped ones with tables changed, run on virtual time."""

from __future__ import annotations

import asyncio
import shutil
import tomllib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from runtime.config import Robot, make_robot
from runtime.core.clock import SECOND, VirtualClock, run_virtual
from runtime.service import Service

T = TypeVar("T")
DEPLOY = Path(__file__).resolve().parent.parent / "deploy"


def shipped(name: str, changes: Mapping[str, Any] | None = None) -> Robot:
    """A robot of deploy/, with tables merged in: `{"sensors": {"eye": {"loop": False}}}`. None removes a key."""
    with (DEPLOY / f"{name}.toml").open("rb") as file:
        tables = tomllib.load(file)
    _merge(tables, changes or {})
    return make_robot(tables, DEPLOY, f"{name}.toml")


def _merge(tables: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, Mapping) and isinstance(tables.get(key), dict):
            _merge(tables[key], value)
        elif value is None:
            tables.pop(key, None)
        else:
            tables[key] = value


def playlist(folder: Path, source: Path, numbers: Iterable[int]) -> Path:
    """A folder with these N-MNIST recordings and their labels."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        shutil.copy(source / f"{number}.bs2", folder)
    shutil.copy(source / "labels.tsv", folder)
    return folder


@asynccontextmanager
async def running(
    robot: Robot, clock: VirtualClock, state_dir: Path, attach: Callable[[Service], None] = lambda service: None
) -> AsyncIterator[Service]:
    """The service, started and settled at the clock's time; stopped safely at the end, time running on by itself."""
    service = Service(robot, clock, state_dir)
    attach(service)
    task = asyncio.create_task(service.run())
    await clock.settle()
    try:
        yield service
    finally:
        service.stop()
        clock.release()
        await task


def virtually(main: Callable[[VirtualClock], Coroutine[Any, Any, T]]) -> T:
    return run_virtual(main)


async def to_the_end(service: Service, clock: VirtualClock) -> None:
    """Let time run until every sensor has ended, and a little longer."""
    clock.release()
    await service.ended.wait()
    await clock.sleep_until(clock.now() + SECOND // 2)


def record(robot: Robot, path: Path, state_dir: Path, seconds: float) -> None:
    """Record a run of so much virtual time, from its first packet."""

    async def main(clock: VirtualClock) -> None:
        service = Service(robot, clock, state_dir)
        await service.start_recording(None, path)
        task = asyncio.create_task(service.run())
        await clock.advance_to(clock.now() + int(seconds * SECOND))
        service.stop()
        clock.release()
        await task

    virtually(main)
