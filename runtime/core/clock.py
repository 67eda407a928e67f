"""Clocks: the only source of time.

`MonotonicClock` runs with the machine, or `speed` times as fast (now = origin + speed * elapsed).
`VirtualClock` stands still while anything can still happen and then jumps to the next deadline. It wakes one sleeper
at a time, in order of (deadline, order of asking), and lets every consequence settle before it wakes the next: a run
is the same whether the clock is moved in one step or in a hundred.
"""

from __future__ import annotations

import asyncio
import ctypes
import heapq
import itertools
import os
import selectors
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

SECOND = 1_000_000_000
T = TypeVar("T")


class Clock(Protocol):
    """Runtime time in int64 nanoseconds."""

    @property
    def speed(self) -> float:
        """Runtime seconds per second of the machine; 0 for a clock that does not follow the machine's."""

    @property
    def wall_offset_ns(self) -> int:
        """Add to `now()` at start-up to get ns since the epoch."""

    def now(self) -> int: ...

    async def sleep_until(self, t: int) -> None:
        """Return when `now() >= t`."""

    def wait_until(self, t: int, cancelled: threading.Event) -> bool:
        """For driver threads: block until `t`; False as soon as `cancelled` is set."""


def machine_ns() -> int:
    """The machine's monotonic time, the same in every process: for watching over processes."""
    return time.monotonic_ns()


def stopwatch_ns() -> int:
    """The machine's finest counter, for measuring how long work took; never for deciding anything."""
    return time.perf_counter_ns()


class MonotonicClock:
    """The machine's monotonic clock, scaled. Two processes given the same `origin` and `speed` agree on the time."""

    def __init__(self, speed: float = 1.0, origin: int | None = None) -> None:
        if not speed > 0:
            raise ValueError(f"speed is {speed}, expected above 0")
        self._speed = float(speed)
        self._origin = time.monotonic_ns() if origin is None else origin
        self._real_time = speed == 1.0
        self._wall_offset = time.time_ns() - time.monotonic_ns()
        self._timer: _Timer | None = None

    @property
    def speed(self) -> float:
        return self._speed

    @property
    def origin(self) -> int:
        """The machine's monotonic ns at which this clock and the machine's show the same."""
        return self._origin

    @property
    def wall_offset_ns(self) -> int:
        return self._wall_offset

    def now(self) -> int:
        if self._real_time:
            return time.monotonic_ns()
        return self._origin + int((time.monotonic_ns() - self._origin) * self._speed)

    def _machine(self, t: int) -> int:
        return t if self._real_time else self._origin + int((t - self._origin) / self._speed)

    async def sleep_until(self, t: int) -> None:
        loop = asyncio.get_running_loop()
        if self._timer is None or self._timer.loop is not loop:
            self._timer = _Timer(loop)
        deadline = self._machine(t)
        if time.monotonic_ns() >= deadline:
            await asyncio.sleep(0)  # who is late catches up in turns: it must not keep the loop from everybody else
        while time.monotonic_ns() < deadline:
            await self._timer.at(deadline)

    def wait_until(self, t: int, cancelled: threading.Event) -> bool:
        while not cancelled.is_set():
            left = self._machine(t) - time.monotonic_ns()
            if left <= 0:
                return True
            if left > 2_000_000:
                cancelled.wait((left - 1_000_000) / SECOND)
            else:
                time.sleep(left / SECOND)
        return False


