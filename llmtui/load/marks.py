"""Marks of the runs that measure on this machine, for all its users to see, so that two of them can be named.

A mark is a Unix socket with an abstract name, which no file stands for and which ends with its process (Linux). All
processes of a machine see it that are in the same network: two containers do not see each other's. Elsewhere there are
no marks.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import socket
import sys
from pathlib import Path

#: A word that is a part of all marks, for tests: their runs do not see those of others.
VARIABLE = "LLMTUI_MARKS"
_MARK = rb"@%s/([0-9a-f]{8})/[0-9a-f]{8}$"


class Mark:
    """Says that a run, by its id, measures on this machine, while it is `set`."""

    def __init__(self, run: str) -> None:
        self._name = f"\0{_prefix()}/{run}/{secrets.token_hex(4)}"
        self._socket: socket.socket | None = None

    def set(self, measures: bool) -> None:
        """Show the mark, or take it away."""
        if measures and self._socket is None and sys.platform == "linux":
            with contextlib.suppress(OSError):  # then the run is not seen by others
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                self._socket.bind(self._name)
        elif not measures and self._socket is not None:
            self._socket.close()
            self._socket = None


def marked_runs(proc: Path = Path("/proc")) -> set[str]:
    """Return the ids of the runs that measure on this machine, empty if the system does not say. Takes milliseconds."""
    try:
        text = (proc / "self/net/unix").read_bytes()
    except OSError:
        return set()
    mark = re.compile(_MARK % re.escape(_prefix().encode()), re.MULTILINE)
    return {found[1].decode() for found in mark.finditer(text)}


def _prefix() -> str:
    return f"llmtui-measures{os.environ.get(VARIABLE, '')}"
