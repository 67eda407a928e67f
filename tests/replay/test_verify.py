"""Verification: a recorded run replays bit for bit, and a changed byte is named by its window."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from runtime.codec import decode_frame, encode_packet
from runtime.core.clock import SECOND, VirtualClock
from runtime.core.packet import Packet
from runtime.recording.reader import Recording
from runtime.recording.writer import RecordingWriter
from runtime.service import Service
from runtime.verify import Verdict, Verifier
from tests.robots import record, shipped, virtually


def verify(path: Path) -> Verdict:
    recording = Recording(path)
    verifier = Verifier(recording)
    for message in recording.messages():
        verifier.follow(message)
    return verifier.finish()


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits")
    path = folder / "run.mcap"
    record(shipped("digits"), path, folder / "state", 3.0)
    return path


def test_a_recorded_run_is_the_same_run_again(digits: Path) -> None:
    verdict = verify(digits)
    assert verdict.same, verdict
    assert verdict.windows >= 29
    assert verdict.commands > 100


def test_a_changed_event_is_named_by_its_window(digits: Path, tmp_path: Path) -> None:
    """The file is written anew with one polarity turned: every checksum in it is right, only the run is another."""
    recording = Recording(digits)
    changed = tmp_path / "changed.mcap"
    t0, window = recording.header["t0"], recording.header["window_ns"]
    turned: int | None = None
    with RecordingWriter(changed, header=recording.header, attachments=recording.attachments) as writer:
        for message in recording.messages():
            payload = message.payload
            if message.channel == "eye/events" and turned is None and message.log_time > t0 + 1_500_000_000:
                frame = decode_frame(payload, recording.topics["eye/events"])
                if len(frame.packet):
                    data = frame.packet.data.copy()
                    data["on"][0] ^= 1
                    frame.packet.data = data
                    turned = int(frame.packet.t[0])
                    payload = encode_packet(frame.packet, frame.extras)
            writer.write(message.channel, message.log_time, message.publish_time, payload)
    assert turned is not None
    verdict = verify(changed)
    first = verdict.first()
    assert first is not None
    assert first.window == (turned - t0) // window
    assert "inputs" in first.what


@pytest.mark.parametrize("fraction", [0.3, 0.6, 0.9])
def test_a_flipped_byte_in_the_file_is_found_and_its_windows_named(
    digits: Path, tmp_path: Path, fraction: float
) -> None:
    recording = Recording(digits)
    t0, window = recording.header["t0"], recording.header["window_ns"]
    head = recording.chunks[int(fraction * len(recording.chunks))]
    content = bytearray(digits.read_bytes())
    content[head.data_offset + head.data_length // 2] ^= 0x10
    broken = tmp_path / "flipped.mcap"
    broken.write_bytes(content)
    verdict = verify(broken)
    first = verdict.first()
    damaged = (head.start - t0) // window
    assert first is not None
    assert first.window in (damaged - 1, damaged)  # a window's row is written when the next has begun
    assert damaged in {difference.window for difference in verdict.differences}


def test_a_recording_begun_in_the_middle_verifies_too(tmp_path: Path) -> None:
    path = tmp_path / "middle.mcap"

    async def main(clock: VirtualClock) -> None:
        service = Service(shipped("digits"), clock, tmp_path / "state")
        task = asyncio.create_task(service.run())
        await clock.advance_to(clock.now() + 1_234_567_890)
        await service.start_recording(None, path)
        await clock.advance_to(clock.now() + SECOND)
        await service.stop_recording()
        service.stop()
        clock.release()
        await task

    virtually(main)
    verdict = verify(path)
    assert verdict.same, verdict
    assert verdict.windows >= 9


def test_what_waited_when_the_recording_began_is_in_it(tmp_path: Path) -> None:
    """The recording begins between a packet's arrival and the network's taking it."""
    path = tmp_path / "waiting.mcap"

    async def main(clock: VirtualClock) -> None:
        service = Service(shipped("street"), clock, tmp_path / "state")
        task = asyncio.create_task(service.run())
        begun: list[asyncio.Task[Path]] = []

        def begin(arrived: int, packet: Packet) -> None:
            if packet.topic.name == "street/events" and arrived > 3 * SECOND // 2 and len(packet) and not begun:
                begun.append(asyncio.create_task(service.start_recording(None, path)))

        service.bus.tap(begin)
        await clock.advance_to(clock.now() + 2 * SECOND)
        assert begun
        service.stop()
        clock.release()
        await task

    virtually(main)
    verdict = verify(path)
    assert verdict.same, verdict
    assert verdict.windows >= 9
