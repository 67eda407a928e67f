"""The definition of a gaze world: what its adapters must agree on, said by each of them.

Every adapter of a gaze world (`gaze.gyro`, `gaze.camera`, `gaze.dvs`, `gaze.truth`, `gaze.pan`, `gaze.tilt`) has a key
`world`: a table, or the path of a TOML file that holds that table. Adapters whose worlds bear the same name on the same
clock share one world; one that defines it otherwise is refused when it opens.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from runtime.core.errors import ConfigError
from runtime.core.roles import Adapter

LARGEST = 128
"""Rows and columns that can be drawn every millisecond without taking over a millisecond of the event loop."""


class GazeWorld(BaseModel):
    """A head on a shaken base, in a textured world with a moving target; each axis is independent of the other."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = Field(default="gaze", min_length=1)
    shape: tuple[int, int] = (64, 64)
    """Rows and columns of the retina, which camera and event camera share; one row: the head pans and does not tilt."""
    pixels_per_rad: float = Field(default=80.0, gt=0)
    base_sd_rad_s: float = Field(default=1.5, ge=0)
    base_tau_s: float = Field(default=0.03, gt=0.001)
    base_range_rad: float = Field(default=0.3, gt=0)
    """Standard deviation of the base's angle: it sways about where it stands."""
    bump_rad_s: float = Field(default=5.0, ge=0)
    bump_s: float = Field(default=0.03, gt=0, le=1)
    bump_hz: float = Field(default=1.0, ge=0, le=100)
    """Bumps of the base per second and axis, of either sign."""
    target_sd_rad_s: float = Field(default=1.0, ge=0)
    target_tau_s: float = Field(default=0.08, gt=0.001)
    target_range_rad: float = Field(default=0.4, gt=0)
    target_radius_px: float = Field(default=4.0, gt=0)
    target_log_contrast: float = 1.5
    in_sight_px: float = Field(default=28.0, ge=0)
    """The target is never further than this from the retina's centre: it moves along with the gaze. 0: it is free."""
    log_contrast: float = Field(default=0.3, ge=0)
    """Standard deviation of the texture's log-intensity."""
    finest_px: float = Field(default=4.0, ge=2)
    """The texture holds no shorter waves."""
    lag_s: float = Field(default=0.005, gt=0.0001, le=1)
    """Time constant of the motors' rate."""
    speed_rad_s: float = Field(default=12.0, gt=0)
    stop_rad: float = Field(default=1.8, gt=0)
    """Mechanical end stops of each joint, on both sides of the middle."""
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _drawable(self) -> GazeWorld:
        rows, columns = self.shape
        if not (1 <= rows <= LARGEST and 8 <= columns <= LARGEST):
            raise ValueError(f"shape is [{rows}, {columns}], expected [1 to {LARGEST}, 8 to {LARGEST}]")
        half = (columns if rows == 1 else min(rows, columns)) / 2
        if not self.in_sight_px < half:
            raise ValueError(f"in_sight_px is {self.in_sight_px}, expected under half the retina, {half}")
        return self

    @property
    def axes(self) -> tuple[str, ...]:
        """The axes that the head turns about."""
        return ("pan",) if self.shape[0] == 1 else ("pan", "tilt")


class GazeAdapter(Adapter):
    """What every adapter of a gaze world is configured with."""

    world: Path | GazeWorld = GazeWorld()

    @field_validator("world", mode="before")
    @classmethod
    def _read(cls, world: Any) -> Any:
        if isinstance(world, str | Path):
            return _checked(_loaded(Path(world)), f"{world}: ")
        return _checked(world, "") if isinstance(world, Mapping) else world

    @property
    def definition(self) -> GazeWorld:
        """The world, read from its file where `world` named one."""
        assert isinstance(self.world, GazeWorld)
        return self.world


def _loaded(path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None


def _checked(table: Mapping[str, Any], where: str) -> GazeWorld:
    try:
        return GazeWorld.model_validate(dict(table))
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            key = ".".join(str(word) for word in problem["loc"])
            if problem["type"] == "extra_forbidden":
                lines.append(f"{key}: unknown key (known: {', '.join(sorted(GazeWorld.model_fields))})")
            elif problem["type"] == "value_error":
                lines.append(str(problem["ctx"]["error"]))
            else:
                lines.append(f"{key}: {problem['msg']}, got {problem['input']!r}")
        raise ConfigError(where + "; ".join(lines)) from None
