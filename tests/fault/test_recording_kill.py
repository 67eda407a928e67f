"""A recorder that is killed, outrun or refused by the disk leaves a file that says what it holds and what it misses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np

from runtime.core.clock import SECOND, MonotonicClock
from runtime.core.packet import Packet
from runtime.core.topic import DVS, VECTOR3, Topic
from runtime.recording.reader import Recording
from runtime.recording.writer import RecordingWriter

ROOT = Path(__file__).resolve().parents[2]
EYE = Topic("eye/events", DVS, extent=(34, 34))
GYRO = Topic("gyro/rate", VECTOR3, "rad/s", 1000.0)

FLAT_OUT = """
import sys
import threading
import numpy as np
from pathlib import Path
from runtime.core.clock import MonotonicClock
from runtime.core.packet import Packet
from runtime.core.topic import DVS, Topic
from runtime.recording.writer import RecordingWriter

eye = Topic("eye/events", DVS, extent=(34, 34))
clock = MonotonicClock()
with RecordingWriter(Path(sys.argv[1]), attachments={"robot.toml": b"kept"}, queue_bytes=2**22) as writer:
    i = 0
    while True:
        now = clock.now()
        if writer.stats().backlog < 2**21:
            writer.packet(now, Packet(eye, np.full(1000, now), np.zeros(1000, eye.element), now, i * 1000), i)
            i += 1
            if i % 200 == 0:
                print(now, flush=True)
        else:
            threading.Event().wait(0.001)
"""

FULL_DISK = """
import resource, sys
import numpy as np
from pathlib import Path
from runtime.core.packet import Packet
from runtime.core.topic import VECTOR3, Topic
from runtime.recording.writer import RecordingWriter

resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
gyro = Topic("gyro/rate", VECTOR3, "rad/s", 1000.0)
with RecordingWriter(Path(sys.argv[1]), compression="none", chunk_bytes=10_000) as writer:
    for i in range(2000):
        writer.packet(i, Packet(gyro, np.array([i]), np.zeros((1, 3), np.float32), i, i), i)
stats = writer.stats()
print(stats.messages, stats.gaps["gyro/rate"], writer.error.errno)
"""


def test_a_killed_recording_is_complete_to_its_last_second(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    child = subprocess.Popen(
        [sys.executable, "-c", FLAT_OUT, str(path)], stdout=subprocess.PIPE, cwd=ROOT, text=True, bufsize=1
    )
    assert child.stdout is not None
    first = last = int(child.stdout.readline())
    clock = MonotonicClock()
    while clock.now() - first < 1.5 * SECOND:
        last = int(child.stdout.readline())
    os.kill(child.pid, signal.SIGKILL)
    killed = clock.now()
    child.wait()
    child.stdout.close()
    recording = Recording(path)
    assert not recording.complete
    assert recording.cut_at is not None
    assert "no final mark: the recording was not closed" in recording.problems
    assert recording.attachments == {"robot.toml": b"kept"}
    assert recording.end > min(last, killed) - SECOND
    indices = [recorded.index for recorded in recording.packets() if recorded.ok]
    assert len(indices) > 400
    assert indices == list(range(len(indices)))


def test_a_full_disk_stops_the_recording_and_not_the_program(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path), "100000"], capture_output=True, cwd=ROOT, text=True, check=True
    )
    written, missed, errno = (int(word) for word in done.stdout.split())
    assert errno != 0
    assert written > 0
    assert written + missed == 2000
    recording = Recording(path)
    assert not recording.complete
    assert recording.cut_at is None
    described = recording.describe()
    assert described["missed"] == {"gyro/rate": missed}
    assert described["error"]
    assert [recorded.index for recorded in recording.packets()] == list(range(written))
    assert all(recorded.ok for recorded in recording.packets())


def test_a_slow_disk_costs_counted_gaps_and_no_time(tmp_path: Path) -> None:
    go_on, stuck = threading.Event(), threading.Event()
    calls = 0

    def sync(fd: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            stuck.set()
            go_on.wait()

    packets = [Packet(EYE, np.full(100, i), np.zeros(100, DVS), i, i * 100) for i in range(1000)]
    with RecordingWriter(tmp_path / "a.mcap", queue_bytes=50_000, flush_s=0.01, sync=sync) as writer:
        writer.packet(0, packets[0], 0)
        assert stuck.wait(10)
        clock = MonotonicClock()
        began = clock.now()
        for i in range(1, 1000):
            writer.packet(i, packets[i], i)
        assert clock.now() - began < SECOND
        missed = writer.stats().gaps["eye/events"]
        assert 900 < missed < 1000
        assert writer.stats().high_water <= 50_000
        go_on.set()
    recording = Recording(tmp_path / "a.mcap")
    assert not recording.complete
    assert recording.counts["eye/events"] == 1000 - missed
    (gap,) = recording.gaps
    assert (gap.channel, gap.count, gap.last, gap.reason) == ("eye/events", missed, 999, "queue full")
    assert gap.first == 1000 - missed
    assert recording.describe()["missed"] == {"eye/events": missed}


def test_a_gap_lies_between_its_neighbours(tmp_path: Path) -> None:
    blocked, go_on = threading.Event(), threading.Event()

    def sync(fd: int) -> None:
        if blocked.is_set():
            go_on.wait()

    small = [Packet(GYRO, np.array([i]), np.zeros((1, 3), np.float32), i, i) for i in range(5)]
    with RecordingWriter(tmp_path / "a.mcap", queue_bytes=1000, flush_s=0.01, sync=sync) as writer:
        writer.packet(0, small[0], 0)
        blocked.set()
        while writer.stats().backlog == 0:
            writer.packet(1, small[1], 1)
        while not writer.stats().gaps:
            writer.packet(2, small[2], 2)
        go_on.set()
        while writer.stats().backlog:
            pass
        writer.packet(3, small[3], 3)
    order = [message.log_time for message in Recording(tmp_path / "a.mcap").messages()]
    (gap, *_) = Recording(tmp_path / "a.mcap").gaps
    assert order == sorted(order)
    assert order[-1] == 3
    assert gap.first == 2


def test_a_packet_that_cannot_be_encoded_is_a_gap_with_its_reason(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path / "a.mcap") as writer:
        writer.packet(1, Packet(GYRO, np.array([1]), np.zeros((1, 3)), 1))
        writer.packet(2, Packet(GYRO, np.array([2]), np.zeros((1, 3), np.float32), 2))
    recording = Recording(tmp_path / "a.mcap")
    (gap,) = recording.gaps
    assert not recording.complete
    assert "gyro/rate: data is float64" in gap.reason
    assert recording.counts == {"gyro/rate": 1}


def test_what_comes_after_closing_is_counted(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path / "a.mcap") as writer:
        pass
    writer.write("a", 1, 1, b"\x80")
    assert writer.stats().gaps == {"a": 1}
