"""A real tmux that renders the monitor."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

WAIT_S = 30.0


class Tmux:
    """A tmux server with one shell."""

    def __init__(self, socket: Path, columns: int, rows: int) -> None:
        self._socket = str(socket)
        # The monitor must ignore a size in the environment.
        size = f"COLUMNS={columns} LINES={rows}"
        self("new-session", "-d", "-x", str(columns), "-y", str(rows), f"env {size} PS1='ready> ' sh")
        self.until(lambda shown: "ready>" in shown)

    def __call__(self, *command: str) -> str:
        done = subprocess.run(
            ["tmux", "-S", self._socket, "-f", "/dev/null", *command], capture_output=True, text=True, check=True
        )
        return done.stdout

    def shown(self) -> str:
        return self("capture-pane", "-p")

    def about(self, what: str) -> str:
        return self("display-message", "-p", f"#{{{what}}}").strip()

    def until(self, holds: Callable[[str], bool]) -> str:
        deadline = time.monotonic() + WAIT_S
        while not holds(shown := self.shown()):
            assert time.monotonic() < deadline, shown
            # tmux does not report changes of a pane.
            time.sleep(0.05)
        return shown

    def close(self) -> None:
        subprocess.run(["tmux", "-S", self._socket, "kill-server"], capture_output=True, check=False)
