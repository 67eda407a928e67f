"""Clips of natural video as grey frames of one size, and the same clips at a higher frame rate."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

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
        raise ConfigError(f"decoding {path.name} needs PyAV: pip install 'tectum[convert]'") from None
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
