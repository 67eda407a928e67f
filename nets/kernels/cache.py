"""Where compiled kernels are kept: a folder named after everything that decides their machine code.

numba's own index sees only the file that defines a function, not the files it calls into: a key over all kernel
sources, numba, llvmlite, the interpreter and the processor's features closes that hole.
"""

from __future__ import annotations

import hashlib
import sys
from importlib.metadata import version
from pathlib import Path

from llvmlite import binding

NO_CODE = {"build.py", "cache.py", "saving.py", "second.py"}
"""What stands beside the kernels and decides none of their code."""


def folder_name() -> str:
    """For instance `kernels-cp311-numba0.61.0-1f0c...`: equal names mean interchangeable machine code."""
    digest = hashlib.blake2b(digest_size=8)
    for source in sorted(path for path in Path(__file__).parent.glob("*.py") if path.name not in NO_CODE):
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    features = binding.get_host_cpu_features().flatten()
    for part in (version("numba"), version("llvmlite"), sys.version, binding.get_host_cpu_name(), features):
        digest.update(part.encode() + b"\0")
    return f"kernels-cp{sys.version_info[0]}{sys.version_info[1]}-numba{version('numba')}-{digest.hexdigest()}"
