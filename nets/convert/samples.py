"""Sample data to fit a network on, in the order it was recorded: video, or arrays that numpy stored.

    clip.mp4 (mkv, avi, webm, gif)   frames of the only Input, grey or RGB as it has channels, scaled to its size, 0..1
    frames.npy                       (count, *shape) of the only Input
    images.npz                       one array for each Input, by its name; a single array for the only Input

Numbers of 8 or 16 bits count as shares of their largest value. Where a network reads one channel, it may be left out.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from nets import nodes as n
from nets.convert.dense import Batch, checked
from nets.convert.errors import ConvertError, library
from nets.graph import Graph

ARRAYS = (".npy", ".npz")
MOST_BYTES = 1 << 31


def read_samples(
    path: Path | str, network: Graph, most: int, progress: Callable[[str, float], None] = lambda what, done: None
) -> dict[str, Batch]:
    """The first `most` samples of a file, as float32 (count, *shape) by Input."""
    path = Path(path)
    if most < 1:
        raise ConvertError(f"{most} samples are asked for, expected at least 1")
    if not path.is_file():
        raise ConvertError(f"{path}: there is no such file")
    largest = sum(int(np.prod(network.shapes[name])) for name in network.of_kind(n.Input)) * 4
    most = min(most, max(1, MOST_BYTES // largest))
    if path.suffix.lower() in ARRAYS:
        samples = {name: _real(path, name, values[:most]) for name, values in _arrays(path, network).items()}
    else:
        samples = _video(path, network, most, progress)
    samples = {name: _with_channel(values, network.shapes[name]) for name, values in samples.items()}
    try:
        checked(network, samples)
    except ConvertError as error:
        raise ConvertError(f"{path}: {error}") from None
    return samples


def _arrays(path: Path, network: Graph) -> dict[str, Batch]:
    inputs = network.of_kind(n.Input)
    try:
        loaded = np.load(os.fspath(path), allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            stored = {"": loaded}
        else:
            with loaded:
                stored = {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, EOFError) as error:
        raise ConvertError(f"{path}: not readable by numpy: {error}") from error
    if set(inputs) <= set(stored):
        return {name: stored[name] for name in inputs}
    fitting = {name: array for name, array in stored.items() if array.ndim > 1}
    if len(inputs) == 1 and len(fitting) == 1:
        return {inputs[0]: next(iter(fitting.values()))}
    raise ConvertError(f"{path}: holds {sorted(stored)}, expected an array for each of {', '.join(inputs)}")


def _real(path: Path, name: str, values: Batch) -> Batch:
    if values.dtype in (np.uint8, np.uint16):
        return values.astype(np.float32) / np.float32(np.iinfo(values.dtype).max)
    if values.dtype.kind not in "fiu":
        raise ConvertError(f"{path}: {name} is {values.dtype}, expected real numbers")
    return values.astype(np.float32)


def _with_channel(values: Batch, shape: tuple[int, ...]) -> Batch:
    if shape[0] == 1 and values.shape[1:] == shape[1:]:
        return values[:, None]
    return values.reshape(len(values), -1) if len(shape) == 1 and values[0].size == shape[0] else values


def _video(path: Path, network: Graph, most: int, progress: Callable[[str, float], None]) -> dict[str, Batch]:
    inputs = network.of_kind(n.Input)
    shape = network.shapes[inputs[0]]
    if len(inputs) != 1 or len(shape) != 3 or shape[0] not in (1, 3):
        shapes = ", ".join(f"{name} {network.shapes[name]}" for name in inputs)
        raise ConvertError(
            f"{path}: a video feeds one Input of 1 or 3 channels, the network has {shapes}: give an .npz"
        )
    av = library("av", f"decoding {path.name}")
    frames: list[Batch] = []
    pixels = "gray" if shape[0] == 1 else "rgb24"
    try:
        with av.open(os.fspath(path)) as container:
            stream = container.streams.video[0]
            expected = min(most, stream.frames or most)
            for frame in container.decode(stream):
                scaled = frame.reformat(width=shape[2], height=shape[1], format=pixels, interpolation="AREA")
                image = scaled.to_ndarray().astype(np.float32) / np.float32(255)
                frames.append(image[None] if shape[0] == 1 else np.moveaxis(image, -1, 0))
                progress(f"decoding {path.name}", len(frames) / expected)
                if len(frames) == most:
                    break
    except (OSError, ValueError, IndexError) as error:
        raise ConvertError(f"{path}: not a readable video: {error}") from error
    if not frames:
        raise ConvertError(f"{path}: holds no frames")
    return {inputs[0]: np.stack(frames)}
