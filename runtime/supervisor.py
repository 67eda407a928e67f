"""The supervisor: keeps a task running, restarting it with jittered backoff where a retry may help.

Retried are `OSError`s (a device unplugged, a broker gone). Anything else is a bug or a wrong configuration: it is
recorded and not retried, since a retry would hide it.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from runtime.core.clock import SECOND, Clock

State = Literal["starting", "running", "restarting", "ended", "failed", "cut"]
"""`cut`: closed by hand, until it is restored by hand."""


@dataclass(slots=True)
class Supervised:
    """How one supervised task is doing."""

    name: str
    state: State = "starting"
    restarts: int = 0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays between restarts: doubling from `first_s` to `most_s`, each times 0.5 to 1; anew after `calm_s`."""

    first_s: float = 0.1
    most_s: float = 5.0
    calm_s: float = 10.0

    def delay_ns(self, failures: int, rng: random.Random) -> int:
        whole = min(self.first_s * 2.0 ** min(failures, 30), self.most_s)
        return int(whole * rng.uniform(0.5, 1.0) * SECOND)


async def supervise(
    status: Supervised,
    run: Callable[[], Awaitable[None]],
    clock: Clock,
    *,
    backoff: Backoff = Backoff(),
    seed: int = 0,
    changed: Callable[[], None] = lambda: None,
    retry_at_end: bool = False,
) -> None:
    """Run until it ends, is cancelled, or fails in a way that a retry cannot mend; `status` always tells which."""
    rng = random.Random(f"{status.name}/{seed}")
    failures = 0
    while True:
        began = clock.now()
        status.state = "running"
        changed()
        try:
            await run()
        except OSError as error:
            status.error = f"{type(error).__name__}: {error}"
        except Exception as error:
            status.error = f"{type(error).__name__}: {error}"
            status.state = "failed"
            changed()
            return
        else:
            if not retry_at_end:
                status.state = "ended"
                changed()
                return
            status.error = "ended"
        failures = 0 if clock.now() - began > backoff.calm_s * SECOND else failures
        status.state = "restarting"
        status.restarts += 1
        changed()
        await clock.sleep_until(clock.now() + backoff.delay_ns(failures, rng))
        failures += 1
