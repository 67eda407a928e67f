"""`tectum health`: whether a running robot is well, for container health checks."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import Any

import msgpack

from runtime.core.errors import LinkError
from runtime.links.local import LocalClient
from runtime.places import find

DESCRIPTION = "Exit status 0 where the robot runs and is ready, 1 where not; prints what is wrong."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = DESCRIPTION
    parser.add_argument("--robot", help="which robot, where several run")


def run(args: argparse.Namespace, environment: dict[str, str]) -> int:
    status = asyncio.run(first_status(find(args.robot, environment).bus))
    problems = status["ready"]["problems"]
    print("\n".join(problems) if problems else f"{status['robot']}: ready, up {status['uptime_s']:.0f} s")
    return 1 if problems else 0


async def first_status(path: Path, timeout_s: float = 3.0) -> dict[str, Any]:
    """The next status that the control process pushes."""
    got: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

    def on_push(lane: str, payload: bytes) -> None:
        if lane == "status" and not got.done():
            got.set_result(msgpack.unpackb(payload))

    async with LocalClient(path, on_push):
        try:
            return await asyncio.wait_for(got, timeout_s)
        except TimeoutError:
            raise LinkError(f"{path}: the control process says nothing for {timeout_s:g} s") from None
