"""`python -m runtime.http`: the gateway as a process of its own."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import uvicorn

from runtime.core.errors import ConfigError
from runtime.http.app import create_app
from runtime.http.settings import Settings

EXIT_CONFIG = 2


def main(arguments: list[str] | None = None) -> int:
    """Serve until told to stop; 2 where the configuration is refused."""
    parser = argparse.ArgumentParser(prog="python -m runtime.http", description=__doc__)
    parser.add_argument("--socket", type=Path, required=True, help="control's Unix socket")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; beyond loopback needs --keys")
    parser.add_argument("--port", type=int, default=8642)
    parser.add_argument("--keys", type=Path, help="file of API keys")
    parser.add_argument("--allowed-host", action="append", default=[], help="a further name of this gateway")
    parser.add_argument("--allowed-origin", action="append", default=[], help="a further origin that may command")
    parser.add_argument("--log-level", default="warning", choices=("debug", "info", "warning", "error"))
    given = parser.parse_args(arguments)
    logging.basicConfig(level=given.log_level.upper(), format="%(levelname)s %(name)s: %(message)s")
    try:
        settings = Settings(
            host=given.host,
            port=given.port,
            keys=given.keys,
            hosts=frozenset(name.lower() for name in given.allowed_host),
            origins=frozenset(given.allowed_origin),
        )
    except ConfigError as error:
        print(f"gateway: {error}", file=sys.stderr)  # noqa: T201
        return EXIT_CONFIG
    server = uvicorn.Server(server_config(create_app(given.socket, settings), settings, given.log_level))
    server.run()
    return 0 if server.started else 1


def server_config(app: object, settings: Settings, log_level: str = "warning") -> uvicorn.Config:
    """The server's bounds, all of them stated."""
    return uvicorn.Config(
        app,  # type: ignore[arg-type]  # FastAPI is an ASGI application; uvicorn's own type is narrower
        host=settings.host,
        port=settings.port,
        log_level=log_level,
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        ws="websockets-sansio",
        ws_max_size=64 * 1024,
        ws_max_queue=8,
        ws_ping_interval=10.0,
        ws_ping_timeout=10.0,
        ws_per_message_deflate=False,
        limit_concurrency=256,
        backlog=128,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=2,
        h11_max_incomplete_event_size=32 * 1024,
    )


if __name__ == "__main__":
    sys.exit(main())
