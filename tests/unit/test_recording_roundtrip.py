"""A finished recording gives back what was written, in the order in which it was written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mcap.reader import make_reader

from runtime.codec import decode_map, decode_packet, encode_map
from runtime.core.errors import FormatError, RecordingError
from runtime.core.packet import Packet, no_events
from runtime.core.topic import DVS, VECTOR3, Topic
from runtime.recording.reader import Recording
from runtime.recording.writer import Compression, RecordingWriter

EYE = Topic("eye/events", DVS, extent=(34, 34))
GYRO = Topic("gyro/rate", VECTOR3, "rad/s", 1000.0)
MS = 1_000_000


def gyro(i: int) -> Packet:
    return Packet(GYRO, np.array([i * MS]), np.full((1, 3), i, np.float32), i * MS + 1, i)


def record(path: Path, n: int, compression: Compression = "zstd", chunk_bytes: int = 2**20) -> None:
    header = {"robot": "test", "wall_offset_ns": 5, "nested": {"a": [1, 2]}}
    attachments = {"robot.toml": b"robot = 'test'", "network.nir": bytes(range(256))}
    with RecordingWriter(
        path, header=header, attachments=attachments, compression=compression, chunk_bytes=chunk_bytes
    ) as writer:
        for i in range(n):
            writer.packet(i * MS + 100, gyro(i), i)
            if i % 10 == 0:
                writer.write("merge/log", i * MS + 200, i * MS, encode_map({"i": i}))


@pytest.mark.parametrize("compression", ["zstd", "lz4", "none"])
def test_everything_comes_back(tmp_path: Path, compression: Compression) -> None:
    record(tmp_path / "a.mcap", 100, compression, chunk_bytes=4000)
    recording = Recording(tmp_path / "a.mcap")
    assert recording.complete
    assert recording.indexed
    assert recording.header == {"robot": "test", "wall_offset_ns": 5, "nested": {"a": [1, 2]}}
    assert recording.attachments == {"robot.toml": b"robot = 'test'", "network.nir": bytes(range(256))}
    assert recording.topics == {"gyro/rate": GYRO}
    assert recording.counts == {"gyro/rate": 100, "merge/log": 10}
    assert recording.gaps == []
    assert recording.duration == 99 * MS
    packets = list(recording.packets())
    assert [recorded.index for recorded in packets] == list(range(100))
    assert [recorded.arrived for recorded in packets] == [i * MS + 100 for i in range(100)]
    assert all(recorded.ok for recorded in packets)
    assert packets[7].packet.data.tolist() == [[7, 7, 7]]
    assert packets[7].packet.topic == GYRO
    assert recording.verify() == []


def test_messages_come_in_the_order_of_writing_over_all_channels(tmp_path: Path) -> None:
    record(tmp_path / "a.mcap", 21)
    names = [message.channel for message in Recording(tmp_path / "a.mcap").messages()]
    assert names == ["gyro/rate", "merge/log", *["gyro/rate"] * 10, "merge/log", *["gyro/rate"] * 10, "merge/log"]


def test_channels_and_times_are_chosen(tmp_path: Path) -> None:
    record(tmp_path / "a.mcap", 100, chunk_bytes=4000)
    recording = Recording(tmp_path / "a.mcap")
    logs = list(recording.messages(["merge/log"], start=20 * MS, stop=51 * MS))
    assert [decode_map(message.payload)["i"] for message in logs] == [20, 30, 40, 50]
    chosen = list(recording.packets(["gyro/rate"], start=98 * MS))
    assert [len(recorded.packet) for recorded in chosen] == [1, 1]
    assert list(recording.packets(["no/such"])) == []


def test_a_packet_of_no_events_is_recorded_at_its_watermark(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path / "a.mcap") as writer:
        writer.packet(12, no_events(EYE, 10))
    (message,) = Recording(tmp_path / "a.mcap").messages()
    assert (message.log_time, message.publish_time) == (12, 10)
    (recorded,) = Recording(tmp_path / "a.mcap").packets()
    assert recorded.packet.until == 10
    assert recorded.index is None


def test_the_file_opens_in_the_mcap_library(tmp_path: Path) -> None:
    record(tmp_path / "a.mcap", 30)
    with (tmp_path / "a.mcap").open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        assert reader.get_header().profile == "tectum"
        found = [(schema, channel, m) for schema, channel, m in reader.iter_messages(topics=["gyro/rate"])]
    schema, channel, message = found[4]
    assert len(found) == 30
    assert schema is not None
    assert (schema.name, schema.encoding, channel.message_encoding) == ("tectum/packet", "jsonschema", "msgpack")
    assert channel.metadata["unit"] == "rad/s"
    assert decode_packet(message.data, GYRO).seq == 4


def test_an_empty_recording_is_complete(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path / "a.mcap"):
        pass
    recording = Recording(tmp_path / "a.mcap")
    assert recording.complete
    assert recording.duration == 0
    assert list(recording.messages()) == []
    assert recording.describe()["messages"] == 0


def test_a_recording_is_never_overwritten(tmp_path: Path) -> None:
    record(tmp_path / "a.mcap", 1)
    with pytest.raises(FileExistsError):
        RecordingWriter(tmp_path / "a.mcap")
    assert Recording(tmp_path / "a.mcap").counts["gyro/rate"] == 1


def test_a_header_that_is_not_plain_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        RecordingWriter(tmp_path / "a.mcap", header={"a": object()})
    assert not (tmp_path / "a.mcap").exists()


def test_negative_times_are_refused(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path / "a.mcap") as writer, pytest.raises(RecordingError, match="log_time is -1"):
        writer.write("a", -1, 0, b"")


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mcap").write_bytes(b"#!AER-DAT4.0\r\n and more")
    with pytest.raises(FormatError, match="expected an MCAP file"):
        Recording(tmp_path / "a.mcap")


def test_stats_tell_what_was_done(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path / "a.mcap") as writer:
        writer.packet(1, gyro(1))
        writer.packet(2, gyro(2))
    stats = writer.stats()
    assert stats.messages == 2
    assert stats.bytes_written == (tmp_path / "a.mcap").stat().st_size
    assert stats.backlog == 0
    assert stats.high_water > 0
    assert stats.gaps == {}
    assert stats.error is None


def test_description_holds_plain_values(tmp_path: Path) -> None:
    record(tmp_path / "a.mcap", 100)
    described = Recording(tmp_path / "a.mcap").describe()
    assert decode_map(encode_map(described)) == described
    assert described["channels"]["gyro/rate"]["unit"] == "rad/s"
    assert described["compression"] == ["zstd"]
