"""Every error as RFC 9457 problem details."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from runtime.core.errors import LinkError
from runtime.links.local import PROBLEM, Refusal

MEDIA_TYPE = "application/problem+json"
UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})
PASSED_ON = frozenset({400, 403, 404, 409, 413, 422, 423, 429, 503, 504})
"""What control may answer by its own word; anything else of it is a bad gateway."""


class FieldProblem(BaseModel):
    """One field that is not as declared."""

    model_config = ConfigDict(extra="forbid")

    where: list[str | int]
    message: str


class Problem(BaseModel):
    """RFC 9457."""

    model_config = ConfigDict(extra="forbid")

    type: str
    title: str
    status: int
    detail: str = ""
    instance: str | None = None
    errors: list[FieldProblem] | None = None
    problems: list[str] | None = None


class ProblemError(Exception):
    """Raised anywhere in the gateway to answer with a problem."""

    def __init__(self, status: int, title: str, detail: str = "", **more: Any) -> None:
        self.status = status
        self.title = title
        self.detail = detail
        self.headers: dict[str, str] = more.pop("headers", {})
        self.type: str = more.pop("type", PROBLEM + "-".join(title.lower().split()))
        self.more = more
        super().__init__(f"{status} {title}: {detail}")


def away(detail: str) -> ProblemError:
    """Control does not answer; it may in a moment."""
    return ProblemError(503, "Control is away", detail, headers={"retry-after": "1"})


def of_refusal(refusal: Refusal) -> ProblemError:
    """What control said, in its own words."""
    if refusal.status in PASSED_ON:
        return ProblemError(refusal.status, refusal.title, refusal.detail, type=refusal.type)
    return ProblemError(502, "Control failed", f"{refusal.title}: {refusal.detail}")


def respond(problem: ProblemError, instance: str | None = None) -> Response:
    """The problem as a response."""
    body = {
        "type": problem.type,
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        **({} if instance is None else {"instance": instance}),
        **problem.more,
    }
    text = json.dumps(body, allow_nan=False, ensure_ascii=True)
    return Response(text, problem.status, problem.headers, MEDIA_TYPE)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI declaration of these problems."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in sorted({400, 401, 403, 429, *statuses})
    }


READ = (502, 503)
COMMAND = (404, 408, 409, 413, 415, 422, 423, 502, 503, 504)


def install(app: FastAPI) -> None:
    """Make every error of the application a problem."""

    @app.exception_handler(ProblemError)
    async def _problem(request: Request, error: ProblemError) -> Response:
        return respond(error, request.url.path)

    @app.exception_handler(Refusal)
    async def _refusal(request: Request, error: Refusal) -> Response:
        return respond(of_refusal(error), request.url.path)

    @app.exception_handler(LinkError)
    async def _away(request: Request, error: LinkError) -> Response:
        return respond(away(str(error)), request.url.path)

    @app.exception_handler(TimeoutError)
    async def _late(request: Request, error: TimeoutError) -> Response:
        return respond(ProblemError(504, "No answer in time", str(error)), request.url.path)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> Response:
        fields = [{"where": [_word(at) for at in e["loc"]], "message": str(e["msg"])} for e in error.errors()]
        first = f"{'/'.join(str(at) for at in fields[0]['where'])}: {fields[0]['message']}" if fields else ""
        return respond(ProblemError(422, "Not as declared", first, errors=fields), request.url.path)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = ", ".join(_methods(request))
        title = HTTPStatus(error.status_code).phrase
        detail = "" if error.detail == title else str(error.detail)
        return respond(ProblemError(error.status_code, title, detail, headers=headers), request.url.path)

    @app.exception_handler(Exception)
    async def _bug(request: Request, error: Exception) -> Response:
        return respond(ProblemError(500, "Gateway failed", type(error).__name__), request.url.path)


def _word(at: object) -> str | int:
    return at if isinstance(at, int) else str(at).encode("utf-8", "replace").decode()


def _methods(request: Request) -> list[str]:
    """The methods that some route has for this path."""
    scope: Mapping[str, Any] = request.scope
    found = []
    for method in ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"):
        asked = {**scope, "method": method}
        if any(route.matches(asked)[0] == Match.FULL for route in request.app.router.routes):
            found.append(method)
    return found
