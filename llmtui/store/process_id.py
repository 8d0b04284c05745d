"""Identifies an engine's process by machine, process id and start time, so that another process can see if it runs.

The values may come from an untrusted history.
"""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

from llmtui.store.validate import MAX_PID

#: The time limit of `ps`, which is used on systems without /proc.
PS_TIMEOUT_S = 2.0


def here() -> str:
    """This machine and its PID namespace, within which a process id is unique."""
    try:
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        space = ""
    return f"{socket.gethostname()} {space}".strip()


def started(pid: int) -> str:
    """Return when process `pid` (1 or more) was started, as an opaque text; "" if it does not run, or is a zombie.

    On Linux that is the boot id and the clock ticks since boot (field 22 of /proc/PID/stat), elsewhere the output of
    `ps`.
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
    """Whether the engine with this `pid` at `place`, started at `mark`, has ended. False if that is unknown.

    A value that is not a valid process id counts as ended, and is never used in a path or in a command.
    """
    if place != here():
        return False
    if type(pid) is not int or not 0 < pid <= MAX_PID:
        return True
    now = started(pid)
    return now not in (mark, "unknown")
