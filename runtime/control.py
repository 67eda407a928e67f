"""The control process: the service on the machine's clock, its local link, its beat, its signals."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from runtime import wire
from runtime.beat import Beat
from runtime.config import Robot
from runtime.control_api import ControlApi
from runtime.core.clock import SECOND, Clock, MonotonicClock
from runtime.links.local import LocalServer
from runtime.service import Service
from runtime.status import StatusReport

STATUS_NS = SECOND // 10
LIVE_NS = SECOND // 30

log = logging.getLogger("tectum")


@dataclass(frozen=True, slots=True)
class ControlOptions:
    """How one control process is to run."""

    socket: Path
    beat: Path | None
    state_dir: Path
    run_id: str
    speed: float = 1.0
    origin: int | None = None
    until_end: bool = False
    record: Path | None = None


async def control(robot: Robot, robot_file: bytes, options: ControlOptions, ready: Callable[[], None]) -> int:
    """Run until told to stop; the exit status."""
    clock = MonotonicClock(options.speed, options.origin)
    beat = None if options.beat is None else Beat(options.beat)
    turn: Callable[[int], None] = (lambda now: None) if beat is None else (lambda now: beat.turn())
    service = Service(robot, clock, options.state_dir, robot_file=robot_file, beat=turn)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, service.stop)
    async with LocalServer(options.socket, ControlApi(service).handle) as server:
        report = asyncio.create_task(push_status(service, server, options.run_id), name="status")
        live = asyncio.create_task(push_live(service, server, clock), name="live")
        link = _start_links(service, robot, clock)
        ending = asyncio.create_task(_stop_at_end(service), name="end") if options.until_end else None
        if options.record is not None:
            await service.start_recording(None, options.record)
        gc.collect()
        gc.freeze()  # what start-up made lives as long as the process: the collector need not walk it again
        try:
            await service.run(ready)
        finally:
            if beat is not None:
                beat.disarm()
            tasks = [task for task in (report, live, link, ending) if task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    return 1 if service.failure else 0


async def push_status(service: Service, server: LocalServer, run_id: str) -> None:
    """The state lane: ten times a second of the machine's time, and at once when something changes."""
    report = StatusReport(service, run_id)
    period = int(STATUS_NS * (service.clock.speed or 1.0))
    while True:
        server.push("status", wire.encode(report.build()))
        await service.until_changed(service.clock.now() + period)


async def push_live(service: Service, server: LocalServer, clock: Clock) -> None:
    """The live lane: only while somebody watches."""
    period = int(LIVE_NS * (clock.speed or 1.0))
    while True:
        if server.watched():
            if not service.live.running:
                service.watch_spikes(True)
            service.live.start(server.streams())
            service.show_spikes()
            frame = service.live.frame(clock.now())
            if frame is not None:
                server.push("live", frame)
        elif service.live.running:
            service.live.stop()
            service.watch_spikes(False)
        await clock.sleep_until(clock.now() + period)


async def _stop_at_end(service: Service) -> None:
    await service.ended.wait()
    await service.clock.sleep_until(service.clock.now() + SECOND // 5)
    service.stop()


def _start_links(service: Service, robot: Robot, clock: Clock) -> asyncio.Task[None] | None:
    if robot.mqtt is None:
        return None
    from runtime.mqtt_service import serve_mqtt

    task = asyncio.create_task(serve_mqtt(service, robot.mqtt, clock), name="mqtt")
    task.add_done_callback(_tell_failure)
    return task


def _tell_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("link %s failed; control goes on without it", task.get_name(), exc_info=task.exception())


def prepare_process() -> None:
    """Settings of the control process: threads hand the interpreter over in a tenth of the usual time."""
    sys.setswitchinterval(0.0005)
    gc.set_threshold(50_000, 50, 100)  # packets hold no cycles: what collects rarely interrupts rarely
