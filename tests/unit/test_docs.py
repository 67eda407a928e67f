"""What the documents say is true: robots load, commands parse, tables list every key, the example sensor works."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import inspect
import re
import shlex
import tomllib
import types
import typing
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from nets.decode import DECODERS
from nets.dialect import CHOICES, FIELDS, PRESETS
from nets.encode import ENCODERS
from runtime.__main__ import COMMANDS
from runtime.commands.info import describe
from runtime.config import (
    HttpConfig,
    InputConfig,
    NetworkConfig,
    OnConfig,
    OutputConfig,
    RecordingConfig,
    Robot,
    load_robot,
    make_robot,
)
from runtime.core.clock import SECOND, VirtualClock, run_virtual
from runtime.core.errors import DeviceError
from runtime.core.packet import Packet, check_packet
from runtime.core.roles import Sensor
from runtime.http.app import create_app
from runtime.links.mqtt_config import MqttConfig, RemoteTopic
from runtime.registry import BUILTIN, adapter
from runtime.wiring import wiring
from sensors.faults import Fault
from sensors.gaze_definition import GazeWorld
from sensors.gaze_faults import GazeFault
from sensors.playback import Playback
from sensors.scene import Scene

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLE_KIND = "sysfs.number"
"""The kind that docs/add-a-sensor.md adds; no robot of ours can use it."""

TABLES: dict[str, type[BaseModel]] = {
    "robot": Robot,
    "[network]": NetworkConfig,
    "[[inputs]]": InputConfig,
    "[[outputs]]": OutputConfig,
    "[[on]]": OnConfig,
    "[http]": HttpConfig,
    "[recording]": RecordingConfig,
    "[mqtt]": MqttConfig,
    "[[mqtt.subscribe]]": RemoteTopic,
}
SHARED: dict[str, type[BaseModel]] = {
    "*.file": Playback,
    "scene": Scene,
    "fault": Fault,
    "world": GazeWorld,
    "gaze.*.fault": GazeFault,
}


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def robots() -> list[tuple[str, dict[str, Any]]]:
    """Every block that is a whole robot: it has sensors or inputs, and no kind that the reader writes."""
    found = []
    for page in PAGES:
        for number, block in enumerate(blocks(page, "toml")):
            tables = tomllib.loads(block)
            if {"sensors", "inputs"} & set(tables) and EXAMPLE_KIND not in block:
                found.append((f"{page.name}[{number}]", tables))
    return found


def command_lines() -> list[tuple[str, str]]:
    """Every line of the shell blocks, without prompt and comment."""
    return [
        (page.name, line.strip())
        for page in PAGES
        for block in blocks(page, "sh")
        for line in block.splitlines()
        if line.strip() and not line.lstrip().startswith("#")
    ]


def documented(heading: str) -> dict[str, str]:
    """Key and default of each row of the table under a heading of docs/robot-file.md."""
    rows = re.findall(r"^\| `([^`]+)` \| [^|]+ \| ([^|]+) \|", section(f"`{heading}`"), re.MULTILINE)
    assert len(rows) == len({key for key, _ in rows}), f"{heading}: a key is listed twice"
    return {key: default.strip() for key, default in rows}


def section(heading: str) -> str:
    """What stands under a heading of docs/robot-file.md, up to the next."""
    text = (ROOT / "docs" / "robot-file.md").read_text()
    found = re.search(rf"^#+ [^\n]*{re.escape(heading)}[^\n]*\n(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL)
    assert found is not None, f"docs/robot-file.md has no section for {heading}"
    return found.group(1)


def declared(model: type[BaseModel], prefix: str = "") -> dict[str, str]:
    """Key and default of every field, tables within a table by dotted keys, `[]` for lists of tables."""
    found = {}
    for name, info in model.model_fields.items():
        key = prefix + (info.alias or name)
        inner, many = inner_table(info.annotation)
        if inner is None:
            found[key] = default_text(info)
            continue
        if many or info.default is None:
            found[key + "[]" * many] = default_text(info)
        found |= declared(inner, f"{key}{'[]' if many else ''}.")
    return found


def inner_table(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    """The table a field holds, and whether it holds a list of them."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is tuple:
        return inner_table(arguments[0])[0], inner_table(arguments[0])[0] is not None
    if origin in (typing.Union, types.UnionType):
        return next((inner_table(a) for a in arguments if inner_table(a)[0] is not None), (None, False))
    return None, False


