"""Sensor to actuator in a real run, with and without HTTP load, beside one bare queue hop.

The digits robot runs under `tectum run` with control and gateway each on a processor of its own and the page open.
Arms come in pairs, with and without load, in alternating order, each a run of its own. Before and after each arm the
bare hop is measured on control's processor. Where that is allowed, control and the hop run at the same real-time
priority, so that the figures are theirs and not those of whatever else runs on the machine. A latency is from a sensor
packet's arrival on the bus to the command that it caused having been handed to the actuator: merge, network, decoder,
limiter and two turns of the loop.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from runtime.bench.child import may_prioritise, measured, module, prioritise, scheduled_ns
from runtime.bench.daemon import daemon
from runtime.bench.page import browser, open_page, viewers
from runtime.bench.report import Report, Say, table, targets
from runtime.bench.spread import Spread, spread
from runtime.core.clock import SECOND, MonotonicClock, run_real
from runtime.core.errors import LinkError

SUMMARY = "sensor to actuator with and without HTTP load, beside one bare queue hop"
MOST_HTTP_RATIO = 1.5
MOST_HOP_RATIO = 10.0
HOP_HZ = 1000.0
HOP_S = 3.0
WARM_S = 4.0
PRIORITY = 10
SETTINGS: dict[str, dict[str, object]] = {"inline": {}, "thread": {"NETWORK__INLINE_EVENTS": 0}}


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure."""

    robot_file: Path
    pairs: int
    seconds: float
    rate_hz: float
    control_cpu: int
    gateway_cpu: int
    program: str | None
    """A Chromium, or None for the WebSocket viewer."""
    settings: Mapping[str, Mapping[str, object]]
    priority: int = 0
    """Real-time priority of control and of the hop; 0: none, they share their processor with whatever else runs."""
    record: bool = False


