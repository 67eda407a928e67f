"""A dialect: what a clock tick makes of NIR's continuous equations. NIR does not say, and it decides the result.

One tick of a neuron with input x (the weighted sum of the tick's spikes and its biases), in this order:

    current    decay_add      i <- alpha i + w x;  uses i           alpha = leak over tau_syn
               add_decay      i <- alpha (i + w x);  uses i
               add_use_decay  uses i + w x;  then i <- alpha (i + w x)
               use_old        uses i;  then i <- alpha i + w x
    membrane   v <- v_leak + a (v - v_leak) + gain R i              a = leak over tau_mem (1 for I and IF)
    leak       exponential    exp(-h / tau)         euler  1 - h / tau              h = tau_tick_s
    input_gain unit           gain = 1              decay  gain = 1 - a
    synapse_gain              the same for w: w_in, or w_in (1 - alpha); as input_gain where it is not stated
    if_gain    unit           gain = 1 for I, IF    dt     gain = h
    slow_leak_s               I and IF leak with this time constant (real seconds): a = exp(-dt / slow_leak_s)
    fire       v > threshold or v >= threshold, once or floor(v / threshold) times a tick
    reset      subtract       v <- v - spikes * threshold    value  v <- v_reset
    reset_at   spike          at once               next_tick  subtraction only: a v + ... - threshold, one tick late
    floor      none, a potential, "-threshold", or "-threshold of IF": v never ends a tick below it

dt_s is the length of a tick on the robot. tau_tick_s is the length of a tick in the file's own time constants: the same
unless the simulator counts in ticks (Sinabs: 1 s stands for a tick) or writes a fixed one (snnTorch: 0.1 ms, which r
betrays).
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from nets import nodes as n
from nets.errors import DialectError
from nets.graph import Graph

METADATA_VERSION = 1


@dataclass(frozen=True)
class Dialect:
    """Every rule of one discretisation; `provenance` says where each value came from."""

    preset: str
    dt_s: float
    leak: str
    input_gain: str
    if_gain: str
    resistance: str
    """Where R counts: "apply" everywhere, "current" in current-based neurons alone, "ignore" nowhere."""
    current: str
    multi_spike: bool
    threshold: str
    reset: str
    floor: float | str | None
    recurrent_delay: int
    """Ticks a spike needs along an edge that closes a cycle."""
    synapse_gain: str
    tau_tick_s: float
    slow_leak_s: float | None
    reset_at: str
    provenance: Mapping[str, str]

    @property
    def dt_ns(self) -> int:
        return round(self.dt_s * 1e9)

    def to_dict(self) -> dict[str, Any]:
        """Values and, under `provenance`, their origins, as plain data."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "provenance"} | {
            "provenance": dict(self.provenance)
        }


CHOICES: dict[str, tuple[str, ...]] = {
    "leak": ("exponential", "euler"),
    "input_gain": ("unit", "decay"),
    "if_gain": ("unit", "dt"),
    "resistance": ("apply", "current", "ignore"),
    "current": ("decay_add", "add_decay", "add_use_decay", "use_old"),
    "threshold": (">", ">="),
    "reset": ("subtract", "value"),
    "synapse_gain": ("unit", "decay"),
    "reset_at": ("spike", "next_tick"),
}
FLOORS = ("-threshold", "-threshold of IF")


@dataclass(frozen=True)
class _Rules:
    leak: str
    input_gain: str
    if_gain: str
    resistance: str
    current: str
    multi_spike: bool
    threshold: str
    reset: str
    floor: float | str | None = None
    recurrent_delay: int = 1
    synapse_gain: str | None = None
    tau_tick_s: float | None = None
    slow_leak_s: float | None = None
    reset_at: str | None = None


EXTRAS = ("synapse_gain", "tau_tick_s", "slow_leak_s", "reset_at")
"""Fields that follow from others, or are off, where nobody states them."""
FIELDS = ("preset", "dt_s", *(f.name for f in fields(_Rules)))

