"""The error tree.

    TectumError
    ├── ConfigError (ValueError)          the robot file says something that cannot be
    ├── TopicError (ValueError)           a topic is declared wrongly, or twice
    ├── PacketError (ValueError)          a packet does not keep what its topic promises
    ├── FormatError (ValueError)          a file is not what it says it is; carries path and byte offset
    ├── DeviceError (OSError)             a device failed in a way that a retry may mend
    ├── BusFullError (RuntimeError)       a subscription with policy `fail` overran
    ├── RecordingError (ValueError)       a recording cannot be read or does not verify
    ├── LinkError (ConnectionError)       another party on the bus is unreachable
    ├── StoppedError (RuntimeError)       refused because the e-stop is latched
    ├── MissingExtraError (ImportError)   an optional library is absent; says what to install
    ├── FrameError (ValueError)           a message between processes is not one (`runtime.wire`)
    └── Refusal (RuntimeError)            a request that control refused, with its HTTP status (`runtime.links.local`)

A message says what, which, got, expected. Only `DeviceError`, `LinkError` and other `OSError`s are retried by the
supervisor: anything else is a bug or a wrong configuration, and a retry would hide it.
"""

from __future__ import annotations

from pathlib import Path


class TectumError(Exception):
    """Root of every error tectum raises on purpose."""


class ConfigError(TectumError, ValueError):
    """The configuration is impossible."""


class TopicError(TectumError, ValueError):
    """A topic is declared wrongly, or twice."""


class PacketError(TectumError, ValueError):
    """A packet does not keep what its topic promises."""


class FormatError(TectumError, ValueError):
    """A file is not what it says it is."""

    def __init__(self, path: Path | str, problem: str, offset: int | None = None) -> None:
        self.path = Path(path)
        self.problem = problem
        self.offset = offset
        where = "" if offset is None else f" at byte {offset}"
        super().__init__(f"{self.path}{where}: {problem}")


class DeviceError(TectumError, OSError):
    """A device failed in a way that a retry may mend."""


class BusFullError(TectumError, RuntimeError):
    """A subscription with policy `fail` overran."""


class RecordingError(TectumError, ValueError):
    """A recording cannot be read or does not verify."""


class LinkError(TectumError, ConnectionError):
    """Another party on the bus is unreachable."""


class StoppedError(TectumError, RuntimeError):
    """Refused because the e-stop is latched."""


class MissingExtraError(TectumError, ImportError):
    """An optional library is absent."""
