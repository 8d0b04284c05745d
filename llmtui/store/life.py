"""Which process an engine is, told so that a later process can see whether it still lives: number, start, machine."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

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
    """When process `pid` was started, as an opaque mark that no other process has; "" where no such process runs.

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


def gone(place: str, pid: int, mark: str) -> bool:
    """Whether the engine noted as `pid` at `place`, started at `mark`, runs no more. False where we cannot know."""
    if place != here():
        return False
    now = started(pid)
    return now not in (mark, "unknown")
