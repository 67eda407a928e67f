"""Whatever is done to a file, reading it ends soon, in bounded memory, with its items or with a FormatError."""

from __future__ import annotations

import signal
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.core.errors import FormatError
from sensors.formats.open import open_events
from tests.fixtures import event_files as files

LONGEST_S = 2.0
MOST_BYTES = 300 << 20


def _all_streams() -> bytes:
    image = np.arange(34 * 34).reshape(34, 34).astype(np.uint8)
    return files.aedat4(
        files.some_events(120),
        compression=0,
        frames=[(5_000, image), (9_000, image)],
        samples=[(100 * i, (0.1, -1.0, 0.0, 3.0, 2.0, 1.0)) for i in range(12)],
        triggers=[(200, 1), (900, 2)],
    )


def _inertial() -> bytes:
    return files.aedat2_davis(files.some_events(120), [(500 * i, (1, -2, 3, 4, 5, -6, 7)) for i in range(10)])


BASES: dict[str, Callable[[], bytes]] = {
    "nmnist.bs2": lambda: files.nmnist(files.some_events(120)),
    "dat.dat": lambda: files.dat(files.some_events(120)),
    "evt2.raw": lambda: files.evt2(files.some_events(120)),
    "evt3.raw": lambda: files.evt3(files.some_events(120)),
    "es.es": lambda: files.es(files.some_events(120)),
    "events.csv": lambda: files.csv(files.some_events(60)),
    "imu.csv": lambda: (
        b"t [us],gyro_x (rad/s),gyro_y (rad/s),gyro_z (rad/s)\n" + b"".join(b"%d,1.5,-2,1e-3\n" % i for i in range(50))
    ),
    "dvs128.aedat": lambda: files.aedat2_dvs128(files.some_events(120)),
    "davis.aedat": _inertial,
    "plain.aedat4": _all_streams,
    "lz4.aedat4": lambda: files.aedat4(files.some_events(120), compression=1),
    "zstd.aedat4": lambda: files.aedat4(files.some_events(120), compression=3),
}

Mutation = tuple[str, int, int, int]

MUTATIONS = st.lists(
    st.tuples(
        st.sampled_from(("set", "set near the start", "flip", "cut", "repeat", "insert", "erase", "word")),
        st.integers(0, 1 << 16),
        st.integers(0, 255),
        st.integers(1, 40),
    ),
    min_size=1,
    max_size=6,
)


def mutated(content: bytes, mutations: list[Mutation]) -> bytes:
    b = bytearray(content)
    for what, where, value, length in mutations:
        at = where % max(len(b), 1)
        if what == "set" and b:
            b[at] = value
        elif what == "set near the start" and b:
            b[where % min(len(b), 200)] = value
        elif what == "flip" and b:
            b[at] ^= 1 << value % 8
        elif what == "cut":
            del b[at:]
        elif what == "repeat":
            b[at:at] = b[at : at + length] * (value % 20)
        elif what == "insert":
            b[at:at] = bytes([value]) * length
        elif what == "erase":
            del b[at : at + length]
        elif what == "word":
            b[at : at + 4] = (0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 0)[value % 4].to_bytes(4, "little")
    return bytes(b)


def read_or_refuse(name: str, content: bytes, folder: Path) -> None:
    path = folder / name
    path.write_bytes(content)
    refused = read_checked(path)
    if refused is not None:
        assert refused.path == path
        assert str(path) in str(refused)


def read_checked(path: Path) -> FormatError | None:
    """Read everything, checking what a reader promises; how the file was refused, if it was."""
    try:
        reader = open_events(path)
        last: dict[str, int] = {}
        until = -(2**62)
        for chunk in reader.chunks():
            assert chunk.stream in reader.streams
            assert len(chunk.t) == len(chunk.data) > 0
            assert bool((np.diff(chunk.t) >= 0).all())
            assert chunk.t[0] >= max(last.get(chunk.stream, -(2**62)), until)
            last[chunk.stream], until = int(chunk.t[-1]), chunk.until
            if chunk.stream == "events" and reader.extent is not None:
                assert int(chunk.data["y"].max()) < reader.extent[0]
                assert int(chunk.data["x"].max()) < reader.extent[1]
                assert int(chunk.data["on"].max()) <= 1
            if chunk.stream in ("gyro", "accel"):
                assert bool(np.isfinite(chunk.data).all())
    except FormatError as refused:
        return refused
    return None


@pytest.fixture(autouse=True)
def _no_hang() -> Iterator[None]:
    """One file that takes `LONGEST_S` fails the test; an alarm is armed anew for each by `_within`."""
    before = signal.signal(signal.SIGALRM, _too_long)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def _too_long(number: int, frame: FrameType | None) -> None:
    raise AssertionError(f"reading took over {LONGEST_S} s")


def _check(name: str, mutations: list[Mutation]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        signal.setitimer(signal.ITIMER_REAL, LONGEST_S)
        read_or_refuse(name, mutated(BASES[name](), mutations), Path(folder))
        signal.setitimer(signal.ITIMER_REAL, 0)


QUIET = (HealthCheck.function_scoped_fixture, HealthCheck.too_slow)


@pytest.mark.parametrize("name", BASES)
def test_a_mutated_file_reads_or_is_refused(name: str) -> None:
    @settings(max_examples=250, deadline=None, suppress_health_check=QUIET, derandomize=True, database=None)
    @given(MUTATIONS)
    def check(mutations: list[Mutation]) -> None:
        _check(name, mutations)

    check()


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", BASES)
def test_thousands_of_mutated_files_read_or_are_refused(name: str) -> None:
    @settings(max_examples=5000, deadline=None, suppress_health_check=QUIET, database=None)
    @given(MUTATIONS)
    def check(mutations: list[Mutation]) -> None:
        _check(name, mutations)

    check()


@given(st.binary(max_size=400))
@settings(max_examples=150, deadline=None, suppress_health_check=QUIET, derandomize=True, database=None)
def test_noise_under_any_name_is_read_or_refused(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in BASES:
            read_or_refuse(name, content, Path(folder))


@pytest.mark.parametrize("compression", [1, 3])
def test_a_packet_that_unpacks_to_gigabytes_is_refused_in_bounded_memory(compression: int, tmp_path: Path) -> None:
    bomb = files.some_events(1)
    content = files.aedat4(bomb, compression=compression)
    payload = files._packed(bytes(1 << 28), compression)
    content += (0).to_bytes(4, "little") + len(payload).to_bytes(4, "little") + payload
    (tmp_path / "a.aedat4").write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match="unpacks to over"):
            list(open_events(tmp_path / "a.aedat4").chunks())
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
    finally:
        tracemalloc.stop()


def test_a_long_recording_reads_in_bounded_memory(tmp_path: Path) -> None:
    t_us, events = files.some_events(1_500_000, step_us=3)
    (tmp_path / "a.dat").write_bytes(files.dat((t_us, events)))
    (tmp_path / "a.raw").write_bytes(files.evt2((t_us[:200_000], events[:200_000])))
    del t_us, events
    for name in ("a.dat", "a.raw"):
        tracemalloc.start()
        try:
            count = sum(len(chunk.t) for chunk in open_events(tmp_path / name).chunks())
            assert count == (1_500_000 if name == "a.dat" else 200_000)
            assert tracemalloc.get_traced_memory()[1] < 8 << 20
        finally:
            tracemalloc.stop()
