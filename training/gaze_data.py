"""Recordings to train on: pairs of consecutive milliseconds of gaze worlds under many ways of steering.

open     smooth random commands, for errors of every size
teacher  u = -gain rate + pull error, with an error of its own and dither: what good control looks like
student  the network's own commands, half of the worlds with dither (DAgger: Ross, Gordon & Bagnell 2011)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sensors.gaze_definition import GazeWorld
from training.gaze_bench import Bench

Real = NDArray[np.float32]
SETTLE = 200
"""Milliseconds before the first pair."""
SURFACE_STEPS = 24.0
"""Surfaces are kept in bytes, in steps of this many to an event."""
Steer = Callable[[Bench], NDArray[np.float64]]


@dataclass(frozen=True)
class Pairs:
    """Arrays (pairs, 2, ...): a millisecond and the next. Cameras are kept once a frame, by `frame`."""

    frames: Real
    frame: NDArray[np.int32]
    dvs: NDArray[np.uint8]
    gyro: Real
    turn: Real
    error_px: Real
    rate: Real

    def __len__(self) -> int:
        return len(self.frame)


def record(
    worlds: Sequence[GazeWorld],
    milliseconds: int,
    every: int,
    steer: Steer,
    threshold: float,
    without: Sequence[tuple[str, ...]] | None = None,
) -> Pairs:
    """Steer the worlds and keep a pair of each every `every` ms; `without` names sensors that a world lacks."""
    bench = Bench(worlds, threshold, without)
    frames: list[Real] = []
    last: list[int] = [-1] * len(bench)
    seen: list[bytes] = [b""] * len(bench)
    rows: list[tuple[NDArray[np.int32], NDArray[np.uint8], Real, Real, Real, Real]] = []
    for k in range(milliseconds):
        bench.step()
        for world, image in enumerate(bench.camera):
            if last[world] < 0 or image.tobytes() != seen[world]:
                last[world], seen[world] = len(frames), image.tobytes()
                frames.append(image.copy())
        if k >= SETTLE and k % every < 2:
            rows.append(
                (
                    np.array(last, np.int32),
                    np.clip(np.rint(bench.dvs * SURFACE_STEPS), 0, 255).astype(np.uint8),
                    bench.gyro.copy(),
                    bench.turn.copy(),
                    bench.error_px.astype(np.float32),
                    bench.rate.astype(np.float32),
                )
            )
        bench.command(steer(bench))
    del rows[len(rows) // 2 * 2 :]
    columns = [np.stack(column) for column in zip(*rows, strict=True)]
    paired = [
        np.ascontiguousarray(column.reshape(-1, 2, *column.shape[1:]).swapaxes(1, 2).reshape(-1, 2, *column.shape[2:]))
        for column in columns
    ]
    return Pairs(np.stack(frames), *paired)


def join(parts: Sequence[Pairs]) -> Pairs:
    """All of them as one."""
    offset, shifted = 0, []
    for part in parts:
        shifted.append(part.frame + np.int32(offset))
        offset += len(part.frames)
    return Pairs(
        np.concatenate([part.frames for part in parts]),
        np.concatenate(shifted),
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("dvs", "gyro", "turn", "error_px", "rate")
        ),
    )


class Wander:
    """Random walks that forget: Ornstein-Uhlenbeck, a millisecond a step."""

    def __init__(self, shape: tuple[int, ...], deviation: NDArray[np.float64] | float, tau_s: float, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._keep = math.exp(-1e-3 / tau_s)
        self._kick = np.asarray(deviation) * math.sqrt(1.0 - self._keep**2)
        self._value = np.asarray(deviation) * self._random.standard_normal(shape)

    def step(self) -> NDArray[np.float64]:
        self._value = self._keep * self._value + self._kick * self._random.standard_normal(self._value.shape)
        return self._value


def steer_open(worlds: int, axes: int, seed: int) -> Steer:
    """Wandering commands, and back towards the middle of the joint's range by the error's sign alone."""
    wander = Wander((worlds, axes), 2.0, 0.05, seed)
    return lambda bench: wander.step() + 4.0 * bench.error_px / bench.scale


def steer_teacher(worlds: int, axes: int, gain: float, pull: float, seed: int) -> Steer:
    """A controller that sees the truth through an error of some pixels, its size differing from world to world."""
    size = np.linspace(1.0, 6.0, worlds)[:, None]
    mistake = Wander((worlds, axes), size, 0.03, seed)
    dither = Wander((worlds, axes), 0.5, 0.02, seed + 1)

    def steer(bench: Bench) -> NDArray[np.float64]:
        seen = (bench.error_px + mistake.step()) / bench.scale
        return -gain * bench.rate + pull * seen + dither.step()

    return steer


KICK_EVERY_MS, KICK_MS = 600, 60


def steer_kicks(worlds: int, axes: int, rate: float, seed: int) -> Steer:
    """A push of `rate` rad/s, either way, in every second world and at another moment in each."""
    random = np.random.default_rng((seed, 0x61C))
    begins = random.integers(0, KICK_EVERY_MS, worlds)
    size = rate * (np.arange(worlds) % 2)[:, None]
    sign = np.zeros((worlds, axes))

    def steer(bench: Bench) -> NDArray[np.float64]:
        since = (bench.time // 1_000_000 + begins) % KICK_EVERY_MS
        drawn = random.choice([-1.0, 1.0], (worlds, axes))
        sign[since == 0] = drawn[since == 0]
        return size * sign * (since < KICK_MS)[:, None]

    return steer
