"""Events that wait at the ports of a network: one queue a port, in flat arrays that grow between kernel calls.

Each port has a row of columns in the engine's `dyn`; the first four say where its queue lies. Kernels take events off
the head and put them behind the tail.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

HEAD, TAIL, BASE, CAPACITY = 0, 1, 2, 3


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """`t` in the engine's own count: nanoseconds or ticks."""

    t: NDArray[np.int64]
    index: NDArray[np.int32]
    value: NDArray[np.float32]

    @property
    def columns(self) -> tuple[NDArray[Any], ...]:
        return self.t, self.index, self.value


class Queues:
    """`rows` (ports, columns) is a view of the state's array, so the kernels and this always agree."""

    def __init__(self, rows: NDArray[np.int64]) -> None:
        self.rows = rows
        self._allocate([int(row[CAPACITY]) for row in rows])

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def arrays(self) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
        """What the kernels read and write; others after `make_room` and `put`."""
        return self.t, self.index, self.value

    @property
    def counts(self) -> list[int]:
        """How many events wait at each port."""
        return [int(row[TAIL] - row[HEAD]) for row in self.rows]

    def waiting(self, port: int) -> Events:
        """A copy of a port's events, oldest first."""
        row = self.rows[port]
        places = slice(int(row[BASE] + row[HEAD]), int(row[BASE] + row[TAIL]))
        return Events(self.t[places].copy(), self.index[places].copy(), self.value[places].copy())

    def ends(self, port: int) -> tuple[int, int]:
        """The times of a port's oldest and newest event; there are some."""
        row = self.rows[port]
        return int(self.t[row[BASE] + row[HEAD]]), int(self.t[row[BASE] + row[TAIL] - 1])

    def clear(self) -> None:
        self.rows[:, [HEAD, TAIL]] = 0

    def put(self, port: int, events: Events) -> None:
        """Make these the only events of a port."""
        row, count = self.rows[port], len(events.t)
        row[HEAD] = row[TAIL] = 0
        if count > row[CAPACITY]:
            self.make_room(port, count)
        self._write(port, events)

    def make_room(self, port: int, needed: int) -> None:
        """Move all queues into arrays where `port` has room for `needed` events and as many again."""
        kept = [self.waiting(k) for k in range(len(self))]
        room = [int(row[CAPACITY]) for row in self.rows]
        room[port] = 2 * needed
        self._allocate(room)
        for k, events in enumerate(kept):
            self._write(k, events)

    def _allocate(self, room: list[int]) -> None:
        self.t = np.zeros(sum(room), np.int64)
        self.index = np.zeros(sum(room), np.int32)
        self.value = np.zeros(sum(room), np.float32)
        self.rows[:, CAPACITY] = room
        self.rows[:, BASE] = np.cumsum([0, *room[:-1]])

    def _write(self, port: int, events: Events) -> None:
        row, count = self.rows[port], len(events.t)
        places = slice(int(row[BASE]), int(row[BASE]) + count)
        self.t[places], self.index[places], self.value[places] = events.columns
        row[HEAD], row[TAIL] = 0, count
