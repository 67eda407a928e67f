"""Provenance: what a recording says of how it came about, enough to run it again elsewhere."""

from __future__ import annotations

import hashlib
import platform
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.config import Robot

if TYPE_CHECKING:
    from runtime.service import Service

FORMAT = 1
NETWORK = "network.nir"
ROBOT = "robot.toml"
LIBRARIES = ("numpy", "numba", "llvmlite", "h5py", "mcap", "msgpack")
LOCK = Path(__file__).resolve().parent.parent / "requirements" / "run.txt"


def header(service: Service) -> dict[str, Any]:
    """The robot as it was configured, the clock, the topics and the machine."""
    robot = service.robot
    stage = service.stage
    return {
        "format": FORMAT,
        "robot": robot.robot,
        "t0": service.started,
        "window_ns": int(robot.window_s * 1e9),
        "wall_offset_ns": service.clock.wall_offset_ns,
        "speed": service.clock.speed,
        "tables": tables(robot),
        "limiters": {
            name: {
                "min": a.limiter.limits.min,
                "max": a.limiter.limits.max,
                "slew": a.limiter.limits.slew,
                "safe_value": a.limiter.safe_value,
                "ttl_s": a.adapter.ttl_s,
            }
            for name, a in service.actuations.items()
        },
        "topics": [stats.topic.to_dict() for stats in service.bus.topics.values()],
        "dialect": None if stage is None else stage.pipeline.engine.describe().get("dialect"),
        "machine": machine(),
    }


def attachments(robot: Robot, robot_file: bytes) -> dict[str, bytes]:
    """The robot file as written, the network file, and its dialect sidecar where there is one."""
    found = {ROBOT: robot_file}
    if robot.network is not None:
        network = robot.network.file
        found[NETWORK] = network.read_bytes()
        found[NETWORK + ".sha256"] = hashlib.sha256(found[NETWORK]).hexdigest().encode()
        sidecar = network.with_suffix(".dialect.toml")
        if sidecar.is_file():
            found["network.dialect.toml"] = sidecar.read_bytes()
    return found


def tables(robot: Robot) -> dict[str, Any]:
    """The effective configuration as plain values, secrets masked."""
    plain: dict[str, Any] = robot.model_dump(mode="json", by_alias=True)
    for role in ("sensors", "actuators"):
        plain[role] = {name: a.model_dump(mode="json") for name, a in getattr(robot, role).items()}
    masked: dict[str, Any] = _mask(plain)
    return masked


def machine() -> dict[str, str]:
    """What a bit-for-bit replay depends on besides the recording."""
    facts = {
        "tectum": tectum_version(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "libc": " ".join(platform.libc_ver()),
        "processor_features": _processor_features(),
        "lock_sha256": hashlib.sha256(LOCK.read_bytes()).hexdigest() if LOCK.is_file() else "",
    }
    for name in LIBRARIES:
        try:
            facts[name] = version(name)
        except PackageNotFoundError:
            facts[name] = ""
    return facts


def tectum_version() -> str:
    """The installed version, or the one of the source tree."""
    try:
        return version("tectum")
    except PackageNotFoundError:
        return "0.1.0"


def _processor_features() -> str:
    """A digest of what the compiler may use here."""
    if "llvmlite" not in sys.modules:
        return ""
    from llvmlite import binding

    features = binding.get_host_cpu_name() + binding.get_host_cpu_features().flatten()
    return hashlib.sha256(features.encode()).hexdigest()[:16]


def _mask(value: Any, key: str = "") -> Any:
    if isinstance(value, Mapping):
        return {k: _mask(v, str(k)) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_mask(v) for v in value]
    if value and any(word in key for word in ("password", "secret", "token")):
        return "********"
    return value
