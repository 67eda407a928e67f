"""What several commands share: finding the robot file, speeds, a progress line."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import runtime
from runtime.config import Robot, load_robot
from runtime.core.clock import SECOND, MonotonicClock
from runtime.core.errors import ConfigError

PACKAGE = Path(runtime.__file__ or "").resolve().parent
DEFAULT = "gaze"
"""The robot of `make run`."""


def deploy_folder() -> Path:
    """The example robots: beside the source tree, or inside the installed package."""
    for folder in (PACKAGE.parent / "deploy", PACKAGE / "deploy"):
        if folder.is_dir():
            return folder
    raise ConfigError("the example robots are missing: expected a folder `deploy` beside the package")


def robot_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "robot", nargs="?", type=Path, help=f"robot file, or the name of one in deploy/ (default: {DEFAULT})"
    )


def find_robot_file(argument: Path | None) -> Path:
    """The file meant by the argument. Raises ConfigError naming what there is."""
    name = Path(DEFAULT) if argument is None else argument
    for candidate in (name, deploy_folder() / name, deploy_folder() / f"{name}.toml"):
        if candidate.is_file():
            return candidate.resolve()
    shipped = ", ".join(sorted(p.stem for p in deploy_folder().glob("*.toml")))
    raise ConfigError(f"there is no robot file {str(name)!r} (shipped robots: {shipped})")


def load(argument: Path | None, environment: Mapping[str, str]) -> tuple[Path, Robot]:
    path = find_robot_file(argument)
    return path, load_robot(path, environment)


def speed(text: str) -> float | None:
    """A speed factor; "max" is None: as fast as possible."""
    if text == "max":
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is no speed: expected a factor like 1, 0.5 or 20, or max")
    return value


def use_kernel_cache(environment: Mapping[str, str]) -> Path:
    """Point numba at a cache of our own, named after all that decides the machine code; before numba is imported."""
    if "NUMBA_CACHE_DIR" in environment:
        return Path(environment["NUMBA_CACHE_DIR"])
    from nets.kernels.cache import folder_name

    base = environment.get("XDG_CACHE_HOME")
    folder = (Path(base) if base else Path.home() / ".cache") / "tectum" / folder_name()
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
    return folder


def warm_kernels(mode: str, dtype: str, guard: Callable[[Callable[[], None]], None] = lambda say: say()) -> None:
    """Load the kernels that a network of this mode and precision needs, or compile them once, with a progress line."""
    from nets.kernels.build import is_built, part, warm

    parts = [part(mode, dtype)]
    progress = Progress(
        "Loading the kernels" if is_built(parts) else "Compiling the kernels (once, about half a minute)"
    )
    warm(lambda what, fraction: guard(lambda: progress(what, fraction)), parts)


class Progress:
    """One line on a terminal, rewritten; lines at every quarter elsewhere. Says nothing of what is done in a second."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._tty = sys.stderr.isatty()
        self._shown = -1
        self._clock = MonotonicClock()
        self._began = self._clock.now()

    def __call__(self, detail: str, fraction: float) -> None:
        if self._clock.now() - self._began < SECOND and self._shown < 0:
            return
        percent = int(min(max(fraction, 0.0), 1.0) * 100)
        if self._tty:
            bar = "#" * (percent // 4)
            print(f"\r{self._what} [{bar:<25}] {percent:3d} % {detail:<40.40}", end="", file=sys.stderr, flush=True)
            if percent == 100 and self._shown != 100:
                print(file=sys.stderr)
        elif percent // 25 != self._shown // 25:
            print(f"{self._what}: {percent} % {detail}", file=sys.stderr, flush=True)
        self._shown = percent
