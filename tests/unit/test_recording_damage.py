"""Whatever happens to the file, what can be read is read and what is wrong is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from runtime.core.packet import Packet
from runtime.core.topic import DVS, Topic
from runtime.recording.reader import Recording
from runtime.recording.writer import Compression, RecordingWriter

EYE = Topic("eye/events", DVS, extent=(34, 34))
MS = 1_000_000
N = 200


def record(path: Path, compression: Compression) -> bytes:
    generator = np.random.default_rng(1)
    with RecordingWriter(path, compression=compression, chunk_bytes=20_000, attachments={"a": b"attached"}) as writer:
        for i in range(N):
            data = np.zeros(50, DVS)
            data["x"], data["y"] = generator.integers(0, 34, (2, 50))
            writer.packet(i * MS, Packet(EYE, np.arange(50) + i * MS, data, (i + 1) * MS, i * 50), i)
    return path.read_bytes()


def times(recording: Recording, ok: bool = True) -> list[int]:
    return [message.log_time // MS for message in recording.messages() if message.ok is ok]


@pytest.mark.parametrize("compression", ["zstd", "lz4", "none"])
def test_a_changed_byte_is_found_and_located_wherever_it_is(tmp_path: Path, compression: Compression) -> None:
    whole = record(tmp_path / "a.mcap", compression)
    heads = [chunk.data_offset for chunk in Recording(tmp_path / "a.mcap")._index.chunks]
    generator = np.random.default_rng(2)
    for position in generator.integers(heads[0], heads[-1], 25).tolist():
        changed = bytearray(whole)
        changed[position] ^= 0x41
        (tmp_path / "b.mcap").write_bytes(changed)
        recording = Recording(tmp_path / "b.mcap")
        good = times(recording)
        assert recording.verify(), position
        assert len(good) > N // 2, position
        assert good == sorted(set(good))


def test_a_changed_payload_is_flagged_and_only_it(tmp_path: Path) -> None:
    whole = bytearray(record(tmp_path / "a.mcap", "none"))
    raw = next(message for message in Recording(tmp_path / "a.mcap").messages() if message.log_time == 70 * MS)
    at = whole.index(raw.payload) + 200  # among the events
    whole[at] ^= 1
    (tmp_path / "a.mcap").write_bytes(whole)
    recording = Recording(tmp_path / "a.mcap")
    assert times(recording, ok=False) == [70]
    assert times(recording) == [i for i in range(N) if i != 70]
    located = [problem for problem in recording.problems if "digest differs" in problem]
    assert located == [f"message eye/events, log time {70 * MS}, sequence 70: its digest differs"]
    damaged = [recorded for recorded in recording.packets() if not recorded.ok]
    assert [recorded.index for recorded in damaged] == [70]


def test_a_changed_arrival_time_is_flagged(tmp_path: Path) -> None:
    whole = bytearray(record(tmp_path / "a.mcap", "none"))
    at = whole.index((70 * MS).to_bytes(8, "little"))
    whole[at] ^= 1
    (tmp_path / "a.mcap").write_bytes(whole)
    assert len(times(Recording(tmp_path / "a.mcap"), ok=False)) == 1


def test_a_chunk_that_does_not_decompress_is_named_by_its_times_and_skipped(tmp_path: Path) -> None:
    whole = bytearray(record(tmp_path / "a.mcap", "zstd"))
    chunk = Recording(tmp_path / "a.mcap")._index.chunks[1]
    whole[chunk.data_offset : chunk.data_offset + 4] = b"\0\0\0\0"
    (tmp_path / "a.mcap").write_bytes(whole)
    recording = Recording(tmp_path / "a.mcap")
    good = times(recording)
    lost = set(range(N)) - set(good)
    assert lost == set(range(chunk.start // MS, chunk.end // MS + 1))
    (problem,) = recording.problems
    assert f"log times {chunk.start} to {chunk.end}" in problem
    assert "does not decompress" in problem


@pytest.mark.parametrize("compression", ["zstd", "none"])
def test_a_cut_file_gives_everything_before_the_cut(tmp_path: Path, compression: Compression) -> None:
    whole = record(tmp_path / "a.mcap", compression)
    chunks = Recording(tmp_path / "a.mcap")._index.chunks
    previous = -1
    for cut in [*range(chunks[0].data_offset, len(whole), len(whole) // 37), len(whole) - 1]:
        (tmp_path / "b.mcap").write_bytes(whole[:cut])
        recording = Recording(tmp_path / "b.mcap")
        assert not recording.complete
        assert recording.cut_at is not None
        assert recording.problems
        ended = [chunk for chunk in chunks if chunk.data_offset + chunk.data_length <= cut]
        expected = ended[-1].end // MS + 1 if ended else 0
        assert times(recording)[:expected] == list(range(expected))
        assert recording.attachments == {"a": b"attached"}
        found = [message.log_time // MS for message in recording.messages()]
        assert found == list(range(len(found)))
        assert len(found) >= max(previous, expected)
        previous = len(found)
    assert previous == N


def test_a_torn_uncompressed_chunk_gives_its_whole_messages_unverified(tmp_path: Path) -> None:
    whole = record(tmp_path / "a.mcap", "none")
    chunk = Recording(tmp_path / "a.mcap")._index.chunks[1]
    (tmp_path / "b.mcap").write_bytes(whole[: chunk.data_offset + chunk.data_length // 2])
    recording = Recording(tmp_path / "b.mcap")
    unverified = times(recording, ok=False)
    assert unverified
    assert unverified[0] == chunk.start // MS
    assert recording.end == unverified[-1] * MS
    assert any("torn" in problem for problem in recording.problems)


def test_a_broken_summary_falls_back_to_walking_over_the_file(tmp_path: Path) -> None:
    whole = bytearray(record(tmp_path / "a.mcap", "zstd"))
    whole[-60] ^= 0xFF
    (tmp_path / "a.mcap").write_bytes(whole)
    recording = Recording(tmp_path / "a.mcap")
    assert not recording.indexed
    assert recording.complete
    assert times(recording) == list(range(N))
    assert recording.counts == {"eye/events": N}
    (problem,) = recording.verify()
    assert "read without it" in problem


def test_a_tail_of_zeros_is_a_cut(tmp_path: Path) -> None:
    whole = record(tmp_path / "a.mcap", "zstd")
    chunk = Recording(tmp_path / "a.mcap")._index.chunks[2]
    cut = chunk.data_offset - 49
    (tmp_path / "a.mcap").write_bytes(whole[:cut] + bytes(10_000))
    recording = Recording(tmp_path / "a.mcap")
    assert recording.cut_at is not None
    assert times(recording) == list(range(chunk.start // MS))


def test_nothing_but_the_magic_is_an_empty_cut_recording(tmp_path: Path) -> None:
    whole = record(tmp_path / "a.mcap", "zstd")
    (tmp_path / "a.mcap").write_bytes(whole[:8])
    recording = Recording(tmp_path / "a.mcap")
    assert recording.cut_at == 8
    assert not recording.complete
    assert list(recording.messages()) == []


def test_a_changed_attachment_is_named_and_left_out(tmp_path: Path) -> None:
    whole = bytearray(record(tmp_path / "a.mcap", "zstd"))
    whole[whole.index(b"attached")] ^= 1
    (tmp_path / "a.mcap").write_bytes(whole)
    recording = Recording(tmp_path / "a.mcap")
    assert recording.attachments == {}
    assert any("its checksum differs" in problem for problem in recording.problems)


def test_a_changed_header_does_not_verify(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path / "a.mcap", header={"robot": "kept"}):
        pass
    assert Recording(tmp_path / "a.mcap").verify() == []
    whole = bytearray((tmp_path / "a.mcap").read_bytes())
    whole[whole.index(b"kept")] ^= 1
    (tmp_path / "a.mcap").write_bytes(whole)
    (problem,) = Recording(tmp_path / "a.mcap").verify()
    assert "checksum over the first" in problem


def test_every_byte_of_the_data_is_covered(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path / "a.mcap", header={"robot": "r"}, attachments={"a": b"b"}) as writer:
        writer.packet(1, Packet(EYE, np.array([1]), np.zeros(1, DVS), 1))
    whole = (tmp_path / "a.mcap").read_bytes()
    end = Recording(tmp_path / "a.mcap")._index.data_end
    assert end is not None
    for position in range(8, end + 13):
        changed = bytearray(whole)
        changed[position] ^= 0x10
        (tmp_path / "b.mcap").write_bytes(changed)
        assert Recording(tmp_path / "b.mcap").verify(), position
