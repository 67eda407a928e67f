"""The wiring: what a robot file means, as plain values, and how long each fault takes to end in the safe state.

From a fault to the safe state it takes the deadline that notices it, one check period, the slew of the limiter and the
travel of the device:

    stop time = max(stale_after_s or time to live) + check_s + slew_s + travel_s
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nets.describe import warnings
from runtime.config import Robot
from runtime.core.clock import MonotonicClock
from runtime.core.topic import Topic
from runtime.limiter import Limiter
from runtime.pipeline import build_pipeline, load_engine


def wiring(robot: Robot) -> dict[str, Any]:
    """Topics, network, stop times, warnings. Raises ConfigError where the file cannot mean anything."""
    topics: dict[str, tuple[Topic, str]] = {}
    for name, sensor in robot.sensors.items():
        topics |= {topic.name: (topic, name) for topic in sensor.describe()}
    for name, actuator in robot.actuators.items():
        topics |= {topic.name: (topic, name) for topic in actuator.describe()}
    for remote in () if robot.mqtt is None else robot.mqtt.subscribe:
        topics[remote.name] = (remote.describe(), f"mqtt:{remote.robot}")
    network, surprises = _network(robot, {name: topic for name, (topic, _) in topics.items()})
    return {
        "robot": robot.robot,
        "topics": [
            {
                "name": topic.name,
                "dtype": dtype_text(topic),
                "unit": topic.unit,
                "rate_hz": topic.rate_hz,
                "extent": topic.extent,
                "source": source,
            }
            for topic, source in topics.values()
        ],
        "network": network,
        "stops": stops(robot),
        "warnings": surprises,
    }


def stops(robot: Robot) -> list[dict[str, Any]]:
    """Per actuator, the longest time to the safe state for each fault."""
    found = []
    for name, actuator in robot.actuators.items():
        limits = actuator.limits_si
        limiter = Limiter(limits, actuator.safe_value, actuator.ttl_s, name)
        reach = robot.check_s + limiter.slew_s + actuator.travel_s
        after: dict[str, float] = {}
        for output in robot.outputs:
            if output.to == name:
                after |= {f"{topic} silent": output.stale_after_s + reach for topic in output.requires}
        after["no command"] = actuator.ttl_s + reach
        after["e-stop"] = robot.check_s + actuator.travel_s
        after["control process dead or stalled"] = actuator.ttl_s + actuator.travel_s
        found.append(
            {
                "actuator": name,
                "kind": actuator.kind,
                "unit": actuator.unit,
                "min": limits.min,
                "max": limits.max,
                "slew": limits.slew,
                "safe_value": actuator.safe_value,
                "travel_s": actuator.travel_s,
                "after_s": after,
            }
        )
    return found


def dtype_text(topic: Topic) -> str:
    """`<f4[3]`, or the fields of a structure."""
    names = topic.element.names
    if names is None:
        return _plain(topic.element, topic.shape)
    fields = " ".join(f"{n}:{_plain(topic.element[n].base, topic.element[n].shape)}" for n in names)
    return "{" + fields + "}" + _plain(None, topic.shape)


def _plain(element: np.dtype[Any] | None, shape: tuple[int, ...]) -> str:
    return ("" if element is None else element.str.lstrip("|")) + "".join(f"[{n}]" for n in shape)


def _network(robot: Robot, topics: dict[str, Topic]) -> tuple[dict[str, Any] | None, list[str]]:
    config = robot.network
    if config is None:
        return None, []
    engine = load_engine(config)
    build_pipeline(robot, topics, MonotonicClock().now(), engine)
    described = engine.describe()
    fed: dict[str, list[str]] = {}
    for entry in robot.inputs:
        fed.setdefault(entry.port, []).append(f"{entry.from_} ({entry.encode.get('kind', 'address')})")
    found = warnings(engine.graph, engine.dialect)
    found += [f"network input {port!r} is fed by nothing" for port in engine.inputs if port not in fed]
    found += [
        f"output to {output.to!r} requires no topic: a dead sensor is noticed only by the time to live"
        for output in robot.outputs
        if not output.requires
    ]
    dialect = dict(described["dialect"])
    provenance = dialect.pop("provenance")
    return {
        "file": config.file.name,
        "dt_s": engine.dt_ns / 1e9,
        "merge": config.merge,
        "inputs": {name: list(port.shape) for name, port in engine.inputs.items()},
        "outputs": {name: list(port.shape) for name, port in engine.outputs.items()},
        "fed_by": fed,
        "dialect": [
            (key, "none" if value is None else str(value), provenance.get(key, "")) for key, value in dialect.items()
        ],
    }, found
