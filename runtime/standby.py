"""The gateway in waiting: `python -m runtime.standby ...` has everything imported and opens nothing until told to.

Importing takes a second or more, serving a few milliseconds: so a gateway that dies is back before a page notices. The
parent writes `go` to standard input, and that pipe is the lifeline from then on.
"""

from __future__ import annotations

import os
import sys

from runtime import lifeline
from runtime.http.__main__ import main as serve


def main(arguments: list[str]) -> int:
    """Serve once told to; 0 where the parent ends before that."""
    if os.read(lifeline.STDIN, len(lifeline.GO)) != lifeline.GO:
        return 0
    lifeline.follow()
    return serve(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
