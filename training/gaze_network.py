"""The gaze network as it is trained: branches for camera, event camera and gyro, joined into one state.

Every activation is rounded to whole quanta of its layer, 1 / levels, as the sigma-delta engine will; gradients pass the
rounding unchanged (Bengio, Leonard & Courville 2013). Levels stay fixed: how fine a layer resolves is learned in the
size of its activations. Two consecutive milliseconds tell what the engine would do between them: a unit that changes by
s quanta sends with probability min(s, 1), and each sending costs as many operations as the unit has targets.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

LEVELS = 16.0
GYRO_LEVELS = 1.0 / (6.0 * 0.0379)
"""A quantum of six sigma of a sample's noise, rad/s."""
CAMERA_LEVELS = 128.0 / (6.0 * 2.55)
"""A quantum of six sigma of a pixel's noise, as a share of GREY."""
TURN_LEVELS = 2.0
INPUT_LEVELS = {"camera": CAMERA_LEVELS, "dvs": 1.0, "gyro": GYRO_LEVELS, "turn": TURN_LEVELS}
MODALITIES = {"camera": ("camera",), "dvs": ("dvs",), "gyro": ("gyro", "turn")}


@dataclass(frozen=True)
class Dense:
    """From a flattened source to `size` units."""

    size: int


@dataclass(frozen=True)
class Conv:
    channels: int
    kernel: int
    stride: int
    padding: int


@dataclass(frozen=True)
class Layer:
    """One layer of units and the products that lead to it; alone among all, `out` has no ReLU."""

    name: str
    sources: tuple[str, ...]
    product: Dense | Conv


