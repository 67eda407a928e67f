"""`tectum top`: watch the robot that runs, in the terminal."""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path
from typing import Any

import msgpack

from runtime.commands.health import first_status
from runtime.core.errors import LinkError
from runtime.links.local import LocalClient
from runtime.places import find

DESCRIPTION = "Watch the robot that runs: topics, network, actuators, twice a second, until Ctrl-C."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = DESCRIPTION
    parser.add_argument("--robot", help="which robot, where several run")
    parser.add_argument("--once", action="store_true", help="print once and exit")
    parser.add_argument("--json", action="store_true", help="print the whole status once, as JSON")


def run(args: argparse.Namespace, environment: dict[str, str]) -> int:
    bus = find(args.robot, environment).bus
    if args.once or args.json:
        status = asyncio.run(first_status(bus))
        print(json.dumps(status, indent=2) if args.json else screen(status))
        return 0
    asyncio.run(_watch(bus))
    return 0


async def _watch(bus: Path) -> None:
    last = 0.0

    def on_push(lane: str, payload: bytes) -> None:
        nonlocal last
        if lane == "status":
            status = msgpack.unpackb(payload)
            if status["uptime_s"] - last >= 0.5 or status["uptime_s"] < last:
                last = status["uptime_s"]
                print("\x1b[H\x1b[2J" + screen(status), flush=True)

    async with LocalClient(bus, on_push) as client:
        await client.closed()
    raise LinkError(f"{bus}: the control process has ended")


def screen(status: dict[str, Any]) -> str:
    """The status as text of at most 100 columns."""
    lines = [f"{status['robot']}  up {status['uptime_s']:.1f} s  lost {status['lost_total']}"]
    if status["estop"]["latched"]:
        sure = "confirmed" if status["estop"]["confirmed"] else "NOT confirmed"
        lines.append(f"E-STOP latched ({sure}): {status['estop']['reason']}")
    lines += [f"! {problem}" for problem in status["ready"]["problems"]]
    lines += ["", f"{'topic':<24}{'events/s':>12}{'packets/s':>11}{'lost':>9}  health"]
    for t in status["topics"]:
        bad = [word for word in ("alive", "on_time", "complete") if not t[word]]
        health = "not " + ", ".join(bad) if bad else "good"
        lines.append(f"{t['name']:<24}{t['event_rate_hz']:>12.0f}{t['packet_rate_hz']:>11.0f}{t['lost']:>9}  {health}")
    n = status["network"]
    if n is not None:
        saved = n["dense_synops"] / n["synops"] if n["synops"] else 0.0
        lines += ["", f"network {n['name']}  call p50 {n['call_us']['p50']:.0f} us, p99 {n['call_us']['p99']:.0f} us"]
        lines.append(f"  {n['synops']:.3g} synaptic operations, a dense pass would have done {saved:.1f} times as many")
        lines += [f"  {p['name']:<22}{p['spikes']:>12} spikes" for p in n["populations"]]
    latency = status["latency"]
    if latency["count"]:
        lines += ["", f"sensor to actuator: p50 {latency['p50_us']:.0f} us, p99 {latency['p99_us']:.0f} us"]
    for a in status["actuators"]:
        measured = "?" if a["measured"] is None else f"{a['measured']:.3f}"
        lines.append(
            f"{a['name']:<16} {a['mode']:<8} applied {a['applied']:.3f} measured {measured} {a['unit']}  {a['reason']}"
        )
    return "\n".join(lines)
