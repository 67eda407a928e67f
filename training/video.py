"""Trains the video network and writes it: `python -m training.video --videos FOLDER --out FILE`.

Blocks of 4 x 4 pixels of a grey frame of 72 x 128 become 96 channels, two 3 x 3 convolutions code them together with
their neighbours, and a last layer draws the frame again, each of its 16 channels a pixel of a block. Few places of many
channels suit changes: one of them adds to whole rows of neighbouring sums, at nearly the speed of a dense product. It
is trained as the sigma-delta network that it becomes, on pairs of successive frames: activations are rounded to
`LEVELS` quanta (straight-through), and to the error of the picture is added what a pair costs,

    cost = sum over units of min(levels |y' - y|, 1) fan-out / multiplications of a dense pass

which is the share of a dense pass that changes are expected to take, each rounding's phase being as likely as another.

Material: all of bigbuckbunny and the first `LEARNED` frames of bikes; carphone and the rest of bikes are never seen.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nets import nodes as n
from runtime.bench.video import FRAME, read_clip
from training.stored import store

LEVELS = 16
LEARNED = 120
CROP = (40, 64)
BLOCK = 4
"""A place is a block of so many pixels square."""
WIDTH = 96
LAYERS = ((1, WIDTH, BLOCK, BLOCK), (WIDTH, WIDTH, 3, 1), (WIDTH, WIDTH, 3, 1), (WIDTH, BLOCK**2, 1, 1))
"""(in, out, kernel, stride) of each convolution; what does not stride keeps the places."""
FOLLOWED = 10
"""The scales are moved every so many steps."""


@dataclass(frozen=True)
class Plan:
    """How long, and what a share of a dense pass is worth in units of the picture's relative squared error."""

    steps: int = 4000
    batch: int = 6
    rate: float = 2e-3
    price: float = 0.2
    faithful: float = 6.0
    """What the squared error of rounding counts beside that of the picture."""
    seed: int = 1


