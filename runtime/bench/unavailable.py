"""What a benchmark says when this machine lacks what it measures with."""

from __future__ import annotations

from runtime.core.errors import ConfigError


class UnavailableError(ConfigError):
    """A recording or a library is absent; says which, and how to get it. `tectum bench all` goes on without."""
