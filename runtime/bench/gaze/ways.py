"""Ways of running one gaze network: by events, or dense at several rates, with and without each sensor."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

SENSORS = ("camera", "dvs", "gyro")


@dataclass(frozen=True)
class Way:
    """`kind` "tectum" is the robot's sigma-delta engine; "dense" passes the whole network; "none" steers not."""

    name: str
    kind: Literal["tectum", "dense", "none"]
    period_ms: float = 1.0
    """Dense: from one pass to the next."""
    cached: bool = False
    """Dense: a sensor's branch runs only where it brought something."""
    dvs_ms: float = 0.0
    """Dense and cached: how often the event camera's branch runs; 0: at every pass."""
    frames: bool = False
    """Dense: a pass for each camera frame, the gyro's samples since the last one averaged."""
    fineness: float = 1.0
    """Tectum: times the levels that the network was trained with."""
    without: tuple[str, ...] = ()
    world: dict[str, Any] = field(default_factory=dict)
    """What is otherwise in the world."""
    sensors: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What is otherwise in a sensor's table."""

    def but(self, name: str, **changes: Any) -> Way:
        return replace(self, name=name, **changes)


TECTUM = Way("(iii) tectum", "tectum")
DENSE = Way("(i) dense, 1 kHz", "dense")
NONE = Way("no control", "none")
CACHED = (
    DENSE.but("(i') cached, DVS 1 kHz", cached=True),
    DENSE.but("(i') cached, DVS 100 Hz", cached=True, dvs_ms=10.0),
)
SLOWER = tuple(DENSE.but(f"(i'') dense, {hz} Hz", period_ms=1000.0 / hz) for hz in (500, 200, 100, 50))
FRAMES = DENSE.but("(ii) per frame, gyro binned", frames=True)
FINENESS = tuple(TECTUM.but(f"tectum, levels x {f:g}", fineness=f) for f in (0.5, 2.0))
ABLATED = tuple(TECTUM.but(f"tectum without {sensor}", without=(sensor,)) for sensor in SENSORS)
LATE_S, LOST = 0.05, 0.01
_FAULTS = {sensor: {"fault": {"late_s": LATE_S, "drop": LOST}} for sensor in SENSORS}
WORN = TECTUM.but("tectum, 0-50 ms late, 1 % lost", sensors=_FAULTS)
WORN_DENSE = DENSE.but("dense, 0-50 ms late, 1 % lost", sensors=_FAULTS)


def activities(world: dict[str, Any]) -> list[tuple[float, dict[str, Any]]]:
    """(share of the usual motion, the world with it), from stillness to everything at twice the pace."""
    moving = ("base_sd_rad_s", "bump_rad_s", "target_sd_rad_s")
    return [(share, {key: world[key] * share for key in moving}) for share in (0.0, 0.25, 0.5, 1.0, 1.5, 2.0)]


GYRO_HZ = (250, 500, 1000, 2000, 4000)
