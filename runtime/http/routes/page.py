"""The page and its few static files."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import Response

router = APIRouter(include_in_schema=False)

STATIC = Path(__file__).resolve().parent.parent / "static"
KINDS = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


def _serve(path: str, file: Path) -> None:
    content = file.read_bytes()

    @router.get(path)
    async def serve() -> Response:
        return Response(content, media_type=KINDS[file.suffix], headers={"cache-control": "no-cache"})


_serve("/", STATIC / "index.html")
for _file in sorted(STATIC.iterdir()):
    if _file.suffix in KINDS:
        _serve(f"/static/{_file.name}", _file)
