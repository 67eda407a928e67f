"""Every event format reads back what was written, agrees with independent decoders, and says where it is damaged."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aedat
import faery
import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.core.errors import FormatError
from sensors.formats.describe import describe_file
from sensors.formats.open import open_events
from sensors.formats.reader import EventReader, TimeOrder, Unwrap
from tests.fixtures import event_files as files

EVENTS = frozenset({"events"})
WRITERS: dict[str, Callable[[files.Events], bytes]] = {
    "a.bs2": files.nmnist,
    "a.dat": files.dat,
    "evt2.raw": files.evt2,
    "evt3.raw": files.evt3,
    "a.es": files.es,
    "a.csv": files.csv,
    "dvs128.aedat": files.aedat2_dvs128,
    "davis.aedat": files.aedat2_davis,
    "a.aedat4": files.aedat4,
}


def read(reader: EventReader, stream: str = "events") -> tuple[NDArray[np.int64], NDArray[Any]]:
    chunks = [chunk for chunk in reader.chunks(frozenset({stream})) if chunk.stream == stream]
    for before, after in itertools.pairwise(chunks):
        assert before.until <= after.t[0]
    return np.concatenate([c.t for c in chunks]), np.concatenate([c.data for c in chunks])


@pytest.mark.parametrize("name", WRITERS)
def test_what_was_written_is_read_back(name: str, tmp_path: Path) -> None:
    t_us, events = files.some_events(60_000 if name != "a.aedat4" else 5_000, step_us=3)
    (tmp_path / name).write_bytes(WRITERS[name]((t_us, events)))
    reader = open_events(tmp_path / name)
    t, read_events = read(reader)
    assert np.array_equal(t, t_us * 1000)
    assert np.array_equal(read_events, events)
    assert reader.unordered == 0


@pytest.mark.parametrize(("name", "bits"), [("a.bs2", 23), ("a.dat", 32), ("evt3.raw", 24), ("dvs128.aedat", 32)])
def test_times_run_on_over_a_wrap_of_the_counter(name: str, bits: int, tmp_path: Path) -> None:
    t_us, events = files.some_events(2_000)
    t_us = t_us + (1 << bits) - int(t_us[1000])
    (tmp_path / name).write_bytes(WRITERS[name]((t_us, events)))
    assert np.array_equal(read(open_events(tmp_path / name))[0], t_us * 1000)


def test_a_jaer_time_that_wraps_at_31_bits_runs_on(tmp_path: Path) -> None:
    t_us, events = files.some_events(2_000)
    t_us = t_us + (1 << 31) - int(t_us[1000])
    (tmp_path / "a.aedat").write_bytes(files.aedat2_dvs128((t_us % (1 << 31), events)))
    assert np.array_equal(read(open_events(tmp_path / "a.aedat"))[0], t_us * 1000)


def test_vectors_of_evt3_are_events_side_by_side(tmp_path: Path) -> None:
    t_us, events = files.some_events(20)
    events["x"], events["y"], events["on"], t_us = np.arange(20) + 7, 5, 1, t_us * 0 + 4099
    content = files.evt3((t_us, events))
    assert len(content) < 100
    (tmp_path / "a.raw").write_bytes(content)
    t, read_events = read(open_events(tmp_path / "a.raw"))
    assert np.array_equal(read_events, events)
    assert np.array_equal(t, t_us * 1000)


@pytest.mark.parametrize("compression", range(5))
def test_every_compression_of_aedat4_unpacks(compression: int, tmp_path: Path) -> None:
    t_us, events = files.some_events()
    (tmp_path / "a.aedat4").write_bytes(files.aedat4((t_us, events), compression=compression))
    assert np.array_equal(read(open_events(tmp_path / "a.aedat4"))[1], events)


@pytest.mark.parametrize(
    "header", ["timestamp [us],x,y,polarity", "# t (us), x, y, on", "T_US,X,Y,P", "time [ms],x,y,p", "t_s,x,y,p"]
)
def test_a_csv_header_names_columns_and_unit(header: str, tmp_path: Path) -> None:
    t_us, events = files.some_events(50)
    (tmp_path / "a.csv").write_bytes(files.csv((t_us, events), header))
    scale = 1_000_000 if "ms" in header else 1_000_000_000 if "t_s" in header else 1000
    t, read_events = read(open_events(tmp_path / "a.csv"))
    assert np.array_equal(t, t_us * scale)
    assert np.array_equal(read_events, events)


def test_csv_columns_may_stand_in_any_order_with_exact_seconds(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("p,y,x,t [s]\n-1,2,3,1600000000.000000001\n\n# a remark\n1,4,5,1600000000.5\n")
    t, events = read(open_events(tmp_path / "a.csv"))
    assert t.tolist() == [1_600_000_000_000_000_001, 1_600_000_000_500_000_000]
    assert events.tolist() == [(3, 2, 0), (5, 4, 1)]


def test_times_that_run_backwards_are_sorted_and_counted(tmp_path: Path) -> None:
    t_us, events = files.some_events(10)
    t_us = np.array([0, 10, 30, 20, 40, 50, 60, 55, 70, 80])
    (tmp_path / "a.dat").write_bytes(files.dat((t_us, events)))
    reader = open_events(tmp_path / "a.dat")
    t, read_events = read(reader)
    assert t.tolist() == sorted(t_us * 1000)
    assert read_events["x"][2:4].tolist() == events["x"][[3, 2]].tolist()
    assert reader.unordered == 2


def test_a_time_older_than_the_chunk_before_is_moved_up() -> None:
    order = TimeOrder()
    order.mend(np.array([5, 9]), np.arange(2))
    t, data = order.mend(np.array([12, 7, 13]), np.arange(3))
    assert t.tolist() == [9, 12, 13]
    assert data.tolist() == [1, 0, 2]
    assert order.unordered == 1


def test_a_restarted_counter_goes_on_from_the_last_event() -> None:
    clock = Unwrap(32)
    raw = np.array([5_000_000, 5_000_010, 3, 13])
    assert clock.extend(raw).tolist() == [5_000_000, 5_000_010, 5_000_010, 5_000_020]
    assert clock.extend(np.array([20])).tolist() == [5_000_027]
    assert clock.restarts == 1


@pytest.mark.parametrize("name", [name for name in WRITERS if name not in ("a.aedat4", "a.csv")])
def test_a_file_cut_inside_an_event_says_where(name: str, tmp_path: Path) -> None:
    content = WRITERS[name](files.some_events())
    (tmp_path / name).write_bytes(content[:-1])
    with pytest.raises(FormatError) as caught:
        read(open_events(tmp_path / name))
    assert caught.value.offset is not None
    assert len(content) - 12 <= caught.value.offset <= len(content)


def test_a_damaged_row_of_text_says_which(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("t_us,x,y,p\n1,2,3,0\n2,3,4\n")
    with pytest.raises(FormatError, match="line 3 has 3 columns, expected 4"):
        read(open_events(tmp_path / "a.csv"))
    (tmp_path / "a.csv").write_text("t_us,x,y,p\n1,2,3,0\n2,3,four,1\n")
    with pytest.raises(FormatError, match="line 3: column 3 is 'four', expected a number"):
        read(open_events(tmp_path / "a.csv"))


def test_a_packet_of_aedat4_that_is_cut_off_says_where(tmp_path: Path) -> None:
    content = files.aedat4(files.some_events())
    (tmp_path / "a.aedat4").write_bytes(content[:-1])
    with pytest.raises(FormatError, match=r"at byte \d+: packet of \d+ bytes, \d+ are left"):
        read(open_events(tmp_path / "a.aedat4"))


@pytest.mark.parametrize("name", WRITERS)
def test_an_empty_file_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(FormatError, match="empty"):
        open_events(tmp_path / name)


@pytest.mark.parametrize("name", [name for name in WRITERS if not name.endswith(".bs2")])
def test_another_format_under_this_name_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"\x7fELF" + bytes(range(256)))
    with pytest.raises(FormatError):
        read(open_events(tmp_path / name))


@pytest.mark.parametrize("name", ["a.bs2", "a.dat", "evt2.raw", "evt3.raw", "a.es", "a.aedat4", "davis.aedat"])
def test_an_address_outside_the_sensor_is_refused(name: str, tmp_path: Path) -> None:
    t_us, events = files.some_events()
    if name == "davis.aedat":
        content = bytearray(files.aedat2_davis((t_us, events)))
        at = content.index(b"240C\r\n") + 6 + 8 * 200
        content[at : at + 4] = (250 << 12).to_bytes(4, "big")
        (tmp_path / name).write_bytes(content)
    else:
        events["x"][200] = 40
        (tmp_path / name).write_bytes(WRITERS[name]((t_us, events)))
    with pytest.raises(FormatError, match="outside the sensor"):
        read(open_events(tmp_path / name))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no such file"):
        open_events(tmp_path / "a.dat")


def test_describe_counts_a_file_it_streams(tmp_path: Path) -> None:
    t_us, events = files.some_events(40_000, step_us=10)
    (tmp_path / "a.dat").write_bytes(files.dat((t_us, events)))
    described = describe_file(tmp_path / "a.dat")
    summary = described["streams"]["events"]
    assert described["format"] == "dat"
    assert described["extent"] == [34, 34]
    assert summary["count"] == 40_000
    assert summary["duration_s"] == pytest.approx((t_us[-1] - t_us[0]) / 1e6)
    assert summary["peak_rate_hz"] == np.bincount((t_us - t_us[0]) // 10_000).max() * 100
    assert summary["on_fraction"] == events["on"].mean()


@pytest.mark.parametrize(
    ("name", "count", "duration_s", "extent"),
    [
        ("davis346.aedat4", 78_830, 2.360, (260, 346)),
        ("davis346-short.aedat4", 6_676, 0.170, (260, 346)),
        ("dvxplorer.aedat4", 111_954, 0.590, (240, 320)),
        ("rotdisk.aedat", 374_296, 3.167, (180, 240)),
        ("evt3.raw", 1_218_618, 10.768, (720, 1280)),
        ("gen4.dat", 1_218_618, 10.768, (720, 1280)),
        ("evt2.raw", 521_252, 0.096, (480, 640)),
        ("dvs.es", 473_225, 0.999, (240, 320)),
    ],
)
def test_a_real_recording_has_its_known_events(
    name: str, count: int, duration_s: float, extent: tuple[int, int], data: Path
) -> None:
    described = describe_file(data / "events" / name)
    assert described["streams"]["events"]["count"] == count
    assert described["streams"]["events"]["duration_s"] == pytest.approx(duration_s, abs=5e-4)
    assert described["extent"] == list(extent)
    assert described["unordered"] == 0


@pytest.mark.parametrize("name", ["evt3.raw", "evt2.raw", "gen4.dat", "dvs.es"])
def test_a_real_recording_reads_as_an_independent_decoder_reads_it(name: str, data: Path) -> None:
    twin = np.concatenate(list(faery.events_stream_from_file(str(data / "events" / name))))
    t, events = read(open_events(data / "events" / name))
    assert np.array_equal(t, twin["t"].astype(np.int64) * 1000)
    for ours, theirs in (("x", "x"), ("y", "y"), ("on", "on")):
        assert np.array_equal(events[ours], twin[theirs])


def test_the_two_formats_of_one_recording_agree_event_for_event(data: Path) -> None:
    t_raw, raw = read(open_events(data / "events" / "evt3.raw"))
    t_dat, dat = read(open_events(data / "events" / "gen4.dat"))
    assert np.array_equal(raw, dat)
    assert np.unique(t_raw - t_dat).size == 1


@pytest.mark.parametrize("name", ["davis346.aedat4", "dvxplorer.aedat4", "gray16.aedat4"])
def test_all_streams_of_aedat4_read_as_an_independent_decoder_reads_them(name: str, data: Path) -> None:
    theirs: dict[str, list[Any]] = {"events": [], "imus": [], "triggers": [], "frame": []}
    for packet in aedat.Decoder(str(data / "events" / name)):
        for kind in theirs.keys() & packet.keys():
            theirs[kind].append(packet[kind])
    reader = open_events(data / "events" / name)
    if theirs["events"]:
        twin = np.concatenate(theirs["events"])
        t, events = read(reader)
        assert np.array_equal(t, twin["t"].astype(np.int64) * 1000)
        assert all(np.array_equal(events[axis], twin[axis]) for axis in ("x", "y", "on"))
    if theirs["imus"]:
        twin = np.concatenate(theirs["imus"])
        for stream, word, scale in (("gyro", "gyroscope", np.pi / 180), ("accel", "accelerometer", 9.80665)):
            t, vectors = read(reader, stream)
            assert np.array_equal(t, twin["t"].astype(np.int64) * 1000)
            expected = np.stack([twin[f"{word}_{axis}"] for axis in "xyz"], axis=1) * scale
            assert np.allclose(vectors, expected, rtol=1e-6)
    if theirs["triggers"]:
        twin = np.concatenate(theirs["triggers"])
        t, triggers = read(reader, "triggers")
        assert np.array_equal(t, twin["t"].astype(np.int64) * 1000)
        assert np.array_equal(triggers["source"], twin["source"])
    if theirs["frame"]:
        t, frames = read(reader, "frames")
        assert t.tolist() == [frame["t"] * 1000 for frame in theirs["frame"]]
        for ours, frame in zip(frames, theirs["frame"], strict=True):
            pixels = frame["pixels"]
            assert np.array_equal(ours, pixels if pixels.dtype == np.uint8 else pixels >> 8)


def test_every_real_nmnist_recording_reads(data: Path) -> None:
    paths = sorted((data / "nmnist").glob("*.bs2"))
    described = [describe_file(path)["streams"]["events"] for path in paths]
    assert len(paths) == 640
    assert float(np.median([summary["count"] for summary in described])) == 4004
    assert float(np.median([summary["duration_s"] for summary in described])) == pytest.approx(0.306, abs=1e-3)


def test_real_files_that_are_not_event_recordings_are_refused(data: Path) -> None:
    with pytest.raises(FormatError, match="generic events, expected DVS"):
        open_events(data / "events" / "generic.es")
    with pytest.raises(FormatError, match=r"nor its extension '\.md' are known"):
        open_events(data / "README.md")


def test_a_line_without_end_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"t_us,x,y,p\n1,2,3,0\n" + b"1" * 3_000_000)
    with pytest.raises(FormatError, match="line 3 is longer than 2048 bytes"):
        read(open_events(tmp_path / "a.csv"))


def test_a_remark_between_rows_does_not_move_the_line_numbers(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("t_us,x,y,p\n1,2,3,0\n# remark\n\n2,3,4,9e9\n")
    with pytest.raises(FormatError, match="line 5: column 4 is '9e9', expected a number"):
        read(open_events(tmp_path / "a.csv"))
