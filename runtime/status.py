"""The status: what the service says of itself, as plain values, ten times a second and on every change."""

from __future__ import annotations

from typing import Any

import numpy as np

from runtime.core.clock import SECOND
from runtime.core.topic import describe_dtype
from runtime.provenance import tables, tectum_version
from runtime.service import Service


class StatusReport:
    """Builds the status of one service; what never changes is built once."""

    def __init__(self, service: Service, run_id: str) -> None:
        self._service = service
        self._run_id = run_id
        self._version = tectum_version()
        self._config = tables(service.robot)
        self._graph = graph(service)
        self._engine: Any = None
        self._dialect: Any = None

    def build(self) -> dict[str, Any]:
        service = self._service
        now = service.clock.now()
        topics = self._topics(now)
        problems = self._problems()
        return {
            "robot": service.robot.robot,
            "run_id": self._run_id,
            "version": self._version,
            "t": now,
            "wall_ns": now + service.clock.wall_offset_ns,
            "uptime_s": (now - service.started) / SECOND,
            "clock": {"speed": service.clock.speed},
            "estop": {
                "latched": service.estop.latched,
                "confirmed": service.estop.confirmed,
                "reason": service.estop.reason,
                "since_ns": service.estop.since,
            },
            "topics": topics,
            "subscriptions": self._subscriptions(),
            "sensors": [
                {
                    "name": name,
                    "kind": sensor.kind,
                    "state": "running" if status.state == "starting" else status.state,
                    "restarts": status.restarts,
                    "error": status.error,
                    "topics": [topic for topic, stats in service.bus.topics.items() if stats.source == name],
                }
                for name, (sensor, status) in service.sensors.items()
            ],
            "network": self._network(),
            "actuators": self._actuators(now),
            "outputs": self._outputs(now),
            "latency": service.latencies.summary(),
            "lost_total": sum(t["lost"] for t in topics) + sum(s.stats.dropped for s in service.bus.subscriptions),
            "loop_lag_us": service.loop_lag_ns / 1e3,
            "recording": self._recording(),
            "links": [dict(link()) for link in service.links],
            "ready": {"ok": not problems, "problems": problems},
            "config": self._config,
            "graph": self._graph,
        }

    def _topics(self, now: int) -> list[dict[str, Any]]:
        rows = []
        stage = self._service.stage
        late_by = {} if stage is None else stage.pipeline.late_by
        for name, stats in self._service.bus.topics.items():
            health = self._service.health.get(name)
            judged = None if health is None else health.judge(now)
            watched = None if stats.source in self._service.actuations else judged  # commands promise nothing
            rows.append(
                {
                    "name": name,
                    "dtype": describe_dtype(stats.topic.dtype),
                    "unit": stats.topic.unit,
                    "rate_hz": stats.topic.rate_hz,
                    "extent": None if stats.topic.extent is None else list(stats.topic.extent),
                    "source": stats.source,
                    "packets": stats.packets,
                    "events": stats.events,
                    "bytes": stats.bytes,
                    "packet_rate_hz": 0.0 if judged is None else judged.packet_rate_hz,
                    "event_rate_hz": 0.0 if judged is None else judged.event_rate_hz,
                    "lost": stats.lost,
                    "late": late_by.get(name, 0),
                    "age_s": None if stats.arrived is None else (now - stats.arrived) / SECOND,
                    "alive": watched is None or watched.alive,
                    "on_time": watched is None or watched.on_time,
                    "complete": watched is None or watched.complete,
                }
            )
        return rows

    def _subscriptions(self) -> list[dict[str, Any]]:
        return [
            {
                "name": s.name,
                "topics": list(s.topics),
                "lane": "all",
                "policy": s.policy,
                "capacity": s.capacity,
                "depth": s.depth,
                "delivered": s.stats.delivered,
                "dropped": s.stats.dropped,
                "high_water": s.stats.high_water,
            }
            for s in self._service.bus.subscriptions
        ]

    def _network(self) -> dict[str, Any] | None:
        stage = self._service.stage
        config = self._service.robot.network
        if stage is None or config is None:
            return None
        engine, counters = stage.pipeline.engine, stage.pipeline.engine.counters
        calls = np.array(stage.call_ns, np.float64) / 1e3
        p50, p99, most = (float(v) for v in np.percentile(calls, [50, 99, 100])) if len(calls) else (0.0, 0.0, 0.0)
        return {
            "name": config.file.name,
            "mode": config.mode,
            "dt_s": engine.dt_ns / SECOND,
            "t": stage.pipeline.now,
            "merge": config.merge,
            "events_in": int(counters.events_in),
            "events_out": int(counters.events_out),
            "events_late": stage.pipeline.late,
            "events_risky": int(counters.events_risky),
            "synops": int(counters.synops),
            "dense_synops": int(counters.synops_dense),
            "synops_adds": getattr(counters, "synops_adds", None),
            "unit_touches": int(counters.unit_touches),
            "energy_j_estimate": float(counters.energy_j_estimate),
            "ticks": int(counters.ticks),
            "silent_ticks": int(counters.ticks_silent),
            "populations": [self._population(engine, counters, p) for p in engine.populations],
            "call_us": {"p50": p50, "p99": p99, "max": most},
            "inline_calls": stage.inline_calls,
            "thread_calls": stage.thread_calls,
            "inputs": list(engine.inputs),
            "outputs": list(engine.outputs),
            "dialect": self._dialect_of(engine),
        }

    @staticmethod
    def _population(engine: Any, counters: Any, population: Any) -> dict[str, Any]:
        row = {"name": population.name, "size": population.size, "spikes": int(counters.spikes[population.name])}
        activity = engine.activity.get(population.name)
        return row | {
            "silent": None if activity is None else activity.silent,
            "saturated": None if activity is None else activity.saturated,
        }

    def _dialect_of(self, engine: Any) -> Any:
        """Described once an engine: that walks the whole graph, ten times a second for nothing."""
        if engine is not self._engine:
            self._engine, self._dialect = engine, engine.describe()["dialect"]
        return self._dialect

    def _actuators(self, now: int) -> list[dict[str, Any]]:
        rows = []
        for name, a in self._service.actuations.items():
            limits = a.limiter.limits
            rows.append(
                {
                    "name": name,
                    "kind": a.adapter.kind,
                    "unit": a.adapter.unit,
                    "limits": {"min": limits.min, "max": limits.max, "slew": limits.slew},
                    "safe_value": a.limiter.safe_value,
                    "commanded": a.commanded,
                    "applied": a.limiter.applied,
                    "measured": None if a.measured is None else a.measured.position,
                    "mode": a.limiter.mode,
                    "reason": a.fault or a.limiter.reason,
                    "ttl_s": a.adapter.ttl_s,
                    "age_s": None if a.commanded_at is None else (now - a.commanded_at) / SECOND,
                    "source": a.source,
                    "accepts_commands": a.limiter.mode != "stopped",
                }
            )
        return rows

    def _outputs(self, now: int) -> list[dict[str, Any]]:
        rows = []
        for state, config in zip(self._service.outputs, self._service.robot.outputs, strict=True):
            label = None if state.label is None else str(state.label)
            if config.labels is not None and state.label is not None and 0 <= state.label < len(config.labels):
                label = config.labels[state.label]
            rows.append(
                {
                    "name": config.port,
                    "to": state.to,
                    "value": state.value,
                    "label": label,
                    "scores": state.scores,
                    "age_s": None if state.t is None else (now - state.t) / SECOND,
                }
            )
        return rows

    def _recording(self) -> dict[str, Any]:
        stats = self._service.recorder.stats()
        if stats is None:
            name = self._service.recorder.name
            return {"active": False, "name": name, "bytes": 0, "messages": 0, "incomplete": False, "gaps": {}}
        return {
            "active": True,
            "name": self._service.recorder.name,
            "bytes": stats.bytes_written,
            "messages": stats.messages,
            "incomplete": bool(stats.gaps) or stats.error is not None,
            "gaps": dict(stats.gaps),
        }

    def _problems(self) -> list[str]:
        service = self._service
        found = []
        if service.estop.latched:
            found.append(f"e-stop is latched: {service.estop.reason}")
        for name, (_, status) in service.sensors.items():
            if status.state == "cut":
                found.append(f"sensor {name} is cut")
            elif status.state in ("failed", "restarting"):
                found.append(f"sensor {name} is {status.state}: {status.error}")
        found += [f"{o.stale} is silent: {o.to} is in its safe state" for o in service.outputs if o.stale]
        found += [f"actuator {name}: {a.fault}" for name, a in service.actuations.items() if a.fault]
        return found


def graph(service: Service) -> dict[str, Any]:
    """Who is connected to whom, by which topic, with which policy."""
    robot = service.robot
    nodes: list[dict[str, str]] = [{"id": name, "role": "sensor"} for name in robot.sensors]
    edges: list[dict[str, str]] = []
    sources = {topic: stats.source for topic, stats in service.bus.topics.items()}
    if service.stage is not None:
        nodes.append({"id": "network", "role": "network"})
        policy = service.stage.subscription.policy
        wired = [entry.from_ for entry in robot.inputs] + [rule.topic for rule in robot.on]
        edges += [{"from": sources[t], "to": "network", "topic": t, "policy": policy} for t in wired if t in sources]
        edges += [
            {"from": "network", "to": output.to, "topic": f"{output.to}/command", "policy": "latest"}
            for output in robot.outputs
        ]
    nodes += [{"id": name, "role": "actuator"} for name in robot.actuators]
    if robot.mqtt is not None:
        nodes.append({"id": "mqtt", "role": "link"})
    return {"nodes": nodes, "edges": edges}
