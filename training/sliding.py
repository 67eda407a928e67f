"""Trains the network of the sliding digits and writes it: `python -m training.sliding --digits NPZ --out FILE`.

An MLP 576-200-200-10, trained as the sigma-delta network that it becomes: on pairs of frames a quarter of a pixel
apart, its activations rounded to `LEVELS` quanta, with how far the rounded answers lie from its own without rounding
added to the loss, and what the changes cost (`training.video`) where that has a price; without one it makes a tenth of
a dense pass's operations. The less a few activations stand out, the finer are the quanta over the 99.9 percentile: the
`NORM`-th root of the mean `NORM`-th power stands for that, so that the gradient reaches the scale. Only the digits kept
for training are seen.
"""

from __future__ import annotations

import argparse
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from nets import nodes as n
from runtime.bench.sliding import BAND, CANVAS, ROOM, TRAINED, Real, place, read_digits
from training.stored import store

LEVELS = 8
SIZES = (CANVAS * CANVAS, 200, 200, 10)
SPEED = 0.25
FAITHFUL = 30.0
"""What the squared error of rounding counts, relative to the logits, both without their mean over the classes."""
TOLD = 4.0
"""What the divergence of the rounded answers from those without rounding counts."""
NORM = 8
RATE = 2e-3
FOLLOWED = 10
"""The scales are moved every so many steps."""


class DigitNet(nn.Module):
    """The network, with the scale of each activation."""

    scales: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(SIZES))
        self.register_buffer("scales", torch.ones(len(self.layers)))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = torch.relu(layer(x))
        return self.layers[-1](x)

    @torch.no_grad()
    def follow(self, x: Tensor, rate: float) -> None:
        """Move the scales towards those of these frames."""
        for k, layer in enumerate(self.layers):
            scale = torch.quantile(x.flatten(), 0.999).clamp(min=1e-2)
            self.scales[k] += rate * (scale - self.scales[k])
            x = torch.relu(layer(x))

    def rounded(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(logits, the share of a dense pass that changes cost) of frames before | after."""
        cost, dense = x.new_zeros(()), 0.0
        for k, layer in enumerate(self.layers):
            scale = _yielding(self.scales[k], x) if k else self.scales[k]
            steps = x * (LEVELS / scale)
            before, after = steps.chunk(2)
            moved = (after - before).abs()
            cost = cost + (moved.clamp(max=1) + 0.02 * moved).sum() * SIZES[k + 1] / len(before)
            dense += SIZES[k] * SIZES[k + 1]
            x = layer((steps + (steps.round() - steps).detach()) * (scale / LEVELS))
            if k < len(SIZES) - 2:
                x = torch.relu(x)
        return x, cost / dense


def _yielding(scale: Tensor, x: Tensor) -> Tensor:
    """The scale itself, with the gradient of what stands for it."""
    norm = (x / scale).pow(NORM).mean().pow(1 / NORM)
    return scale * norm / norm.detach()


def _centred(logits: Tensor) -> Tensor:
    return logits - logits.mean(1, keepdim=True)


def train(images: Real, labels: np.ndarray, steps: int, price: float, seed: int = 1) -> DigitNet:
    """Adam on batches of 128 digits at places of chance."""
    torch.set_num_threads(1)  # sums in one order: the same network from the same seed
    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    net = DigitNet()
    optimiser = torch.optim.AdamW(net.parameters(), RATE, weight_decay=1e-5)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, steps, pct_start=0.1)
    for step in range(steps):
        chosen = generator.integers(len(images), size=128)
        x = torch.from_numpy(pairs(images[chosen], generator))
        y = torch.from_numpy(labels[chosen]).repeat(2)
        if step < FOLLOWED or step % FOLLOWED == 0:
            net.follow(x[::4], 1.0 if step < FOLLOWED else 0.1)
        logits, cost = net.rounded(x)
        plain = net(x)
        faith = (_centred(logits) - _centred(plain)).square().mean() / _centred(plain).square().mean()
        told = nn.functional.kl_div(logits.log_softmax(1), plain.detach().softmax(1), reduction="batchmean")
        loss = nn.functional.cross_entropy(plain, y) + TOLD * told
        (loss + FAITHFUL * faith + price * min(1.0, step / (0.4 * steps)) * cost).backward()
        optimiser.step()
        optimiser.zero_grad()
        schedule.step()
        if step % 500 == 0 or step == steps - 1:
            same = (logits.argmax(1) == plain.argmax(1)).float().mean().item()
            right = (logits.argmax(1) == y).float().mean().item()
            sys.stderr.write(f"{step:6d}  right {right:.3f}  as without rounding {same:.3f}  cost {cost.item():.4f}\n")
    return net


def pairs(images: Real, generator: np.random.Generator) -> Real:
    """Canvases before, then those after a step of `SPEED`, flat."""
    count = len(images)
    y, x = generator.uniform(*BAND, count), generator.uniform(0, ROOM, count)
    angle = generator.uniform(0, 2 * np.pi, count)
    down = np.clip(y + SPEED * np.sin(angle), *BAND)
    right = np.clip(x + SPEED * np.cos(angle), 0, ROOM)
    return np.concatenate([place(images, y, x), place(images, down, right)]).reshape(2 * count, -1)


def layers_of(net: DigitNet) -> list[n.Node]:
    """The trained products."""
    found: list[n.Node] = []
    for layer in net.layers:
        assert isinstance(layer, nn.Linear)
        found.append(n.Affine(*(values.detach().numpy().astype(np.float32) for values in (layer.weight, layer.bias))))
    return found


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--digits", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--price", type=float, default=0.0, help="of a share of a dense pass")
    args = parser.parse_args(arguments)
    digits = read_digits(args.digits)
    images, labels = digits.images[:TRAINED], digits.labels[:TRAINED]
    net = train(images, labels, args.steps, args.price)
    samples = pairs(images[:2000], np.random.default_rng(0))
    error = store(args.out, SIZES[:1], layers_of(net), samples, LEVELS)
    sys.stderr.write(f"{args.out}: error {error:.4f} at {LEVELS} levels on the digits it was fitted on\n")


if __name__ == "__main__":
    main(sys.argv[1:])
