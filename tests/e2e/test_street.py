"""The street robot: four streams of one camera at their native rates, two of them into one network, in time order."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from runtime.core.clock import SECOND, VirtualClock
from runtime.core.packet import Packet
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


def test_under_the_eager_merge_every_difference_is_a_counted_late_event(tmp_path: Path) -> None:
    def run(merge: str) -> tuple[int, list[tuple[int, int]]]:
        robot = shipped(
            "street", {"network": {"merge": merge}, "sensors": {"street": {"loop": False, "packet_s": 0.01}}}
        )
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

        return virtually(main), spikes

    late, eager = run("eager")
    _, ordered = run("ordered")
    assert late > 0 or eager == ordered


def test_a_recorded_run_is_the_same_run_again(tmp_path: Path) -> None:
    record(shipped("street"), tmp_path / "street.mcap", tmp_path / "state", 2.0)
    verdict = verify(tmp_path / "street.mcap")
    assert verdict.same, verdict
    assert verdict.commands >= 90
