"""The gaze world leaves most of a core to the robot that looks at it."""

from __future__ import annotations

import resource

import pytest

from sensors.gaze_definition import GazeWorld
from sensors.gaze_rig import Rig

MS = 1_000_000


def share_of_real_time(shape: tuple[int, int], read_every_ms: int) -> float:
    """The least processor time over real time of ten stretches of 0.3 s, both axes steered every millisecond."""
    rig, shares = Rig(GazeWorld(shape=shape)), []
    for stretch in range(10):
        began = processor_s()
        for k in range(300 * stretch + 1, 300 * (stretch + 1) + 1):
            t = k * MS
            pose = rig.pose(t)
            for axis in rig.world.definition.axes:
                rig.command(axis, t, 40.0 * (pose.pan if axis == "pan" else pose.tilt).error)
            if k % read_every_ms == 0:
                rig.gyro(t)
                rig.dvs(t)
                rig.camera_frames(t)
        shares.append((processor_s() - began) / 0.3)
    return min(shares)


def processor_s() -> float:
    """Processor time of this process: what others take of the machine does not count."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


@pytest.mark.bench
@pytest.mark.parametrize(
    ("shape", "read_every_ms", "most"), [((64, 64), 1, 0.25), ((1, 64), 1, 0.1), ((1, 64), 10, 0.05)]
)
def test_it_keeps_well_ahead_of_real_time(shape: tuple[int, int], read_every_ms: int, most: float) -> None:
    share = share_of_real_time(shape, read_every_ms)
    print(
        f"{shape[0]}x{shape[1]}, read every {read_every_ms} ms: {share:.1%} of real time, {1 / share:.1f} times ahead"
    )
    assert share < most
