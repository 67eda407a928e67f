"""What a gateway is told when it starts, and the addresses it may have without keys."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from runtime.core.errors import ConfigError

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Settings:
    """Frozen; raises ConfigError for an address beyond loopback without keys."""

    host: str = "127.0.0.1"
    port: int = 8642
    keys: Path | None = None
    hosts: frozenset[str] = frozenset()
    """Further names under which clients may address this gateway, without port."""
    origins: frozenset[str] = frozenset()
    """Further origins ("https://robot.example") whose pages may command it."""
    max_json_bytes: int = 64 * 1024
    max_snapshot_bytes: int = 7 * 1024 * 1024
    max_status_age_s: float = 2.0
    request_timeout_s: float = 2.0
    send_timeout_s: float = 5.0
    max_viewers: int = 32

    def __post_init__(self) -> None:
        if self.keys is None and not is_loopback(self.host):
            raise ConfigError(
                f"http address {self.host}: anybody could command the robot; make keys first (`tectum keys create`) "
                "and give their file, or stay on 127.0.0.1"
            )

    def accepts_host(self, name: str) -> bool:
        """Whether a request may address this gateway by `name` (lower case, no port, no brackets).

        Any web page can make a browser ask a name that it has pointed at us; it cannot do so with an address.
        """
        if name in LOOPBACK_NAMES or name in self.hosts or name == self.host.lower():
            return True
        return _is_wildcard(self.host) and _is_address(name)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_wildcard(host: str) -> bool:
    return _is_address(host) and ipaddress.ip_address(host).is_unspecified


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