class _Timer:
    """Wakes futures at machine times. A timerfd where there is one: epoll rounds its own timeouts to milliseconds."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._heap: list[tuple[int, int, asyncio.Future[None]]] = []
        self._count = itertools.count()
        self._armed: int | None = None
        self._fd = _timerfd_create()
        if self._fd is not None:
            loop.add_reader(self._fd, self._fire)

    def __del__(self) -> None:
        if self._fd is not None:
            os.close(self._fd)

    def at(self, deadline: int) -> asyncio.Future[None]:
        future: asyncio.Future[None] = self.loop.create_future()
        heapq.heappush(self._heap, (deadline, next(self._count), future))
        self._arm()
        return future

    def _arm(self) -> None:
        while self._heap and self._heap[0][2].done():
            heapq.heappop(self._heap)
        if not self._heap or self._armed == self._heap[0][0]:
            return
        self._armed = deadline = self._heap[0][0]
        if self._fd is None:
            self.loop.call_later(max(deadline - time.monotonic_ns(), 0) / SECOND, self._due)
        else:
            _timerfd_settime(self._fd, deadline)

    def _fire(self) -> None:
        assert self._fd is not None
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return
        self._due()

    def _due(self) -> None:
        self._armed = None
        now = time.monotonic_ns()
        while self._heap and self._heap[0][0] <= now:
            future = heapq.heappop(self._heap)[2]
            if not future.done():
                future.set_result(None)
        self._arm()


class _Timespec(ctypes.Structure):
    _fields_ = (("sec", ctypes.c_long), ("nsec", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def _timerfd_create() -> int | None:
    if _libc is None or not hasattr(_libc, "timerfd_create"):
        return None
    fd = int(_libc.timerfd_create(1, os.O_NONBLOCK | os.O_CLOEXEC))  # 1: CLOCK_MONOTONIC
    return fd if fd >= 0 else None


def _timerfd_settime(fd: int, deadline: int) -> None:
    assert _libc is not None
    spec = _Itimerspec(_Timespec(0, 0), _Timespec(*divmod(max(deadline, 1), SECOND)))
    if _libc.timerfd_settime(fd, 1, ctypes.byref(spec), None) != 0:  # 1: TFD_TIMER_ABSTIME
        raise OSError(ctypes.get_errno(), "timerfd_settime")


class VirtualClock:
    """Time that moves only when nothing else can happen. Needs a `VirtualLoop`; see `run_virtual`."""

    def __init__(self, start: int = SECOND) -> None:
        self._now = start
        self._limit = start
        self._heap: list[tuple[int, int, asyncio.Future[None]]] = []
        self._count = itertools.count()
        self._driver: asyncio.Future[None] | None = None

    @property
    def speed(self) -> float:
        return 0.0

    @property
    def wall_offset_ns(self) -> int:
        return 0

    def now(self) -> int:
        return self._now

    async def sleep_until(self, t: int) -> None:
        if t <= self._now:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._heap, (t, next(self._count), future))
        await future

    def wait_until(self, t: int, cancelled: threading.Event) -> bool:
        raise RuntimeError("a driver thread cannot wait on virtual time; run its work in the loop's executor instead")

    async def advance_to(self, t: int) -> None:
        """Let everything happen that is due up to and including `t`, then stand at `t`."""
        self._limit = max(t, self._now)
        self._driver = asyncio.get_running_loop().create_future()
        await self._driver

    async def settle(self) -> None:
        """Let everything happen that needs no time."""
        await self.advance_to(self._now)

    def release(self) -> None:
        """Let time run on by itself as fast as the work allows."""
        self._limit = 2**62

    def wake_next(self) -> bool:
        """Called by the loop when idle: wake the next sleeper, or the driver. False: nothing to wake."""
        while self._heap and self._heap[0][2].done():
            heapq.heappop(self._heap)
        if self._heap and self._heap[0][0] <= self._limit:
            t, _, future = heapq.heappop(self._heap)
            self._now = max(self._now, t)
            future.set_result(None)
            return True
        if self._driver is not None and not self._driver.done():
            self._now = max(self._now, self._limit)
            self._driver.set_result(None)
            return True
        return False


class _IdleSelector(selectors.DefaultSelector):
    """Tells when the loop has nothing left to do: `select` is then called with a timeout other than zero."""

    on_idle: Callable[[], bool] = staticmethod(lambda: False)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout <= 0:
            return super().select(timeout)
        events = super().select(0)
        if events or self.on_idle():
            return events
        return super().select(timeout)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose idleness moves a `VirtualClock`. Executor work runs inline, so that there is one order."""

    def __init__(self, clock: VirtualClock) -> None:
        selector = _IdleSelector()
        selector.on_idle = clock.wake_next
        super().__init__(selector)

    def run_in_executor(  # type: ignore[override]  # typeshed spells the types of *args
        self, executor: Any, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future


def run_virtual(main: Callable[[VirtualClock], Coroutine[Any, Any, T]], start: int = SECOND) -> T:
    """Run `main(clock)` on virtual time that starts at `start` ns and stands until moved or released."""
    clock = VirtualClock(start)
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(clock)) as runner:
        return runner.run(main(clock))


def run_real(main: Callable[[MonotonicClock], Coroutine[Any, Any, T]], speed: float = 1.0) -> T:
    """Run `main(clock)` on the machine's time, `speed` times as fast."""
    return asyncio.run(main(MonotonicClock(speed)))
