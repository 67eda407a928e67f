# mypy: disable-error-code="import-not-found"
# The simulators live in an environment of their own.
"""Rockpool: LIFNeuronTorch (a plain LIF), LIFTorch (current-based), and its recurrent form.

Its exporter leaves the recurrent weights out without a word: they are joined to the exported layer here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import nir
import torch
from rockpool.nn.combinators import Sequential
from rockpool.nn.modules import LIFNeuronTorch, LIFTorch, LinearTorch
from rockpool.nn.modules.torch.nir import to_nir

from tests.comparison.case import DT_S, Case, noise

NAME = "rockpool"
PRESET = {"preset": "rockpool", "dt_s": DT_S}


def cases() -> Iterator[Case]:
    yield feed_forward("LIFNeuronTorch", membrane, 1.0)
    yield feed_forward("LIFTorch", current, 0.6)
    yield recurrent()


def membrane(size: int) -> Any:
    return LIFNeuronTorch(size, tau_mem=torch.rand(size) * 0.01 + 0.004, noise_std=0.0, dt=DT_S)


def current(size: int, **recurrence: Any) -> Any:
    tau_mem, tau_syn = torch.rand(size) * 0.01 + 0.004, torch.rand(size, 1) * 0.004 + 0.003
    return LIFTorch((size, size), tau_mem=tau_mem, tau_syn=tau_syn, noise_std=0.0, dt=DT_S, **recurrence)


def linear(inputs: int, outputs: int, factor: float) -> Any:
    weight = (torch.rand(inputs, outputs) * 2 - 1) * factor * (3 / inputs) ** 0.5
    return LinearTorch((inputs, outputs), weight=weight, has_bias=False)


def feed_forward(name: str, neuron: Any, factor: float) -> Case:
    torch.manual_seed(1)
    parts = [linear(20, 32, factor), neuron(32), linear(32, 10, factor), neuron(10)]
    x = noise((20,), 0.1, 1)
    spikes, _ = run(parts, x)
    graph = to_nir(Sequential(*parts), torch.tensor(x[None, :1]))
    return Case(NAME, name, PRESET, graph, x, spikes, golden=neuron is membrane)


def recurrent() -> Case:
    torch.manual_seed(3)
    back = torch.randn(24, 24) * 0.008 - 0.01
    parts = [linear(12, 24, 0.6), current(24, has_rec=True, w_rec=back), linear(24, 6, 0.6), current(6)]
    x = noise((12,), 0.1, 3)
    spikes, states = run(parts, x)
    graph = to_nir(Sequential(*parts), torch.tensor(x[None, :1]))
    name = next(key for key in graph.nodes if key.startswith("1_"))
    graph.nodes["back"] = nir.Linear(back.numpy().T)
    edges = [*graph.edges, (name, "back"), ("back", name)]
    graph = nir.NIRGraph(graph.nodes, edges, type_check=False)
    return Case(NAME, "LIFTorch with w_rec", PRESET, graph, x, spikes, states)


def run(parts: list[Any], x: Any) -> tuple[list[Any], list[Any]]:
    data = torch.tensor(x[None])
    spikes, states = [], []
    with torch.no_grad():
        for part in parts:
            data, _, record = part(data, record=True)
            if not isinstance(part, LinearTorch):
                spikes.append(data[0].numpy())
                states.append(
                    [record["vmem"][0].numpy(), *([record["isyn"][0, :, :, 0].numpy()] if "isyn" in record else [])]
                )
    return spikes, states
