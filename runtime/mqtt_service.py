"""Serves a robot over MQTT: bus packets and the state of network and actuators out, remote topics and commands in."""

from __future__ import annotations

import asyncio
from typing import Any

from runtime.core.clock import SECOND, Clock
from runtime.links.mqtt import MqttLink
from runtime.links.mqtt_config import MqttConfig
from runtime.service import Service

NETWORK_STATE = "network/state"
ACTUATOR_STATE = "{}/summary"


async def serve_mqtt(service: Service, config: MqttConfig, clock: Clock) -> None:
    """Until cancelled. Nothing local waits for the broker."""

    async def command(actuator: str, value: float, ttl_s: float) -> float | None:
        return service.command(actuator, value, "mqtt", ttl_s)

    async def stop(reason: str) -> None:
        await service.latch_estop(reason, "mqtt")

    link = MqttLink(
        config,
        clock,
        service.bus.offer,
        command,
        stop=stop,
        robot=service.robot.robot,
        topics=[stats.topic for stats in service.bus.topics.values()],
    )
    service.links.append(lambda: _row(link))
    remote = {topic.name for topic in config.subscribe}
    untap = service.bus.tap(lambda arrived, p: None if p.topic.name in remote else link.offer(p.topic.name, p))
    running = asyncio.create_task(link.run(), name="mqtt link")
    try:
        while not running.done():
            _offer_state(service, link)
            await clock.sleep_until(clock.now() + int(config.state_period_s * SECOND))
        running.result()  # it ends only by a bug, which must not stay hidden
    finally:
        untap()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def _offer_state(service: Service, link: MqttLink) -> None:
    now = service.clock.now()
    stage = service.stage
    if stage is not None:
        counters = stage.pipeline.engine.counters
        outputs = [{"to": o.to, "value": o.value, "label": o.label, "stale": o.stale} for o in service.outputs]
        state: dict[str, Any] = {
            "t": now,
            "network_t": stage.pipeline.now,
            "events_in": counters.events_in,
            "events_late": stage.pipeline.late,
            "synops": counters.synops,
            "spikes": dict(counters.spikes),
            "outputs": outputs,
        }
        link.offer(NETWORK_STATE, state)
    for name, a in service.actuations.items():
        measured = None if a.measured is None else a.measured.position
        link.offer(
            ACTUATOR_STATE.format(name),
            {
                "t": now,
                "mode": a.limiter.mode,
                "reason": a.fault or a.limiter.reason,
                "applied": a.limiter.applied,
                "measured": measured,
                "stopped": service.estop.latched,
            },
        )


def _row(link: MqttLink) -> dict[str, Any]:
    stats = link.stats()
    return {key: stats[key] for key in ("name", "state", "sent", "received", "dropped", "gaps", "reconnects")}
