"""Kernels of convolutions and pools as ONNX states them, in NIR's terms: padding alike on both sides, whole steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets.convert.errors import ConvertError


@dataclass(frozen=True)
class Window:
    """For each axis; pads are (before, after)."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]

    def out(self, size: Sequence[int]) -> tuple[int, ...]:
        """The sizes behind it."""
        rows = zip(size, self.kernel, self.stride, self.dilation, self.pads, strict=True)
        return tuple((s + a + b - d * (k - 1) - 1) // step + 1 for s, k, step, d, (a, b) in rows)


def window(where: str, attributes: Mapping[str, Any], kernel: Sequence[int], size: Sequence[int]) -> Window:
    """From a node's attributes; `size` is what comes in."""
    axes = len(kernel)
    stated = attributes.get("kernel_shape", list(kernel))
    if list(stated) != list(kernel) or len(size) != axes:
        raise ConvertError(
            f"{where}: kernel_shape {list(stated)} for a kernel {list(kernel)} on an input of {list(size)}"
        )
    stride = tuple(int(s) for s in attributes.get("strides", [1] * axes))
    dilation = tuple(int(d) for d in attributes.get("dilations", [1] * axes))
    auto = attributes.get("auto_pad", "NOTSET")
    flat = [int(p) for p in attributes.get("pads", [0] * (2 * axes))]
    if auto in ("NOTSET", ""):
        pads = tuple(zip(flat[:axes], flat[axes:], strict=True))
    elif auto == "VALID":
        pads = ((0, 0),) * axes
    elif auto in ("SAME_UPPER", "SAME_LOWER"):
        pads = tuple(
            _same(s, k, step, d, auto == "SAME_UPPER")
            for s, k, step, d in zip(size, kernel, stride, dilation, strict=True)
        )
    else:
        raise ConvertError(f"{where}: auto_pad is {auto!r}, expected NOTSET, VALID, SAME_UPPER or SAME_LOWER")
    if min((*stride, *dilation, *kernel)) < 1 or min(p for pair in pads for p in pair) < 0:
        raise ConvertError(
            f"{where}: strides {stride}, dilations {dilation}, pads {pads}: expected no crop, steps of at least 1"
        )
    found = Window(tuple(int(k) for k in kernel), stride, dilation, pads)
    if min(found.out(size)) < 1:
        raise ConvertError(f"{where}: kernel {list(kernel)} is larger than its padded input {list(size)}")
    return found


def even(where: str, w: Window, weight: NDArray[Any]) -> tuple[NDArray[Any], tuple[int, ...]]:
    """A kernel with zeros at its edges and the padding alike on both sides that do the same."""
    padding = []
    for axis, ((before, after), step) in enumerate(zip(w.pads, w.dilation, strict=True)):
        wanted, lacking = max(before, after), abs(before - after)
        if lacking % step:
            raise ConvertError(
                f"{where}: pads {(before, after)} with dilation {step}; expected them alike on both sides"
            )
        zeros = [(0, 0)] * weight.ndim
        zeros[2 + axis] = (lacking // step, 0) if after > before else (0, lacking // step)
        weight = np.pad(weight, zeros)
        padding.append(wanted)
    return weight, tuple(padding)


def whole(where: str, attributes: Mapping[str, Any], w: Window, size: Sequence[int]) -> None:
    """Refuse a ceil_mode that makes a difference."""
    if not attributes.get("ceil_mode", 0):
        return
    for s, k, step, d, (a, b) in zip(size, w.kernel, w.stride, w.dilation, w.pads, strict=True):
        if (s + a + b - d * (k - 1) - 1) % step:
            raise ConvertError(f"{where}: ceil_mode adds a window that is not whole; export it with ceil_mode 0")


def _same(size: int, kernel: int, stride: int, dilation: int, upper: bool) -> tuple[int, int]:
    total = max((-(-size // stride) - 1) * stride + dilation * (kernel - 1) + 1 - size, 0)
    small, large = total // 2, total - total // 2
    return (small, large) if upper else (large, small)
