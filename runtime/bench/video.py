"""Clips of natural video as grey frames of one size, at their frame rate or a higher one."""

from __future__ import annotations

import importlib
import math
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime.bench.unavailable import UnavailableError
from runtime.core.errors import ConfigError

Frames = NDArray[np.float32]
"""(count, height, width), 0 black to 1 white."""
FRAME = (72, 128)
"""Height and width that the video network sees."""


def read_clip(path: Path, size: tuple[int, int] = FRAME, most: int | None = None) -> Frames:
    """The first `most` frames of a video file, scaled by the mean of what each pixel covers."""
    try:
        av = importlib.import_module("av")
    except ImportError:
        raise UnavailableError(f"decoding {path.name} needs PyAV: pip install 'tectum[convert]'") from None
    frames = []
    try:
        with av.open(os.fspath(path)) as container:
            for image in container.decode(video=0):
                grey = image.reformat(width=size[1], height=size[0], format="gray", interpolation="AREA")
                frames.append(grey.to_ndarray())
                if len(frames) == most:
                    break
    except (OSError, ValueError, IndexError) as error:
        raise ConfigError(f"{path}: not a readable video: {error}") from error
    if not frames:
        raise ConfigError(f"{path}: holds no frames")
    return np.stack(frames).astype(np.float32) / np.float32(255)


def faster(frames: Frames, times: int) -> Frames:
    """`times` as many frames a second over the same span: between two of them, their mixtures."""
    share = (np.arange(times, dtype=np.float32) / times)[None, :, None, None]
    between = frames[:-1, None] * (1 - share) + frames[1:, None] * share
    return np.concatenate([between.reshape(-1, *frames.shape[1:]), frames[-1:]])


def drawn(frames: Frames, shape: tuple[int, ...]) -> Frames:
    """(count, numbers): each frame as a network draws it, whose channels are the pixels of a block at each place."""
    channels, height, width = shape
    block = math.isqrt(channels)
    if (block * block, block * height, block * width) != (channels, *frames.shape[1:]):
        raise ConfigError(f"a network's output is {shape}: no blocks of pixels that make a frame of {frames.shape[1:]}")
    split = frames.reshape(len(frames), height, block, width, block).transpose(0, 2, 4, 1, 3)
    return split.reshape(len(frames), -1)


def psnr(shown: Frames, wanted: Frames) -> float:
    """Peak signal-to-noise ratio in dB of pictures whose white is 1."""
    return -10 * math.log10(float(np.square(shown - wanted, dtype=np.float64).mean()))