@dataclass(frozen=True, slots=True)
class Arm:
    """One run."""

    setting: str
    pair: int
    http: dict[str, Any] | None
    """What the load was; None: there was none."""
    latency: Spread
    hop: Spread
    inline_calls: int
    thread_calls: int
    busy: float
    """Share of the time that control's main thread ran."""
    waited: float
    """Share of the time that it could have run but another process had the processor."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pairs", type=int, default=3, help="pairs of runs, with and without load (3)")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each run (20)")
    parser.add_argument("--rate", type=float, default=200.0, help="HTTP requests a second (200)")
    parser.add_argument("--setting", choices=[*SETTINGS, "both"], default="both", help="where the network runs (both)")
    parser.add_argument("--viewer", action="store_true", help="a WebSocket viewer even where there is a Chromium")
    parser.add_argument("--shared", action="store_true", help="without real-time priority even where that is allowed")
    parser.add_argument("--record", action="store_true", help="with a recording running")


def run(args: argparse.Namespace, environment: dict[str, str], say: Say) -> Report:
    from runtime.commands.common import find_robot_file

    cpus = sorted(os.sched_getaffinity(0))
    plan = Plan(
        robot_file=find_robot_file(Path("digits")),
        pairs=args.pairs,
        seconds=args.seconds,
        rate_hz=args.rate,
        control_cpu=cpus[0],
        gateway_cpu=cpus[-1],
        program=None if args.viewer else browser(environment),
        settings=SETTINGS if args.setting == "both" else {args.setting: SETTINGS[args.setting]},
        priority=0 if args.shared or not may_prioritise() else PRIORITY,
        record=args.record,
    )
    return report(plan, run_real(lambda clock: measure(plan, environment, clock, say)))


async def measure(plan: Plan, environment: Mapping[str, str], clock: MonotonicClock, say: Say) -> list[Arm]:
    """Every arm, in the order of running."""
    arms = []
    for pair in range(plan.pairs):
        for setting in plan.settings:
            order = (False, True) if pair % 2 == 0 else (True, False)
            for http in order:
                arms.append(await _arm(plan, setting, pair, http, environment, clock))
                last = arms[-1].latency
                what = f"pair {pair + 1} of {plan.pairs}, {setting}, {'with' if http else 'without'} HTTP"
                say(f"{what}: p50 {last.p50_us:.0f} µs, p99 {last.p99_us:.0f} µs, hop p99 {arms[-1].hop.p99_us:.0f} µs")
    return arms


async def _arm(
    plan: Plan, setting: str, pair: int, http: bool, environment: Mapping[str, str], clock: MonotonicClock
) -> Arm:
    hop = module("hop", rate=HOP_HZ, seconds=min(HOP_S, plan.seconds))
    before = await measured(hop, environment, plan.control_cpu, plan.priority)
    pins = ["--control-cpu", str(plan.control_cpu), "--gateway-cpu", str(plan.gateway_cpu)]
    loaded: dict[str, Any] | None = None
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tectum-bench")))
        record = ["--record", str(folder / "run.mcap")] if plan.record else []
        robot = await stack.enter_async_context(
            daemon(plan.robot_file, folder, environment, arguments=[*pins, *record], settings=plan.settings[setting])
        )
        control = (await robot.pids())["control"]
        if plan.priority:
            prioritise(control, plan.priority)
        await stack.enter_async_context(open_page(robot.port, environment, plan.gateway_cpu, plan.program))
        await clock.sleep_until(clock.now() + int(WARM_S * SECOND))
        if http:
            seconds = plan.seconds + 2.0
            argv = module("load", port=robot.port, rate=plan.rate_hz, seconds=seconds)
            client = asyncio.create_task(measured(argv, environment, plan.gateway_cpu), name="load")
            stack.push_async_callback(_gone, client)
            await clock.sleep_until(clock.now() + SECOND)
        if plan.priority:
            prioritise(control, plan.priority)  # threads made since then began with the main thread's
        start = await robot.status()
        scheduled, began = scheduled_ns(control), clock.now()
        await robot.take_latencies()
        await clock.sleep_until(clock.now() + int(plan.seconds * SECOND))
        latencies = await robot.take_latencies()
        elapsed = clock.now() - began
        ran, waited = (b - a for a, b in zip(scheduled, scheduled_ns(control), strict=True))
        end = await robot.status()
        if not await viewers(robot.port):
            raise LinkError("the page was closed during the run: its arm measures something else")
        if http:
            loaded = await client
    after = await measured(hop, environment, plan.control_cpu, plan.priority)
    return Arm(
        setting,
        pair,
        loaded,
        spread(latencies),
        spread(np.array(before + after)),
        end["network"]["inline_calls"] - start["network"]["inline_calls"],
        end["network"]["thread_calls"] - start["network"]["thread_calls"],
        ran / elapsed,
        waited / elapsed,
    )


async def _gone(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def report(plan: Plan, arms: list[Arm]) -> Report:
    """The arms, their ratios, and whether the targets are met."""
    rows = [_row(arm) for arm in arms]
    spreads = ("n", "p50 µs", "p99 µs", "max µs", "hop p50", "hop p99")
    head = ("arm", *spreads, "HTTP/s", "its p99 ms", "inline", "thread", "busy", "waited")
    page = "Chromium" if plan.program is not None else "WebSocket viewer"
    text = [
        f"digits robot, {plan.pairs} pairs of {plan.seconds:g} s, page open in a {page}"
        + (", recording" if plan.record else "")
        + (f"; control and hop at real-time priority {plan.priority}" if plan.priority else "; ordinary priority"),
        table(head, rows),
    ]
    checks, ratios = [], {}
    for setting in plan.settings:
        pairs = [_pair(arms, setting, pair) for pair in range(plan.pairs)]
        with_http = [loaded.latency.p99_us / quiet.latency.p99_us for loaded, quiet in pairs]
        over_hop = [quiet.latency.p99_us / quiet.hop.p99_us for _, quiet in pairs]
        ratios[setting] = {"http_over_quiet": with_http, "quiet_over_hop": over_hop}
        text.append(
            f"{setting}: p99 with over without HTTP, by pair: {_list(with_http)}; "
            f"p99 without HTTP over the hop's: {_list(over_hop)}"
        )
        checks.append((f"{setting}: p99 with over without HTTP, median", median(with_http), MOST_HTTP_RATIO))
        checks.append((f"{setting}: p99 without HTTP over p99 of the hop, median", median(over_hop), MOST_HOP_RATIO))
    lines, missed = targets(checks)
    data = {"arms": [asdict(arm) for arm in arms], "ratios": ratios, "targets": lines.splitlines()}
    return Report("latency", "\n\n".join([*text, lines]), data, missed)


def _pair(arms: list[Arm], setting: str, pair: int) -> tuple[Arm, Arm]:
    """(with HTTP, without)"""
    mine = [arm for arm in arms if arm.setting == setting and arm.pair == pair]
    return next(arm for arm in mine if arm.http is not None), next(arm for arm in mine if arm.http is None)


def _row(arm: Arm) -> tuple[str, ...]:
    name = f"{arm.setting} {arm.pair + 1} {'with HTTP' if arm.http else 'without'}"
    http = ("-", "-")
    if arm.http is not None:
        answer = arm.http["answer"]
        bad = arm.http["failed"] + arm.http["missed"]
        rate = f"{arm.http['rate_hz']:.0f}" + (f" ({bad} bad)" if bad else "")
        http = (rate, "-" if answer is None else f"{answer['p99_us'] / 1e3:.1f}")
    shares = (f"{100 * arm.busy:.0f} %", f"{100 * arm.waited:.1f} %")
    hop = (f"{arm.hop.p50_us:.0f}", f"{arm.hop.p99_us:.0f}")
    return (name, *arm.latency.cells(), *hop, *http, str(arm.inline_calls), str(arm.thread_calls), *shares)


def _list(ratios: list[float]) -> str:
    return ", ".join(f"{ratio:.2f}" for ratio in ratios)
