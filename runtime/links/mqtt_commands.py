"""Which command from a broker may act: known actuator, sane value, young enough, not retained.

Brokers hold messages back; a command says when it was sent (ns since the epoch), and one older than its time to live
never acts. So the wall clocks of both machines must agree to well within a time to live.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, ValidationError

from runtime.core.clock import SECOND


class CommandMessage(BaseModel):
    """What a client sends to `tectum/{robot}/cmd/{actuator}`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)

    value: float
    sent_ns: int
    ttl_s: float | None = None
    id: str | int | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """A command that may act for `ttl_s` from now."""

    actuator: str
    value: float
    ttl_s: float
    id: str | int | None


@dataclass(frozen=True, slots=True)
class Refused:
    """A command that does not act, and why."""

    reason: str
    id: str | int | None = None
    expired: bool = False


def judge(
    actuator: str, payload: bytes, retained: bool, accept: Collection[str], wall_ns: int, max_ttl_s: float
) -> Accepted | Refused:
    """Decide on a command at wall time `wall_ns`."""
    if actuator not in accept:
        return Refused(f"actuator {actuator!r} is not in accept_commands")
    if len(payload) > 4096:
        return Refused(f"command of {len(payload)} bytes, expected at most 4096")
    try:
        command = CommandMessage.model_validate_json(payload)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        return Refused(f"{'.'.join(str(part) for part in first['loc']) or 'command'}: {first['msg']}")
    if retained:
        return Refused("a retained command never acts", command.id, expired=True)
    ttl = max_ttl_s if command.ttl_s is None else min(command.ttl_s, max_ttl_s)
    if not ttl > 0:
        return Refused(f"ttl_s is {command.ttl_s}, expected above 0", command.id)
    age = (wall_ns - command.sent_ns) / SECOND
    if age >= ttl:
        return Refused(f"sent {age:.3f} s ago, its time to live is {ttl:.3f} s", command.id, expired=True)
    if age < -max_ttl_s:
        return Refused(f"sent {-age:.3f} s in the future: the clocks differ", command.id)
    return Accepted(actuator, command.value, min(ttl, ttl - age), command.id)
