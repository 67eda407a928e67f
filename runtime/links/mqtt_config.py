"""What a robot file may say about its broker: table `[mqtt]`."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from runtime.core.topic import COMMAND, DVS, NAME, SEGMENT, STATE, TRIGGER, VECTOR3, Topic

Positive = Annotated[float, Field(gt=0)]
Level = Annotated[str, Field(pattern=r"^[^/+#$\x00][^/+#\x00]{0,99}$")]

NAMED_TYPES = {
    "dvs": DVS,
    "vector3": VECTOR3,
    "segment": SEGMENT,
    "trigger": TRIGGER,
    "command": COMMAND,
    "state": STATE,
}


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class RemoteTopic(_Table):
    """A topic another machine publishes, and what its events are expected to be."""

    name: str
    """Its name on this robot's bus."""
    robot: Level
    """The robot that publishes it."""
    topic: str | None = None
    """Its name over there; default: the same."""
    type: str
    """`dvs`, `vector3`, `segment`, `trigger`, `command`, `state` or a numpy dtype such as `<f4`."""
    shape: tuple[Annotated[int, Field(ge=1)], ...] = ()
    unit: str = "1"
    rate_hz: Positive | None = None
    extent: tuple[int, int] | None = None

    @property
    def remote(self) -> str:
        """Its name at the publisher."""
        return self.name if self.topic is None else self.topic

    def describe(self) -> Topic:
        """The topic as it appears on the bus."""
        named = NAMED_TYPES.get(self.type)
        dtype = np.dtype((np.dtype(self.type) if named is None else named, self.shape))
        return Topic(self.name, dtype, self.unit, self.rate_hz, self.extent, lossy=True)

    @model_validator(mode="after")
    def _describable(self) -> RemoteTopic:
        if not NAME.fullmatch(self.remote):
            raise ValueError(f"topic {self.remote!r}: expected lower-case words of [a-z0-9_-] joined by '/'")
        try:
            self.describe()
        except TypeError as error:
            raise ValueError(
                f"type {self.type!r}: expected one of {', '.join(NAMED_TYPES)} or a dtype: {error}"
            ) from None
        return self


class MqttConfig(_Table):
    """The broker, what goes out, what comes in, and who may command what."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 1883
    robot: Level | None = None
    """Name on the broker; default: the robot's."""
    username: str | None = None
    password: SecretStr | None = None
    publish: tuple[str, ...] = ()
    """Patterns of local topics to publish: `*`, `eye/*`, `gyro/rate`."""
    subscribe: tuple[RemoteTopic, ...] = ()
    accept_commands: tuple[str, ...] = ()
    """Actuators that may be commanded over the broker; none by default."""
    command_ttl_s: Positive = 0.5
    """The longest a command may act, counted from when it was sent."""
    batch_s: Positive = 0.01
    """Packets of a topic are sent together, at most once in this time."""
    state_period_s: Annotated[float, Field(ge=0.05)] = 0.05
    max_age_s: Positive = 1.0
    """Packets that waited longer (for a broker that was away) are dropped and counted."""
    queue_packets: Annotated[int, Field(ge=1)] = 2000
    queue_bytes: Annotated[int, Field(ge=4096)] = 16 * 2**20
    message_bytes: Annotated[int, Field(ge=1024, le=8 * 2**20)] = 2**20
    """A batch is closed when it reaches this size."""
    incoming: Annotated[int, Field(ge=1)] = 1000
    """Messages that may wait to be handled; the oldest are dropped, and counted, beyond that."""
    keepalive_s: Annotated[int, Field(ge=1)] = 5
    timeout_s: Positive = 5.0
    backoff_s: Positive = 0.2
    """First pause before connecting again; it doubles up to `backoff_max_s`, less a random part of up to half."""
    backoff_max_s: Positive = 5.0

    @field_validator("subscribe")
    @classmethod
    def _names_differ(cls, subscribe: tuple[RemoteTopic, ...]) -> tuple[RemoteTopic, ...]:
        for key in ("name", "remote"):
            seen = [(topic.robot if key == "remote" else "", getattr(topic, key)) for topic in subscribe]
            twice = sorted({name for name in seen if seen.count(name) > 1})
            if twice:
                raise ValueError(f"subscribe: {'/'.join(twice[0]).strip('/')} is listed twice")
        return subscribe
