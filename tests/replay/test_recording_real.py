"""Real event-camera data passes through a recording unchanged, and small."""

from __future__ import annotations

from pathlib import Path

import faery
import numpy as np

from runtime.core.packet import Packet
from runtime.core.topic import DVS, Topic
from runtime.recording.reader import Recording
from runtime.recording.writer import RecordingWriter


def test_real_events_come_back_bit_for_bit(data: Path, tmp_path: Path) -> None:
    decoded = np.concatenate([part.copy() for part in faery.events_stream_from_file(data / "events/dvxplorer.aedat4")])
    assert len(decoded) == 111_954
    t = (decoded["t"].astype(np.int64) - int(decoded["t"][0])) * 1000
    events = np.empty(len(decoded), DVS)
    events["x"], events["y"], events["on"] = decoded["x"], decoded["y"], decoded["on"]
    topic = Topic("eye/events", DVS, extent=(240, 320))
    cuts = np.searchsorted(t, np.arange(1_000_000, int(t[-1]), 1_000_000))
    with RecordingWriter(tmp_path / "a.mcap") as writer:
        for first, last in zip([0, *cuts], [*cuts, len(t)], strict=True):
            until = int(t[last]) if last < len(t) else int(t[-1]) + 1
            writer.packet(until, Packet(topic, t[first:last], events[first:last], until, int(first)))
    recording = Recording(tmp_path / "a.mcap")
    packets = [recorded.packet for recorded in recording.packets()]
    assert recording.complete
    assert recording.verify() == []
    assert np.concatenate([packet.t for packet in packets]).tobytes() == t.tobytes()
    assert np.concatenate([packet.data for packet in packets]).tobytes() == events.tobytes()
    assert (tmp_path / "a.mcap").stat().st_size < 5 * len(t)
