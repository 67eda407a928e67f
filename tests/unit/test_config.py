"""The robot file: what is wrong is said with a way out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runtime.config import load_robot, make_robot, override
from runtime.core.errors import ConfigError
from tests.robots import DEPLOY, shipped


@pytest.mark.parametrize("name", sorted(path.stem for path in DEPLOY.glob("*.toml")))
def test_every_shipped_robot_is_valid(name: str) -> None:
    assert load_robot(DEPLOY / f"{name}.toml").robot == name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"netwrok": {}}, "netwrok: unknown key; did you mean 'network'?"),
        ({"network": {"dt": 1e-3}}, "network.dt: unknown key; did you mean 'dt_s'?"),
        ({"sensors": {"eye": {"pth": "x"}}}, "sensors.eye.pth: unknown key; did you mean 'path'?"),
        (
            {"sensors": {"eye": {"kind": "dvs.fil"}}},
            "sensors.eye: there is no kind 'dvs.fil'; did you mean 'dvs.file'?",
        ),
        ({"sensors": {"eye": {"kind": None}}}, "sensors.eye: has no `kind`"),
        ({"actuators": {"pointer": {"limits": {"min_rd": 0}}}}, "min_rd: unknown key; did you mean 'min_rad'?"),
        ({"actuators": {"pointer": {"ttl_s": -1}}}, "actuators.pointer.ttl_s: Input should be greater than 0, got -1"),
        (
            {"inputs": [{"from": "eye/event"}]},
            "inputs[0].from: no sensor publishes 'eye/event'; did you mean 'eye/events'?",
        ),
        (
            {"outputs": [{"decode": {}, "to": "pinter"}]},
            "outputs[0].to: there is no actuator 'pinter'; did you mean 'pointer'?",
        ),
        (
            {"outputs": [{"decode": {}, "to": "pointer", "unit": "deg"}]},
            "outputs[0].unit: 'deg', but actuator 'pointer' takes 'rad'",
        ),
        ({"on": [{"topic": "eye/segmnt", "do": "network.reset"}]}, "on[0].topic: no sensor publishes 'eye/segmnt'"),
        ({"robot": "My Robot"}, "robot: 'My Robot' is not a name"),
    ],
)
def test_a_wrong_key_or_name_is_named_with_what_was_meant(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        shipped("digits", changes)
    assert message in str(error.value)


def test_the_environment_overrides_single_values() -> None:
    tables = override(
        {"http": {"port": 1}, "outputs": [{"stale_after_s": 1.0}]},
        {
            "TECTUM__HTTP__PORT": "9000",
            "TECTUM__ROBOT": "twin",
            "TECTUM__OUTPUTS__0__STALE_AFTER_S": "0.2",
            "HOME": "/",
        },
    )
    assert tables == {"http": {"port": 9000}, "robot": "twin", "outputs": [{"stale_after_s": 0.2}]}


def test_a_file_that_is_not_there_or_not_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_robot(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("robot = ")
    with pytest.raises(ConfigError, match="not TOML"):
        load_robot(tmp_path / "bad.toml")


def test_relative_paths_start_at_the_file() -> None:
    robot = make_robot({"recording": {"folder": "here"}}, Path("/somewhere"))
    assert robot.recording.folder == Path("/somewhere/here")
