"""What is: every GET is answered from the last status, so that reading costs control nothing."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Path, Request
from pydantic import TypeAdapter, ValidationError

from runtime.http.auth import allow
from runtime.http.control import Control
from runtime.http.problems import READ, ProblemError, responses
from runtime.http.schemas import ActuatorState, EstopState, GraphState, NetworkState, SensorState, Status, TopicState

router = APIRouter(prefix="/v1", dependencies=[Depends(allow("read"))], responses=responses(*READ), tags=["state"])
T = TypeVar("T")

_STATUS = TypeAdapter(Status)
_GRAPH = TypeAdapter(GraphState)
_TOPICS = TypeAdapter(list[TopicState])
_SENSORS = TypeAdapter(list[SensorState])
_NETWORK: TypeAdapter[NetworkState | None] = TypeAdapter(NetworkState | None)
_ACTUATORS = TypeAdapter(list[ActuatorState])
_ESTOP = TypeAdapter(EstopState)
_CONFIG = TypeAdapter(dict[str, Any])

Name = Annotated[str, Path(max_length=200)]


def control_of(request: Request) -> Control:
    control: Control = request.app.state.control
    return control


def section(request: Request, name: str, kind: TypeAdapter[T]) -> T:
    """One part of the last status, checked. Raises 503 while there is none, 502 where it is not as declared."""
    status = control_of(request).status
    try:
        return kind.validate_python(status.get(name) if name else status)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = "/".join(str(at) for at in (name, *first["loc"]) if at != "")
        detail = f"control's status is not as declared: {where}: {first['msg']} ({error.error_count()} in all)"
        raise ProblemError(502, "Control is of another kind", detail) from None


def one(items: list[T], name: str, what: str) -> T:
    """The item of this name. Raises 404 naming those there are."""
    for item in items:
        if getattr(item, "name", None) == name:
            return item
    names = ", ".join(str(getattr(item, "name", "")) for item in items)
    raise ProblemError(404, "Not found", f"no {what} {name!r}, there are: {names or 'none'}")


@router.get("/status")
async def get_status(request: Request) -> Status:
    """Everything at once."""
    return section(request, "", _STATUS)


@router.get("/graph")
async def get_graph(request: Request) -> GraphState:
    """Who publishes what to whom."""
    return section(request, "graph", _GRAPH)


@router.get("/topics")
async def get_topics(request: Request) -> list[TopicState]:
    """Every topic with its promise, its rates and its loss."""
    return section(request, "topics", _TOPICS)


@router.get("/topics/{name:path}", responses=responses(404, 422, *READ))
async def get_topic(request: Request, name: Name) -> TopicState:
    """One topic; its name may contain slashes."""
    return one(section(request, "topics", _TOPICS), name, "topic")


@router.get("/sensors")
async def get_sensors(request: Request) -> list[SensorState]:
    """Every sensor and whether it runs."""
    return section(request, "sensors", _SENSORS)


@router.get("/sensors/{name}", responses=responses(404, 422, *READ))
async def get_sensor(request: Request, name: Name) -> SensorState:
    """One sensor."""
    return one(section(request, "sensors", _SENSORS), name, "sensor")


@router.get("/network", responses=responses(404, *READ))
async def get_network(request: Request) -> NetworkState:
    """The network, its counters and its effective dialect."""
    network = section(request, "network", _NETWORK)
    if network is None:
        raise ProblemError(404, "Not found", "this robot has no network")
    return network


@router.get("/actuators")
async def get_actuators(request: Request) -> list[ActuatorState]:
    """Every actuator: commanded, applied, measured."""
    return section(request, "actuators", _ACTUATORS)


@router.get("/actuators/{name}", responses=responses(404, 422, *READ))
async def get_actuator(request: Request, name: Name) -> ActuatorState:
    """One actuator."""
    return one(section(request, "actuators", _ACTUATORS), name, "actuator")


@router.get("/estop")
async def get_estop(request: Request) -> EstopState:
    """Whether the e-stop is latched, and whether read-back confirms it."""
    return section(request, "estop", _ESTOP)


@router.get("/config")
async def get_config(request: Request) -> dict[str, Any]:
    """The effective configuration, secrets masked."""
    return section(request, "config", _CONFIG)
