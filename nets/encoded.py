"""What every encoder gives: events for one port, and the contract that makes it replayable.

Whatever the encoder, its output depends on the events alone and not on how they were split into packets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """Events for one port, oldest first; `value` is None where every event is a plain spike of value 1."""

    t: NDArray[np.int64]
    index: NDArray[np.int32]
    value: NDArray[np.float32] | None


class Encoder(Protocol):
    """Turns the events of one topic into events of one port."""

    @property
    def counters(self) -> Mapping[str, int]:
        """Events that were not encoded, by reason."""

    def encode(self, t: NDArray[np.int64], data: NDArray[Any]) -> Encoded:
        """Events in time order, `data` with one row an event. `t` may be returned by reference; nothing is written."""

    def reset(self) -> None:
        """Forget all state."""

    def snapshot(self) -> bytes: ...

    def restore(self, snapshot: bytes) -> None: ...

    def hash(self) -> bytes:
        """16 bytes that change when any state does."""
