"""Nodes beyond NIR: equations, parameters, and the NIR node each is stored as.

Threshold models start from the tick their NIR node has under the dialect. For `refractory` seconds after a spike, in
whole ticks and never less, the potential holds and takes nothing in; a synaptic current goes on.

    RefractoryIF, RefractoryLIF, RefractoryCubaLIF     as IF, LIF, CubaLIF
    AdaptiveLIF    fires at v_threshold + beta b,  b <- rho b + (1 - rho) z,  rho = leak over tau_a  (LSNN: Bellec et
                   al. 2018); a reset by subtraction takes the threshold of the moment
    SRM            fires at v + q, with v the current-based membrane, never reset, never floored, and
                   q = -eta sum exp(-(t - t_spike) / tau_refractory); once a tick  (Gerstner's SRM0)

Competition within a layer, for each of those: of the neurons at threshold in one tick the one furthest above fires
first (of equals the first in memory: channels of a place, then places), and takes `inhibition` from the potential of
every other neuron at once, before the next one is judged; at most `winners` fire (0: no limit). Losers keep what they
have. A tick with inhibition touches its whole layer.

The published models are stepped; their drive r x holds for the tick, limited to 1e6 either way. Their units are the
published ones: ms, mV.

    Izhikevich      v' = 0.04 v^2 + 5 v + 140 - u + r x,  u' = a (b v - u);  v >= v_peak: v <- c, u <- u + d
                    (Izhikevich 2003; Euler, v first and cut off at its peak, steps of at most 0.5 ms)
    HodgkinHuxley   c_m v' = r x - g_na m^3 h (v - e_na) - g_k n^4 (v - e_k) - g_l (v - e_l);  a spike is an upward
                    crossing of v_threshold  (rates of the squid axon at rest -65 mV, read between -150 and
                    150 mV; exponential Euler, steps of at most 0.01 ms)

    MaxPool2d       each window passes on what its leader's running count gains: out = max(count) - all out before
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar

import numpy as np

from nets import nodes as n
from nets.errors import GraphError
from nets.sigma_delta.node import SigmaDelta, Surface

VERSION = 1
FLAG = "needs_tectum"
"""Graph metadata: which node types of the file only tectum reads as what they are."""
STORED = ("version", "op", "parameters")
"""What a stored model adds to the `tectum` metadata of its NIR node."""


class ExportWarning(UserWarning):
    """A written file holds nodes that other readers take for something simpler."""


def _check(node: n.Node, names: tuple[str, ...], *, zero: bool = False) -> None:
    for name in names:
        value = getattr(node, name)
        if not ((value >= 0) if zero else (value > 0)).all():
            expected = "0 or more" if zero else "above 0"
            raise GraphError(f"{node.kind}.{name} is {value.min()}, expected {expected}")


@dataclass(frozen=True, eq=False, kw_only=True)
class _Competing(n.SpikingModel):
    """`winners` a tick in the whole layer, and the potential each spike takes from all others."""

    winners: Any = 0
    inhibition: Any = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("winners", "inhibition"):
            if getattr(self, name).size != 1:
                raise GraphError(f"{self.kind}.{name} has shape {getattr(self, name).shape}, expected one number")
        _check(self, ("winners", "inhibition"), zero=True)
        if float(self.winners) % 1:
            raise GraphError(f"{self.kind}.winners is {float(self.winners)}, expected a whole number")


@dataclass(frozen=True, eq=False, kw_only=True)
class _Refractory(_Competing):
    """`refractory` in seconds."""

    refractory: Any = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(self, ("refractory",), zero=True)


@dataclass(frozen=True, eq=False, kw_only=True)
class RefractoryIF(_Refractory):
    r: Any
    v_threshold: Any
    v_reset: Any = 0.0

    STORED_AS: ClassVar[type[n.Node]] = n.IF


@dataclass(frozen=True, eq=False, kw_only=True)
class RefractoryLIF(_Refractory):
    tau: Any
    r: Any
    v_leak: Any
    v_threshold: Any
    v_reset: Any = 0.0

    STORED_AS: ClassVar[type[n.Node]] = n.LIF


@dataclass(frozen=True, eq=False, kw_only=True)
class RefractoryCubaLIF(_Refractory):
    tau_syn: Any
    tau_mem: Any
    r: Any
    v_leak: Any
    v_threshold: Any
    v_reset: Any = 0.0
    w_in: Any = 1.0

    STORED_AS: ClassVar[type[n.Node]] = n.CubaLIF


@dataclass(frozen=True, eq=False, kw_only=True)
class AdaptiveLIF(RefractoryLIF):
    """tau_a in seconds."""

    beta: Any
    tau_a: Any

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(self, ("beta",), zero=True)
        _check(self, ("tau_a",))


@dataclass(frozen=True, eq=False, kw_only=True)
class SRM(_Competing):
    tau_syn: Any
    tau_mem: Any
    tau_refractory: Any
    r: Any
    v_leak: Any
    v_threshold: Any
    eta: Any
    w_in: Any = 1.0

    STORED_AS: ClassVar[type[n.Node]] = n.CubaLIF

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(self, ("eta",), zero=True)
        _check(self, ("tau_refractory",))


@dataclass(frozen=True, eq=False, kw_only=True)
class Izhikevich(n.SpikingModel):
    """Regular spiking by default; a fast spiking neuron has a = 0.1, d = 2."""

    a: Any = 0.02
    b: Any = 0.2
    c: Any = -65.0
    d: Any = 8.0
    v_peak: Any = 30.0
    r: Any = 1.0

    STORED_AS: ClassVar[type[n.Node]] = n.IF

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(self, ("a",))
        if not np.all(np.less(self.c, self.v_peak)):
            raise GraphError(f"{self.kind}.c is {np.max(self.c)}, expected below v_peak {np.min(self.v_peak)}")


@dataclass(frozen=True, eq=False, kw_only=True)
class HodgkinHuxley(n.SpikingModel):
    """uF, mS and uA per square centimetre."""

    c_m: Any = 1.0
    g_na: Any = 120.0
    g_k: Any = 36.0
    g_l: Any = 0.3
    e_na: Any = 50.0
    e_k: Any = -77.0
    e_l: Any = -54.4
    v_threshold: Any = 0.0
    r: Any = 1.0

    STORED_AS: ClassVar[type[n.Node]] = n.IF

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(self, ("c_m", "g_l"))
        _check(self, ("g_na", "g_k"), zero=True)


@dataclass(frozen=True, eq=False, kw_only=True)
class MaxPool2d(n.Pooling):
    kernel_size: Any
    stride: Any
    padding: Any = 0

    STORED_AS: ClassVar[type[n.Node]] = n.SumPool2d


Model = (
    RefractoryIF
    | RefractoryLIF
    | RefractoryCubaLIF
    | AdaptiveLIF
    | SRM
    | Izhikevich
    | HodgkinHuxley
    | MaxPool2d
    | SigmaDelta
    | Surface
)
MODELS: dict[str, type[Model]] = {
    kind.__name__: kind
    for kind in (
        *(RefractoryIF, RefractoryLIF, RefractoryCubaLIF, AdaptiveLIF, SRM),
        *(Izhikevich, HodgkinHuxley, MaxPool2d, SigmaDelta, Surface),
    )
}


def plain(node: Model, shape: tuple[int, ...] | None = None) -> n.Node:
    """The NIR node a model is stored as; with a `shape`, every parameter written out to it, as `nir` wants them."""
    own = n.parameter_names(type(node))
    given = {name: getattr(node, name) for name in n.parameter_names(node.STORED_AS) if name in own}
    if isinstance(node, Izhikevich):
        given |= {"v_threshold": node.v_peak, "v_reset": node.c}
    elif isinstance(node, HodgkinHuxley | SRM):
        given["v_reset"] = 0.0
    elif isinstance(node, SigmaDelta):
        given = {"r": node.levels, "v_threshold": 1.0, "v_reset": 0.0}
    if shape is not None and not isinstance(node, MaxPool2d):
        given = {name: np.broadcast_to(value, shape) for name, value in given.items()}
    return node.STORED_AS(**given)


def stored(node: Model, shape: tuple[int, ...]) -> n.Node:
    """`plain`, with what it cannot say in its metadata: `tectum` = {version, op, parameters}."""
    written = plain(node, shape)
    parameters = {
        name: _to_json(getattr(node, name))
        for name in n.parameter_names(type(node))
        if not _equal(getattr(node, name), getattr(written, name, None))
    }
    table = dict(node.metadata.get("tectum", {})) | {"version": VERSION, "op": node.kind, "parameters": parameters}
    return type(written)(
        **{name: getattr(written, name) for name in n.parameter_names(type(written))},
        metadata=node.metadata | {"tectum": table},
    )


def restored(node: n.Node) -> n.Node:
    """The model that a stored node stands for; any other node is returned as it is."""
    table = node.metadata.get("tectum")
    if not isinstance(table, Mapping) or "op" not in table:
        return node
    kind = MODELS.get(str(table["op"]))
    if kind is None or kind.STORED_AS is not type(node):
        raise GraphError(f"metadata 'tectum': op {table['op']!r} on {node.kind}, expected one of {', '.join(MODELS)}")
    if table.get("version") != VERSION or not isinstance(table.get("parameters"), Mapping):
        raise GraphError(f"metadata 'tectum': version {table.get('version')!r} of {kind.__name__}, expected {VERSION}")
    given: dict[str, Any] = {}
    defaults = {f.name for f in fields(kind) if f.default is not MISSING}
    for name in n.parameter_names(kind):
        if name in table["parameters"]:
            given[name] = _from_json(f"{kind.__name__}.{name}", table["parameters"][name])
        elif hasattr(node, name):
            given[name] = getattr(node, name)
        elif name not in defaults:
            raise GraphError(f"metadata 'tectum': {kind.__name__} without {name}")
    rest = {key: value for key, value in table.items() if key not in STORED}
    kept = {key: value for key, value in node.metadata.items() if key != "tectum"}
    return kind(**given, metadata=kept | ({"tectum": rest} if rest else {}))


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and bool((a == b).all())
    return type(a) is type(b) and bool(a == b)


def _to_json(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return {"dtype": value.dtype.name, "shape": list(value.shape), "values": value.ravel().tolist()}
    return value


def _from_json(name: str, value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    dtype, shape, values = value.get("dtype"), value.get("shape"), value.get("values")
    try:
        if dtype not in ("float32", "float64"):
            raise ValueError(f"dtype {dtype!r}")
        return np.array(values, dtype).reshape(shape)
    except (ValueError, TypeError) as error:
        raise GraphError(f"metadata 'tectum': {name} is not an array: {error}") from None
