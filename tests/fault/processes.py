"""Real processes under test: a robot run by `tectum run` in places of its own, and what shows outside."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal, TypeVar

from runtime.core.clock import SECOND, MonotonicClock
from runtime.core.errors import LinkError
from runtime.links.local import call

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[2]
START_S = 60.0
"""To the first turn of the control loop; the first run ever compiles the kernels."""
LOOK_NS = 10_000_000
clock = MonotonicClock()


def now_s() -> float:
    """Machine time in seconds, as recordings of a robot at speed 1 have it in ns."""
    return clock.now() / SECOND


def pause() -> None:
    """The period of every poll."""
    clock.wait_until(clock.now() + LOOK_NS, threading.Event())


def until(found: Callable[[], T], within_s: float, what: str) -> T:
    """The first true answer; fails where none comes in time."""
    deadline = now_s() + within_s
    while True:
        answer = found()
        if answer:
            return answer
        assert now_s() < deadline, f"{what}: not within {within_s:g} s"
        pause()


class Places:
    """Private folders and a private port, shared by the runs of one test."""

    def __init__(self, folder: Path, overrides: Mapping[str, str]) -> None:
        self.folder = folder
        self.port = free_port()
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("TECTUM__")},
            "TECTUM_RUNTIME_DIR": str(folder / "run"),
            "XDG_STATE_HOME": str(folder / "state"),
            "TECTUM__HTTP__PORT": str(self.port),
            "PYTHONPATH": str(ROOT),
            **overrides,
        }

    def tectum(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """One command, to its end."""
        argv = [sys.executable, "-m", "runtime", *arguments]
        return subprocess.run(
            argv, env=self.environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=START_S
        )

    def left_behind(self) -> list[int]:
        """Living processes whose command line names these folders."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    words, state = (entry / "cmdline").read_bytes(), (entry / "stat").read_text().rsplit(")", 1)[1]
                except OSError:
                    continue
                if str(self.folder).encode() in words and state.split()[0] != "Z":
                    found.append(int(entry.name))
        return found


@contextmanager
def places(**overrides: str) -> Iterator[Places]:
    """Folders with a name short enough for sockets; whatever still runs in them at the end is killed."""
    folder = Path(tempfile.mkdtemp(prefix="tf-"))
    mine = Places(folder, overrides)
    try:
        yield mine
    finally:
        for pid in mine.left_behind():
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(folder)


class Run:
    """One `tectum run`."""

    def __init__(self, mine: Places, robot: str, *arguments: str, output: Literal["file", "nobody"]) -> None:
        self.places = mine
        self.name = Path(robot).stem
        self._log = mine.folder / f"out-{len(list(mine.folder.glob('out-*')))}"
        with self._log.open("wb") if output == "file" else _unread() as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "runtime", "run", robot, *arguments],
                env=mine.environment,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def runtime_dir(self) -> Path:
        return self.places.folder / "run" / self.name

    @property
    def said(self) -> str:
        return self._log.read_text()

    def wait_said(self, text: str, within_s: float) -> None:
        until(lambda: text in self.said or self.process.poll() is not None, within_s, f"{text!r} in {self._log.name}")
        assert text in self.said, self.said

    def wait_running(self) -> None:
        """Control turns and its link answers."""
        self.wait_said("Running (process", START_S)

    def processes(self) -> dict[str, int]:
        pids: dict[str, int] = call(self.runtime_dir / "parent.sock", "processes")
        return pids

    def wait_process(self, name: str, within_s: float = 10.0) -> int:
        return until(lambda: self.processes().get(name, 0), within_s, f"process {name}")

    def wait_idle(self, name: str, within_s: float = 20.0) -> int:
        """The process, once it waits and has used no processor for half a second: it has done its preparations."""
        pid = self.wait_process(name, within_s)
        used, since = -1, now_s()

        def idle() -> bool:
            nonlocal used, since
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            ticks = int(fields[11]) + int(fields[12])
            if fields[0] != "S" or ticks != used:
                used, since = ticks, now_s()
            return now_s() - since > 0.5

        until(idle, within_s, f"process {name} at rest")
        return pid

    def http(self, method: str, path: str, body: object = None, timeout_s: float = 2.0) -> tuple[int, Any]:
        """(status, JSON); status 0: nobody answers."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.places.port}{path}", data, method=method)
        if data is not None:
            request.add_header("content-type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)
        except OSError:
            return 0, None

    def status(self) -> Any:
        """What control says of itself over HTTP; None while nobody answers."""
        code, body = self.http("GET", "/v1/status")
        return body if code == 200 else None

    def wait_http(self, within_s: float = 20.0) -> None:
        until(lambda: self.http("GET", "/healthz")[0] == 200, within_s, "/healthz")

    def wait_status(self, good: Callable[[Any], object], within_s: float, what: str) -> Any:
        def look() -> Any:
            status = self.status()
            return status if status is not None and good(status) else None

        return until(look, within_s, what)

    def read_back(self, actuator: str) -> Generator[dict[str, Any], None, None]:
        """What the device process says of itself, 200 times a second."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5.0)
            connection.connect(str(self.runtime_dir / f"{actuator}.sock"))
            with connection.makefile("rb") as lines:
                for line in lines:
                    yield json.loads(line)

    def wait_moved(self, actuator: str, within_s: float = 20.0) -> None:
        """The device is away from its safe state, so that coming back to it can be seen."""
        self._wait_safe_is(actuator, False, within_s)

    def wait_safe(self, actuator: str, within_s: float = 5.0) -> None:
        """The device is in its safe state."""
        self._wait_safe_is(actuator, True, within_s)

    def _wait_safe_is(self, actuator: str, wanted: bool, within_s: float) -> None:
        deadline = now_s() + within_s
        for read in self.read_back(actuator):
            if read["safe"] == wanted:
                return
            assert now_s() < deadline, f"{actuator}: safe is not {wanted} within {within_s:g} s"

    def signal(self, number: signal.Signals) -> None:
        """To the foreground process group, as a terminal does."""
        os.killpg(self.process.pid, number)

    def wait(self, within_s: float) -> int:
        return self.process.wait(within_s)

    def stop(self) -> None:
        """End it in the ordinary way and find nothing left."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        assert self.wait(10.0) == 0, self.said


@contextmanager
def run(mine: Places, robot: str, *arguments: str, output: Literal["file", "nobody"] = "file") -> Iterator[Run]:
    """A robot that runs; the test must end it. Its output goes to a file, or to a pipe that nobody reads any more."""
    running = Run(mine, robot, *arguments, output=output)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
        running.process.wait()


def _unread() -> IO[bytes]:
    reader, writer = os.pipe()
    head = threading.Thread(target=_read_once, args=(reader,), daemon=True)
    head.start()
    return os.fdopen(writer, "wb", buffering=0)


def _read_once(reader: int) -> None:
    """What `head -1` does: the first line, and no more."""
    while b"\n" not in os.read(reader, 4096):
        pass
    os.close(reader)


def control_answers(running: Run) -> bool:
    """Whether the control process answers on its own socket."""
    try:
        return "t" in call(running.runtime_dir / "bus.sock", "ping")
    except (LinkError, OSError):
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
