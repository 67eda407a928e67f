"""The street robot: four streams of one camera at their native rates, two of them into one network, in time order."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from runtime.core.clock import SECOND, VirtualClock
from runtime.core.packet import Packet
from runtime.pipeline import Outcome, StepRow
from runtime.status import StatusReport
from tests.replay.test_verify import verify
from tests.robots import record, running, shipped, virtually


def test_every_stream_arrives_at_its_native_rate(tmp_path: Path) -> None:
    packets: dict[str, list[Packet]] = {}

    async def main(clock: VirtualClock) -> list[float]:
        robot = shipped("street", {"sensors": {"street": {"loop": False}}})
        async with running(robot, clock, tmp_path) as service:
            service.bus.tap(lambda arrived, p: packets.setdefault(p.topic.name, []).append(p))
            angles = []
            for _ in range(20):
                await clock.advance_to(clock.now() + SECOND // 100)
                measured = service.actuations["gaze"].measured
                assert measured is not None
                angles.append(measured.position)
            assert service.stage is not None
            assert service.stage.pipeline.late == 0
            return angles

    angles = virtually(main)
    counts = {name: sum(len(p) for p in ps) for name, ps in packets.items()}
    assert counts["street/events"] == 6676
    assert counts["street/frames"] == 4
    assert counts["street/gyro"] == counts["street/accel"] == 160
    assert counts["street/triggers"] == 17
    gyro = np.concatenate([p.t for p in packets["street/gyro"]])
    assert abs(np.median(np.diff(gyro)) - 1e6) < 1e4
    assert max(abs(a) for a in angles) > 0.05  # something moved in the picture, and the servo looked there


def test_the_packet_size_changes_no_spike_under_the_ordered_merge(tmp_path: Path) -> None:
    def outputs(**sensor: object) -> list[tuple[int, int]]:
        robot = shipped("street", {"sensors": {"street": {"loop": False, **sensor}}})
        spikes: list[tuple[int, int]] = []

        async def main(clock: VirtualClock) -> int:
            async with running(robot, clock, tmp_path) as service:
                service.observers.append(
                    lambda o: spikes.extend(
                        (int(t), int(i)) for s in o.spikes for t, i in zip(s.t, s.index, strict=True)
                    )
                )
                await clock.advance_to(clock.now() + SECOND // 2)
                assert service.stage is not None
                return service.stage.pipeline.late

        assert virtually(main) == 0
        return spikes

    fine = outputs(packet_s=0.001)
    assert len(fine) > 10
    assert fine == outputs(packet_s=0.01)
    assert fine == outputs(packet_s=None, packet_events=1000)


def run_street(merge: str, state: Path) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """(output spikes, [(network time, late events)] of the steps that brought late ones)"""
    robot = shipped(
        "street",
        {
            "network": {"merge": merge},
            "sensors": {"street": {"loop": False, "packet_s": 0.01}},
            "inputs": [
                {"from": "street/events", "port": "eye", "encode": {"kind": "address", "downscale": 20}},
                {"from": "street/gyro", "port": "vestibular", "encode": {"kind": "level", "step": 0.002}},
            ],
        },
    )
    spikes: list[tuple[int, int]] = []
    late: list[tuple[int, int]] = []
    reached = 0

    def observe(outcome: Outcome) -> None:
        nonlocal reached
        spikes.extend((int(t), int(i)) for s in outcome.spikes for t, i in zip(s.t, s.index, strict=True))
        for row in outcome.rows:
            if isinstance(row, StepRow):
                if row.late:
                    late.append((reached, row.late))
                reached = max(reached, row.until or 0)

    async def main(clock: VirtualClock) -> None:
        async with running(robot, clock, state) as service:
            service.observers.append(observe)
            await clock.advance_to(clock.now() + SECOND // 2)
            assert service.stage is not None
            assert service.stage.pipeline.late == sum(n for _, n in late)
            told = {topic["name"]: topic["late"] for topic in StatusReport(service, "test").build()["topics"]}
            assert sum(told.values()) == told["street/gyro"] + told["street/events"] == service.stage.pipeline.late

    virtually(main)
    return spikes, late


def test_under_the_eager_merge_every_difference_comes_after_a_counted_late_event(tmp_path: Path) -> None:
    ordered, none_late = run_street("ordered", tmp_path)
    eager, late = run_street("eager", tmp_path)
    assert none_late == []
    assert late  # 10 ms of events and of gyro samples come together: one of them is behind the other
    first = late[0][0]
    assert [s for s in eager if s[0] <= first] == [s for s in ordered if s[0] <= first]


def test_a_recorded_run_is_the_same_run_again(tmp_path: Path) -> None:
    record(shipped("street"), tmp_path / "street.mcap", tmp_path / "state", 2.0)
    verdict = verify(tmp_path / "street.mcap")
    assert verdict.same, verdict
    assert verdict.commands >= 90


def test_in_continuous_mode_every_event_acts_at_its_own_nanosecond_and_the_run_verifies(tmp_path: Path) -> None:
    robot = shipped("street", {"network": {"mode": "continuous"}})
    record(robot, tmp_path / "street.mcap", tmp_path / "state", 0.5)
    verdict = verify(tmp_path / "street.mcap")
    assert verdict.same, verdict
    assert verdict.commands >= 20
