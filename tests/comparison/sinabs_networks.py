# mypy: disable-error-code="import-not-found"
# The simulators live in an environment of their own.
"""Sinabs: IAF as in its event-camera networks, LIF in both input scalings, and a recurrent LIF.

Its exporter knows no recurrent layer: the parts are exported one by one and joined here as the layer runs them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import nir
import numpy as np
import sinabs.layers as sl
import torch
from sinabs.nir import _extract_sinabs_module, to_nir

from tests.comparison.case import DT_S, TICKS, Case, noise, scale
from tests.comparison.norse_networks import chain

NAME = "sinabs"
PRESET = {"preset": "sinabs", "dt_s": DT_S}


def cases() -> Iterator[Case]:
    yield convolution("convolution 3x5, SumPool, IAF with min_v_mem=-1", PRESET, {"min_v_mem": -1.0})
    yield convolution("convolution 3x5, SumPool, IAF (its default)", PRESET | {"floor": "none"}, {})
    yield feed_forward("LIF, norm_input=False", PRESET, {"norm_input": False}, 2.0)
    yield feed_forward("LIF (its default: norm_input=True)", PRESET | {"input_gain": "decay"}, {}, 30.0)
    yield recurrent()


def convolution(name: str, dialect: Any, rules: Any) -> Case:
    torch.manual_seed(2)
    first, second = sl.IAFSqueeze(batch_size=1, **rules), sl.IAFSqueeze(batch_size=1, **rules)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(2, 4, (3, 5), stride=(1, 2), padding=1, bias=False),
        first,
        sl.SumPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(40, 10, bias=False),
        second,
    )
    for module in (net[0], net[4]):
        scale(module, 3.0)
    return run(net, [first, second], name, dialect, noise((2, 10, 10), 0.1, 2))


def feed_forward(name: str, dialect: Any, rules: Any, factor: float) -> Case:
    torch.manual_seed(1)
    first = sl.LIFSqueeze(tau_mem=torch.rand(32) * 10 + 4, spike_threshold=torch.ones(32), batch_size=1, **rules)
    second = sl.LIFSqueeze(tau_mem=torch.rand(10) * 10 + 4, spike_threshold=torch.ones(10), batch_size=1, **rules)
    net = torch.nn.Sequential(torch.nn.Linear(20, 32), first, torch.nn.Linear(32, 10), second)
    for module in (net[0], net[2]):
        scale(module, factor)
    return run(net, [first, second], name, dialect, noise((20,), 0.1, 1))


def run(net: Any, layers: Any, name: str, dialect: Any, x: Any) -> Case:
    spikes: list[Any] = [None] * len(layers)
    for k, layer in enumerate(layers):
        layer.register_forward_hook(lambda module, given, out, k=k: spikes.__setitem__(k, out.detach().numpy()))
    with torch.no_grad():
        graph = to_nir(net, torch.tensor(x[:1]))
        for node in graph.nodes.values():
            if isinstance(node, nir.Conv2d):  # what `nir` cannot infer for kernels that are not square
                node.input_shape = x.shape[2:]
            elif isinstance(node, nir.Flatten):
                node.input_type = {"input": np.array((4, 5, 2))}
        for layer in layers:
            layer.reset_states()
        net(torch.tensor(x))
    found = [array.reshape(TICKS, *array.shape[1:]) for array in spikes]
    return Case(NAME, name, dialect, graph, x, found, golden=not name.endswith("IAF (its default)"))


def recurrent() -> Case:
    torch.manual_seed(3)
    into, back, out = torch.nn.Linear(12, 24), torch.nn.Linear(24, 24, bias=False), torch.nn.Linear(24, 6)
    rules = {"norm_input": False, "record_states": True}
    first = sl.LIFRecurrent(torch.rand(24) * 10 + 4, back, spike_threshold=torch.ones(24), **rules)
    second = sl.LIF(torch.rand(6) * 10 + 4, spike_threshold=torch.ones(6), **rules)
    plain = sl.LIF(first.tau_mem.detach(), spike_threshold=torch.ones(24), shape=(1, 24))
    x = noise((12,), 0.1, 3)
    with torch.no_grad():
        z = first(into(torch.tensor(x)[None]))
        y = second(out(z))
    nodes = {"input": nir.Input((12,)), "into": into, "first": plain, "out": out, "second": second}
    parts = {k: v if isinstance(v, nir.Input) else _extract_sinabs_module(v) for k, v in nodes.items()}
    graph = chain(parts | {"output": nir.Output((6,))}, back=("first", _extract_sinabs_module(back)))
    # the recurrent layer's own record shows, for each tick, the next tick's potential before its reset
    before = np.concatenate(
        [into(torch.tensor(x[:1])).detach().numpy(), first.recordings["v_mem"][0, :-1].detach().numpy()]
    )
    states = [[before - z[0].numpy()], [second.recordings["v_mem"][0].detach().numpy()]]
    return Case(NAME, "LIFRecurrent", PRESET, graph, x, [z[0].numpy(), y[0].numpy()], states)
