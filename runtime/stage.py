"""The network stage: from the bus through the merge and the pipeline to whoever acts on the decisions.

Short calls run inline, in the very turn in which the packet was published. A call of more than `inline_events` events,
which may take over 200 µs, goes to the one network thread: one call in flight, results in order; what arrives meanwhile
waits in the ring and goes as one batch. On virtual time everything is inline.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from runtime.bus import Bus, Delivery
from runtime.config import NetworkConfig
from runtime.core.clock import SECOND, Clock, stopwatch_ns
from runtime.journal import Journal
from runtime.merge import EagerMerge, Merge, OrderedMerge, Source, Step
from runtime.pipeline import Outcome, Pipeline


class Stage:
    """Runs one pipeline; `act` gets each outcome on the loop, in order."""

    def __init__(
        self,
        pipeline: Pipeline,
        config: NetworkConfig,
        bus: Bus,
        clock: Clock,
        journal: Journal,
        act: Callable[[Outcome], None],
    ) -> None:
        self.pipeline = pipeline
        self.inline_calls = 0
        self.thread_calls = 0
        self.call_ns: deque[int] = deque(maxlen=4096)
        self._config = config
        self._clock = clock
        self._journal = journal
        self._act = act
        self._batch: list[Delivery] = []
        self._busy = False
        self._failed: asyncio.Future[None] | None = None
        self.lock = asyncio.Lock()
        """Held by whoever touches the pipeline."""
        resets = [Source(topic, drives_time=False) for topic in sorted(pipeline.resets)]
        sources = resets + [Source(topic) for topic in pipeline.inputs if topic not in pipeline.resets]
        self.merge: Merge = (
            EagerMerge(sources)
            if config.merge == "eager"
            else OrderedMerge(sources, int(config.lateness_s * SECOND), clock.now())
        )
        self.subscription = bus.subscribe(
            "network", [source.topic for source in sources], capacity=config.queue, policy="drop_oldest"
        )

    async def run(self) -> None:
        """Until cancelled. Takes over from `_at_once` whatever is too much for the publisher's turn."""
        loop = asyncio.get_running_loop()
        self._failed = loop.create_future()
        self.subscription.at_once = self._at_once
        try:
            with ThreadPoolExecutor(1, thread_name_prefix="network") as thread:
                while True:
                    self._batch = await self.subscription.get()
                    if self._failed.done():
                        self._failed.result()
                    async with self.lock:
                        steps = self.merge.push(self._batch, self._clock.now())
                        self._batch = []
                        if steps:
                            self._finish(await self._run(steps, loop, thread))
        finally:
            self.subscription.at_once = None

    async def _run(self, steps: Sequence[Step], loop: asyncio.AbstractEventLoop, thread: ThreadPoolExecutor) -> Outcome:
        if self._is_short(steps):
            self.inline_calls += 1
            return self._call(steps)
        self.thread_calls += 1
        return await asyncio.shield(loop.run_in_executor(thread, self._call, steps))

    def _at_once(self) -> bool:
        """Take what waits in the publisher's own turn, where nothing is in flight and the call is short."""
        if self.lock.locked() or self._batch or self._busy or self._failed is None or self._failed.done():
            return False
        waiting = self.subscription.peek()
        if sum(len(delivery.packet) for delivery in waiting) > self._config.inline_events:
            return False
        self._busy = True
        try:
            steps = self.merge.push(self.subscription.drain(), self._clock.now())
            if steps:
                self.inline_calls += 1
                self._finish(self._call(steps))
        except Exception as error:
            self._failed.set_exception(error)
            self.subscription.close()  # wakes `run`, which raises it
        finally:
            self._busy = False
        return True

    def _is_short(self, steps: Sequence[Step]) -> bool:
        return sum(step.hi - step.lo for step in steps) <= self._config.inline_events

    def waiting(self) -> list[Delivery]:
        """What has arrived and was not taken yet, or not wholly: a recording that begins here must hold it."""
        return [*self.merge.waiting(), *self._batch, *self.subscription.peek()]

    def poll(self) -> None:
        """Let the merge notice that time has passed; does nothing while a call is in flight."""
        if self.lock.locked() or self._batch:
            return
        steps = self.merge.poll(self._clock.now())
        if steps:
            self.inline_calls += 1
            self._finish(self._call(steps))

    async def reset(self, t: int) -> None:
        """Reset the network by hand, at `t` or at network time, whichever is later."""
        async with self.lock:
            self._finish(self.pipeline.reset(t))

    def _call(self, steps: Sequence[Step]) -> Outcome:
        began = stopwatch_ns()
        outcome = self.pipeline.run(steps)
        self.call_ns.append(stopwatch_ns() - began)
        return outcome

    def _finish(self, outcome: Outcome) -> None:
        self._journal.pipeline(outcome.rows)
        self._act(outcome)
