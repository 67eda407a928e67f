"""The node types of a graph: NIR's names, NIR's parameters, SI units.

Parameters are read-only numpy arrays; a neuron's parameter has the layer's shape or a single element. Equations
(R = r, S = weighted input spikes):

    I       dv/dt = R S                         IF       the same, z = [v > v_threshold], then reset
    LI      tau dv/dt = (v_leak - v) + R S      LIF      the same with threshold and reset
    CubaLI  tau_syn di/dt = -i + w_in S
            tau_mem dv/dt = (v_leak - v) + R i  CubaLIF  the same with threshold and reset

What a tick makes of them is a dialect's business (`nets.dialect`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nets.errors import GraphError

Array = NDArray[Any]


@dataclass(frozen=True, eq=False, kw_only=True)
class Node:
    """One node. `metadata` may say more than NIR does; nobody has to read it."""

    OPTIONAL: ClassVar[frozenset[str]] = frozenset()
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in parameter_names(type(self)):
            value = getattr(self, name)
            if name in INTEGERS:
                object.__setattr__(self, name, _integers(self, name, value))
            elif value is not None:
                object.__setattr__(self, name, _reals(self, name, value))

    @property
    def kind(self) -> str:
        return type(self).__name__


INTEGERS = frozenset(
    (
        "shape",
        "input_shape",
        "stride",
        "padding",
        "dilation",
        "groups",
        "kernel_size",
        "start_dim",
        "end_dim",
        "input_type",
    )
)


def parameter_names(kind: type[Node]) -> tuple[str, ...]:
    """The NIR parameters of a node type, in order."""
    return tuple(f.name for f in fields(kind) if f.name != "metadata")


def _reals(node: Node, name: str, value: Any) -> Array:
    array = np.array(value)
    if array.dtype.kind not in "fiu":
        raise GraphError(f"{node.kind}.{name} is {array.dtype}{array.shape}, expected real numbers")
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float64)
    if not np.isfinite(array).all():
        bad = np.argwhere(~np.isfinite(np.atleast_1d(array)))[0].tolist()
        raise GraphError(f"{node.kind}.{name} is not finite at {bad}")
    array.flags.writeable = False
    return array


def _integers(node: Node, name: str, value: Any) -> Any:
    if isinstance(value, str):
        return value
    if value is None:
        return None
    array = np.asarray(value)
    if array.dtype.kind not in "iu" and not (array.dtype.kind == "f" and bool((array == np.round(array)).all())):
        raise GraphError(f"{node.kind}.{name} is {value!r}, expected whole numbers")
    return int(array) if array.ndim == 0 else tuple(int(n) for n in array.ravel())


@dataclass(frozen=True, eq=False)
class Input(Node):
    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Output(Node):
    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Linear(Node):
    """weight (out, in)."""

    weight: Any


@dataclass(frozen=True, eq=False)
class Affine(Node):
    """weight (out, in), bias (out): the bias is a constant drive."""

    weight: Any
    bias: Any


@dataclass(frozen=True, eq=False)
class Scale(Node):
    scale: Any


@dataclass(frozen=True, eq=False)
class Conv1d(Node):
    """weight (c_out, c_in / groups, kx); input_shape is the length."""

    input_shape: Any
    weight: Any
    stride: Any
    padding: Any
    dilation: Any
    groups: int
    bias: Any


@dataclass(frozen=True, eq=False)
class Conv2d(Node):
    """weight (c_out, c_in / groups, ky, kx); input_shape is (height, width)."""

    input_shape: Any
    weight: Any
    stride: Any
    padding: Any
    dilation: Any
    groups: int
    bias: Any


@dataclass(frozen=True, eq=False)
class SumPool2d(Node):
    kernel_size: Any
    stride: Any
    padding: Any


@dataclass(frozen=True, eq=False)
class AvgPool2d(Node):
    """The mean counts padding as zeros."""

    kernel_size: Any
    stride: Any
    padding: Any


@dataclass(frozen=True, eq=False)
class Flatten(Node):
    """Dimensions are counted without a batch."""

    OPTIONAL: ClassVar[frozenset[str]] = frozenset(("input_type",))
    start_dim: int = 0
    end_dim: int = -1
    input_type: tuple[int, ...] | None = None


@dataclass(frozen=True, eq=False)
class Delay(Node):
    """delay in seconds."""

    delay: Any


@dataclass(frozen=True, eq=False)
class Threshold(Node):
    threshold: Any


@dataclass(frozen=True, eq=False)
class I(Node):  # noqa: E742  # the name NIR gives it
    r: Any


@dataclass(frozen=True, eq=False)
class IF(Node):
    OPTIONAL: ClassVar[frozenset[str]] = frozenset(("v_reset",))
    r: Any
    v_threshold: Any
    v_reset: Any = 0.0


@dataclass(frozen=True, eq=False)
class LI(Node):
    tau: Any
    r: Any
    v_leak: Any


@dataclass(frozen=True, eq=False)
class LIF(Node):
    OPTIONAL: ClassVar[frozenset[str]] = frozenset(("v_reset",))
    tau: Any
    r: Any
    v_leak: Any
    v_threshold: Any
    v_reset: Any = 0.0


@dataclass(frozen=True, eq=False)
class CubaLI(Node):
    OPTIONAL: ClassVar[frozenset[str]] = frozenset(("w_in",))
    tau_syn: Any
    tau_mem: Any
    r: Any
    v_leak: Any
    w_in: Any = 1.0


@dataclass(frozen=True, eq=False)
class CubaLIF(Node):
    OPTIONAL: ClassVar[frozenset[str]] = frozenset(("w_in", "v_reset"))
    tau_syn: Any
    tau_mem: Any
    r: Any
    v_leak: Any
    v_threshold: Any
    v_reset: Any = 0.0
    w_in: Any = 1.0


@dataclass(frozen=True, eq=False, kw_only=True)
class SpikingModel(Node):
    """A spiking layer beyond NIR: `nets.models`."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Pooling(Node):
    """A pool with a state of its own, beyond NIR: `nets.models`."""


NODES: dict[str, type[Node]] = {
    kind.__name__: kind
    for kind in (
        *(Input, Output, Linear, Affine, Scale, Conv1d, Conv2d, SumPool2d, AvgPool2d, Flatten, Delay, Threshold),
        *(I, IF, LI, LIF, CubaLI, CubaLIF),
    )
}
SPIKING = (IF, LIF, CubaLIF, SpikingModel)
GRADED = (I, LI, CubaLI)
NEURONS = (*SPIKING, *GRADED)
UNITS = (*NEURONS, Pooling)
"""What has state: linear paths begin and end there."""


def pair(value: Any) -> tuple[int, int]:
    """A stride, padding, dilation or kernel size for two axes."""
    if isinstance(value, int):
        return value, value
    if len(value) == 1:
        return int(value[0]), int(value[0])
    if len(value) != 2:
        raise GraphError(f"{value!r} is not one number or two")
    return int(value[0]), int(value[1])
