"""What the converters refuse: errors below `nets.errors.NetsError`."""

from __future__ import annotations

import importlib
from typing import Any

from nets.errors import NetsError


class ConvertError(NetsError, ValueError):
    """The network or its samples cannot be converted, or not as well as asked for."""


class MissingLibraryError(NetsError, ImportError):
    """A library of the extra `convert` is absent."""


def library(name: str, purpose: str) -> Any:
    """A library of the extra `convert`, or what to install."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        wanted = "protobuf" if name.startswith("google.") else name.partition(".")[0]
        raise MissingLibraryError(
            f"{purpose} needs the library {wanted!r}, which is absent: pip install {wanted}"
        ) from error
