"""The robot file: one TOML, read once, unknown keys refused with a did-you-mean.

Paths are relative to the file. Environment variables override single values: `TECTUM__HTTP__PORT=9000` sets `port` of
table `[http]`; values are read as TOML, and as plain text where they are not TOML.
"""

from __future__ import annotations

import difflib
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from nets.thresholds import DEFAULT
from runtime.core.errors import ConfigError
from runtime.core.roles import Actuator, Sensor
from runtime.core.topic import NAME
from runtime.links.mqtt_config import MqttConfig
from runtime.registry import Role, adapter

LOOPBACK = ("127.0.0.1", "::1", "localhost")
Positive = Annotated[float, Field(gt=0)]
Amount = Annotated[float, Field(gt=0, lt=1e9)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)


class ThresholdsConfig(_Table):
    """Where a tick takes another way to the same result; `tectum bench engine --calibrate` proposes them."""

    everywhere: Amount = DEFAULT.everywhere
    """Update all sites of a layer where a tick's events reach this share of them."""
    merge: Amount = DEFAULT.merge
    """Merge a port's events of one tick by index where each spares so many synaptic operations for each index."""
    sort: Amount = DEFAULT.sort
    """Merge them from so many events on where weights differ in shape from index to index."""


class NetworkConfig(_Table):
    """The network, its time grid and how its sources are merged."""

    file: Path
    """A NIR file."""
    mode: Literal["tick", "continuous", "sigma-delta"] = "tick"
    """On the grid it was trained on, or every event at its own nanosecond; or a sigma-delta network."""
    dt_s: Positive | None = None
    """Length of a tick; None: what the dialect or the file says."""
    dialect: dict[str, Any] = {}
    """What a NIR file leaves open; overrides the sidecar `NAME.dialect.toml`. See `tectum info NETWORK.nir`."""
    dtype: Literal["float32", "float64"] = "float32"
    merge: Literal["eager", "ordered"] = "eager"
    lateness_s: Positive = 0.05
    """Ordered merge: how long a silent source may hold the others."""
    snapshots: Path | None = None
    """Folder of saved states (`NAME.state`) that may be restored by name; None: only a state that is sent along."""
    queue: Annotated[int, Field(ge=1)] = 4096
    """Packets that may wait for the network; the oldest are dropped, and counted, beyond that."""
    thresholds: ThresholdsConfig = ThresholdsConfig()
    """Tick mode: measured for a machine, then frozen, for a run repeats bit for bit with the same ones alone."""
    inline_events: Annotated[int, Field(ge=0)] = 1000
    """Calls of more events than this run in the network thread: they may take over 200 µs. 0: all of them do."""


class InputConfig(_Table):
    """One topic into one port."""

    from_: str = Field(alias="from")
    port: str = "input"
    encode: dict[str, Any] = {"kind": "address"}
    silent_after_s: Positive | None = None
    """Where the topic says nothing for this long the port is told 0 everywhere: a sensor that is gone says nothing."""


class OutputConfig(_Table):
    """One port to one actuator."""

    port: str = "output"
    decode: dict[str, Any]
    to: str
    unit: str | None = None
    """Unit of the decoded value; must be the actuator's."""
    map: tuple[float, ...] | None = None
    """Value of each label."""
    labels: tuple[str, ...] | None = None
    """Name of each label, for people."""
    requires: tuple[str, ...] = ()
    """Topics without which this output must not act."""
    stale_after_s: Positive = 0.1
    """A required topic that says nothing for this long sends the actuator to its safe state."""


class OnConfig(_Table):
    """What an event does to the network."""

    topic: str
    do: Literal["network.reset"]


