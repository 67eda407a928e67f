"""The digits robot on virtual time: sensor, bus, merge, network, decoder, limiter and servo over real recordings."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime.core.clock import SECOND, VirtualClock
from runtime.tally import Tally
from tests.robots import DEPLOY, playlist, running, shipped, to_the_end, virtually

SHIPPED = DEPLOY / "recordings" / "nmnist"


def judge(folder: Path, state: Path, **eye: Any) -> tuple[Tally, int]:
    """(tally, late events)"""
    robot = shipped("digits", {"sensors": {"eye": {"path": str(folder), "loop": False, **eye}}})
    tally = Tally(10)

    async def main(clock: VirtualClock) -> int:
        async with running(robot, clock, state, tally.attach) as service:
            await to_the_end(service, clock)
            assert service.stage is not None
            assert service.bus.topics["eye/events"].lost == 0
            assert service.stage.subscription.stats.dropped == 0
            return service.stage.pipeline.late

    late = virtually(main)
    return tally, late


def test_the_shipped_recordings_give_an_exact_count(tmp_path: Path) -> None:
    tally, late = judge(SHIPPED, tmp_path)
    assert tally.correct() == (19, 19, 20)
    assert [f.name for f in tally.files if f.whole != f.label] == ["60019.bs2"]
    assert late == 0


@pytest.mark.parametrize(("numbers", "right", "total"), [(range(60001, 60041), 38, 40), (range(1, 201), 195, 200)])
def test_accuracy_on_the_real_recordings(
    numbers: Iterable[int], right: int, total: int, data: Path, tmp_path: Path
) -> None:
    tally, _ = judge(playlist(tmp_path / "play", data / "nmnist", numbers), tmp_path)
    whole, live, files = tally.correct()
    print(f"whole recordings {whole} of {files}, live decision {live} of {files}")
    assert files == total
    assert whole >= right


def test_the_packet_size_changes_no_spike(tmp_path: Path) -> None:
    folder = playlist(tmp_path / "play", SHIPPED, range(60001, 60007))
    fine, _ = judge(folder, tmp_path, packet_s=0.001)
    coarse, _ = judge(folder, tmp_path, packet_s=0.01)
    counted, _ = judge(folder, tmp_path, packet_s=None, packet_events=1000)
    for a, b, c in zip(fine.files, coarse.files, counted.files, strict=True):
        np.testing.assert_array_equal(a.counts, b.counts)
        np.testing.assert_array_equal(a.counts, c.counts)
        assert a.counts.sum() > 100


def test_the_pointer_turns_to_the_digit_seen(tmp_path: Path) -> None:
    folder = playlist(tmp_path / "play", SHIPPED, [60001])  # a seven
    robot = shipped("digits", {"sensors": {"eye": {"path": str(folder), "loop": False}}})

    async def main(clock: VirtualClock) -> tuple[float, float]:
        async with running(robot, clock, tmp_path) as service:
            await clock.advance_to(clock.now() + 380 * SECOND // 1000)
            pointer = service.actuations["pointer"]
            assert pointer.measured is not None
            turned = pointer.measured.position
            await clock.advance_to(clock.now() + 3 * SECOND)  # the playlist is over: the eye is silent
            assert pointer.measured is not None
            return turned, pointer.measured.position

    turned, rested = virtually(main)
    assert abs(turned - 7 * 0.6) < 0.05
    assert abs(rested) < 0.02


def commands_of(steps: int, tmp_path: Path) -> tuple[list[tuple[int, float]], int]:
    """The commands of ten seconds, with an override by hand in between that expires, moved in `steps` steps."""
    robot = shipped("digits", {"sensors": FOUR_SENSORS})
    seen: list[tuple[int, float]] = []

    async def main(clock: VirtualClock) -> int:
        async with running(robot, clock, tmp_path) as service:
            service.bus.tap(
                lambda arrived, p: (
                    seen.append((arrived, float(p.data["value"][0]))) if p.topic.name == "pointer/command" else None
                )
            )

            async def by_hand(start: int) -> None:
                await clock.sleep_until(start + 3_333_333_333)
                service.command("pointer", 1.0, "hand", 0.25)

            start = clock.now()
            hand = asyncio.create_task(by_hand(start))
            for step in range(1, steps + 1):
                await clock.advance_to(start + 10 * SECOND * step // steps)
            await hand
            assert service.stage is not None
            return sum(service.stage.pipeline.engine.counters.spikes.values())

    spikes = virtually(main)
    return seen, spikes


FOUR_SENSORS = {
    "gyro": {"kind": "gyro.sim"},
    "camera": {"kind": "camera.sim"},
    "retina": {"kind": "dvs.sim"},
}


def test_one_step_of_virtual_time_or_97_give_the_same_commands(tmp_path: Path) -> None:
    one, spikes = commands_of(1, tmp_path / "one")
    many, _ = commands_of(97, tmp_path / "many")
    assert spikes > 1000
    assert len(one) > 100
    assert one == many
