# mypy: disable-error-code="import-not-found"
# The simulators live in an environment of their own.
"""SpikingJelly: LIFNode in both input scalings, CUBALIFNode, IFNode, and a linear recurrent container.

Its exporter knows no container: the parts are exported one by one and joined here as the container runs them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import nir
import torch
from spikingjelly.activation_based import functional, layer, neuron
from spikingjelly.activation_based.nir_exchange import export_to_nir

from tests.comparison.case import DT_S, Case, Recorder, noise, scale
from tests.comparison.norse_networks import chain

NAME = "spikingjelly"
PRESET = {"preset": "spikingjelly", "dt_s": DT_S}


def cases() -> Iterator[Case]:
    yield feed_forward("LIFNode (its default: decay_input)", lambda: neuron.LIFNode(tau=8.0), 30.0, DT_S)
    yield feed_forward("LIFNode, decay_input=False", lambda: neuron.LIFNode(tau=8.0, decay_input=False), 3.0, DT_S)
    old = {"dialect": PRESET | {"tau_tick_s": 1e-4}}
    yield feed_forward("LIFNode, exported with its default dt", lambda: neuron.LIFNode(tau=8.0), 30.0, 1e-4, **old)
    yield feed_forward("CUBALIFNode", lambda: neuron.CUBALIFNode(0.6, 0.85), 1.0, DT_S)
    yield convolution()
    yield recurrent()


def feed_forward(name: str, make: Any, factor: float, dt: float, dialect: Any = PRESET) -> Case:
    torch.manual_seed(1)
    first, second = make(), make()
    net = torch.nn.Sequential(layer.Linear(20, 32), first, layer.Linear(32, 10, bias=False), second)
    scale(net, factor)
    x = noise((20,), 0.1, 1)
    return run(net, [first, second], name, dialect, x, export_to_nir(net, torch.tensor(x[:1]), dt=dt))


def convolution() -> Case:
    torch.manual_seed(2)
    first, second = neuron.IFNode(), neuron.IFNode()
    net = torch.nn.Sequential(
        layer.Conv2d(2, 4, 3, stride=(1, 2), padding=1),
        first,
        layer.AvgPool2d(2),
        layer.Flatten(),
        layer.Linear(40, 10),
        second,
    )
    scale(net, 2.0)
    x = noise((2, 10, 10), 0.1, 2)
    graph = export_to_nir(net, torch.tensor(x[:1]), dt=DT_S)
    return run(net, [first, second], "convolution, AvgPool, IFNode", PRESET, x, graph)


def recurrent() -> Case:
    torch.manual_seed(3)
    first, second = neuron.LIFNode(tau=8.0), neuron.LIFNode(tau=8.0)
    into, out = layer.Linear(12, 24), layer.Linear(24, 6)
    container = layer.LinearRecurrentContainer(first, in_features=24, out_features=24)
    for module in (into, out, container):
        scale(module, 30.0)
    container.rc.weight.data[:, :24] = torch.eye(24)
    x = noise((12,), 0.1, 3)
    frame, hidden = torch.tensor(x[:1]), torch.zeros(1, 24)
    into_n, first_n = exported(into, frame), exported(first, hidden)
    out_n, second_n = exported(out, hidden), exported(second, torch.zeros(1, 6))
    back = torch.nn.Linear(24, 24)
    back.weight.data, back.bias.data = container.rc.weight.data[:, 24:], container.rc.bias.data
    nodes = {"input": nir.Input((12,)), "into": into_n, "first": first_n, "out": out_n, "second": second_n}
    graph = chain(nodes | {"output": nir.Output((6,))}, back=("first", exported(back, hidden)))
    net = torch.nn.Sequential(into, container, out, second)
    return run(net, [first, second], "LinearRecurrentContainer", PRESET, x, graph, loop=True)


def exported(module: Any, sample: Any) -> Any:
    """One module as SpikingJelly exports it."""
    graph = export_to_nir(torch.nn.Sequential(module), sample, dt=DT_S)
    functional.reset_net(module)
    return next(node for node in graph.nodes.values() if not isinstance(node, nir.Input | nir.Output))


def run(net: Any, layers: Any, name: str, dialect: Any, x: Any, graph: Any, loop: bool = False) -> Case:
    functional.reset_net(net)
    recorder = Recorder(layers, (lambda module, output: [module.v]) if loop else None)
    with torch.no_grad():
        for frame in torch.tensor(x):
            net(frame[None])
    states = recorder.states() if loop else ()
    return Case(NAME, name, dialect, graph, x, recorder.spikes(), states, golden="default dt" not in name)
