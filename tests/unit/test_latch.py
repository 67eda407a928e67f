"""The e-stop latch: survives, and means stopped whenever in doubt."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from runtime.latch import FILE_NAME, Latch, LatchFile


def test_never_latched_is_released(tmp_path: Path) -> None:
    assert LatchFile(tmp_path / "none").read() == Latch(False)


def test_latch_survives_a_restart(tmp_path: Path) -> None:
    LatchFile(tmp_path / "state").latch("button", "api", 17)
    assert LatchFile(tmp_path / "state").read() == Latch(True, "button", "api", 17)


def test_the_first_reason_stays_until_release(tmp_path: Path) -> None:
    file = LatchFile(tmp_path)
    file.latch("button", "api", 17)
    assert file.latch("again", "mqtt", 18) == Latch(True, "button", "api", 17)
    file.release("operator", 19)
    assert not LatchFile(tmp_path).read().latched
    assert file.latch("again", "mqtt", 20).reason == "again"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 64,
        b"{",
        b"[]",
        b"null",
        b'{"version":1}',
        b'{"version":1,"latched":0,"reason":"","source":"","wall_ns":0}',
        b'{"version":2,"latched":false,"reason":"","source":"","wall_ns":0}',
        b'{"version":1,"latched":false,"reason":"","source":"","wall_ns":"0"}',
        b'{"version":1,"latched":false,"reason":null,"source":"","wall_ns":0}',
        b"[" * 60000,
        b" " * 70000,
        b"\xff\xfe",
    ],
)
def test_a_file_not_to_be_believed_means_stopped(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    latch = LatchFile(tmp_path).read()
    assert latch.latched
    assert str(tmp_path / FILE_NAME) in latch.reason


def test_a_file_cut_short_anywhere_means_stopped(tmp_path: Path) -> None:
    file = LatchFile(tmp_path)
    file.release("operator", 1)
    whole = file.path.read_bytes().rstrip()
    for cut in range(len(whole)):
        file.path.write_bytes(whole[:cut])
        assert file.read().latched
    file.path.write_bytes(whole)
    assert not file.read().latched


def test_what_cannot_be_read_means_stopped(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    latch = LatchFile(tmp_path).read()
    assert latch.latched
    assert "cannot be read" in latch.reason


def test_a_corrupt_latch_can_be_latched_and_released(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"{")
    file = LatchFile(tmp_path)
    assert file.latch("button", "api", 3) == Latch(True, "button", "api", 3)
    file.release("operator", 4)
    assert not file.read().latched


def test_write_leaves_one_private_file(tmp_path: Path) -> None:
    file = LatchFile(tmp_path / "state")
    file.latch("button", "api", 3)
    assert os.listdir(tmp_path / "state") == [FILE_NAME]
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.path.parent.stat().st_mode) == 0o700
    assert json.loads(file.path.read_text())["reason"] == "button"


def test_a_write_that_fails_raises_and_leaves_the_old_state(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(OSError):
        LatchFile(tmp_path).release("operator", 1)
    assert os.listdir(tmp_path) == [FILE_NAME]
    assert LatchFile(tmp_path).read().latched
