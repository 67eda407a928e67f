"""How well the digits robot names real recordings, judged over whole recordings and live, on virtual time.

The whole path runs as on the robot (sensor, bus, merge, network, decoder, limiter, servo); only the clock jumps, so the
same recordings give the same counts on every run.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path

from runtime.bench.report import Report, Say, table
from runtime.commands.common import deploy_folder, use_kernel_cache
from runtime.core.clock import SECOND, VirtualClock, run_virtual, stopwatch_ns
from runtime.core.errors import ConfigError

SUMMARY = "how many real recordings the digits robot names rightly, whole and live"
DIGITS = 10


@dataclass(frozen=True, slots=True)
class Judgement:
    """A playlist judged."""

    files: int
    whole: int
    """Rightly named by the spikes of the whole recording."""
    live: int
    """Rightly named by the decision that stood at its end."""
    wrong: list[str]
    """Files wrongly named by either, as `name: label, whole, live`."""
    packets: int
    events: int
    lost: int
    late: int
    robot_s: float
    machine_s: float
    processor_s: float
    """Of one processor, which a busy machine does not lengthen."""

    @property
    def speed(self) -> float:
        """Robot seconds per second of a processor."""
        return self.robot_s / self.processor_s


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", nargs="?", type=Path, help="folder of N-MNIST recordings with labels.tsv (default: the shipped ones)"
    )


def run(args: argparse.Namespace, environment: dict[str, str], say: Say) -> Report:
    folder = getattr(args, "folder", None) or deploy_folder() / "recordings" / "nmnist"
    if not folder.is_dir():
        raise ConfigError(f"{folder}: not a folder of recordings")
    use_kernel_cache(environment)
    return report(folder.name, judge(folder.resolve()))


def judge(folder: Path) -> Judgement:
    """Play every labelled recording of a folder through the digits robot once."""
    from runtime.config import make_robot
    from runtime.service import Service
    from runtime.tally import Tally

    deploy = deploy_folder()
    tables = tomllib.loads((deploy / "digits.toml").read_text())
    tables["sensors"]["eye"] |= {"path": str(folder), "loop": False}
    robot = make_robot(tables, deploy, "digits.toml")
    tally = Tally(DIGITS)

    async def main(clock: VirtualClock) -> Judgement:
        with tempfile.TemporaryDirectory(prefix="tectum-bench") as state:
            service = Service(robot, clock, Path(state))
            tally.attach(service)
            began, spent, start = stopwatch_ns(), processor_s(), clock.now()
            task = asyncio.create_task(service.run())
            clock.release()
            await service.ended.wait()
            await clock.sleep_until(clock.now() + SECOND // 2)
            machine, spent, played = stopwatch_ns() - began, processor_s() - spent, clock.now() - start
            service.stop()
            await task
        assert service.stage is not None
        events = service.bus.topics["eye/events"]
        whole, live, files = tally.correct()
        wrong = [f for f in tally.files if f.whole != f.label or f.live != f.label]
        return Judgement(
            files,
            whole,
            live,
            [f"{f.name}: {f.label}, {f.whole}, {f.live}" for f in wrong],
            events.packets,
            events.events,
            events.lost + service.stage.subscription.stats.dropped_events,
            service.stage.pipeline.late,
            played / SECOND,
            machine / SECOND,
            spent,
        )

    return run_virtual(main)


def processor_s() -> float:
    """What this process has used so far, of all processors."""
    used = os.times()
    return used.user + used.system


def report(name: str, judged: Judgement) -> Report:
    """Whole and live side by side."""
    if not judged.files:
        raise ConfigError(f"{name}: no labelled recording was played, expected at least one with a row in labels.tsv")
    head = ("recordings", "n", "whole", "live", "packets", "events", "lost", "late")
    right = [f"{count} ({100 * count / judged.files:.1f} %)" for count in (judged.whole, judged.live)]
    counts = [str(count) for count in (judged.packets, judged.events, judged.lost, judged.late)]
    text = [
        table(head, [(name, str(judged.files), *right, *counts)]),
        f"{judged.robot_s:.1f} s of robot time in {judged.processor_s:.1f} s of one processor: "
        f"{judged.speed:.1f} x real time ({judged.machine_s:.1f} s by the wall, whatever else ran)",
    ]
    if judged.wrong:
        shown = "\n".join(f"  {line}" for line in judged.wrong)
        text.append(f"wrong (recording: label, whole, live):\n{shown}")
    return Report("accuracy", "\n\n".join(text), asdict(judged) | {"speed": judged.speed})