def line(width: int) -> tuple[Layer, ...]:
    """One axis: the retina is a line of 64 pixels."""
    return (
        Layer("camera_1", ("camera",), Dense(width)),
        Layer("camera_2", ("camera_1",), Dense(width // 2)),
        Layer("dvs_1", ("dvs",), Dense(width)),
        Layer("dvs_2", ("dvs_1",), Dense(width // 2)),
        Layer("gyro_1", ("gyro", "turn"), Dense(width // 4)),
        Layer("gyro_2", ("gyro_1",), Dense(width // 4)),
        Layer("state_1", ("camera_2", "dvs_2", "gyro_2"), Dense(width)),
        Layer("state_2", ("state_1",), Dense(width // 2)),
        Layer("out", ("state_2",), Dense(2)),
    )


def plane() -> tuple[Layer, ...]:
    """Two axes: the retina is a plane of 64x64 pixels. Few places with many channels each: what one change adds up then
    lies side by side in memory.
    """
    return (
        *_eye("camera"),
        *_eye("dvs"),
        Layer("gyro_1", ("gyro", "turn"), Dense(32)),
        Layer("gyro_2", ("gyro_1",), Dense(32)),
        Layer("state_1", ("camera_4", "dvs_4", "gyro_2"), Dense(96)),
        Layer("state_2", ("state_1",), Dense(64)),
        Layer("out", ("state_2",), Dense(4)),
    )


def _eye(name: str) -> tuple[Layer, ...]:
    """Patches of 8x8 pixels, then what lies beside them."""
    return (
        Layer(f"{name}_1", (name,), Conv(64, 8, 8, 0)),
        Layer(f"{name}_2", (f"{name}_1",), Conv(64, 3, 1, 1)),
        Layer(f"{name}_3", (f"{name}_2",), Conv(64, 3, 1, 1)),
        Layer(f"{name}_4", (f"{name}_3",), Conv(16, 3, 2, 1)),
    )


class GazeNetwork(nn.Module):
    """Errors in px, then rates in rad/s, of each axis, from what the four inputs hold."""

    def __init__(self, shape: tuple[int, int], layers: tuple[Layer, ...], handling: float = 1.0) -> None:
        """`handling`: operations that a change costs besides those of its targets."""
        super().__init__()
        self.handling = handling
        self.layers = layers
        self.shapes: dict[str, tuple[int, ...]] = {
            "camera": (1, *shape), "dvs": (2, *shape), "gyro": (3,), "turn": (3,),
        }  # fmt: skip
        self.products = nn.ModuleDict()
        for layer in layers:
            for k, source in enumerate(layer.sources):
                product = _product(self.shapes[source], layer.product, bias=k == 0)
                self.products[f"{layer.name}:{source}"] = product
                with torch.no_grad():
                    found = product(_fed(torch.zeros(1, *self.shapes[source]), layer.product))
                    product.weight.mul_(1.0 / math.sqrt(len(layer.sources)))
                self.shapes[layer.name] = tuple(found.shape[1:])
        self.fan_out = {name: self._targets(name) for name in self.shapes if name != "out"}
        """How many operations an event of each unit causes."""
        self.macs = self._macs()
        """Multiply-adds of a whole pass, by layer."""

    def forward(
        self, inputs: Mapping[str, Tensor], quantise: Callable[[str, Tensor], Tensor] | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """(heads, activations by layer before rounding); `quantise` is asked to round each layer, by name."""
        held: dict[str, Tensor] = dict(inputs)
        activations: dict[str, Tensor] = {}
        for layer in self.layers:
            parts = [self.products[f"{layer.name}:{s}"](_fed(held[s], layer.product)) for s in layer.sources]
            z = torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]
            if layer.name == "out":
                return z, activations
            y = activations[layer.name] = torch.relu(z)
            held[layer.name] = rounded(y, LEVELS) if quantise is None else quantise(layer.name, y)
        raise AssertionError("no layer is called out")

    def cost(self, one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> Tensor:
        """Operations that the changes from one millisecond to the next would cost, for each row."""
        total: Tensor = torch.zeros(())
        for name, a in one.items():
            quanta = (other[name] - a).abs() * LEVELS
            total = total + ((quanta / (1.0 + quanta)) * (self.handling + self.fan_out[name])).flatten(1).sum(1)
        return total

    def _targets(self, name: str) -> Tensor:
        total = torch.zeros(self.shapes[name])
        for layer in self.layers:
            if name in layer.sources:
                total += _reached(self._product(layer, name), self.shapes[name], self.shapes[layer.name])
        return total

    def _macs(self) -> dict[str, int]:
        return {
            layer.name: sum(
                int(_reached(self._product(layer, name), self.shapes[name], self.shapes[layer.name]).sum())
                for name in layer.sources
            )
            for layer in self.layers
        }

    def _product(self, layer: Layer, source: str) -> nn.Linear | nn.Conv2d:
        product = self.products[f"{layer.name}:{source}"]
        assert isinstance(product, nn.Linear | nn.Conv2d)
        return product


def rounded(y: Tensor, levels: float) -> Tensor:
    """To whole quanta, half to even; gradients pass."""
    return y + (torch.round(y * levels) / levels - y).detach()


def _reached(product: nn.Linear | nn.Conv2d, source: tuple[int, ...], target: tuple[int, ...]) -> Tensor:
    """How many weights lead from each unit of the source to units of the target that there are."""
    if isinstance(product, nn.Linear):
        return torch.full(source, float(product.out_features))
    stride, padding, kernel = product.stride[0], int(product.padding[0]), product.kernel_size[0]
    beyond = [
        size - ((many - 1) * stride - 2 * padding + kernel) for size, many in zip(source[1:], target[1:], strict=True)
    ]
    ones, weight = torch.ones(1, *target), torch.ones_like(product.weight)
    return nn.functional.conv_transpose2d(ones, weight, stride=stride, padding=padding, output_padding=beyond)[
        0
    ].detach()


def _fed(y: Tensor, product: Dense | Conv) -> Tensor:
    return y.flatten(1) if isinstance(product, Dense) else y


def _product(shape: tuple[int, ...], product: Dense | Conv, *, bias: bool) -> nn.Linear | nn.Conv2d:
    made: nn.Linear | nn.Conv2d
    if isinstance(product, Dense):
        made = nn.Linear(math.prod(shape), product.size, bias=bias)
        fan_in = math.prod(shape)
    else:
        made = nn.Conv2d(shape[0], product.channels, product.kernel, product.stride, product.padding, bias=bias)
        fan_in = shape[0] * product.kernel**2
    nn.init.normal_(made.weight, 0.0, math.sqrt(2.0 / fan_in))
    if bias:
        assert made.bias is not None
        nn.init.zeros_(made.bias)
    return made
