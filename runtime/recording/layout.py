"""What our MCAP files hold besides messages: the names writer and reader agree on.

    header metadata `tectum/header`    the caller's header, each value as JSON
    attachments                        configuration, dialect, network file, facts of the environment
    channels, schema `tectum/packet`   one a topic; messages are frames of `runtime.codec`
    channels, schema `tectum/record`   MessagePack maps of other parties: decisions, marks
    channel `tectum/gap`               a map {channel, count, first, last, reason} where messages are missing
    channel `tectum/digests`           last message of each chunk: the digests of the chunk's other messages, in order
    final metadata `tectum/end`        complete, gaps, messages, error, each as JSON

log_time is the arrival on the runtime clock, publish_time the time of the newest event inside.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from runtime.core.topic import Topic, describe_dtype

PROFILE = "tectum"
HEADER = "tectum/header"
END = "tectum/end"
GAPS = "tectum/gap"
DIGESTS = "tectum/digests"
PACKET_SCHEMA = "tectum/packet"
RECORD_SCHEMA = "tectum/record"
DIGESTS_SCHEMA = "tectum/digests"
MAX_MESSAGE_BYTES = 256 * 2**20


def packet_schema(topic: Topic) -> bytes:
    """JSON schema of the topic's frames."""
    described = json.dumps(describe_dtype(topic.dtype))
    return json.dumps(
        {
            "title": f"packets of {topic.name}",
            "type": "object",
            "properties": {
                "v": {"const": 1},
                "topic": {"const": topic.name},
                "seq": {"type": "integer", "description": "lifetime index of the first event"},
                "n": {"type": "integer", "description": "number of events"},
                "lost": {"type": "integer", "description": "events lost just before these; -1: unknown how many"},
                "until": {"type": "integer", "description": "ns; no event before it is still to come"},
                "dt": {"description": "numpy dtype of one event"},
                "t": {"contentEncoding": "binary", "description": "n times, int64 little-endian, ns"},
                "d": {"contentEncoding": "binary", "description": f"n events of dtype {described}, unit {topic.unit}"},
                "x": {"type": "object", "description": "extras: clock, arrived (ns), index of consumption"},
            },
        }
    ).encode()


def to_texts(fields: Mapping[str, Any]) -> dict[str, str]:
    """Values as JSON texts, as MCAP metadata wants them."""
    return {key: json.dumps(value) for key, value in fields.items()}


def from_texts(texts: Mapping[str, str]) -> dict[str, Any]:
    """The inverse of `to_texts`; a text that is not JSON stays as it is."""
    fields: dict[str, Any] = {}
    for key, text in texts.items():
        try:
            fields[key] = json.loads(text)
        except ValueError:
            fields[key] = text
    return fields
