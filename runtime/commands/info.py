"""`tectum info`: describe a file."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from runtime.core.errors import ConfigError

DESCRIPTION = """\
Describe a recording (.mcap), an event file or folder (AEDAT2, AEDAT4, RAW, DAT, ES, CSV, N-MNIST, images), or a
network (.nir): what is in it, and for a network what its file leaves open.

  tectum info run-0001.mcap
  tectum info deploy/recordings/davis346-short.aedat4
  tectum info deploy/networks/cnn_sinabs.nir
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = DESCRIPTION
    parser.add_argument("file", type=Path)
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def run(args: argparse.Namespace, environment: dict[str, str]) -> int:
    if not args.file.exists():
        raise ConfigError(f"there is no file {str(args.file)!r}")
    described = describe(args.file, environment)
    if args.json:
        print(json.dumps(described, indent=2, default=str))
    else:
        _print(described, 0)
    return 0


def describe(path: Path, environment: dict[str, str]) -> dict[str, Any]:
    if path.suffix == ".mcap":
        from runtime.recording.reader import Recording

        return Recording(path).describe()
    if path.suffix == ".nir":
        from nets.describe import describe_file as describe_network

        return describe_network(path)
    from sensors.formats.describe import describe_file

    if path.is_dir():
        from sensors.formats.open import EXTENSIONS

        files = sorted(p for p in path.iterdir() if p.suffix.lower() in EXTENSIONS and p.is_file())
        if files:
            return {
                "path": str(path),
                "playlist_files": len(files),
                "bytes": sum(p.stat().st_size for p in files),
                "first": describe_file(files[0]),
            }
    return describe_file(path)


def _print(value: Any, depth: int) -> None:
    pad = "  " * depth
    for key, item in value.items():
        if isinstance(item, dict) and item:
            print(f"{pad}{key}")
            _print(item, depth + 1)
        elif isinstance(item, list) and item and isinstance(item[0], dict):
            print(f"{pad}{key}")
            for row in item:
                print(f"{pad}  " + "  ".join(f"{k}={_text(v)}" for k, v in row.items()))
        else:
            print(f"{pad}{key:<22} {_text(item)}")


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return ", ".join(_text(v) for v in value) or "-"
    if isinstance(value, dict):
        return ", ".join(f"{k}: {_text(v)}" for k, v in value.items()) or "-"
    return str(value)