def default_text(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    return value_text(info.default)


def value_text(value: Any) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case str() | Path():
            return f'"{value}"'
        case int() if value >= 1 << 20 and value % (1 << 20) == 0:
            return f"{value >> 20} MiB"
        case int() | float():
            return f"{value:.6g}"
        case tuple() if value and all(isinstance(item, BaseModel) for item in value):
            return f"{len(value)} of them"
        case tuple():
            return f"[{', '.join(value_text(item) for item in value)}]"
        case dict():
            return "{" + ", ".join(f"{k} = {value_text(v)}" for k, v in value.items()) + "}"
    raise TypeError(f"no text for a default of type {type(value).__name__}")


def table_keys(heading: str) -> dict[str, str]:
    """What the section of one of the robot file's own tables must list."""
    keys = declared(TABLES[heading])
    apart = {"robot": ("sensors", "actuators", "network", "inputs", "outputs", "on[]", "http.", "recording.", "mqtt")}
    return without(keys, *apart.get(heading, ("subscribe",)))


def shared_keys(heading: str) -> dict[str, str]:
    """What a section about tables that several kinds share must list."""
    return without(declared(SHARED[heading]), "name", "kind")


def adapter_keys(kind: str, cls: type[BaseModel]) -> dict[str, str]:
    """What the section of a kind must list: its own keys, without those that several kinds share."""
    keys = without(declared(cls), "name", "kind")
    if issubclass(cls, Playback):
        return {key: default for key, default in keys.items() if key not in declared(Playback)}
    return without(keys, "fault.", "scene.", "motion[].", "world.")


def without(keys: dict[str, str], *prefixes: str) -> dict[str, str]:
    return {key: default for key, default in keys.items() if not key.startswith(prefixes)}


@pytest.mark.parametrize(("where", "tables"), [pytest.param(*found, id=found[0]) for found in robots()])
def test_every_whole_robot_in_the_documents_can_be_run(where: str, tables: dict[str, Any]) -> None:
    found = wiring(make_robot(tables, ROOT, where))
    assert found["topics"]


def test_the_readme_holds_a_robot_of_ten_lines() -> None:
    (robot,) = [b for b in blocks(ROOT / "README.md", "toml") if "sensors" in tomllib.loads(b)]
    assert len(robot.splitlines()) == 10


@pytest.mark.parametrize(("page", "line"), command_lines())
def test_every_command_in_the_documents_parses(page: str, line: str) -> None:
    words = shlex.split(line, comments=True)
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words.pop(0)
    match words:
        case ["tectum", "--version"]:
            return
        case ["tectum", name, *arguments]:
            assert name in COMMANDS
            parser = argparse.ArgumentParser(prog=f"tectum {name}", exit_on_error=False)
            importlib.import_module(f"runtime.commands.{name}").add_arguments(parser)
            parser.parse_args(arguments)
        case ["make", target, *_]:
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        case [tool, *_]:
            assert tool in {"cd", "curl", "docker", "git", "mosquitto", "mosquitto_pub", "mosquitto_sub", "pip"}, line


@pytest.mark.parametrize("heading", TABLES)
def test_every_key_of_a_table_is_documented_with_its_default(heading: str) -> None:
    assert documented(heading) == table_keys(heading)


@pytest.mark.parametrize("heading", SHARED)
def test_what_several_kinds_share_is_documented_with_its_default(heading: str) -> None:
    assert documented(heading) == shared_keys(heading)


@pytest.mark.parametrize(("role", "kind"), [(role, kind) for role, table in BUILTIN.items() for kind in table])
def test_every_key_of_a_kind_is_documented_with_its_default(role: Any, kind: str) -> None:
    assert documented(kind) == adapter_keys(kind, adapter(role, kind))


def test_every_rule_of_a_dialect_is_documented_with_its_choices() -> None:
    rows = dict(re.findall(r"^\| `([^`]+)` \| (.+) \|$", section("Dialect"), re.MULTILINE))
    assert set(rows) == set(FIELDS)
    for field, choices in {**CHOICES, "preset": tuple(PRESETS)}.items():
        assert set(choices) <= set(re.findall(r"`([^`]+)`", rows[field])), field


@pytest.mark.parametrize(
    ("heading", "kind", "build"),
    [
        *[("Encoders", kind, make(cast("Any", None), ())) for kind, make in ENCODERS.items()],
        *[("Decoders", kind, build) for kind, build in DECODERS.items()],
    ],
)
def test_every_option_of_a_code_is_documented(heading: str, kind: str, build: Any) -> None:
    (row,) = re.findall(rf"^\| `{kind}` \| .*$", section(heading), re.MULTILINE)
    parameters = inspect.signature(build).parameters.values()
    options = {p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY} - {"map"}
    assert options == set(re.findall(r"`([a-z_]+)(?: = [^`]+)?`", row.rpartition(" | ")[2])) - CHOICE_WORDS


CHOICE_WORDS = {"yxc", "yx", "on", "off", "merge", "signed", "first", "linear"}
"""Words of the options column that are values, not options."""


def test_every_link_between_the_documents_leads_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_documented_routes_are_the_gateways() -> None:
    text = (ROOT / "docs" / "http.md").read_text()
    rows = set(re.findall(r"^\| `(GET|POST|PUT|DELETE|WS) (/[^` ]*)`", text, re.MULTILINE))
    app = create_app("/nonexistent/bus.sock")
    real: set[tuple[str, str]] = set()
    for route in walk(app.routes):
        path = getattr(route, "path", "").replace(":path", "")
        for method in getattr(route, "methods", None) or {"WS"}:
            if method != "HEAD":
                real.add((method, path))
    assert {row for row in real if row[1].startswith(("/v1", "/healthz", "/readyz", "/metrics", "/openapi"))} == rows


def walk(routes: Any) -> Iterator[Any]:
    """Routes, those of included routers too."""
    for route in routes:
        inner = getattr(getattr(route, "original_router", None), "routes", None)
        if inner is None:
            yield route
        else:
            yield from walk(inner)


def test_environment_overrides_work_as_documented(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text('sensors.head = { kind = "gyro.sim" }\n')
    environment = {"TECTUM__HTTP__PORT": "9000", "TECTUM__SENSORS__HEAD__RATE_HZ": "500", "TECTUM__ROBOT": "nine"}
    robot = load_robot(path, environment)
    assert (robot.http.port, robot.sensors["head"].rate_hz, robot.robot) == (9000, 500.0, "nine")


@pytest.fixture
def example() -> Any:
    """The class that docs/add-a-sensor.md shows, made from the very text."""
    (source,) = blocks(ROOT / "docs" / "add-a-sensor.md", "python")
    module = types.ModuleType("sysfs_number")
    exec(compile(source, "docs/add-a-sensor.md", "exec", dont_inherit=True), module.__dict__)
    return module.__dict__["SysfsNumber"]


def listen(sensor: Sensor, seconds: float, every: Any = lambda: None) -> list[Packet]:
    """What a sensor says on virtual time; `every` is called after each packet."""

    async def main(clock: VirtualClock) -> list[Packet]:
        said: list[Packet] = []

        async def consume() -> None:
            async with sensor.open(clock) as packets:
                async for packet in packets:
                    said.append(check_packet(packet))
                    every()

        task = asyncio.create_task(consume())
        await clock.advance_to(clock.now() + round(seconds * SECOND))
        if task.done():
            task.result()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return said

    return run_virtual(main)


def test_the_example_sensor_keeps_what_its_topic_promises(example: Any, tmp_path: Path) -> None:
    file = tmp_path / "temp"
    file.write_text("42500\n")
    (configured,) = [
        b for b in blocks(ROOT / "docs" / "add-a-sensor.md", "toml") if EXAMPLE_KIND in b and "[sensors" in b
    ]
    fields = tomllib.loads(configured)["sensors"]["board"]
    sensor = example.model_validate({"name": "board", **fields, "path": file})
    assert isinstance(sensor, Sensor)
    (topic,) = sensor.describe()
    said = listen(sensor, 1.05)
    assert topic.rate_hz is not None
    assert len(said) == int(topic.rate_hz * 1.05)
    assert [float(p.data[0]) for p in said] == pytest.approx([42.5] * len(said))
    assert [p.seq for p in said] == list(range(len(said)))
    assert all(p.topic == topic and p.lost == 0 for p in said)
    assert all(a.t[0] < b.t[0] for a, b in pairwise(said))


def test_the_example_sensor_reports_a_file_that_goes_away(example: Any, tmp_path: Path) -> None:
    file = tmp_path / "temp"
    file.write_text("1")
    sensor = example.model_validate({"name": "board", "kind": EXAMPLE_KIND, "path": file})
    with pytest.raises(DeviceError, match="board"):
        listen(sensor, 1.0, every=lambda: file.unlink(missing_ok=True))


def test_the_example_sensor_is_declared_as_an_entry_point() -> None:
    (project,) = [b for b in blocks(ROOT / "docs" / "add-a-sensor.md", "toml") if "entry-points" in b]
    points = tomllib.loads(project)["project"]["entry-points"]["tectum.sensors"]
    assert points == {EXAMPLE_KIND: "sysfs_number:SysfsNumber"}


def test_info_describes_the_network_the_readme_names() -> None:
    assert describe(ROOT / "deploy" / "networks" / "cnn_sinabs.nir", {})["dialect"]["preset"] == "sinabs"
