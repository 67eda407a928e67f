# mypy: disable-error-code="import-not-found, misc"
# The simulators live in an environment of their own.
"""Norse: LIFBox (a plain LIF), LIF (its own current-based cell), IAF, and a loop around a LIFBox.

Its exporter knows no recurrent cell: the loop's parts are exported one by one and joined here as the network runs them.
It writes tau = dt / tau_mem_inv, so that only dt=1.0 gives seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import nir
import norse.torch as norse
import numpy as np
import torch
from norse.torch.utils.export_nir import _extract_norse_module, to_nir

from tests.comparison.case import DT_S, Case, Recorder, noise, scale

NAME = "norse"
PRESET = {"preset": "norse", "dt_s": DT_S}


def cases() -> Iterator[Case]:
    yield feed_forward("LIFBoxCell, exported with dt=1.0", PRESET, box, 1.0)
    yield feed_forward("LIFBoxCell, exported with its default dt", PRESET | {"tau_tick_s": 1e-6}, box, 1e-3)
    yield feed_forward("LIFCell, exported with dt=1.0", PRESET | {"preset": "norse_lifcell"}, cell, 1.0)
    yield convolution()
    yield recurrent()


def box(size: int) -> Any:
    tau = torch.rand(size) * 0.01 + 0.004
    return norse.LIFBoxCell(
        norse.LIFBoxParameters(tau_mem_inv=1 / tau, v_th=torch.ones(size), v_leak=torch.zeros(size))
    )


def cell(size: int) -> Any:
    mem, syn = torch.rand(size) * 0.01 + 0.004, torch.rand(size) * 0.004 + 0.003
    return norse.LIFCell(
        norse.LIFParameters(tau_mem_inv=1 / mem, tau_syn_inv=1 / syn, v_th=torch.ones(size), v_leak=torch.zeros(size))
    )


def feed_forward(name: str, dialect: Any, neuron: Any, dt: float) -> Case:
    torch.manual_seed(1)
    first, second = neuron(32), neuron(10)
    net = norse.SequentialState(torch.nn.Linear(20, 32), first, torch.nn.Linear(32, 10), second)
    scale(net, 30.0 if neuron is box else 6.0)
    x = noise((20,), 0.1, 1)
    return run(net, [first, second], name, dialect, x, to_nir(net, torch.tensor(x[:1]), dt=dt))


def convolution() -> Case:
    torch.manual_seed(2)
    first = norse.IAFCell(norse.IAFParameters(v_th=torch.ones(4, 10, 4)))
    second = norse.IAFCell(norse.IAFParameters(v_th=torch.ones(10)))
    net = norse.SequentialState(
        torch.nn.Conv2d(2, 4, (3, 5), stride=(1, 2), padding=1),
        first,
        torch.nn.Flatten(),
        torch.nn.Linear(160, 10),
        second,
    )
    scale(net, 2.0)
    x = noise((2, 10, 10), 0.1, 2)
    nodes = {"input": nir.Input(x.shape[1:]), **{f"{k}": part(net[k]) for k in range(5)}, "output": nir.Output((10,))}
    nodes["0"].input_shape, nodes["2"].input_type = (10, 10), {"input": np.array((4, 10, 4))}
    return run(net, [first, second], "convolution 3x5, IAFCell", PRESET, x, chain(nodes))


def recurrent() -> Case:
    torch.manual_seed(3)
    first, second = box(24), box(6)
    into, back, out = torch.nn.Linear(12, 24), torch.nn.Linear(24, 24, bias=False), torch.nn.Linear(24, 6)
    for module in (into, back, out):
        scale(module, 30.0)
    x = noise((12,), 0.1, 3)
    nodes = {
        "input": nir.Input((12,)),
        "into": part(into),
        "first": part(first),
        "out": part(out),
        "second": part(second),
    }
    graph = chain(nodes | {"output": nir.Output((6,))}, back=("first", part(back)))

    class Loop(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = first, second

        def forward(self, frame: Any, state: Any) -> Any:
            z, s1, s2 = (torch.zeros(1, 24), None, None) if state is None else state
            z, s1 = self.first(into(frame) + back(z), s1)
            y, s2 = self.second(out(z), s2)
            return y, (z, s1, s2)

    return run(Loop(), [first, second], "loop around LIFBoxCell", PRESET, x, graph, loop=True)


def part(module: Any) -> Any:
    """One module as Norse exports it."""
    if isinstance(module, torch.nn.Flatten):
        return nir.Flatten(None, 0, -1)
    return _extract_norse_module(module, dt=1.0)


def chain(nodes: dict[str, Any], back: tuple[str, Any] | None = None) -> Any:
    """Nodes one after another, and a node from one of them to itself."""
    names = list(nodes)
    edges = list(pairwise(names))
    if back is not None:
        nodes = nodes | {"back": back[1]}
        edges += [(back[0], "back"), ("back", back[0])]
    return nir.NIRGraph(nodes, edges, type_check=False)


def run(net: Any, layers: Any, name: str, dialect: Any, x: Any, graph: Any, loop: bool = False) -> Case:
    recorder = Recorder(layers, state if loop else None)
    past = None
    with torch.no_grad():
        for frame in torch.tensor(x):
            _, past = net(frame[None], past)
    states = recorder.states() if loop else ()
    return Case(NAME, name, dialect, graph, x, recorder.spikes(), states, golden="default dt" not in name)


def state(module: Any, output: Any) -> list[Any]:
    return [output[1].v]