class VideoNet(nn.Module):
    """The network, with the scale of each activation: 99.9 percentiles, followed while it learns."""

    scales: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(a, b, k, s, _padding(k, s)) for a, b, k, s in LAYERS)
        self.register_buffer("scales", torch.ones(len(LAYERS)))

    def plain(self, x: Tensor) -> Tensor:
        """What it draws without rounding, as planes of blocks."""
        for layer in self.layers[:-1]:
            x = torch.relu(layer(x))
        return self.layers[-1](x)

    def rounded(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(what it draws with rounding, the share of a dense pass its changes cost) of frames before | after."""
        cost, dense = x.new_zeros(()), 0.0
        for k, layer in enumerate(self.layers):
            levels = LEVELS / self.scales[k]
            steps = x * levels
            before, after = steps.chunk(2)
            moved = (after - before).abs()
            given, out, kernel, stride = LAYERS[k]
            fan_out = out * (kernel / stride) ** 2
            cost = cost + (moved.clamp(max=1) + 0.02 * moved).sum() * fan_out / len(before)
            dense += given * fan_out * x.shape[2] * x.shape[3]
            x = layer((steps + (steps.round() - steps).detach()) / levels)
            if k < len(LAYERS) - 1:
                x = torch.relu(x)
        return x, cost / dense

    @torch.no_grad()
    def follow(self, x: Tensor, rate: float) -> None:
        """Move the scales towards those of these frames."""
        for k, layer in enumerate(self.layers):
            values = x.abs().flatten()
            scale = values.kthvalue(max(1, int(0.999 * len(values)))).values.clamp(min=1e-2)
            self.scales[k] += rate * (scale - self.scales[k])
            x = torch.relu(layer(x))


def _padding(kernel: int, stride: int) -> int:
    return kernel // 2 if stride == 1 else 0


def blocks(frames: Tensor) -> Tensor:
    """Pixels as the network draws them: (count, 16, h / 4, w / 4)."""
    return nn.functional.pixel_unshuffle(frames, BLOCK)


def train(pairs: list[NDArray[np.float32]], plan: Plan) -> VideoNet:
    """`pairs` are clips, (count, h, w) each, successive frames behind one another."""
    torch.set_num_threads(1)  # sums in one order: the same network from the same seed
    torch.manual_seed(plan.seed)
    generator = np.random.default_rng(plan.seed)
    net = VideoNet()
    optimiser = torch.optim.Adam(net.parameters(), plan.rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, plan.rate, plan.steps, pct_start=0.1)
    for step in range(plan.steps):
        batch = torch.from_numpy(_batch(pairs, plan.batch, generator))
        if step < FOLLOWED or step % FOLLOWED == 0:
            net.follow(batch[::4], 1.0 if step < FOLLOWED else 0.1)
        drawn, cost = net.rounded(batch)
        with torch.no_grad():
            plain = net.plain(batch)
        target = blocks(batch)
        power = target.square().mean()
        picture, faith = (drawn - target).square().mean() / power, (drawn - plain).square().mean() / power
        price = plan.price * min(1.0, max(0.0, (step / plan.steps - 0.1) / 0.3))
        loss = picture + plan.faithful * faith + price * cost
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 100 == 0 or step == plan.steps - 1:
            sys.stderr.write(
                f"{step:6d}  picture {picture.item() ** 0.5:.4f}  rounding {faith.item() ** 0.5:.4f}  "
                f"cost {cost.item():.4f}\n"
            )
    return net


def _batch(clips: list[NDArray[np.float32]], count: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """Crops of frames before, then of those after; mirrored, reversed, brighter or darker."""
    found = np.empty((2, count, 1, *CROP), np.float32)
    weights = np.array([len(clip) - 1 for clip in clips], float)
    for k in range(count):
        clip = clips[generator.choice(len(clips), p=weights / weights.sum())]
        t = int(generator.integers(len(clip) - 1))
        y, x = (int(generator.integers(0, size - crop + 1)) for size, crop in zip(clip.shape[1:], CROP, strict=True))
        pair = clip[t : t + 2, y : y + CROP[0], x : x + CROP[1]][:: generator.choice([1, -1])]
        pair = pair[:, :, :: generator.choice([1, -1])] * generator.uniform(0.7, 1.3)
        found[:, k, 0] = np.clip(pair + generator.uniform(-0.05, 0.1), 0, 1)
    return found.reshape(2 * count, 1, *CROP)


def layers_of(net: VideoNet) -> list[n.Node]:
    """The trained convolutions."""
    found: list[n.Node] = []
    for layer, (_, _, kernel, stride) in zip(net.layers, LAYERS, strict=True):
        assert isinstance(layer, nn.Conv2d)
        assert layer.bias is not None
        weight, bias = (values.detach().numpy().astype(np.float32) for values in (layer.weight, layer.bias))
        found.append(n.Conv2d(None, weight, stride, _padding(kernel, stride), 1, 1, bias))
    return found


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=Plan.steps)
    parser.add_argument("--price", type=float, default=Plan.price)
    args = parser.parse_args(arguments)
    near = [read_clip(args.videos / "bigbuckbunny.mp4"), read_clip(args.videos / "bikes.mp4")[:LEARNED]]
    twice = (2 * FRAME[0], 2 * FRAME[1])
    far = [
        read_clip(args.videos / "bigbuckbunny.mp4", twice),
        read_clip(args.videos / "bikes.mp4", twice)[:LEARNED],
    ]
    net = train([*near, *far], replace(Plan(), steps=args.steps, price=args.price))
    samples = np.concatenate([clip[::2] for clip in near])[:, None]
    error = store(args.out, (1, *FRAME), layers_of(net), samples, LEVELS)
    sys.stderr.write(f"{args.out}: error {error:.4f} at {LEVELS} levels on the frames it was fitted on\n")


if __name__ == "__main__":
    main(sys.argv[1:])
