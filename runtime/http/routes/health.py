"""Probes and metrics."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from pydantic import TypeAdapter

from runtime.http.auth import Auth, allow
from runtime.http.metrics import render
from runtime.http.problems import READ, ProblemError, responses
from runtime.http.routes.read import control_of, section
from runtime.http.schemas import Health, Ready, ReadyState

router = APIRouter(tags=["health"])
_READY = TypeAdapter(ReadyState)


@router.get("/healthz")
async def get_health(request: Request) -> Health:
    """This process lives. Says `warn` while control is away; restarting the gateway would not help that."""
    away = control_of(request).is_away
    return Health(status="warn" if away else "pass", control="away" if away else "connected")


@router.get("/readyz", responses=responses(*READ))
async def get_ready(request: Request) -> Ready:
    """Every required source is fresh and every actuator is armed or idle by intent; 503 with what is wrong if not."""
    ready = section(request, "ready", _READY)
    if not ready.ok:
        auth: Auth = request.app.state.auth
        more = {} if auth.required else {"problems": ready.problems}
        detail = f"{len(ready.problems)} problems" if auth.required else "; ".join(ready.problems)
        raise ProblemError(503, "Not ready", detail, headers={"retry-after": "1"}, **more)
    return Ready(status="pass")


@router.get(
    "/metrics",
    dependencies=[Depends(allow("read"))],
    response_class=Response,
    responses={
        **responses(),
        200: {"description": "Prometheus text format", "content": {"text/plain": {"schema": {"type": "string"}}}},
    },
)
async def get_metrics(request: Request) -> Response:
    """The last status for Prometheus; while control is away only `tectum_up 0` and the gateway's own."""
    text, kind = render(control_of(request))
    return Response(text, media_type=kind)
