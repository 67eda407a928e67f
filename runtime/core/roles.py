"""The three roles: sensor, actuator, network."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from runtime.core.clock import Clock
from runtime.core.limits import Limits
from runtime.core.packet import Packet
from runtime.core.topic import Topic


class Adapter(BaseModel):
    """An adapter is its configuration: frozen, unknown keys refused. `name` is the key of its TOML table."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    kind: str


@runtime_checkable
class Sensor(Protocol):
    """Something that measures."""

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> str: ...

    def describe(self) -> tuple[Topic, ...]:
        """The topics it will publish. May read a file's header, never opens a device."""

    def open(self, clock: Clock) -> AbstractAsyncContextManager[AsyncIterator[Packet]]:
        """Take the device; the iterator gives packets in time order and ends when the source does."""


@runtime_checkable
class LiveActuator(Protocol):
    """An actuator whose device is held."""

    def apply(self, command: Packet) -> Packet:
        """Send the newest command (dtype COMMAND); return what was really applied, in the same topic: nothing where it
        was too old. Never waits: a driver that has to hands over to a thread of its own. Raises DeviceError.
        """

    def read(self) -> Packet:
        """The newest measurement: one event of dtype STATE. Never waits; DeviceError where none comes."""


@runtime_checkable
class Actuator(Protocol):
    """Something that acts."""

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> str: ...

    @property
    def unit(self) -> str:
        """Unit of its commands."""

    @property
    def safe_value(self) -> float:
        """The set-point of its safe state."""

    @property
    def limits_si(self) -> Limits:
        """Range and slew rate of its set-point, in `unit` and `unit`/s."""

    @property
    def ttl_s(self) -> float:
        """How long a command may act at most."""

    @property
    def travel_s(self) -> float:
        """The longest the device itself needs to reach its safe state, from anywhere within its limits."""

    def describe(self) -> tuple[Topic, ...]:
        """The command topic `NAME/command`, then the read-back topic `NAME/state`."""

    def make_safe(self) -> None:
        """Bring the device to its safe state from any process, blocking, without `open()`: the last resort."""

    def open(self, clock: Clock) -> AbstractAsyncContextManager[LiveActuator]:
        """Take the device. Leaving the context puts it in its safe state first, whatever happened."""


class Port(Protocol):
    """Where events enter or leave a network; `nets` has its own frozen dataclass of this shape."""

    @property
    def name(self) -> str: ...

    @property
    def shape(self) -> tuple[int, ...]: ...


class Network(Protocol):
    """A stateful spiking network on its own time grid. It never reads a clock."""

    @property
    def inputs(self) -> Mapping[str, Port]: ...

    @property
    def outputs(self) -> Mapping[str, Port]: ...

    def feed(self, port: str, t: NDArray[np.int64], index: NDArray[np.int32], value: NDArray[np.float32] | None) -> int:
        """Events for a port, oldest first, `index` into its flattened shape. Returns how many were late."""

    def advance(self, until: int) -> Any:
        """Close every tick that ends at or before `until`; return the output events of those ticks."""

    def reset(self, t: int) -> None:
        """Forget all state; the time grid starts again at `t`."""

    def snapshot(self) -> bytes: ...

    def restore(self, snapshot: bytes) -> None: ...

    def hash(self) -> bytes:
        """16 bytes that change when any state does."""
