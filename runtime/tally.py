"""The tally: how well an output names the files of a playlist, judged over each whole file and live.

Whole: the label with the most output spikes between one segment event and the next (ties to the lower label).
Live: the decision that stood when the next segment began, which is what the page showed and the actuator followed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from runtime.core.packet import Packet
from runtime.core.topic import SEGMENT
from runtime.pipeline import Outcome
from runtime.service import Service


@dataclass(slots=True)
class Judged:
    """One file of the playlist."""

    name: str
    label: int
    start: int
    counts: NDArray[np.float64]
    live: int | None = None

    @property
    def whole(self) -> int | None:
        """The label with the most spikes; None where there were none."""
        return int(np.argmax(self.counts)) if self.counts.any() else None


@dataclass(slots=True)
class Tally:
    """Follows the first output of a running service. Segment events must be network input or reset."""

    size: int
    files: list[Judged] = field(default_factory=list)

    def attach(self, service: Service) -> None:
        service.bus.tap(self._packet)
        service.observers.append(self._outcome)

    def correct(self) -> tuple[int, int, int]:
        """(right over whole files, right live, files)"""
        whole = sum(f.whole == f.label for f in self.files)
        return whole, sum(f.live == f.label for f in self.files), len(self.files)

    def _packet(self, arrived: int, packet: Packet) -> None:
        if packet.topic.dtype == SEGMENT:
            for t, row in zip(packet.t, packet.data, strict=True):
                self.files.append(Judged(bytes(row["name"]).decode(), int(row["label"]), int(t), np.zeros(self.size)))

    def _outcome(self, outcome: Outcome) -> None:
        for spikes in outcome.spikes:
            for number in range(len(self.files)):
                file = self.files[-1 - number]
                end = self.files[-number].start if number else 2**62
                mine = (spikes.t > file.start) & (spikes.t <= end)
                if mine.any():
                    np.add.at(file.counts, spikes.index[mine], spikes.value[mine])
                if int(spikes.t[0]) > file.start:
                    break
        for decided in outcome.decided:
            for file in reversed(self.files):
                if decided.decision.t > file.start:
                    if decided.decision.label is not None:
                        file.live = decided.decision.label
                    break
