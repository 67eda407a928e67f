"""A whole robot on a real broker: its state goes out, a far sensor drives its network, the broker may die."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from runtime.core.clock import SECOND, MonotonicClock, run_real
from runtime.mqtt_service import serve_mqtt
from runtime.service import Service
from tests.e2e.test_mqtt import Broker, broker, eventually
from tests.robots import shipped

__all__ = ["broker"]


def robot_with(broker: Broker, name: str, tables: dict[str, Any], mqtt: dict[str, Any]) -> Any:
    fields = {"port": broker.port, "backoff_s": 0.05, "backoff_max_s": 0.2, **mqtt}
    return shipped("digits", {"robot": name, "mqtt": fields, **tables})


@pytest.mark.usefixtures("broker")
def test_a_far_sensor_drives_the_network_and_the_broker_may_die(broker: Broker, tmp_path: Path) -> None:
    """One robot has the eye, the other the network: two machines' worth of processes in one, over a real broker."""
    far_eye = robot_with(
        broker,
        "far",
        {"network": None, "inputs": [], "outputs": [], "on": [], "actuators": {}},
        {"publish": ["eye/events"]},
    )
    near = robot_with(
        broker,
        "near",
        {
            "sensors": {"eye": {"path": str(far_eye.sensors["eye"].path)}},
            "inputs": [{"from": "far-eye/events", "port": "input"}],
            "outputs": [
                {
                    "port": "output",
                    "decode": {"kind": "argmax", "window_s": 0.3, "period_s": 0.02},
                    "map": [0.1 * k for k in range(10)],
                    "to": "pointer",
                    "requires": ["far-eye/events"],
                    "stale_after_s": 0.3,
                }
            ],
            "on": [],
        },
        {
            "publish": ["network/state", "pointer/summary"],
            "subscribe": [
                {"name": "far-eye/events", "robot": "far", "topic": "eye/events", "type": "dvs", "extent": [34, 34]}
            ],
        },
    )
    states: dict[str, list[dict[str, Any]]] = {}

    async def watch() -> None:
        async with broker.client() as client:
            await client.subscribe("tectum/near/state/#")
            async for message in client.messages:
                states.setdefault(message.topic.value, []).append(json.loads(message.payload))

    async def main(clock: MonotonicClock) -> None:
        await broker.start(clock)
        services = [Service(r, clock, tmp_path / r.robot) for r in (far_eye, near)]
        runs = [asyncio.create_task(s.run()) for s in services]
        links = [asyncio.create_task(serve_mqtt(s, s.robot.mqtt, clock)) for s in services if s.robot.mqtt]
        watching = asyncio.create_task(watch())
        near_service = services[1]
        arrived = near_service.bus.topics["far-eye/events"]
        try:
            await eventually(clock, lambda: arrived.events > 2000)
            await eventually(clock, lambda: near_service.outputs[0].decisions > 10)
            await eventually(
                clock, lambda: {"tectum/near/state/network/state", "tectum/near/state/pointer/summary"} <= set(states)
            )
            assert states["tectum/near/state/network/state"][-1]["events_in"] > 0
            local = near_service.bus.topics["eye/events"]
            before, began = local.events, clock.now()
            broker.kill()
            await eventually(clock, lambda: near_service.actuations["pointer"].limiter.mode == "safe")
            assert near_service.outputs[0].stale == "far-eye/events"
            await clock.sleep_until(began + SECOND)
            assert local.events - before > 2000  # the local eye goes on as if nothing had happened
            events = arrived.events
            await broker.start(clock)
            await eventually(clock, lambda: arrived.events > events + 1000)
            assert arrived.lost > 0  # what was sent while the broker was away is missing, and counted
            row = near_service.links[0]()
            assert row["reconnects"] >= 1
        finally:
            for service in services:
                service.stop()
            for task in (*links, watching):
                task.cancel()
            await asyncio.gather(*runs, *links, watching, return_exceptions=True)

    run_real(main)
