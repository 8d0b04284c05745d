"""Which process an engine is: its number, its start and its machine. A later process tells by them whether it lives.

They may come out of a history that somebody else made.
"""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

from llmtui.store.validate import MAX_PID

#: `ps` is asked only where there is no /proc, and not waited for longer than this.
PS_TIMEOUT_S = 2.0


def here() -> str:
    """This machine and process space: a process number means something only within it."""
    try:
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        space = ""
    return f"{socket.gethostname()} {space}".strip()


def started(pid: int) -> str:
    """When process `pid` (1 or more) was started, as an opaque mark of it alone; "" where no such process runs.

    On Linux the boot and the clock ticks since (proc(5), field 22 of stat), elsewhere what `ps` says. A zombie runs
    no more.
    """
    if Path("/proc/self/stat").exists():
        try:
            fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
            boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        except OSError:
            return ""
        return "" if fields[0] in (b"Z", b"X") else f"{boot} {fields[19].decode('ascii')}"
    try:
        done = subprocess.run(
            ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, timeout=PS_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return done.stdout.strip()


def gone(place: object, pid: object, mark: object) -> bool:
    """Whether the engine noted as `pid` at `place`, started at `mark`, runs no more. False where we cannot know.

    What cannot be the number of a process never becomes part of a path or of a command: no such engine runs.
    """
    if place != here():
        return False
    if type(pid) is not int or not 0 < pid <= MAX_PID:
        return True
    now = started(pid)
    return now not in (mark, "unknown")
