"""The registry: which class stands behind a kind. Built-ins are a table; others come by entry points.

A package adds a kind by an entry point in the group `tectum.sensors` or `tectum.actuators` whose name is the kind and
whose object is the adapter class. Nothing is imported until a configuration names it; a kind claimed twice is an error.
"""

from __future__ import annotations

import difflib
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Literal

from runtime.core.errors import ConfigError, MissingExtraError

Role = Literal["sensors", "actuators"]

BUILTIN: dict[Role, dict[str, str]] = {
    "sensors": {
        "dvs.file": "sensors.dvs_file:DvsFile",
        "camera.file": "sensors.camera_file:CameraFile",
        "imu.file": "sensors.imu_file:ImuFile",
        "davis.file": "sensors.davis_file:DavisFile",
        "dvs.sim": "sensors.dvs_sim:DvsSim",
        "camera.sim": "sensors.camera_sim:CameraSim",
        "gyro.sim": "sensors.gyro_sim:GyroSim",
        "gaze.gyro": "sensors.gaze_gyro:GazeGyro",
        "gaze.camera": "sensors.gaze_camera:GazeCamera",
        "gaze.dvs": "sensors.gaze_dvs:GazeDvs",
        "gaze.truth": "sensors.gaze_truth:GazeTruth",
        "timer": "sensors.timer:Timer",
        "replay": "runtime.recording.replay:Replay",
    },
    "actuators": {
        "servo.sim": "actuators.servo_sim:ServoSim",
        "gaze.pan": "actuators.gaze_motor:GazeMotor",
        "gaze.tilt": "actuators.gaze_motor:GazeMotor",
        "log": "actuators.log:LogActuator",
    },
}


@cache
def kinds(role: Role) -> dict[str, str]:
    """kind -> "module:Class", built-ins and entry points together."""
    table = dict(BUILTIN[role])
    for point in entry_points(group=f"tectum.{role}"):
        if point.name in table:
            raise ConfigError(f"{role}: kind {point.name!r} is claimed by {table[point.name]} and by {point.value}")
        table[point.name] = point.value
    return table


def adapter(role: Role, kind: str) -> Any:
    """The adapter class behind a kind."""
    table = kinds(role)
    if kind not in table:
        near = difflib.get_close_matches(kind, table, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"{role}: there is no kind {kind!r}{hint} (known: {', '.join(sorted(table))})")
    module, _, name = table[kind].partition(":")
    try:
        return getattr(import_module(module), name)
    except ImportError as error:
        raise MissingExtraError(f"{role}: kind {kind!r} needs a library that is not installed: {error}") from error