_EULER = ("euler", "decay", "unit", "apply")
PRESETS: dict[str, dict[str, Any]] = {
    name: {key: value for key, value in asdict(rules).items() if key not in EXTRAS or value is not None}
    for name, rules in {
        "spec": _Rules("exponential", "decay", "dt", "apply", "decay_add", False, ">", "value"),
        "sinabs": _Rules(
            "exponential", "unit", "unit", "ignore", "add_decay", True, ">=", "subtract", FLOORS[1], tau_tick_s=1.0
        ),
        "norse": _Rules("euler", "decay", "unit", "current", "decay_add", False, ">", "value"),
        "norse_lifcell": _Rules(
            "euler", "decay", "unit", "current", "add_use_decay", False, ">", "value", synapse_gain="unit"
        ),
        "snntorch": _Rules(*_EULER, "decay_add", False, ">", "value"),
        "snntorch_subtract": _Rules(*_EULER, "decay_add", False, ">", "subtract", reset_at="next_tick"),
        "rockpool": _Rules("exponential", "unit", "unit", "ignore", "add_decay", True, ">=", "subtract"),
        "spikingjelly": _Rules("euler", "decay", "dt", "apply", "decay_add", False, ">=", "value"),
        "lava": _Rules(*_EULER, "decay_add", False, ">", "value"),
    }.items()
}
"""A simulator's rules after it read a NIR file; after `_`, another set of rules that it exports networks from."""


def resolve(graph: Graph, path: Path | str | None = None, given: Mapping[str, Any] | None = None) -> Dialect:
    """The dialect by precedence: caller, sidecar, graph metadata, what the file betrays, preset; else refuse."""
    values, provenance = _stated(graph, path, given)
    if "preset" in values:
        preset = values["preset"]
        if preset != "custom" and preset not in PRESETS:
            where = provenance["preset"]
            raise DialectError(f"dialect {where}: preset is {preset!r}, expected one of {', '.join(PRESETS)}")
        for key, value in PRESETS.get(preset, {}).items():
            if key not in values:
                values[key], provenance[key] = value, f"preset {preset}"
    elif set(FIELDS) - {"preset", *EXTRAS} <= values.keys():
        values["preset"], provenance["preset"] = "custom", "every field is set"
    missing = [key for key in FIELDS if key not in values and key not in EXTRAS]
    if missing:
        where = "" if path is None else f"{Path(path).name}: "
        raise DialectError(
            f"{where}the dialect does not state {', '.join(missing[:3])}: set preset and dt_s where the network is "
            f"configured or in a file NAME.dialect.toml beside it (presets: {', '.join(PRESETS)})"
        )
    for key, value, origin in (
        ("synapse_gain", values["input_gain"], "as input_gain"),
        ("tau_tick_s", values["dt_s"], "as dt_s"),
        ("slow_leak_s", None, "off"),
        ("reset_at", "spike", "the usual"),
    ):
        if key not in values:
            values[key], provenance[key] = value, origin
    return Dialect(**_checked(values, provenance), provenance=MappingProxyType(provenance))


def settled(graph: Graph, path: Path | str | None = None) -> frozenset[str]:
    """The fields that a sidecar, the graph or its numbers settle, a stated preset's among them."""
    values, _ = _stated(graph, path, None)
    return frozenset(values) | frozenset(PRESETS.get(str(values.get("preset")), {}))


def _stated(
    graph: Graph, path: Path | str | None, given: Mapping[str, Any] | None
) -> tuple[dict[str, Any], dict[str, str]]:
    sources: list[tuple[str, Mapping[str, Any]]] = [("given by the caller", given or {})]
    if path is not None:
        sources.append(_sidecar(Path(path)))
    sources += [_metadata(graph), _inferred(graph)]
    values: dict[str, Any] = {}
    provenance: dict[str, str] = {}
    for origin, settings in sources:
        for key, value in settings.items():
            if key not in FIELDS:
                raise DialectError(f"dialect {origin}: unknown field {key!r}, expected one of {', '.join(FIELDS)}")
            if key not in values:
                values[key], provenance[key] = value, origin
    return values, provenance


