"""What other processes may ask of the control process: the methods behind its local link."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np

from runtime.core.errors import DeviceError
from runtime.links.local import Refusal
from runtime.recorder import SLUG
from runtime.service import Service

LARGEST_SNAPSHOT = 1 << 30


class ControlApi:
    """Answers requests; every method is short, and none waits for anything but the disk or a read-back."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._methods = {
            "network.state": self._network_state,
            "network.snapshot": self._network_snapshot,
            "network.restore": self._network_restore,
            "network.reset": self._network_reset,
            "actuators.command": self._command,
            "estop": self._estop,
            "estop.release": self._release,
            "recordings.start": self._recording_start,
            "recordings.stop": self._recording_stop,
            "recordings.list": self._recordings,
            "sensors.restart": self._sensor_restart,
            "sensors.cut": self._sensor_cut,
            "sensors.restore": self._sensor_restore,
            "stop": self._stop,
            "ping": self._ping,
            "latency.take": self._latency_take,
        }

    async def handle(self, method: str, params: dict[str, Any]) -> Any:
        if method not in self._methods:
            raise LookupError(f"there is no method {method!r} (there are {', '.join(self._methods)})")
        return await self._methods[method](params)

    async def _ping(self, params: dict[str, Any]) -> Any:
        return {"t": self._service.clock.now()}

    async def _latency_take(self, params: dict[str, Any]) -> Any:
        """Every latency since the last asking as int64 ns; the first asking only begins to keep them."""
        return {"ns": np.array(self._service.latencies.take(), "<i8").tobytes()}

    async def _network_state(self, params: dict[str, Any]) -> Any:
        stage = self._stage()
        async with stage.lock:
            engine = stage.pipeline.engine
            return {"t": stage.pipeline.now, "hash": engine.hash().hex(), "describe": engine.describe()}

    async def _network_snapshot(self, params: dict[str, Any]) -> Any:
        stage = self._stage()
        async with stage.lock:
            return {"data": stage.pipeline.engine.snapshot(), "hash": stage.pipeline.engine.hash().hex()}

    async def _network_restore(self, params: dict[str, Any]) -> Any:
        self._stage()
        data = params.get("data")
        if data is None and "name" in params:
            data = await asyncio.to_thread(self._saved, str(params["name"]))
        if not isinstance(data, bytes):
            raise ValueError(f"network.restore: data is {type(data).__name__}, expected the bytes of a snapshot")
        await self._service.restore(data)
        return await self._network_state({})

    async def _network_reset(self, params: dict[str, Any]) -> Any:
        await self._stage().reset(self._service.clock.now())
        return {}

    async def _command(self, params: dict[str, Any]) -> Any:
        name, value, ttl = str(params["name"]), float(params["value"]), params.get("ttl_s")
        source = str(params.get("source", "local"))
        applied = self._service.command(name, value, source, None if ttl is None else float(ttl))
        return {"name": name, "value": value, "applied": applied, "mode": self._service.actuations[name].limiter.mode}

    async def _estop(self, params: dict[str, Any]) -> Any:
        state = await self._service.latch_estop(
            str(params.get("reason", "asked for")), str(params.get("source", "local"))
        )
        return {"latched": state.latched, "confirmed": state.confirmed, "reason": state.reason}

    async def _release(self, params: dict[str, Any]) -> Any:
        if not self._service.estop.latched:
            raise Refusal(409, "Not stopped", "the e-stop is not latched: there is nothing to release")
        await self._service.release_estop(str(params.get("source", "local")))
        return {"latched": False, "confirmed": False, "reason": ""}

    async def _recording_start(self, params: dict[str, Any]) -> Any:
        name = params.get("name")
        try:
            path = await self._service.start_recording(None if name is None else str(name))
        except ValueError as error:
            taken = "already" in str(error)
            raise Refusal(409 if taken else 422, "Recording refused", str(error)) from None
        return {"name": path.name, "active": True}

    async def _recording_stop(self, params: dict[str, Any]) -> Any:
        stats = self._service.recorder.stats()
        if stats is None:
            raise Refusal(409, "Not recording", "no recording is running: there is nothing to stop")
        await self._service.stop_recording()
        return {"name": self._service.recorder.name, "active": False, "bytes": stats.bytes_written}

    async def _recordings(self, params: dict[str, Any]) -> Any:
        return self._service.recorder.listing()

    async def _sensor_restart(self, params: dict[str, Any]) -> Any:
        try:
            self._service.restart_sensor(str(params["name"]))
        except DeviceError as error:
            raise Refusal(409, "Sensor is cut", str(error)) from None
        return {}

    async def _sensor_cut(self, params: dict[str, Any]) -> Any:
        self._service.cut_sensor(str(params["name"]))
        return {}

    async def _sensor_restore(self, params: dict[str, Any]) -> Any:
        self._service.restore_sensor(str(params["name"]))
        return {}

    async def _stop(self, params: dict[str, Any]) -> Any:
        self._service.stop()
        return {}

    def _saved(self, name: str) -> bytes:
        """A state from the configured folder, and from nowhere else."""
        config = self._service.robot.network
        folder = None if config is None else config.snapshots
        if folder is None:
            raise Refusal(409, "No snapshots", "the robot file names no [network] snapshots folder to restore from")
        path = folder / f"{name}.state"
        if not SLUG.fullmatch(name) or ".." in name or not path.is_file():
            raise LookupError(f"there is no snapshot {name!r}")
        if path.stat().st_size > LARGEST_SNAPSHOT:
            raise ValueError(f"snapshot {name!r} has {path.stat().st_size} bytes, expected at most {LARGEST_SNAPSHOT}")
        return path.read_bytes()

    def _stage(self) -> Any:
        if self._service.stage is None:
            raise Refusal(409, "No network", "this robot has no network")
        return self._service.stage
