"""`tectum replay`: play a recording through the network again."""

from __future__ import annotations

import argparse
import json
import threading
from dataclasses import asdict
from pathlib import Path

from runtime.commands import common
from runtime.core.clock import SECOND, MonotonicClock
from runtime.core.errors import ConfigError

EXIT_DIFFERS = 5
EXIT_NOT_WHOLE = 6
DESCRIPTION = """\
Play a recording through its network, decoders and limiters again, following the journal: the same run, whatever the
merge decided live and however fast it goes now. No device is opened and no actuator moves.

  tectum replay run.mcap --verify                compare inputs, states and commands window by window
  tectum replay run.mcap --verify --speed 20     at twenty times the recorded pace
  tectum replay run.mcap                         at recorded pace, printing what the network decides

To feed a recording to another robot, or to let the merge decide afresh, use it as a sensor of kind "replay".
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = DESCRIPTION
    parser.add_argument("recording", type=Path)
    parser.add_argument(
        "--verify",
        action="store_true",
        help="say whether it is the same run: exit status 5 if not, 6 if no window differs but some is missing",
    )
    parser.add_argument(
        "--speed", type=common.speed, help="1: recorded pace, or a factor, or max (default with --verify)"
    )
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON")


def run(args: argparse.Namespace, environment: dict[str, str]) -> int:
    common.use_kernel_cache(environment)
    from runtime.recording.reader import Recording
    from runtime.verify import Verifier

    if not args.recording.is_file():
        raise ConfigError(f"there is no recording {str(args.recording)!r}")
    recording = Recording(args.recording)
    network = recording.header.get("tables", {}).get("network")
    if network is not None:
        common.warm_kernels(network["mode"], network["dtype"])
    verifier = Verifier(recording)
    given = "speed" in args and args.speed is not None
    pace = args.speed if given else (None if args.verify else 1.0)
    if not args.verify:
        verifier.outcomes = _print_decisions(int(recording.header["t0"]))
    clock = MonotonicClock(pace or 1.0)
    began, never = clock.now(), threading.Event()
    progress = common.Progress("Replaying")
    length = max(recording.duration, 1)
    for message in recording.messages():
        if pace is not None:
            clock.wait_until(began + message.log_time - recording.start, never)
        verifier.follow(message)
        if args.verify:
            progress(
                f"{(message.log_time - recording.start) / SECOND:.1f} s", (message.log_time - recording.start) / length
            )
    verdict = verifier.finish()
    if args.verify:
        progress("done", 1.0)
        if args.json:
            print(json.dumps({"same": verdict.same, **asdict(verdict)}, indent=2))
        else:
            _print_verdict(args.recording, verdict)
        if verdict.differences:
            return EXIT_DIFFERS
        return 0 if verdict.same else EXIT_NOT_WHOLE
    return 0


def _print_verdict(path, verdict) -> None:  # type: ignore[no-untyped-def]  # verdict's class is imported lazily
    for note in verdict.notes:
        print(f"note: {note}")
    for problem in verdict.problems:
        print(f"problem: {problem}")
    first = verdict.first()
    counts = f"{verdict.windows} windows, {verdict.steps} steps, {verdict.commands} commands"
    if verdict.same:
        print(f"{path}: the same run, bit for bit: {counts}")
        return
    if first is None:
        print(f"{path}: the same run, bit for bit, as far as it was recorded: {counts}")
        return
    print(
        f"{path}: NOT the same run: first difference in window {first.window} (at {first.start_s:.1f} s): {first.what}"
    )
    for difference in verdict.differences[:20]:
        print(f"  window {difference.window} at {difference.start_s:.1f} s: {difference.what}")
    if len(verdict.differences) > 20:
        print(f"  and {len(verdict.differences) - 20} more")


def _print_decisions(t0: int):  # type: ignore[no-untyped-def]  # the outcome's class is imported lazily
    last: dict[int, int | None] = {}

    def show(outcome) -> None:  # type: ignore[no-untyped-def]
        for decided in outcome.decided:
            if last.get(decided.output, -1) != decided.decision.label:
                last[decided.output] = decided.decision.label
                d = decided.decision
                print(f"{(d.t - t0) / SECOND:9.3f} s  output {decided.output}: label {d.label}, value {d.value}")

    return show
