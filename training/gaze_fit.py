"""Fits a gaze network to recordings: right about error and rate, and cheap to keep up to date.

    loss = mean huber(error' - error; px) + mean (rate' - rate)^2; rad/s  +  price * operations a millisecond

Each sensor is blanked in a share of the samples, so that the others learn to do without it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from training.gaze_data import SURFACE_STEPS, Pairs
from training.gaze_network import INPUT_LEVELS, MODALITIES, GazeNetwork, rounded

HUBER_PX = 3.0
WARM_STEPS = 100


def fit(
    network: GazeNetwork,
    pairs: Pairs,
    *,
    steps: int,
    rate: float,
    price: float,
    blanked: Mapping[str, float],
    size: int,
    seed: int,
    say: Callable[[str], None],
) -> None:
    """Adam with a warm start and a cosine's end; `size` pairs a step; deterministic given the seed."""
    random = np.random.default_rng((seed, 0xF17))
    optimiser = torch.optim.Adam(network.parameters(), rate, betas=(0.9, 0.99))
    shape = [min(1.0, (k + 1) / WARM_STEPS) * 0.5 * (1 + math.cos(math.pi * k / steps)) + 1e-3 for k in range(steps)]
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda k: shape[min(k, steps - 1)])
    seen = np.zeros(3)
    for step in range(steps):
        inputs, error, turning, whole = batch(pairs, size, blanked, random)
        out, activations = network(inputs)
        axes = error.shape[1]
        miss = functional.huber_loss(out[:, :axes], error, delta=HUBER_PX) + functional.mse_loss(out[:, axes:], turning)
        one, other = ({name: y[k * size : (k + 1) * size] for name, y in activations.items()} for k in range(2))
        cost = (network.cost(one, other) * whole[:size]).sum() / whole[:size].sum()
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(miss + price * cost)
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        schedule.step()
        with torch.no_grad():
            keep = whole > 0
            now = (
                float((out[:, :axes] - error)[keep].square().mean()),
                float((out[:, axes:] - turning)[keep].square().mean()),
                float(cost),
            )
        seen += 0.02 * (np.array(now) - seen)
        if step % 500 == 499:
            px, rad_s = math.sqrt(seen[0]), math.sqrt(seen[1])
            say(f"step {step + 1}: error {px:.2f} px, rate {rad_s:.3f} rad/s, {seen[2]:.0f} operations/ms")


def batch(
    pairs: Pairs, size: int, blanked: Mapping[str, float], random: np.random.Generator
) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor]:
    """(inputs, error px, rate rad/s, 1 where no sensor is blanked), first all first milliseconds, then all second."""
    rows = random.integers(0, len(pairs), size)
    frames = torch.from_numpy(pairs.frames[pairs.frame[rows].T.ravel()])
    inputs = {
        "camera": rounded(frames, INPUT_LEVELS["camera"]),
        "dvs": _both(pairs.dvs[rows]).float() / SURFACE_STEPS,
        "gyro": rounded(_both(pairs.gyro[rows]), INPUT_LEVELS["gyro"]),
        "turn": rounded(_both(pairs.turn[rows]), INPUT_LEVELS["turn"]),
    }
    whole = np.ones(size, np.float32)
    for sensor, ports in MODALITIES.items():
        alive = (random.random(size) >= blanked[sensor]).astype(np.float32)
        whole *= alive
        both = torch.from_numpy(np.tile(alive, 2))
        for port in ports:
            inputs[port] = inputs[port] * both.reshape(-1, *([1] * (inputs[port].dim() - 1)))
    return inputs, _both(pairs.error_px[rows]), _both(pairs.rate[rows]), torch.from_numpy(np.tile(whole, 2))


def _both(rows: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(rows.swapaxes(0, 1).reshape(-1, *rows.shape[2:])))
