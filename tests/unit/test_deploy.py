"""What is shipped to run tectum elsewhere: it parses, agrees with itself, and names no machine of ours."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # it ships no types

from nets.nir import read
from runtime.commands.common import find_robot_file
from runtime.config import load_robot
from sensors.gaze_definition import GazeWorld

METRICS: dict[str, set[str]] = {
    "tectum_events_total": {"topic"},
    "tectum_lost_total": {"topic"},
    "tectum_late_total": set(),
    "tectum_latency_seconds": {"quantile"},
    "tectum_spikes_total": {"population"},
    "tectum_synops_total": set(),
    "tectum_dense_synops_total": set(),
    "tectum_estop_latched": set(),
    "tectum_actuator_safe": {"actuator"},
    "tectum_recording_incomplete": set(),
}
SCRAPED = {"instance", "job"}
TEXTS = (
    "Dockerfile",
    ".dockerignore",
    "LICENSE",
    "deploy/compose.yaml",
    "deploy/mosquitto.conf",
    "deploy/tectum.service",
    "deploy/prometheus.yml",
    "deploy/alerts.yml",
    "deploy/grafana-dashboard.json",
    "deploy/recordings/ATTRIBUTION.md",
    "deploy/networks/ATTRIBUTION.md",
    "deploy/digits.toml",
    "deploy/gaze.toml",
    "deploy/street.toml",
    "deploy/worlds/gaze.toml",
    "deploy/networks/make_motion.py",
    "deploy/networks/motion.dialect.toml",
)


@pytest.fixture
def root(deploy: Path) -> Path:
    return deploy.parent


def instructions(dockerfile: str) -> list[tuple[str, str]]:
    """(INSTRUCTION, rest), comments dropped and continued lines joined."""
    lines = [line for line in dockerfile.splitlines() if line.strip() and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined.splitlines())]


def expressions(deploy: Path) -> list[str]:
    """Every Prometheus expression that is shipped."""
    alerts = yaml.safe_load((deploy / "alerts.yml").read_text())
    found = [rule["expr"] for group in alerts["groups"] for rule in group["rules"]]
    board = json.loads((deploy / "grafana-dashboard.json").read_text())
    return found + [target["expr"] for panel in board["panels"] for target in panel["targets"]]


@pytest.mark.parametrize("name", TEXTS)
def test_nothing_names_one_machine_or_a_package_index(root: Path, name: str) -> None:
    text = (root / name).read_text()
    assert text.endswith("\n")
    for pattern in (
        r"/home/\w",
        r"/Users/\w",
        r"/root\b",
        r"(?<![\w.$-])/(?:mnt|srv|work|workspace)/",
        r"pypi",
        r"index-url",
        r"simple/",
        r"\blocalhost\b",
        r"\b(?!127\.0\.0\.1\b)(?:\d{1,3}\.){3}\d{1,3}\b",
    ):
        assert not re.search(pattern, text), f"{name}: {pattern}"


def test_locked_libraries_have_hashes_and_no_addresses(root: Path) -> None:
    text = (root / "requirements" / "run.txt").read_text()
    assert "://" not in text
    requirements = re.sub(r"\\\n", " ", text).splitlines()
    pinned = [line for line in requirements if line.strip() and not line.lstrip().startswith("#")]
    assert len(pinned) > 10
    assert [line for line in pinned if "==" not in line or "--hash=sha256:" not in line] == []


def test_image_has_two_stages_and_runs_without_rights(root: Path) -> None:
    steps = instructions((root / "Dockerfile").read_text())
    stages = [rest for word, rest in steps if word == "FROM"]
    assert len(stages) == 2
    assert all(":latest" not in stage for stage in stages)
    last = steps[max(i for i, (word, _) in enumerate(steps) if word == "FROM") :]
    final = dict(last)
    assert final["USER"] == "10001:10001"
    assert final["EXPOSE"] == "8642"
    assert final["STOPSIGNAL"] == "SIGTERM"
    assert json.loads(final["ENTRYPOINT"]) == ["tectum"]
    assert json.loads(final["HEALTHCHECK"].split("CMD ")[1]) == ["tectum", "health"]
    words = [word for word, _ in last]
    assert words.index("USER") > max(i for i, word in enumerate(words) if word in ("RUN", "COPY"))
    assert not any("pip" in rest or "apt" in rest for word, rest in last if word == "RUN")


def test_image_keeps_to_the_rules_of_a_good_dockerfile(root: Path) -> None:
    steps = instructions((root / "Dockerfile").read_text())
    known = {"ARG", "FROM", "ENV", "WORKDIR", "COPY", "RUN", "LABEL", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL"}
    assert {word for word, _ in steps} == known | {"HEALTHCHECK", "ENTRYPOINT", "CMD"}
    for word, rest in steps:
        if word == "RUN":
            shlex.split(rest)
            assert "sudo" not in rest
            assert "curl" not in rest
            for command in rest.split("&&"):
                if "pip install" in command:
                    assert {"--require-hashes", "--only-binary=:all:"} <= set(command.split())
        if word == "WORKDIR":
            assert rest.startswith("/")
        if word in ("ENV", "ARG"):
            assert not re.search("secret|password|token", rest, re.IGNORECASE)


def test_image_compiles_its_kernels_for_the_processor_it_states(root: Path) -> None:
    steps = instructions((root / "Dockerfile").read_text())
    stated = [
        {k: v for k, v in (pair.split("=", 1) for pair in shlex.split(rest)) if k.startswith("NUMBA")}
        for word, rest in steps
        if word == "ENV"
    ]
    assert len(stated) == 2
    assert stated[0] == stated[1]
    assert stated[0]["NUMBA_CPU_NAME"] == "${CPU}"
    assert [rest for word, rest in steps if word == "ARG" and rest.startswith("CPU=")] == ["CPU=x86-64-v3"] * 2


def test_build_context_holds_all_that_is_copied_and_little_else(root: Path) -> None:
    lines = [line for line in (root / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    allowed = {line[1:] for line in lines if line.startswith("!")}
    copied: set[str] = set()
    for word, rest in instructions((root / "Dockerfile").read_text()):
        if word == "COPY" and "--from" not in rest:
            copied.update(rest.split()[:-1])
    assert copied == allowed
    assert [name for name in copied if not (root / name).exists()] == []


def test_compose_listens_on_loopback_only_and_gives_no_rights(deploy: Path) -> None:
    compose = yaml.safe_load((deploy / "compose.yaml").read_text())
    services: dict[str, dict[str, Any]] = compose["services"]
    assert set(services) == {"tectum", "mosquitto", "prometheus"}
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert "privileged" not in service, name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        image = service["image"]
        assert "build" in service or re.search(r":v?\d+\.\d+\.\d+$", image), image
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert (deploy / source).is_file() if source.startswith(".") else source in compose["volumes"], volume
    listening = [word for word in services["prometheus"]["command"] if "listen-address" in word]
    assert listening == ["--web.listen-address=127.0.0.1:9090"]


def test_prometheus_finds_the_gateway_and_the_rules(deploy: Path) -> None:
    config = yaml.safe_load((deploy / "prometheus.yml").read_text())
    (job,) = config["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["127.0.0.1:8642"]}]
    assert job["metrics_path"] == "/metrics"
    assert all((deploy / name).is_file() for name in config["rule_files"])


def test_alerts_are_complete_and_named_once(deploy: Path) -> None:
    (group,) = yaml.safe_load((deploy / "alerts.yml").read_text())["groups"]
    names = [rule["alert"] for rule in group["rules"]]
    assert len(set(names)) == len(names)
    for rule in group["rules"]:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert set(rule["annotations"]) == {"summary", "description"}


def test_expressions_use_the_metrics_there_are_with_the_labels_they_have(deploy: Path) -> None:
    used: set[str] = set()
    for expression in expressions(deploy):
        assert expression.count("(") == expression.count(")"), expression
        assert expression.count("{") == expression.count("}"), expression
        for name, selector in re.findall(r"\b(tectum_\w+)(\{[^}]*\})?", expression):
            assert name in METRICS, expression
            labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector))
            assert labels <= METRICS[name] | SCRAPED, expression
            used.add(name)
        assert not re.search(r"(rate|increase)\((?!tectum_\w+_total[{\[])", expression), expression
    assert used == set(METRICS)


def test_legends_and_messages_name_labels_that_exist(deploy: Path) -> None:
    labels = set[str]().union(SCRAPED, *METRICS.values())
    board = json.loads((deploy / "grafana-dashboard.json").read_text())
    texts = [target["legendFormat"] for panel in board["panels"] for target in panel["targets"]]
    assert set(re.findall(r"\{\{(\w+)\}\}", " ".join(texts))) <= labels
    assert set(re.findall(r"\$labels\.(\w+)", (deploy / "alerts.yml").read_text())) <= labels


def test_dashboard_panels_do_not_overlap(deploy: Path) -> None:
    board = json.loads((deploy / "grafana-dashboard.json").read_text())
    taken: dict[tuple[int, int], str] = {}
    for panel in board["panels"]:
        grid = panel["gridPos"]
        for place in [
            (x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])
        ]:
            assert place[0] < 24
            assert place not in taken, (panel["title"], taken[place])
            taken[place] = panel["title"]
    identities = [panel["id"] for panel in board["panels"]]
    assert len(set(identities)) == len(identities)


def unit_of(deploy: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False, delimiters=("=",))
    parser.optionxform = str  # type: ignore[method-assign,assignment]  # systemd's keys have capitals
    parser.read_string((deploy / "tectum.service").read_text())
    return parser


def test_systemd_unit_watches_the_control_process_and_confines_it(deploy: Path) -> None:
    service = unit_of(deploy)["Service"]
    assert (service["Type"], service["WatchdogSec"], service["NotifyAccess"]) == ("notify", "2", "all")
    assert service["ExecStart"].split()[1:2] == ["run"]
    assert service["User"] == "tectum"
    assert service["RuntimeDirectoryMode"] == "0700"
    assert service["CapabilityBoundingSet"] == ""
    for key in ("NoNewPrivileges", "ProtectHome", "PrivateTmp", "ProtectKernelModules", "RestrictNamespaces"):
        assert service[key] == "yes", key
    assert service["ProtectSystem"] == "strict"
    assert service["DevicePolicy"] == "closed"


def test_systemd_accepts_every_line_of_the_unit(deploy: Path, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("needs systemd-analyze")
    text = (deploy / "tectum.service").read_text()
    unit = tmp_path / "tectum.service"
    unit.write_text(re.sub(r"(?m)^(Exec\w+=)\S+", r"\1/bin/true", text))
    done = subprocess.run(
        [analyze, "verify", "--man=no", str(unit)], capture_output=True, text=True, timeout=60, check=False
    )
    assert "tectum.service" not in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("folder", "suffixes"), [("networks", (".nir",)), ("recordings", (".bs2", ".aedat4", ".bin", ".raw", ".mcap"))]
)
def test_every_shipped_file_of_others_is_attributed(deploy: Path, folder: str, suffixes: tuple[str, ...]) -> None:
    text = (deploy / folder / "ATTRIBUTION.md").read_text()
    shipped = [path for path in (deploy / folder).rglob("*") if path.suffix in suffixes]
    assert shipped
    for path in shipped:
        top = path.relative_to(deploy / folder).parts[0]
        assert re.search(rf"(?m)^## {re.escape(top)}/?$", text), top


def test_the_gaze_robot_lives_in_the_world_that_its_network_was_trained_in(deploy: Path) -> None:
    file = deploy / "networks" / "gaze.nir"
    trained = json.loads(read(file).metadata["gaze"])
    robot = load_robot(deploy / "gaze.toml")
    parts = [*robot.sensors.values(), *robot.actuators.values()]
    assert len(parts) == 6
    for part in parts:
        assert part.definition == GazeWorld(**trained["world"]), part.name
    assert robot.sensors["dvs"].threshold == trained["dvs_threshold"]
    assert file.stat().st_size < 1 << 20


def test_no_sensor_of_the_gaze_robot_stops_it_alone(deploy: Path) -> None:
    robot = load_robot(deploy / "gaze.toml")
    assert all(output.requires == () for output in robot.outputs)
    held = {entry.port for entry in robot.inputs if entry.encode["kind"] == "sample"} - {"turn"}  # that one leaks
    assert held == {entry.port for entry in robot.inputs if entry.silent_after_s is not None}


def test_the_default_robot_is_the_gaze_robot(deploy: Path) -> None:
    assert find_robot_file(None) == deploy / "gaze.toml"
    assert find_robot_file(Path("digits")) == deploy / "digits.toml"
