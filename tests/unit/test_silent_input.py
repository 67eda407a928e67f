"""A topic that fell silent: its port is told that there is nothing, once, at a time that steps do not change."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable

import numpy as np
import pytest

from nets import nodes as n
from nets.decode import make_decoder
from nets.encode import make_encoder
from nets.graph import Graph
from nets.sigma_delta.engine import SigmaDeltaEngine
from nets.sigma_delta.node import SigmaDelta
from runtime.config import make_robot
from runtime.core.errors import ConfigError
from runtime.core.packet import Packet
from runtime.core.topic import Topic
from runtime.merge import Step
from runtime.pipeline import Pipeline, WindowRow, build_pipeline
from tests.robots import DEPLOY

MS = 1_000_000
TOPIC = Topic("gyro/gyro", np.dtype(("<f4", (2,))), "rad/s", 100.0)
SILENT = 20 * MS


def pipeline() -> Pipeline:
    nodes: dict[str, n.Node] = {
        "in": n.Input((2,)),
        "quantiser": SigmaDelta(levels=8.0, slope=1.0),
        "product": n.Affine(np.eye(2, dtype=np.float32), np.full(2, 0.5, np.float32)),
        "out": n.Output((2,)),
    }
    engine = SigmaDeltaEngine(Graph(nodes, [("in", "quantiser"), ("quantiser", "product"), ("product", "out")]))
    encoder = make_encoder("sample", TOPIC, (2,), {})
    decoder = make_decoder("latest", 2, {"period_s": 0.001})
    return Pipeline(engine, [(TOPIC.name, "in", encoder, SILENT)], [("out", "motor", decoder)], (), 10 * MS, 0)


def packet(t: int) -> Step:
    data = np.array([[1.0, 2.0]], np.float32)
    return Step(Packet(TOPIC, np.array([t], np.int64), data, t), 0, 1, t, t)


def passing(until: int) -> Step:
    return Step(None, 0, 0, 0, until)


def values(run: Pipeline, steps: Iterable[Step]) -> dict[int, float | None]:
    return {decided.decision.t: decided.decision.value for step in steps for decided in run.run([step]).decided}


@pytest.mark.parametrize("every", [1, 7, 60])
def test_a_port_that_hears_nothing_reads_zero_from_its_moment_on(every: int) -> None:
    run = pipeline()
    found = values(run, [packet(5 * MS), *(passing(t * MS) for t in range(5 + every, 70, every))])
    before = [value for t, value in found.items() if 5 * MS <= t < 25 * MS]
    after = [value for t, value in found.items() if t >= 25 * MS]
    if every == 1:
        assert set(before) == {4.0}
    assert set(after) == {1.0}
    assert run.engine.counters.events_in == 4


def test_a_topic_that_speaks_again_is_heard_again() -> None:
    run = pipeline()
    found = values(run, [packet(5 * MS), passing(40 * MS), packet(41 * MS), passing(50 * MS), passing(90 * MS)])
    assert found[40 * MS] == 1.0
    assert found[50 * MS] == 4.0
    assert found[90 * MS] == 1.0


def test_a_snapshot_knows_who_is_silent() -> None:
    one, other = pipeline(), pipeline()
    one.run([packet(5 * MS), passing(15 * MS)])
    other.restore(one.snapshot())
    assert values(one, [passing(60 * MS)]) == values(other, [passing(60 * MS)])
    assert one.engine.hash() == other.engine.hash()


def test_a_reset_begins_the_waiting_anew() -> None:
    run = pipeline()
    run.run([packet(5 * MS), passing(60 * MS)])
    run.reset(60 * MS)
    run.run([passing(79 * MS)])
    fed = run.engine.counters.events_in
    run.run([passing(81 * MS)])
    assert run.engine.counters.events_in == fed + 2


def test_an_hour_in_which_nothing_came_is_one_window_and_few_decisions() -> None:
    run = pipeline()
    run.digests = True
    run.run([packet(5 * MS)])
    hour = 3_600_000 * MS
    found = run.run([packet(hour)])
    windows = [row for row in found.rows if isinstance(row, WindowRow)]
    assert [row.end for row in windows] == [hour]
    assert len(found.decided) < 3000
    assert found.decided[-1].decision.t == hour
    assert [value.decision.value for value in found.decided][-1] == 4.0
    assert values(run, [passing(hour + MS)]) == {hour + MS: 4.0}


def test_a_spiking_network_has_no_input_that_could_grow_old() -> None:
    tables = tomllib.loads((DEPLOY / "digits.toml").read_text())
    tables["inputs"][0]["silent_after_s"] = 0.1
    robot = make_robot(tables, DEPLOY, "digits.toml")
    topics = {topic.name: topic for topic in robot.sensors["eye"].describe()}
    with pytest.raises(ConfigError, match="silent_after_s: the network's mode is 'tick', expected 'sigma-delta'"):
        build_pipeline(robot, topics, 0)
