"""Random small networks of the models beyond NIR, and their input."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from nets import models as m
from nets import nodes as n
from nets.dialect import resolve
from nets.graph import Graph
from tests.reference.random_networks import DIALECTS, DT_NS, Case

KINDS = ("RefractoryIF", "RefractoryLIF", "RefractoryCubaLIF", "AdaptiveLIF", "SRM", "Izhikevich", "HodgkinHuxley")


@st.composite
def model_cases(draw: st.DrawFn) -> Case:
    """One or two layers of models, with a max pool between them where the first stands in an image."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rules = draw(DIALECTS) | {"reset_at": "spike"}

    def model(shape: tuple[int, ...]) -> n.Node:
        one = draw(st.booleans())

        def p(low: float, high: float) -> Any:
            return np.full(shape, rng.uniform(low, high)) if one else rng.uniform(low, high, shape)

        compete: dict[str, Any] = {
            "winners": draw(st.sampled_from([0, 0, 1, 2])),
            "inhibition": draw(st.sampled_from([0.0, 0.0, 0.3, 1.5])),
        }
        hold: dict[str, Any] = {"refractory": draw(st.sampled_from([0.0, 0.001, 0.003, 0.0043]))} | compete
        leak = p(-0.5, 0.4) if draw(st.booleans()) else p(0.3, 2.5)
        threshold = {"v_threshold": p(0.5, 2)}
        reset = {"v_reset": p(-0.2, 0.2)}
        current = {"tau_syn": p(0.002, 0.01), "tau_mem": p(0.002, 0.02), "r": p(0.5, 3), "w_in": p(0.5, 2)}
        match draw(st.sampled_from(KINDS)):
            case "RefractoryIF":
                return m.RefractoryIF(r=p(0.5, 2), **threshold, **reset, **hold)
            case "RefractoryLIF":
                return m.RefractoryLIF(tau=p(0.002, 0.02), r=p(0.5, 3), v_leak=leak, **threshold, **reset, **hold)
            case "AdaptiveLIF":
                adapt = {"beta": p(0, 2), "tau_a": p(0.005, 0.3)}
                return m.AdaptiveLIF(
                    tau=p(0.002, 0.02), r=p(0.5, 3), v_leak=leak, **threshold, **reset, **hold, **adapt
                )
            case "RefractoryCubaLIF":
                return m.RefractoryCubaLIF(**current, v_leak=leak, **threshold, **reset, **hold)
            case "SRM":
                kernel = {"tau_refractory": p(0.002, 0.02), "eta": p(0, 3)}
                return m.SRM(**current, v_leak=leak, **threshold, **kernel, **compete)
            case "Izhikevich":
                return m.Izhikevich(a=p(0.02, 0.1), d=p(2, 8), r=p(5, 30))
            case _:
                return m.HodgkinHuxley(g_na=p(100, 130), r=p(5, 30))

    nodes: dict[str, n.Node] = {}
    edges: list[tuple[str, str]] = []
    order: list[str] = []
    shape: tuple[int, ...]
    if draw(st.booleans()):
        height, width = draw(st.integers(2, 5)), draw(st.integers(2, 5))
        shape, image = (2, height, width), (3, height, width)
        nodes["input"] = n.Input(shape)
        nodes["conv"] = n.Conv2d(None, rng.uniform(-0.6, 1, (3, 2, 3, 3)), 1, 1, 1, 1, rng.uniform(-0.1, 0.1, 3))
        nodes["first"] = model(image)
        nodes["pool"] = m.MaxPool2d(
            kernel_size=(draw(st.integers(1, 2)), 2), stride=draw(st.integers(1, 2)), padding=draw(st.integers(0, 1))
        )
        nodes["flat"] = n.Flatten()
        edges += [("input", "conv"), ("conv", "first"), ("first", "pool"), ("pool", "flat")]
        order += ["first", "pool"]
        pool: Any = nodes["pool"]
        (ky, kx), (sy, sx), (py, px) = n.pair(pool.kernel_size), n.pair(pool.stride), n.pair(pool.padding)
        width = 3 * ((height + 2 * py - ky) // sy + 1) * ((width + 2 * px - kx) // sx + 1)
        last = "flat"
    else:
        width = draw(st.integers(1, 5))
        shape = (width,)
        nodes["input"] = n.Input(shape)
        last = "input"
    for k in range(draw(st.integers(1, 2))):
        out = draw(st.integers(1, 5))
        nodes[f"fc{k}"] = n.Affine(rng.uniform(-0.6, 1, (out, width)), rng.uniform(-0.2, 0.3, out))
        nodes[f"layer{k}"] = model((out,))
        edges += [(last, f"fc{k}"), (f"fc{k}", f"layer{k}")]
        order.append(f"layer{k}")
        if draw(st.booleans()):
            nodes[f"rec{k}"] = n.Linear(rng.uniform(-0.6, 0.6, (out, out)))
            edges += [(f"layer{k}", f"rec{k}"), (f"rec{k}", f"layer{k}")]
        last, width = f"layer{k}", out
    nodes["output"] = n.Output((width,))
    edges.append((last, "output"))
    graph = Graph(nodes, edges)

    ticks = draw(st.integers(1, 25))
    count = rng.poisson(draw(st.sampled_from([0.3, 2.0, 12.0])) * ticks)
    t = np.sort(rng.integers(0, ticks * DT_NS, count)).astype(np.int64)
    index = rng.integers(0, int(np.prod(shape)), count).astype(np.int32)
    value: NDArray[np.float32] = np.ones(count, np.float32)
    if draw(st.booleans()):
        value = rng.choice([-1, 0.5, 1, 2], count).astype(np.float32)
    return Case(graph, resolve(graph, None, rules), order, [], t, index, value, ticks)
