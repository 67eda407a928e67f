"""What every actuator promises, whatever its kind: one table, the same tests for all."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from runtime.core.clock import SECOND, VirtualClock, run_virtual
from runtime.core.errors import PacketError
from runtime.core.limits import Limits
from runtime.core.packet import Packet, check_packet, no_events, one_event
from runtime.core.roles import Actuator, LiveActuator
from runtime.core.topic import COMMAND, STATE
from runtime.registry import adapter
from runtime.registry import kinds as registered

MS = 1_000_000


@dataclass(frozen=True)
class Case:
    """How to configure one kind so that it can be observed moving."""

    kind: str
    build: Callable[[Path], dict[str, Any]]
    near: float
    """How near read-back comes to a set-point that is held."""
    label: str = ""


CASES = (
    Case("servo.sim", lambda folder: {}, near=0.01),
    Case(
        "servo.sim",
        lambda folder: {
            "limits": {"min_rad": 0.5, "max_rad": 3.0, "slew_rad_s": 2.0},
            "safe": {"position_rad": 1.0},
            "tau_s": 0.1,
            "ttl_s": 0.2,
        },
        near=0.08,
        label="slow",
    ),
    Case("gaze.pan", lambda folder: {"limits": {"max_rad_s": 2.0}, "world": {"shape": [1, 64]}}, near=1e-6),
    Case("gaze.tilt", lambda folder: {"limits": {"max_rad_s": 1.0, "slew_rad_s2": 10.0}, "ttl_s": 0.5}, near=1e-6),
    Case("log", lambda folder: {"path": str(folder / "commands.csv")}, near=0.0),
    Case(
        "log",
        lambda folder: {
            "path": str(folder / "commands.jsonl"),
            "limits": {"min": -1.0, "max": 1.0, "slew": 1.0},
            "safe": {"value": 0.5},
        },
        near=0.0,
        label="limited",
    ),
)
IDS = [f"{case.kind}-{case.label}".rstrip("-") for case in CASES]


def build(case: Case, folder: Path, extra: dict[str, Any] | None = None) -> Any:
    fields = {"name": "pan", "kind": case.kind, **case.build(folder), **(extra or {})}
    return adapter("actuators", case.kind).model_validate(fields)


@pytest.fixture(params=CASES, ids=IDS)
def case(request: pytest.FixtureRequest) -> Case:
    chosen: Case = request.param
    return chosen


@pytest.fixture
def actuator(case: Case, tmp_path: Path) -> Any:
    return build(case, tmp_path)


def command(actuator: Any, t: int, value: float, ttl_s: float | None = None) -> Packet:
    return one_event(actuator.describe()[0], t, (value, actuator.ttl_s if ttl_s is None else ttl_s))


def away(actuator: Any) -> float:
    """A set-point within the limits that is not the safe one."""
    limits: Limits = actuator.limits_si
    far = max((limits.min, limits.max), key=lambda end: abs(end - actuator.safe_value))
    return float(actuator.safe_value + 0.5 * (far - actuator.safe_value))


async def position(live: LiveActuator) -> float:
    return float(live.read().data["position"][0])


async def settle(actuator: Any, clock: VirtualClock, live: LiveActuator, value: float) -> None:
    """Hold a set-point for a while, renewing it as the runtime would."""
    for _ in range(50):
        live.apply(command(actuator, clock.now(), value))
        await clock.advance_to(clock.now() + 10 * MS)


def test_every_registered_kind_is_in_the_table() -> None:
    assert set(registered("actuators")) == {case.kind for case in CASES}


def test_it_is_an_actuator_and_describes_its_two_topics(actuator: Any) -> None:
    assert isinstance(actuator, Actuator)
    wanted, measured = actuator.describe()
    assert (wanted.name, wanted.dtype, wanted.unit) == ("pan/command", COMMAND, actuator.unit)
    assert (measured.name, measured.dtype, measured.unit) == ("pan/state", STATE, actuator.unit)
    limits = actuator.limits_si
    assert isinstance(limits, Limits)
    assert limits.min <= actuator.safe_value <= limits.max
    assert math.isfinite(actuator.travel_s)
    assert actuator.travel_s >= 0
    assert actuator.ttl_s > 0


def test_its_configuration_is_strict_and_frozen(case: Case, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="no_such_key"):
        build(case, tmp_path, {"no_such_key": 1})
    with pytest.raises(ValidationError, match="frozen"):
        build(case, tmp_path).name = "other"
    with pytest.raises(ValidationError):
        build(case, tmp_path, {"ttl_s": 0.0})


def test_apply_keeps_the_limits_and_returns_what_was_applied(actuator: Any) -> None:
    async def main(clock: VirtualClock) -> None:
        async with actuator.open(clock) as live:
            assert isinstance(live, LiveActuator)
            limits = actuator.limits_si
            for seq, value in enumerate((limits.min - 1.0, away(actuator), limits.max + 1.0)):
                applied = check_packet(live.apply(command(actuator, clock.now(), value)))
                assert applied.topic == actuator.describe()[0]
                assert applied.data["value"].tolist() == [limits.clip(value)]
                assert applied.seq == seq
                await clock.advance_to(clock.now() + 400 * MS)
                measured = await position(live)
                assert limits.min - 0.01 <= measured <= limits.max + 0.01

    run_virtual(main)


def test_only_the_newest_command_of_a_packet_acts(actuator: Any) -> None:
    async def main(clock: VirtualClock) -> None:
        async with actuator.open(clock) as live:
            first = command(actuator, clock.now(), actuator.safe_value)
            second = command(actuator, clock.now(), away(actuator))
            both = Packet(
                first.topic,
                first.t.repeat(2),
                first.data.repeat(2),
                first.until,
            )
            both.data[1] = second.data[0]
            applied = live.apply(both)
            assert applied.data["value"].tolist() == [away(actuator)]

    run_virtual(main)


def test_read_back_follows_and_its_times_run_forward(actuator: Any, case: Case) -> None:
    async def main(clock: VirtualClock) -> None:
        async with actuator.open(clock) as live:
            rest = check_packet(live.read())
            assert rest.topic == actuator.describe()[1]
            assert rest.data["safe"].tolist() == [1]
            await settle(actuator, clock, live, away(actuator))
            moved = check_packet(live.read())
            assert moved.data["position"][0] == pytest.approx(away(actuator), abs=case.near)
            assert moved.data["safe"].tolist() == [0]
            assert moved.data["fault"].tolist() == [0]
            assert moved.t[0] == clock.now()
            assert moved.seq == rest.seq + 1

    run_virtual(main)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused_and_moves_nothing(actuator: Any, case: Case, value: float) -> None:
    async def main(clock: VirtualClock) -> None:
        async with actuator.open(clock) as live:
            await settle(actuator, clock, live, away(actuator))
            with pytest.raises(PacketError, match="pan"):
                live.apply(command(actuator, clock.now(), value))
            with pytest.raises(PacketError, match="pan"):
                live.apply(no_events(actuator.describe()[0], clock.now()))
            assert await position(live) == pytest.approx(away(actuator), abs=case.near)

    run_virtual(main)


def test_no_command_older_than_its_time_to_live_acts(actuator: Any) -> None:
    async def main(clock: VirtualClock) -> None:
        async with actuator.open(clock) as live:
            old = command(actuator, clock.now(), away(actuator))
            await clock.advance_to(clock.now() + round(actuator.ttl_s * SECOND))
            assert len(live.apply(old)) == 0
            await clock.advance_to(clock.now() + 50 * MS)
            assert live.read().data["safe"].tolist() == [1]

    run_virtual(main)


def test_without_commands_it_is_safe_after_its_time_to_live_and_travel(actuator: Any) -> None:
    async def main(clock: VirtualClock) -> None:
        async with actuator.open(clock) as live:
            await settle(actuator, clock, live, away(actuator))
            live.apply(command(actuator, clock.now(), away(actuator), ttl_s=1000.0))
            await clock.advance_to(clock.now() + round((actuator.ttl_s + actuator.travel_s) * SECOND))
            assert live.read().data["safe"].tolist() == [1]

    run_virtual(main)


class CutShort(Exception):
    """What ends a context in the test below."""


@pytest.mark.parametrize("end", ["return", "exception", "cancellation"])
def test_leaving_the_context_makes_it_safe(actuator: Any, end: str) -> None:
    held = asyncio.Event()

    async def hold(clock: VirtualClock) -> None:
        async with actuator.open(clock) as live:
            await settle(actuator, clock, live, away(actuator))
            live.apply(command(actuator, clock.now(), away(actuator)))
            held.set()
            if end == "exception":
                raise CutShort
            if end == "cancellation":
                await asyncio.get_running_loop().create_future()

    async def main(clock: VirtualClock) -> None:
        holder = asyncio.create_task(hold(clock))
        await held.wait()
        if end == "cancellation":
            holder.cancel()
        outcome = (await asyncio.gather(holder, return_exceptions=True))[0]
        expected = {"return": type(None), "exception": CutShort, "cancellation": asyncio.CancelledError}
        assert type(outcome) is expected[end]
        await clock.advance_to(clock.now() + round(actuator.travel_s * SECOND))
        assert actuator.is_safe(0.0)
        async with actuator.open(clock) as live:
            read = live.read()
            assert read.data["safe"].tolist() == [1]

    run_virtual(main)


def test_make_safe_needs_no_open_device_and_may_be_repeated(actuator: Any) -> None:
    actuator.make_safe()
    actuator.make_safe()
    assert actuator.is_safe(0.0)

    async def main(clock: VirtualClock) -> None:
        async with actuator.open(clock) as live:
            await settle(actuator, clock, live, away(actuator))
            assert not actuator.is_safe(0.0)
            actuator.make_safe()
            await clock.advance_to(clock.now() + round(actuator.travel_s * SECOND) // 2)
            actuator.make_safe()
            await clock.advance_to(clock.now() + round(actuator.travel_s * SECOND) // 2 + MS)
            assert actuator.is_safe(0.0)
            assert live.read().data["safe"].tolist() == [1]

    run_virtual(main)
