"""Frames, inertial samples and triggers: read from every format that has them, in SI units, interleaved in time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from runtime.core.errors import ConfigError, FormatError
from sensors.axes import mapped, rotation
from sensors.formats.describe import describe_file
from sensors.formats.images import ImageFolderReader
from sensors.formats.open import open_events
from sensors.formats.rates import measured_rates
from sensors.formats.reader import Chunk, EventReader
from sensors.formats.timemerge import TimeMerge
from tests.fixtures import event_files as files

G = 9.80665


def ordered_chunks(reader: EventReader) -> list[Chunk]:
    """All chunks, checked: nothing comes before what an earlier chunk promised."""
    chunks = list(reader.chunks())
    until = -(2**62)
    for chunk in chunks:
        assert chunk.t[0] >= until
        until = chunk.until
    return chunks


def test_streams_of_one_aedat4_come_in_one_order_of_time(tmp_path: Path) -> None:
    grey = [(t, np.full((34, 34), t // 1000, np.uint8)) for t in (5_000, 25_000, 45_000)]
    samples = [(1_000 * i, (0.0, -1.0, 0.5, 90.0, 0.0, -180.0)) for i in range(60)]
    (tmp_path / "a.aedat4").write_bytes(
        files.aedat4(files.some_events(500), frames=grey, samples=samples, triggers=[(7_000, 6), (9_000, 7)])
    )
    reader = open_events(tmp_path / "a.aedat4")
    assert reader.streams == ("events", "frames", "gyro", "accel", "triggers")
    chunks = ordered_chunks(reader)
    assert reader.unordered == 0
    of = {s: [c for c in chunks if c.stream == s] for s in reader.streams}
    assert np.concatenate([c.t for c in of["frames"]]).tolist() == [5_000_000, 25_000_000, 45_000_000]
    assert np.concatenate([c.data for c in of["frames"]])[:, 0, 0].tolist() == [5, 25, 45]
    gyro, accel = (np.concatenate([c.data for c in of[s]]) for s in ("gyro", "accel"))
    assert np.allclose(gyro, [np.pi / 2, 0, -np.pi])
    assert np.allclose(accel, [0, -G, G / 2])
    assert np.concatenate([c.data for c in of["triggers"]])["source"].tolist() == [6, 7]
    assert measured_rates(reader, frozenset({"gyro", "frames"})) == {"gyro": 1000.0, "frames": 50.0}


def test_colour_frames_are_red_green_blue(tmp_path: Path) -> None:
    blue = np.zeros((4, 6, 3), np.uint8)
    blue[..., 0] = 200  # stored blue first
    (tmp_path / "a.aedat4").write_bytes(files.aedat4(files.some_events(1), frames=[(50, blue)]))
    reader = open_events(tmp_path / "a.aedat4")
    assert reader.frame_shape == (4, 6, 3)
    (frames,) = (c for c in reader.chunks(frozenset({"frames"})))
    assert frames.data[0, 0, 0].tolist() == [0, 0, 200]


def test_inertial_words_of_jaer_become_si(tmp_path: Path) -> None:
    samples = [(100 * i, (4096, -4096, 0, 7, 328, -328, 0)) for i in range(40)]
    (tmp_path / "a.aedat").write_bytes(files.aedat2_davis(files.some_events(100), samples))
    chunks = ordered_chunks(open_events(tmp_path / "a.aedat"))
    gyro = np.concatenate([c.data for c in chunks if c.stream == "gyro"])
    accel = np.concatenate([c.data for c in chunks if c.stream == "accel"])
    assert len(gyro) == len(accel) == 40
    assert np.allclose(gyro, np.deg2rad([10, -10, 0]))
    assert np.allclose(accel, [G, -G, 0])


def test_a_sample_with_a_word_missing_is_left_out(tmp_path: Path) -> None:
    content = files.aedat2_davis(files.some_events(1), [(1000 * i, (i, 0, 0, 0, 0, 0, 0)) for i in range(5)])
    at = len(content) - 8 * 17  # the fifth word of the third sample
    (tmp_path / "a.aedat").write_bytes(content[:at] + content[at + 8 :])
    reader = open_events(tmp_path / "a.aedat")
    accel = np.concatenate([c.data for c in reader.chunks() if c.stream == "accel"])
    assert np.allclose(accel[:, 0] * 4096 / G, [0, 1, 3, 4])


def test_what_comes_too_late_is_moved_up_and_counted() -> None:
    merge = TimeMerge(slack=5_000_000)
    out = [*merge.push("a", np.array([0, 40_000_000]), np.arange(2))]
    out += [*merge.push("b", np.array([10_000_000, 39_000_000]), np.arange(2)), *merge.finish()]
    late = [c for c in out if c.stream == "b"]
    assert np.concatenate([c.t for c in late]).tolist() == [35_000_000, 39_000_000]
    assert merge.unordered == 1


def test_an_imu_table_names_units_and_order(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "Gyroscope Z (deg/s),Gyroscope X (deg/s),Gyroscope Y (deg/s),Time (s),"
        "Accelerometer X (g),Accelerometer Y (g),Accelerometer Z (g)\n180,0,-90,0.25,0,0,1\n"
    )
    gyro, accel = sorted(open_events(tmp_path / "a.csv").chunks(), key=lambda c: c.stream, reverse=True)
    assert gyro.t.tolist() == [250_000_000]
    assert np.allclose(gyro.data, [[0, -np.pi / 2, np.pi]])
    assert np.allclose(accel.data, [[0, 0, G]])


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("t,gyro_x (rad/s),gyro_y (rad/s),gyro_z (rad/s)", "column 't' has unit ''"),
        ("t_us,gyro_x (rad/s),gyro_y (rad/s)", "gyro has columns x, y, expected x, y, z"),
        ("t_us,gyro_x (rpm),gyro_y (rpm),gyro_z (rpm)", r"gyro is in \['rpm'\]"),
        ("t_us,a,b,c", "columns are t, a, b, c"),
    ],
)
def test_an_imu_table_that_leaves_something_open_is_refused(header: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(header + "\n")
    with pytest.raises(FormatError, match=message):
        open_events(tmp_path / "a.csv")


def test_axes_pick_and_turn() -> None:
    assert mapped(np.array([[1, 2, 3]], np.float32), rotation("-z,x,-y")).tolist() == [[-3, 1, -2]]
    assert mapped(np.array([[1, 2, 3]], np.float32), rotation("x,-z,y")).tolist() == [[1, -3, 2]]


@pytest.mark.parametrize("axes", ["x,y", "x,x,z", "x,y,-z", "a,b,c", ""])
def test_axes_that_are_no_rotation_are_refused(axes: str) -> None:
    with pytest.raises(ConfigError, match="axes"):
        rotation(axes)


def test_images_named_by_their_time_are_stamped_by_it(tmp_path: Path) -> None:
    for i, t in enumerate((1_600_000_000_000_000_000, 1_600_000_000_050_000_000)):
        Image.fromarray(np.full((3, 4), 10 * i, np.uint8)).save(tmp_path / f"{t}.png")
    reader = ImageFolderReader(tmp_path, None)
    frames = list(reader.chunks())
    assert reader.frame_shape == (3, 4)
    assert [int(c.t[0]) for c in frames] == [1_600_000_000_000_000_000, 1_600_000_000_050_000_000]
    assert [int(c.data[0, 0, 0]) for c in frames] == [0, 10]


def test_images_without_stamps_need_a_rate(tmp_path: Path) -> None:
    for name in ("f10.png", "f9.png"):
        Image.fromarray(np.full((3, 4, 3), int(name[1:-4]), np.uint8)).save(tmp_path / name)
    with pytest.raises(FormatError, match="set rate_hz"):
        ImageFolderReader(tmp_path, None)
    frames = list(ImageFolderReader(tmp_path, 10.0).chunks())
    assert [(int(c.t[0]), int(c.data[0, 0, 0, 0])) for c in frames] == [(0, 9), (100_000_000, 10)]


def test_an_image_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (40, 40), np.uint8)).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(FormatError, match="not an image that can be read"):
        ImageFolderReader(tmp_path, 10.0)


def test_the_davis_recording_has_all_its_streams(data: Path) -> None:
    streams = describe_file(data / "events" / "davis346.aedat4")["streams"]
    counts = {stream: summary["count"] for stream, summary in streams.items()}
    assert counts == {"events": 78_830, "frames": 59, "gyro": 2_363, "accel": 2_363, "triggers": 236}
    assert streams["gyro"]["rate_hz"] == pytest.approx(1001.6, abs=0.1)
    ordered_chunks(open_events(data / "events" / "davis346.aedat4"))


def test_a_level_davis_feels_gravity_upwards(data: Path) -> None:
    reader = open_events(data / "events" / "davis346.aedat4")
    accel = np.concatenate([c.data for c in reader.chunks(frozenset({"accel"}))])
    forward, left, up = mapped(accel, rotation(reader.axes)).mean(axis=0)
    assert up == pytest.approx(G, rel=0.05)
    assert abs(forward) < 3
    assert abs(left) < 1


def test_the_rotating_disk_turns_in_its_events_as_in_its_gyro(data: Path) -> None:
    """The picture turns one way as the camera turns the other about its forward axis: sign, scale and axes at once."""
    reader = open_events(data / "events" / "rotdisk.aedat")
    chunks = ordered_chunks(reader)
    t = np.concatenate([c.t for c in chunks if c.stream == "events"])
    events = np.concatenate([c.data for c in chunks if c.stream == "events"])
    gyro = np.concatenate([c.data for c in chunks if c.stream == "gyro"])
    assert (len(events), len(gyro)) == (374_296, 7_384)
    x, y = events["x"] - 119.5, events["y"] - 89.5
    bins = ((np.arctan2(y, x) + np.pi) * (1440 / (2 * np.pi))).astype(int) % 1440
    rings = (np.hypot(x, y) / 4).astype(int)
    inside = (rings >= 5) & (rings < 22)
    blur = np.exp(-0.5 * (np.arange(-6, 7) / 2) ** 2)

    def polar(begin: int) -> np.ndarray:
        chosen = inside & (t >= begin) & (t < begin + 30_000_000)
        image = np.zeros((22, 1440))
        np.add.at(image, (rings[chosen], bins[chosen]), 1)
        return np.stack([np.convolve(row, blur, "same") for row in np.log1p(image)])

    shifts = []
    for begin in range(int(t[0]), int(t[-1]) - 300_000_000, 300_000_000):
        before, after = polar(begin), polar(begin + 100_000_000)
        shifts.append(max(range(-40, 41), key=lambda q: float((np.roll(before, q, 1) * after).sum())))
    clockwise_deg_s = float(np.mean(shifts)) * 0.25 / 0.1
    roll_deg_s = float(np.rad2deg(mapped(gyro, rotation(reader.axes))[:, 0].mean()))
    assert clockwise_deg_s == pytest.approx(-roll_deg_s, rel=0.1)


@pytest.mark.parametrize(
    ("name", "rows", "rate_hz"), [("imu/xio.csv", 13_514, 99.2), ("euroc/mav0/imu0/data.csv", 29_120, 200.0)]
)
def test_a_real_imu_table_reads(name: str, rows: int, rate_hz: float, data: Path) -> None:
    assert describe_file(data / name)["streams"]["gyro"]["count"] == rows
    assert measured_rates(open_events(data / name), frozenset({"gyro", "accel"})) == {"gyro": rate_hz, "accel": rate_hz}


def test_the_euroc_camera_reads(data: Path) -> None:
    described = describe_file(data / "euroc" / "mav0" / "cam0")
    assert described["frame_shape"] == [480, 752]
    assert described["streams"]["frames"]["count"] == 41
    assert described["streams"]["frames"]["first_ns"] == 1403715273262142976
