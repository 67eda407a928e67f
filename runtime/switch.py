"""A switch on a supervised task: closed by hand and opened by hand, whatever state it is in, while the rest goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from runtime.supervisor import Supervised


class Switch:
    """On until cut. What is asked while the task is still closing takes effect when it has closed."""

    def __init__(self) -> None:
        self.on = True
        self._asked = asyncio.Event()

    def cut(self) -> None:
        """Close the task and leave it closed."""
        self.on = False
        self._asked.set()

    def restore(self) -> None:
        """Open it; where it is open already it closes first."""
        self.on = True
        self._asked.set()

    def taken(self) -> bool:
        """Whether it is to be open now; `asked` is about what comes after this."""
        self._asked.clear()
        return self.on

    async def asked(self) -> None:
        """Return when something was asked since it was taken."""
        await self._asked.wait()


async def switched(
    status: Supervised,
    switch: Switch,
    run: Callable[[], Awaitable[None]],
    changed: Callable[[], None] = lambda: None,
) -> None:
    """Keep `run` as the switch says, until cancelled; `status` says "cut" from when it has closed."""
    while True:
        if switch.taken():
            await _until_asked(switch, run)
        else:
            status.state, status.error = "cut", None
            changed()
            await switch.asked()


async def _until_asked(switch: Switch, run: Callable[[], Awaitable[None]]) -> None:
    """Run; return, with it closed, when the switch is asked for something, however long ago it ended by itself."""
    work, asked = asyncio.ensure_future(run()), asyncio.ensure_future(switch.asked())
    try:
        await asyncio.wait((work, asked), return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            work.result()
        await asked
    finally:
        work.cancel()
        asked.cancel()
        await asyncio.gather(work, asked, return_exceptions=True)
