"""API keys in a file: created once, shown once, kept only as scrypt hashes.

A key reads `tectum_ID_SECRET`. The file is JSON, readable by its owner alone, and replaced as a whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCOPES = ("read", "control", "admin")
"""Each scope includes those before it. An e-stop may be latched with any valid key."""

_PREFIX = "tectum"
_COST = {"n": 2**14, "r": 8, "p": 1}


@dataclass(frozen=True, slots=True)
class Key:
    """What the file says of one key."""

    id: str
    name: str
    scopes: frozenset[str]
    salt: bytes
    hash: bytes
    n: int
    r: int
    p: int

    def allows(self, scope: str) -> bool:
        """Whether one of its scopes is `scope` or includes it."""
        return any(SCOPES.index(own) >= SCOPES.index(scope) for own in self.scopes)

    def matches(self, secret: str) -> bool:
        """Whether this is its secret: about 40 ms of work, compared in constant time."""
        return hmac.compare_digest(_hash(secret, self.salt, self.n, self.r, self.p), self.hash)


def create_key(path: Path | str, name: str, scopes: frozenset[str]) -> str:
    """Add a key and return it; it cannot be read again. Raises ValueError for an unknown scope or a name in use."""
    unknown = scopes - set(SCOPES)
    if unknown or not scopes:
        raise ValueError(f"key {name!r}: scopes are {sorted(scopes)}, expected some of {', '.join(SCOPES)}")
    keys = read_keys(path) if Path(path).exists() else []
    if not name or any(key.name == name for key in keys):
        raise ValueError(f"{path}: key name {name!r} is empty or in use")
    id, secret, salt = secrets.token_hex(4), secrets.token_urlsafe(24), secrets.token_bytes(16)
    keys.append(Key(id, name, scopes, salt, _hash(secret, salt, **_COST), **_COST))
    _write(Path(path), keys)
    return f"{_PREFIX}_{id}_{secret}"


def list_keys(path: Path | str) -> list[tuple[str, str, tuple[str, ...]]]:
    """(id, name, scopes) of each key."""
    return [(key.id, key.name, tuple(s for s in SCOPES if s in key.scopes)) for key in read_keys(path)]


def revoke_key(path: Path | str, id_or_name: str) -> None:
    """Remove a key; a running gateway refuses it from its next request on. Raises KeyError when there is none."""
    keys = read_keys(path)
    left = [key for key in keys if id_or_name not in (key.id, key.name)]
    if len(left) == len(keys):
        raise KeyError(f"{path}: no key {id_or_name!r}, there are {', '.join(key.name for key in keys) or 'none'}")
    _write(Path(path), left)


def read_keys(path: Path | str) -> list[Key]:
    """The keys of the file. Raises ValueError where it is not such a file."""
    try:
        return [_parse(entry) for entry in json.loads(Path(path).read_text("utf-8"))["keys"]]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: not a key file ({type(error).__name__}: {error})") from None


def split_key(token: str) -> tuple[str, str] | None:
    """(id, secret) of what a client sent, or None where it does not read like a key."""
    prefix, _, rest = token.partition("_")
    id, _, secret = rest.partition("_")
    return (id, secret) if prefix == _PREFIX and id and secret else None


def _hash(secret: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(secret.encode("utf-8", "surrogateescape"), salt=salt, n=n, r=r, p=p, dklen=32)


def _parse(entry: dict[str, Any]) -> Key:
    scopes = frozenset(entry["scopes"])
    if not scopes <= set(SCOPES):
        raise ValueError(f"key {entry['name']!r} has scopes {sorted(scopes)}, expected some of {', '.join(SCOPES)}")
    salt, digest = bytes.fromhex(entry["salt"]), bytes.fromhex(entry["hash"])
    return Key(entry["id"], entry["name"], scopes, salt, digest, int(entry["n"]), int(entry["r"]), int(entry["p"]))


def _write(path: Path, keys: list[Key]) -> None:
    entries = [
        {
            "id": key.id,
            "name": key.name,
            "scopes": sorted(key.scopes),
            "salt": key.salt.hex(),
            "hash": key.hash.hex(),
            "n": key.n,
            "r": key.r,
            "p": key.p,
        }
        for key in keys
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)  # mode 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"version": 1, "keys": entries}, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
