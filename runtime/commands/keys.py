"""`tectum keys`: API keys for any address but loopback."""

from __future__ import annotations

import argparse
from pathlib import Path

DESCRIPTION = """\
Keys are stored hashed; a new one is printed once. Scopes: read (look), control (command, release, record), admin
(restore, swap). Any key may latch the e-stop.

  tectum keys create --file keys.json --name laptop --scope control
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = DESCRIPTION
    parser.add_argument("action", choices=("create", "list", "revoke"))
    parser.add_argument("--file", type=Path, required=True, help="the key file named by [http] keys")
    parser.add_argument("--name", help="who or what the key is for")
    parser.add_argument("--scope", choices=("read", "control", "admin"), default="read")


def run(args: argparse.Namespace, environment: dict[str, str]) -> int:
    from runtime.core.errors import ConfigError
    from runtime.http import keys

    if args.action != "list" and not args.name:
        raise ConfigError(f"keys {args.action}: which one? say --name")
    if args.action == "create":
        print(keys.create_key(args.file, args.name, frozenset({args.scope})))
    elif args.action == "revoke":
        keys.revoke_key(args.file, args.name)
        print(f"Revoked {args.name}")
    else:
        for number, name, scopes in keys.list_keys(args.file):
            print(f"{number:<14} {name:<24} {' '.join(scopes)}")
    return 0
