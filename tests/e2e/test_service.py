"""A whole service on virtual time: who may command, what makes it safe, what survives."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.core.clock import SECOND, VirtualClock
from runtime.core.errors import PacketError, StoppedError
from runtime.service import Service
from tests.robots import running, shipped, virtually

MS = SECOND // 1000


def test_a_command_by_hand_takes_the_lease_for_its_time_to_live(tmp_path: Path) -> None:
    async def main(clock: VirtualClock) -> None:
        async with running(shipped("digits"), clock, tmp_path) as service:
            await clock.advance_to(clock.now() + 250 * MS)
            pointer = service.actuations["pointer"]
            service.command("pointer", 1.0, "hand", 0.2)
            await clock.advance_to(clock.now() + 190 * MS)
            assert pointer.source == "hand"
            assert pointer.suppressed >= 8
            await clock.advance_to(clock.now() + 60 * MS)
            assert pointer.source == "network"

    virtually(main)


def test_a_silent_sensor_withholds_decisions_until_it_speaks_again(tmp_path: Path) -> None:
    robot = shipped("digits", {"sensors": {"eye": {"fault": {"silent_after_s": 0.2}}}})

    async def main(clock: VirtualClock) -> None:
        async with running(robot, clock, tmp_path) as service:
            start = clock.now()
            await clock.advance_to(start + 290 * MS)
            assert service.actuations["pointer"].limiter.mode == "active"
            await clock.advance_to(start + 320 * MS)
            pointer = service.actuations["pointer"]
            assert (pointer.limiter.mode, pointer.limiter.reason) == ("safe", "eye/events is silent")
            assert service.outputs[0].stale == "eye/events"

    virtually(main)


def test_an_estop_is_confirmed_by_read_back_survives_restart_and_refuses(tmp_path: Path) -> None:
    async def first(clock: VirtualClock) -> None:
        async with running(shipped("digits"), clock, tmp_path) as service:
            await clock.advance_to(clock.now() + 300 * MS)
            clock.release()
            state = await service.latch_estop("a hand in the way", "test")
            assert state.latched
            assert state.confirmed
            measured = service.actuations["pointer"].measured
            assert measured is not None
            assert measured.safe
            with pytest.raises(StoppedError, match="a hand in the way"):
                service.command("pointer", 1.0, "hand")

    async def second(clock: VirtualClock) -> None:
        async with running(shipped("digits"), clock, tmp_path) as service:
            modes = []
            await clock.advance_to(clock.now() + SECOND)
            assert service.estop.latched
            modes.append(service.actuations["pointer"].limiter.mode)
            await service.release_estop("test")
            await clock.advance_to(clock.now() + SECOND)
            modes.append(service.actuations["pointer"].limiter.mode)
            assert modes == ["stopped", "active"]

    virtually(first)
    virtually(second)


def test_a_command_that_is_no_number_is_refused_and_counted(tmp_path: Path) -> None:
    async def main(clock: VirtualClock) -> None:
        async with running(shipped("digits"), clock, tmp_path) as service:
            for value in (float("nan"), float("inf")):
                with pytest.raises(PacketError, match="pointer: command is"):
                    service.command("pointer", value, "hand")
            with pytest.raises(LookupError, match="no actuator 'arm'"):
                service.command("arm", 0.0, "hand")
            assert service.actuations["pointer"].limiter.refused == 2

    virtually(main)


def test_a_timer_may_reset_the_network(tmp_path: Path) -> None:
    robot = shipped(
        "digits",
        {
            "sensors": {"clock": {"kind": "timer", "period_s": 0.5}},
            "on": [{"topic": "clock/tick", "do": "network.reset"}],
        },
    )
    resets: list[int] = []

    async def main(clock: VirtualClock) -> None:
        def attach(service: Service) -> None:
            assert service.stage is not None
            pipeline = service.stage.pipeline
            inner = pipeline.engine.reset

            def spy(t: int) -> None:
                resets.append(t)
                inner(t)

            pipeline.engine.reset = spy  # type: ignore[method-assign]  # a spy

        async with running(robot, clock, tmp_path, attach):
            await clock.advance_to(clock.now() + 2100 * MS)

    virtually(main)
    assert [r - SECOND for r in resets[:4]] == [500 * MS, 1000 * MS, 1500 * MS, 2000 * MS]


def test_a_sensor_that_dies_is_opened_again_and_goes_on_counting(tmp_path: Path) -> None:
    robot = shipped("digits", {"sensors": {"eye": {"fault": {"die_after_s": 0.3}}}})

    async def main(clock: VirtualClock) -> None:
        async with running(robot, clock, tmp_path) as service:
            await clock.advance_to(clock.now() + 3 * SECOND)
            status = service.sensors["eye"][1]
            assert status.restarts >= 2
            assert "died 0.3 s after opening" in (status.error or "")
            stats = service.bus.topics["eye/events"]
            assert stats.lost == 0
            assert stats.next_seq == stats.events > 5000

    virtually(main)