class HttpConfig(_Table):
    """The gateway."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8642
    keys: Path | None = None
    """File of API keys (`tectum keys`); any address but loopback needs it."""
    allowed_hosts: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _keyed(self) -> HttpConfig:
        if self.keys is None and self.host not in LOOPBACK:
            raise ValueError(
                f"host {self.host!r} is not loopback, so it needs `keys`: make them with `tectum keys create`, or use "
                f"{LOOPBACK[0]!r}"
            )
        return self


class RecordingConfig(_Table):
    """Recordings."""

    folder: Path = Path("recordings")
    auto: bool = False
    """Begin recording at start."""
    queue_bytes: Annotated[int, Field(ge=1 << 16)] = 64 << 20


class Robot(_Table):
    """A robot: sensors, at most one network, actuators, and how people reach it."""

    robot: str = "robot"
    sensors: dict[str, Any] = {}
    network: NetworkConfig | None = None
    inputs: tuple[InputConfig, ...] = ()
    outputs: tuple[OutputConfig, ...] = ()
    on: tuple[OnConfig, ...] = ()
    actuators: dict[str, Any] = {}
    recording: RecordingConfig = RecordingConfig()
    http: HttpConfig = HttpConfig()
    mqtt: MqttConfig | None = None
    check_s: Positive = 0.01
    """Period of the safety check: freshness, expiry, slew."""
    window_s: Positive = 0.1
    """Length of the windows that verification compares."""
    state_dir: Path | None = None
    """Where the e-stop latch lives; default: `$XDG_STATE_HOME/tectum/ROBOT`."""

    @model_validator(mode="after")
    def _wired(self) -> Robot:
        topics = {topic.name for sensor in self.sensors.values() for topic in _describe(sensor)}
        for i, entry in enumerate(self.inputs):
            if entry.from_ not in topics and not self._remote(entry.from_):
                raise ValueError(f"inputs[{i}].from: no sensor publishes {_hinted(entry.from_, topics)}")
        for i, output in enumerate(self.outputs):
            if output.to not in self.actuators:
                raise ValueError(f"outputs[{i}].to: there is no actuator {_hinted(output.to, self.actuators)}")
            for required in output.requires:
                if required not in topics and not self._remote(required):
                    raise ValueError(f"outputs[{i}].requires: no sensor publishes {_hinted(required, topics)}")
            unit = self.actuators[output.to].unit
            if output.unit is not None and output.unit != unit:
                raise ValueError(f"outputs[{i}].unit: {output.unit!r}, but actuator {output.to!r} takes {unit!r}")
        for i, rule in enumerate(self.on):
            if rule.topic not in topics and not self._remote(rule.topic):
                raise ValueError(f"on[{i}].topic: no sensor publishes {_hinted(rule.topic, topics)}")
        if self.network is None and (self.inputs or self.outputs or self.on):
            raise ValueError("inputs, outputs and on need a [network]")
        targets = [output.to for output in self.outputs]
        for to in targets:
            if targets.count(to) > 1:
                raise ValueError(f"outputs: actuator {to!r} is driven by {targets.count(to)} outputs, expected one")
        return self

    def _remote(self, topic: str) -> bool:
        return self.mqtt is not None and topic in {t.name for t in self.mqtt.subscribe}


def load_robot(path: Path, environment: Mapping[str, str] | None = None) -> Robot:
    """Read a robot file. Raises ConfigError that says what, which, got, expected."""
    try:
        text = path.read_text()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None
    return make_robot(override(tables, environment or {}), path.resolve().parent, str(path))


def make_robot(tables: Mapping[str, Any], folder: Path, where: str = "robot") -> Robot:
    """A robot from plain tables; relative paths start at `folder`."""
    tables = dict(tables)
    tables.setdefault("robot", Path(where).stem if where.endswith(".toml") else "robot")
    if not NAME.fullmatch(str(tables["robot"])):
        raise ConfigError(f"{where}: robot: {tables['robot']!r} is not a name of [a-z0-9_-]")
    for role in typing.get_args(Role):
        tables[role] = {
            name: _adapter(role, name, fields, folder, where) for name, fields in dict(tables.get(role, {})).items()
        }
    try:
        return Robot.model_validate(_resolve(Robot, tables, folder))
    except ValidationError as error:
        raise ConfigError(_explain(where, "", Robot, error)) from None


def with_sockets(robot: Robot, sockets: Mapping[str, Path]) -> Robot:
    """The robot with simulated actuators pointed at their device processes."""
    actuators: dict[str, Any] = dict(robot.actuators)
    for name, path in sockets.items():
        if name not in actuators:
            raise ConfigError(f"there is no actuator {name!r} to give a device process")
        actuators[name] = actuators[name].model_copy(update={"socket": path})
    return robot.model_copy(update={"actuators": actuators})


def state_dir_of(robot: Robot, environment: Mapping[str, str]) -> Path:
    """Where the e-stop latch of a robot lives."""
    if robot.state_dir is not None:
        return robot.state_dir
    base = environment.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "tectum" / robot.robot


def override(tables: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """The tables with every `TECTUM__A__B=value` of the environment set over them."""
    result: dict[str, Any] = _copy(tables)
    for variable, text in sorted(environment.items()):
        if not variable.startswith("TECTUM__"):
            continue
        keys = [key.lower() for key in variable.removeprefix("TECTUM__").split("__")]
        try:
            value: Any = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        table: Any = result
        for key in keys[:-1]:
            if isinstance(table, list) and key.isdigit() and int(key) < len(table):
                table = table[int(key)]
            elif isinstance(table, dict):
                table = table.setdefault(key, {})
            else:
                break
        if not isinstance(table, dict):
            raise ConfigError(f"{variable}: there is no table {'.'.join(keys[:-1])!r} to set {keys[-1]!r} in")
        table[keys[-1]] = value
    return result


def _adapter(role: Role, name: str, fields: Any, folder: Path, where: str) -> Any:
    place = f"{role}.{name}"
    if not isinstance(fields, Mapping):
        raise ConfigError(f"{where}: {place}: expected a table, got {fields!r}")
    if not NAME.fullmatch(name) or "/" in name:
        raise ConfigError(f"{where}: {place}: names are one lower-case word of [a-z0-9_-]")
    if "kind" not in fields:
        raise ConfigError(f"{where}: {place}: has no `kind`")
    try:
        cls = adapter(role, str(fields["kind"]))
    except ConfigError as error:
        raise ConfigError(f"{where}: {place}: {str(error).removeprefix(role + ': ')}") from None
    try:
        built = cls.model_validate({"name": name, **_resolve(cls, fields, folder)})
    except ValidationError as error:
        raise ConfigError(_explain(where, place, cls, error)) from None
    expected = Sensor if role == "sensors" else Actuator
    if not isinstance(built, expected):
        raise ConfigError(f"{where}: {place}: {cls.__name__} is not a {expected.__name__} (see runtime.core.roles)")
    return built


def _describe(sensor: Any) -> Any:
    return sensor.describe()


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _copy(v) for k, v in value.items()}
    return [_copy(v) for v in value] if isinstance(value, list) else value


def _resolve(model: type[BaseModel], fields: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Make relative paths absolute wherever the model says Path."""
    resolved = dict(fields)
    for name, info in model.model_fields.items():
        value = resolved.get(name)
        if isinstance(value, str) and _is_path(info.annotation):
            resolved[name] = folder / Path(value).expanduser()
        elif isinstance(value, Mapping):
            inner = _model_of(info.annotation)
            if inner is not None:
                resolved[name] = _resolve(inner, value, folder)
        elif value is None and _is_path(info.annotation) and isinstance(info.default, Path) and model is not Robot:
            resolved[name] = folder / info.default
    return resolved


