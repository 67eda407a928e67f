"""The application: routes, guard and the connection to control."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse

from runtime.core.clock import Clock, MonotonicClock
from runtime.http import problems
from runtime.http.auth import Auth
from runtime.http.control import Control
from runtime.http.guard import Guard
from runtime.http.routes import command, health, page, read, stream
from runtime.http.settings import Settings

OPEN_PATHS = frozenset({"/healthz", "/readyz"})


def create_app(socket: Path | str, settings: Settings | None = None, clock: Clock | None = None) -> FastAPI:
    """A gateway to the control process that serves `socket`. It connects while the application's lifespan lasts."""
    settings = settings or Settings()
    clock = clock or MonotonicClock()
    control = Control(socket, settings, clock)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with control.connected():
            yield

    app = FastAPI(
        title="tectum",
        version="1",
        description="Watch and steer one robot.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    app.state.settings = settings
    app.state.clock = clock
    app.state.control = control
    app.state.auth = Auth(settings.keys, clock)
    problems.install(app)
    # Before the reads: `/v1/network/state` is a request, and `/v1/topics/{name:path}` takes any rest.
    for part in (command, read, stream, health, page):
        app.include_router(part.router)

    @cache
    def schema() -> dict[str, Any]:  # made when first asked for: a gateway that was killed must be back at once
        return _openapi(app, settings)

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> JSONResponse:
        return JSONResponse(schema())

    app.add_middleware(Guard, settings=settings)
    return app


def _openapi(app: FastAPI, settings: Settings) -> dict[str, Any]:
    schema: dict[str, Any] = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    schemas = schema["components"]["schemas"]
    problem = problems.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs"))
    schemas["Problem"] = problem
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    if settings.keys is not None:
        schema["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        schema["security"] = [{"key": []}]
        for path in OPEN_PATHS:
            for operation in schema["paths"][path].values():
                operation["security"] = []
    return schema
