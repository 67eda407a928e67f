"""What waits to go out: packets in a bounded ring, oldest dropped first, and the newest state of each topic.

Consecutive packets of a topic leave as one message. Nothing here waits; what is dropped is counted, and shows at the
receiver as a step in `seq`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np

from runtime.core.packet import Packet


class Outbox:
    """Filled by the control loop, emptied by the link, both on one loop."""

    def __init__(self, max_packets: int, max_bytes: int) -> None:
        self._max_packets = max_packets
        self._max_bytes = max_bytes
        self._packets: deque[tuple[int, Packet]] = deque()
        self._bytes = 0
        self._states: dict[str, Mapping[str, Any]] = {}
        self.dropped = 0
        """Packets dropped."""
        self.conflated = 0
        """States that a newer one replaced before they were sent."""

    def __len__(self) -> int:
        return len(self._packets) + len(self._states)

    @property
    def has_packets(self) -> bool:
        return bool(self._packets)

    def put_packet(self, now: int, packet: Packet) -> None:
        self._packets.append((now, packet))
        self._bytes += _size(packet)
        while self._bytes > self._max_bytes or len(self._packets) > self._max_packets:
            self._drop_oldest()

    def put_state(self, topic: str, state: Mapping[str, Any]) -> None:
        self.conflated += topic in self._states
        self._states[topic] = state

    def drop_older(self, t: int) -> None:
        """Forget packets that were put before `t`."""
        while self._packets and self._packets[0][0] < t:
            self._drop_oldest()

    def take_states(self) -> dict[str, Mapping[str, Any]]:
        states, self._states = self._states, {}
        return states

    def take_batches(self, max_bytes: int) -> list[Packet]:
        """All packets that wait, those of a topic joined where nothing is missing between them, up to `max_bytes`."""
        runs: list[list[Packet]] = []
        open_runs: dict[str, tuple[list[Packet], int]] = {}
        for _, packet in self._packets:
            name, size = packet.topic.name, _size(packet)
            run, run_size = open_runs.get(name, ([], 0))
            if run and _follows(run[-1], packet) and run_size + size <= max_bytes:
                run.append(packet)
                open_runs[name] = (run, run_size + size)
            else:
                run = [packet]
                runs.append(run)
                open_runs[name] = (run, size)
        self._packets.clear()
        self._bytes = 0
        return [_join(run) for run in runs]

    def _drop_oldest(self) -> None:
        _, packet = self._packets.popleft()
        self._bytes -= _size(packet)
        self.dropped += 1


def _size(packet: Packet) -> int:
    return packet.t.nbytes + packet.data.nbytes + 200


def _follows(first: Packet, second: Packet) -> bool:
    if second.lost or second.seq != first.seq + len(first) or second.topic != first.topic:
        return False
    return not (len(first) and len(second)) or bool(first.t[-1] <= second.t[0])


def _join(run: list[Packet]) -> Packet:
    if len(run) == 1:
        return run[0]
    t = np.concatenate([packet.t for packet in run])
    data = np.concatenate([packet.data for packet in run])
    until = max(packet.until for packet in run)
    return Packet(run[0].topic, t, data, until, run[0].seq, run[0].lost)
