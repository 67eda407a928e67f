"""A gaze world: a pan-tilt head on a shaken base looks at a moving target; one pose gives every sensor its signal.

It moves only when it is stepped or asked, on nobody's clock, in steps of 1 ms (`sensors.gaze_axis`). A sample at `t`
sees every command given before `t` and no other. `shared` gives all adapters of one name on one clock the same world.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple
from weakref import WeakKeyDictionary

from runtime.core.clock import Clock
from runtime.core.errors import ConfigError
from sensors.gaze_axis import STEP_NS, Axis, Moment
from sensors.gaze_definition import GazeWorld
from sensors.gaze_view import Image, View

STILL = Moment(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
"""The tilt of a world that has none."""


class Pose(NamedTuple):
    """Both axes at one moment."""

    pan: Moment
    tilt: Moment


class World:
    """A world from `start` ns on."""

    def __init__(self, definition: GazeWorld, start: int = 0) -> None:
        self.definition = definition
        self.start = start
        self._axes = {name: Axis(definition, number, start) for number, name in enumerate(definition.axes)}
        self._pan = self._axes["pan"]
        self._tilt = self._axes.get("tilt")
        self._scale = definition.pixels_per_rad
        self._view = View(definition)

    @property
    def centre(self) -> tuple[float, float]:
        """Column and row of the retina where the head looks."""
        return self._view.centre

    def step_to(self, t: int) -> None:
        """Let everything happen up to and including `t`."""
        for axis in self._axes.values():
            axis.step_to(t)

    def command(self, axis: str, t: int, rate: float, ttl_ns: int | None = None) -> None:
        """From `t` on turn the head about `axis` at `rate` rad/s, relative to the base; after `ttl_ns` stop."""
        self._axis(axis).command(t, rate, ttl_ns)

    def moment(self, axis: str, t: int) -> Moment:
        """One axis at `t`, which may lie up to some seconds in the past."""
        return self._axis(axis).at(t)

    def pose(self, t: int) -> Pose:
        """Both axes at `t`, which may lie up to some seconds in the past."""
        return Pose(self._pan.at(t), STILL if self._tilt is None else self._tilt.at(t))

    def error_px(self, pose: Pose) -> tuple[float, float]:
        """From where the head looks to the target, in pixels to the right and down."""
        return -pose.pan.error * self._scale, pose.tilt.error * self._scale

    def log_intensity(self, t: int) -> Image:
        """What the retina sees at `t`: natural logarithm of relative intensity, flat, row by row."""
        pose = self.pose(t)
        x, y = self.error_px(pose)
        column, row = self._view.centre
        return self._view.log_intensity(-pose.pan.head * self._scale, pose.tilt.head * self._scale, column + x, row + y)

    def first_step_after(self, t: int) -> int:
        """The first breakpoint of the world's own 1 ms grid at or after `t`."""
        return self.start + max(-((self.start - t) // STEP_NS), 0) * STEP_NS

    def _axis(self, name: str) -> Axis:
        if name not in self._axes:
            raise ConfigError(
                f"gaze world {self.definition.name!r} has no axis {name!r} (it has {', '.join(self._axes)})"
            )
        return self._axes[name]


@contextmanager
def shared(definition: GazeWorld, clock: Clock) -> Iterator[World]:
    """The world of that name on that clock: it begins as its first adapter opens and ends as its last one closes."""
    worlds = _worlds.setdefault(clock, {})
    held = worlds.get(definition.name)
    if held is None:
        held = worlds[definition.name] = _Held(World(definition, clock.now() // STEP_NS * STEP_NS))
    elif held.world.definition != definition:
        raise ConfigError(_difference(definition, held.world.definition))
    held.holders += 1
    try:
        yield held.world
    finally:
        held.holders -= 1
        if not held.holders:
            del worlds[definition.name]


@dataclass(slots=True)
class _Held:
    world: World
    holders: int = 0


_worlds: MutableMapping[Clock, dict[str, _Held]] = WeakKeyDictionary()


def _difference(one: GazeWorld, other: GazeWorld) -> str:
    fields = [
        f"{name} = {getattr(one, name)!r}, others have {getattr(other, name)!r}"
        for name in GazeWorld.model_fields
        if getattr(one, name) != getattr(other, name)
    ]
    return f"world {one.name!r} is defined in two ways: {'; '.join(fields)}"
