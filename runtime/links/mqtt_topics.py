"""Names on the broker: `tectum/{robot}/{lane}/{topic}`.

birth/link   retained JSON: who is there, since when, with which topics; the will replaces it by `online: false`
state/...    retained JSON maps that expire: what a robot's parts are doing, the newest only
data/...     packets as frames of `runtime.codec`, with extras `clock`, `sent`, `session`, `number`
cmd/...      JSON {value, sent_ns, ttl_s?, id?}: `sent_ns` is ns since the epoch; cmd/estop {reason?} stops the robot
ack/...      JSON {id, ok, applied | reason}
"""

from __future__ import annotations

from typing import Literal

Lane = Literal["state", "birth", "data", "cmd", "ack"]

ROOT = "tectum"
ESTOP = "estop"


def name_topic(robot: str, lane: Lane, topic: str) -> str:
    """The broker's name of a topic."""
    return f"{ROOT}/{robot}/{lane}/{topic}"


def split_topic(name: str) -> tuple[str, str, str] | None:
    """(robot, lane, topic) of a broker's name; None where it is not one of ours."""
    parts = name.split("/", 3)
    if len(parts) != 4 or parts[0] != ROOT:
        return None
    return parts[1], parts[2], parts[3]
