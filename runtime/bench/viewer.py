"""A viewer without a browser: a WebSocket client that asks for every live stream at 30 Hz until it is terminated."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from dataclasses import asdict, dataclass

from websockets.asyncio.client import connect

from runtime import wire
from runtime.bench.get import HOST

MAX_HZ = 30
MAX_BYTES = 16 << 20


@dataclass(slots=True)
class Viewed:
    """What a viewer got."""

    status: int = 0
    live: int = 0
    skipped: int = 0
    """Live pictures that control made and this viewer did not get, by the gaps in their numbers."""
    received: int = 0
    """Bytes."""
    last: int | None = None
    """Number of the newest picture."""

    def take(self, message: bytes) -> None:
        """Count a message of the stream."""
        self.received += len(message)
        decoded = wire.decode(message)
        if decoded["lane"] == "status":
            self.status += 1
        elif decoded["lane"] == "live":
            number = int(decoded["data"]["n"])
            if self.last is not None and number > self.last:
                self.skipped += number - self.last - 1
            self.last = number
            self.live += 1


async def view(port: int, viewed: Viewed) -> None:
    """Read the stream until cancelled or closed by the gateway."""
    async with connect(f"ws://{HOST}:{port}/v1/live", max_size=MAX_BYTES, compression=None) as socket:
        await socket.send(json.dumps({"max_hz": MAX_HZ, "streams": []}))
        async for message in socket:
            if isinstance(message, bytes):
                viewed.take(message)


async def until_terminated(port: int) -> Viewed:
    """View until SIGTERM."""
    viewed = Viewed()
    viewing = asyncio.create_task(view(port, viewed), name="view")
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, viewing.cancel)
    await asyncio.wait((viewing,))
    if not viewing.cancelled():
        viewing.result()
    return viewed


def main() -> None:
    """Print what was got, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    args = parser.parse_args()
    json.dump(asdict(asyncio.run(until_terminated(args.port))), sys.stdout)


if __name__ == "__main__":
    main()
