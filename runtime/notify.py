"""Tells systemd how the service is, where systemd asks (`Type=notify`): one datagram, nothing else."""

from __future__ import annotations

import contextlib
import socket


def notify(address: str | None, state: str) -> None:
    """Send e.g. `READY=1`. Does nothing where `address` ($NOTIFY_SOCKET) is not set; never raises."""
    if not address:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect("\0" + address[1:] if address.startswith("@") else address)
        sock.send(state.encode())
