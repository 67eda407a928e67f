"""What to do: commands, each of which becomes one request to control and is logged with who asked."""

from __future__ import annotations

import json
import logging
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import ValidationError

from runtime.http.auth import allow
from runtime.http.problems import COMMAND, ProblemError, responses
from runtime.http.routes.read import Name, control_of
from runtime.http.schemas import (
    Applied,
    CommandRequest,
    Done,
    EstopResult,
    RecordingRequest,
    ReleaseRequest,
    RestoreRequest,
    StopRequest,
)

router = APIRouter(prefix="/v1", responses=responses(*COMMAND), tags=["commands"])
log = logging.getLogger("tectum.audit")

Anyone = Annotated[str, Depends(allow(None))]
Controller = Annotated[str, Depends(allow("control"))]
Admin = Annotated[str, Depends(allow("admin"))]
Reader = Annotated[str, Depends(allow("read"))]

_SNAPSHOT = {"schema": {"type": "string", "format": "binary"}}
_RESTORE = {
    "requestBody": {
        "required": True,
        "content": {
            "application/octet-stream": _SNAPSHOT,
            "application/json": {"schema": RestoreRequest.model_json_schema()},
        },
    }
}


@router.post("/actuators/{name}/command")
async def command_actuator(request: Request, name: Name, body: CommandRequest, who: Controller) -> Applied:
    """Command a set-point; the answer says what the limiter let through. 423 while the e-stop is latched, 409 where
    the actuator does not accept commands from outside."""
    params = {"name": name, "value": body.value, "ttl_s": body.ttl_s, "source": _source(who)}
    return Applied.model_validate(await _ask(request, who, "actuators.command", params))


@router.post("/estop")
async def latch_estop(request: Request, who: Anyone, body: StopRequest | None = None) -> EstopResult:
    """Stop. Any valid key may."""
    params = {"reason": (body or StopRequest()).reason, "source": _source(who)}
    return EstopResult.model_validate(await _ask(request, who, "estop", params))


@router.delete("/estop")
async def release_estop(request: Request, who: Controller, body: ReleaseRequest) -> EstopResult:
    """Let it move again, from zeroed commands."""
    log.warning("estop.release by %s: %s", _source(who), body.reason)
    result = await _ask(request, who, "estop.release", {"source": _source(who)})
    return EstopResult.model_validate(result if isinstance(result, dict) else {"latched": False})


@router.get("/network/state", responses=responses(*COMMAND))
async def get_network_state(request: Request, who: Reader) -> dict[str, Any]:
    """The network's state in numbers, as of now."""
    match await control_of(request).request("network.state"):
        case dict() as state:
            return {str(key): _plain(value) for key, value in state.items()}
    raise ProblemError(502, "Control failed", "the network's state came not as a map")


@router.post(
    "/network/snapshot",
    response_class=Response,
    responses={200: {"description": "The network's whole state", "content": {"application/octet-stream": _SNAPSHOT}}},
)
async def snapshot_network(request: Request, who: Controller) -> Response:
    """The network's whole state, to be restored later; its hash is in `x-tectum-hash`."""
    match await _ask(request, who, "network.snapshot", {}):
        case {"data": bytes(data), "hash": bytes() | str() as hashed}:
            text = hashed.hex() if isinstance(hashed, bytes) else hashed
            return Response(data, media_type="application/octet-stream", headers={"x-tectum-hash": text})
    raise ProblemError(502, "Control failed", "the snapshot came without data or hash")


@router.put("/network/restore", openapi_extra=_RESTORE)
async def put_network(request: Request, who: Admin) -> Done:
    """Restore a snapshot: its bytes, or `{"name": ...}` of one in the robot's own directory."""
    return await _restore(request, who)


@router.post("/network/restore", openapi_extra=_RESTORE)
async def post_network(request: Request, who: Admin) -> Done:
    """The same as PUT."""
    return await _restore(request, who)


@router.post("/network/reset")
async def reset_network(request: Request, who: Controller) -> Done:
    """Forget all state of the network."""
    return _done(await _ask(request, who, "network.reset", {}))


@router.post("/sensors/{name}/restart")
async def restart_sensor(request: Request, name: Name, who: Controller) -> Done:
    """Close the sensor's device and open it again."""
    return _done(await _ask(request, who, "sensors.restart", {"name": name}))


@router.post("/sensors/{name}/cut")
async def cut_sensor(request: Request, name: Name, who: Controller) -> Done:
    """Close the sensor's device until it is restored; the robot goes on as if it had fallen silent."""
    return _done(await _ask(request, who, "sensors.cut", {"name": name}))


@router.post("/sensors/{name}/restore")
async def restore_sensor(request: Request, name: Name, who: Controller) -> Done:
    """Open the device of a sensor that was cut."""
    return _done(await _ask(request, who, "sensors.restore", {"name": name}))


@router.get("/recordings", tags=["recordings"])
async def list_recordings(request: Request, who: Reader) -> list[dict[str, Any]]:
    """The recordings in the robot's directory."""
    match await control_of(request).request("recordings.list"):
        case list() as found:
            return [_plain(item) if isinstance(item, dict) else {"name": str(item)} for item in found]
        case {"recordings": list() as found}:
            return [_plain(item) if isinstance(item, dict) else {"name": str(item)} for item in found]
    raise ProblemError(502, "Control failed", "the recordings came not as a list")


@router.post("/recordings/start", tags=["recordings"])
async def start_recording(request: Request, who: Controller, body: RecordingRequest | None = None) -> Done:
    """Record every topic from now on."""
    params = {"name": body.name} if body is not None and body.name is not None else {}
    return _done(await _ask(request, who, "recordings.start", params))


@router.post("/recordings/stop", tags=["recordings"])
async def stop_recording(request: Request, who: Controller) -> Done:
    """Close the recording."""
    return _done(await _ask(request, who, "recordings.stop", {}))


async def _restore(request: Request, who: str) -> Done:
    body = await request.body()
    if not body:
        raise ProblemError(422, "Not as declared", "the body is empty, expected a snapshot")
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        return _done(await _ask(request, who, "network.restore", {"data": body}))
    try:
        asked = RestoreRequest.model_validate(json.loads(body))
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from None
    except (ValueError, RecursionError) as error:
        raise ProblemError(422, "Not as declared", f"the body is not JSON: {type(error).__name__}") from None
    return _done(await _ask(request, who, "network.restore", {"name": asked.name}))


async def _ask(request: Request, who: str, method: str, params: dict[str, Any]) -> Any:
    shown = {key: value if not isinstance(value, bytes) else f"{len(value)} bytes" for key, value in params.items()}
    try:
        result = await control_of(request).request(method, params)
    except Exception as error:
        log.warning("%s %s by %s: refused: %s", method, shown, _source(who), error)
        raise
    log.info("%s %s by %s: done", method, shown, _source(who))
    return result


def _source(who: str) -> str:
    return f"http:{who}" if who else "http"


def _done(result: Any) -> Done:
    return Done.model_validate({**_plain(result), "ok": True} if isinstance(result, dict) else {"ok": True})


def _plain(value: Any) -> Any:
    """The value as JSON can say it: bytes in hexadecimal, nothing infinite."""
    match value:
        case bytes():
            return value.hex()
        case float() if value != value or value in (float("inf"), float("-inf")):
            return None
        case dict():
            return {str(key): _plain(item) for key, item in value.items()}
        case list():
            return [_plain(item) for item in value]
        case _:
            return value
