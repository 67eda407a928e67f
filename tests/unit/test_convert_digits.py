"""A network trained on real digits keeps its accuracy as a sigma-delta and as a rate-coded network."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from nets import nodes as n
from nets.convert.dense import Dense
from nets.convert.layers import Activation, chain
from nets.convert.levels import fit_quanta
from nets.convert.rate import Presented, to_rate
from nets.graph import Graph

Real = NDArray[np.float32]
TRAINED = 8000
WITHIN = 0.005


def train(images: Real, labels: NDArray[np.int64], sizes: tuple[int, ...], epochs: int, seed: int) -> Graph:
    """A ReLU network by stochastic gradient descent with momentum on the cross entropy."""
    rng = np.random.default_rng(seed)
    weights = [
        rng.normal(size=(a, b)).astype(np.float32) * np.float32(np.sqrt(2 / a)) for a, b in itertools.pairwise(sizes)
    ]
    biases = [np.zeros(b, np.float32) for b in sizes[1:]]
    speeds = [np.zeros_like(p) for p in (*weights, *biases)]
    for epoch in range(epochs):
        rate = np.float32(0.08 * (1 - epoch / epochs))
        for batch in np.array_split(rng.permutation(len(images)), len(images) // 64):
            held = [images[batch]]
            for k, (w, b) in enumerate(zip(weights, biases, strict=True)):
                z = held[-1] @ w + b
                held.append(np.maximum(z, 0) if k + 1 < len(weights) else z)
            share = np.exp(held[-1] - held[-1].max(axis=1, keepdims=True))
            wrong = share / share.sum(axis=1, keepdims=True)
            wrong[np.arange(len(batch)), labels[batch]] -= 1
            wrong /= len(batch)
            steps_w: list[Real] = []
            steps_b: list[Real] = []
            for k in reversed(range(len(weights))):
                steps_w.insert(0, held[k].T @ wrong)
                steps_b.insert(0, wrong.sum(axis=0))
                wrong = (wrong @ weights[k].T) * (held[k] > 0)
            for p, v, g in zip((*weights, *biases), speeds, (*steps_w, *steps_b), strict=True):
                v *= np.float32(0.9)
                v -= rate * g
                p += v
    layers: list[n.Node] = [n.Flatten()]
    for w, b in zip(weights, biases, strict=True):
        layers += [n.Affine(w.T, b), Activation()]
    return chain((1, 28, 28), *layers[:-1])


@pytest.mark.soak
def test_digits_keep_their_accuracy(data: Path) -> None:
    stored = np.load(data / "mnist" / "mnist10k.npz")
    images = (stored["images"].astype(np.float32) / 255)[:, None]
    labels = stored["labels"].astype(np.int64)
    network = train(images[:TRAINED].reshape(TRAINED, -1), labels[:TRAINED], (784, 200, 200, 10), 8, seed=0)
    test, truth = {"input": images[TRAINED:]}, labels[TRAINED:]
    sample = {"input": images[:1000]}

    def accuracy(outputs: dict[str, Real]) -> float:
        return float((outputs["output"].argmax(axis=1) == truth).mean())

    original = accuracy(Dense(network).outputs(test))
    fitted = fit_quanta(network, sample, 8)
    levels = {name: np.float32(k) for name, k in fitted.levels.items()}
    rounded = accuracy(Dense(fitted.network).outputs(test, levels))
    rates = {
        ticks: accuracy(Presented(to_rate(network, sample, ticks).graph, ticks).answers(test)) for ticks in (8, 16)
    }
    print(f"original {original:.2%}, sigma-delta at 8 levels {rounded:.2%}, rate-coded {rates}")
    assert original > 0.95
    assert rounded >= original - WITHIN
    assert rates[16] >= original - WITHIN
