# mypy: disable-error-code="import-not-found"
# The simulators live in an environment of their own.
"""snnTorch: Leaky, Synaptic and their recurrent forms, in both of its reset modes.

Every decay rate and threshold is given per neuron: with plain numbers its exporter fails against `nir` 1.0.8.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import snntorch as snn
import torch
from snntorch.export_nir import export_to_nir

from tests.comparison.case import DT_S, Case, Recorder, noise, scale

NAME = "snntorch"
DEFAULT = {"preset": "snntorch_subtract", "dt_s": DT_S}
IMPORTED = {"preset": "snntorch", "dt_s": DT_S}
NOW = {"reset_mechanism": "zero", "reset_delay": False}
LATER = {"reset_mechanism": "zero", "reset_delay": True}


def cases() -> Iterator[Case]:
    yield feed_forward("Leaky, subtract (its default)", DEFAULT, leaky, {})
    yield feed_forward("Leaky, zero, reset_delay=False", IMPORTED, leaky, NOW)
    yield feed_forward("Leaky, zero, delayed", IMPORTED, leaky, LATER)
    yield feed_forward("Synaptic, subtract (its default)", DEFAULT, synaptic, {})
    yield feed_forward("Synaptic, zero, reset_delay=False", IMPORTED, synaptic, NOW)
    why = "after a spike snnTorch also wipes the next tick's drive of the potential; set reset_delay=False in snnTorch"
    yield feed_forward("Synaptic, zero, delayed", IMPORTED, synaptic, LATER, note=why, expected=0.0)
    yield convolution()
    yield recurrent("RLeaky, subtract (its default)", DEFAULT, {})
    yield recurrent("RLeaky, zero, reset_delay=False", IMPORTED, NOW)
    yield recurrent("RSynaptic, subtract (its default)", DEFAULT, {}, alpha=0.8)


def leaky(shape: tuple[int, ...], rules: Any) -> Any:
    return snn.Leaky(torch.rand(shape) * 0.2 + 0.75, threshold=torch.ones(shape), init_hidden=True, **rules)


def synaptic(shape: tuple[int, ...], rules: Any) -> Any:
    alpha, beta = torch.rand(shape) * 0.3 + 0.5, torch.rand(shape) * 0.2 + 0.75
    return snn.Synaptic(alpha, beta, threshold=torch.ones(shape), init_hidden=True, **rules)


def feed_forward(name: str, dialect: Any, neuron: Any, rules: Any, note: str = "", expected: float = 0.99) -> Case:
    torch.manual_seed(1)
    first, second = neuron((32,), rules), neuron((10,), rules)
    net = torch.nn.Sequential(torch.nn.Linear(20, 32), first, torch.nn.Linear(32, 10, bias=False), second)
    scale(net, 3.0 if neuron is leaky else 1.2)
    return run(net, [first, second], name, dialect, noise((20,), 0.1, 1), note=note, expected=expected)


def convolution() -> Case:
    torch.manual_seed(2)
    first, second = leaky((4, 10, 5), {}), leaky((10,), {})
    net = torch.nn.Sequential(
        torch.nn.Conv2d(2, 4, 3, stride=(1, 2), padding=1),
        first,
        torch.nn.AvgPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(4 * 5 * 2, 10),
        second,
    )
    scale(net, 3.0)
    return run(net, [first, second], "convolution, pooling, Leaky", DEFAULT, noise((2, 10, 10), 0.1, 2))


def recurrent(name: str, dialect: Any, rules: Any, alpha: float | None = None) -> Case:
    torch.manual_seed(3)
    beta = torch.rand(24) * 0.2 + 0.75
    settings = {"threshold": torch.ones(24), "linear_features": 24, "init_hidden": True, **rules}
    middle = (
        snn.RLeaky(beta, **settings) if alpha is None else snn.RSynaptic(torch.full((24,), alpha), beta, **settings)
    )
    last = leaky((6,), rules)
    net = torch.nn.Sequential(torch.nn.Linear(12, 24), middle, torch.nn.Linear(24, 6), last)
    scale(net, 3.0 if alpha is None else 1.2)
    return run(net, [middle, last], name, dialect, noise((12,), 0.1, 3), loop=True)


def run(
    net: Any, layers: Any, name: str, dialect: Any, x: Any, note: str = "", expected: float = 0.99, loop: bool = False
) -> Case:
    graph = export_to_nir(net, torch.tensor(x[:1]), ignore_dims=[0])
    for layer in layers:
        layer.reset_mem()
    recorder = Recorder(layers, state if loop else None)
    with torch.no_grad():
        for frame in torch.tensor(x):
            net(frame[None])
    states = recorder.states() if loop else ()
    kept = "delayed" not in name and not name.startswith(("RLeaky, subtract", "convolution"))
    return Case(NAME, name, dialect, graph, x, recorder.spikes(), states, note=note, expected=expected, golden=kept)


def state(module: Any, spikes: Any) -> list[Any]:
    """Potential and current after a tick, with the subtraction that snnTorch does one tick late already in it."""
    late = module.reset_delay and module.reset_mechanism == "subtract"
    mem = module.mem - spikes * module.threshold / module.beta if late else module.mem
    return [mem, *([module.syn] if hasattr(module, "syn") else [])]