def _is_path(annotation: Any) -> bool:
    return annotation is Path or (isinstance(annotation, types.UnionType) and Path in typing.get_args(annotation))


def _model_of(annotation: Any) -> type[BaseModel] | None:
    for candidate in (annotation, *typing.get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _explain(where: str, place: str, model: type[BaseModel], error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        keys = [str(key) for key in problem["loc"]]
        path = ".".join(filter(None, [place, *keys]))
        if problem["type"] == "extra_forbidden":
            known = _fields_at(model, keys[:-1])
            lines.append(f"{path}: unknown key{_near(keys[-1], known)} (known: {', '.join(known)})")
        elif problem["type"] == "missing":
            lines.append(f"{path}: missing")
        elif problem["type"] == "value_error":
            lines.append(": ".join(filter(None, [path, str(problem["ctx"]["error"])])))
        else:
            lines.append(f"{path}: {problem['msg']}, got {problem['input']!r}")
    return "\n".join(f"{where}: {line}" for line in lines)


def _fields_at(model: type[BaseModel], keys: list[str]) -> list[str]:
    for key in keys:
        if key.isdigit():
            continue
        info = model.model_fields.get(key)
        inner = None if info is None else _model_of(info.annotation)
        if inner is None:
            break
        model = inner
    return sorted(info.alias or name for name, info in model.model_fields.items())


def _near(word: str, known: typing.Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _hinted(word: str, known: typing.Iterable[str]) -> str:
    return f"{word!r}{_near(word, known)}"