def _checked(values: dict[str, Any], provenance: Mapping[str, str]) -> dict[str, Any]:
    def wrong(key: str, expected: str) -> DialectError:
        return DialectError(f"dialect {provenance[key]}: {key} is {values[key]!r}, expected {expected}")

    for key, choices in CHOICES.items():
        if values[key] not in choices:
            raise wrong(key, " or ".join(repr(c) for c in choices))
    slow = values["slow_leak_s"]
    if slow in ("none", ""):
        slow = None
    for key, seconds in (("dt_s", values["dt_s"]), ("tau_tick_s", values["tau_tick_s"]), ("slow_leak_s", slow)):
        number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
        if not (number and 1e-9 <= seconds <= 1e5) and (key != "slow_leak_s" or seconds is not None):
            raise wrong(key, "seconds from 1e-9 to 1e5")
    if not isinstance(values["multi_spike"], bool):
        raise wrong("multi_spike", "true or false")
    delay = values["recurrent_delay"]
    if isinstance(delay, bool) or not isinstance(delay, int) or not 1 <= delay <= 1_000_000:
        raise wrong("recurrent_delay", "whole ticks from 1")
    floor = values["floor"]
    if floor in ("none", ""):
        floor = None
    if floor is not None and floor not in FLOORS:
        if isinstance(floor, bool) or not isinstance(floor, int | float) or not math.isfinite(floor):
            raise wrong("floor", "a potential, '-threshold', '-threshold of IF' or 'none'")
        floor = float(floor)
    plain = values["reset"] == "subtract" and not values["multi_spike"] and floor is None
    if values["reset_at"] == "next_tick" and not plain:
        raise wrong("reset_at", "'spike' unless reset is 'subtract', multi_spike false and floor 'none'")
    seconds = {key: float(values[key]) for key in ("dt_s", "tau_tick_s")}
    return values | seconds | {"floor": floor, "slow_leak_s": None if slow is None else float(slow)}


def _sidecar(path: Path) -> tuple[str, Mapping[str, Any]]:
    file = path.with_suffix(".dialect.toml")
    try:
        text = file.read_bytes()
    except OSError:
        return file.name, {}
    try:
        return file.name, tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DialectError(f"{file}: not TOML: {error}") from None


def _metadata(graph: Graph) -> tuple[str, Mapping[str, Any]]:
    stated = graph.metadata.get("tectum")
    if stated is None:
        return "graph metadata", {}
    if not isinstance(stated, Mapping) or stated.get("version") != METADATA_VERSION:
        raise DialectError(f"graph metadata: 'tectum' is {stated!r}, expected a table of version {METADATA_VERSION}")
    dialect = stated.get("dialect", {})
    if not isinstance(dialect, Mapping):
        raise DialectError(f"graph metadata: 'tectum' states dialect {dialect!r}, expected a table")
    return "graph metadata", dialect


@np.errstate(over="ignore", invalid="ignore")  # absurd numbers betray nothing
def _inferred(graph: Graph) -> tuple[str, Mapping[str, Any]]:
    """The tick where every leaky neuron agrees on r = tau / dt and, if it has a current, on w_in = tau_syn / dt."""
    ticks: list[n.Array] = []
    origin = "inferred from r = tau / dt"
    at_once: list[n.Array] = []  # time constants where r = 1: they fit only if they last one tick themselves
    for name in graph.of_kind(n.CubaLIF, n.CubaLI, n.LIF, n.LI):
        node: Any = graph.nodes[name]
        if (node.r <= 0).any():
            return "inferred", {}
        if (node.r == 1).all():
            at_once.append(np.ravel(node.tau_mem if isinstance(node, n.CubaLIF | n.CubaLI) else node.tau))
        elif isinstance(node, n.CubaLIF | n.CubaLI):
            if (node.w_in <= 0).any():
                return "inferred", {}
            origin = "inferred from r = tau_mem / dt and w_in = tau_syn / dt"
            ticks += [np.ravel(node.tau_mem / node.r), np.ravel(node.tau_syn / node.w_in)]
        else:
            ticks.append(np.ravel(node.tau / node.r))
    if not ticks:
        return "inferred", {}
    every = np.concatenate(ticks + at_once).astype(np.float64)
    dt = float(np.median(every))
    # a resistance may be anything: three agreeing digits of a round number are no accident
    stated = dt if "w_in" in origin else float(f"{dt:.2g}")
    if not (1e-9 <= stated <= 1e5 and np.abs(every - stated).max() <= 1e-4 * dt):
        return "inferred", {}
    tick = float(f"{stated:.6g}")
    return origin, {"dt_s": tick, "tau_tick_s": tick}
