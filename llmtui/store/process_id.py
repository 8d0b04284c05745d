"""Identifies an engine's process by machine, process id and start time, so that another process can see if it runs.

The values may come from an untrusted history.
"""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

from llmtui.store.validate import MAX_PID

PROC = Path("/proc")
#: The namespace of processes that a machine starts with: from there all processes of all containers are visible.
_FIRST_SPACE = "pid:[4026531836]"
#: The time limit of `ps`, which is used on systems without /proc.
PS_TIMEOUT_S = 2.0


def here() -> str:
    """This machine and its PID namespace, within which a process id is unique."""
    return f"{socket.gethostname()} {_space(PROC)}".strip()


def _space(proc: Path) -> str:
    try:
        return os.readlink(proc / "self/ns/pid")
    except OSError:
        return ""


def started(pid: int) -> str:
    """Return when process `pid` (1 or more) was started, as an opaque text; "" if it does not run, or is a zombie.

    On Linux that is the boot id and the clock ticks since boot (field 22 of /proc/PID/stat), elsewhere the output of
    `ps`.
    """
    if (PROC / "self/stat").exists():
        boot, ticks = _boot(PROC), _start_ticks(PROC / str(pid))
        return f"{boot} {ticks}" if boot and ticks else ""
    try:
        done = subprocess.run(
            ["ps", "-o", "stat=,lstart=", "-p", str(pid)],
            capture_output=True,
            text=True,
            timeout=PS_TIMEOUT_S,
            check=False,
            # The language and the time zone change the text, and another shell may have others.
            env={**os.environ, "LC_ALL": "C", "TZ": "UTC"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    state, _, start = done.stdout.strip().partition(" ")
    return "" if state.startswith("Z") else start.strip()


def gone(place: object, pid: object, mark: object) -> bool:
    """Whether the engine with this `pid` at `place`, started at `mark`, has ended. False if that is unknown.

    A value that is not a valid process id counts as ended, and is never used in a path or in a command.
    """
    if place != here():
        return _gone_elsewhere(place, pid, mark)
    if type(pid) is not int or not 0 < pid <= MAX_PID:
        return True
    now = started(pid)
    return now not in (mark, "unknown")


def is_unknown(place: object, pid: object, mark: object) -> bool:
    """Whether this process cannot tell if that engine runs: it was in another container, or on another machine."""
    return place != here() and not gone(place, pid, mark)


def _gone_elsewhere(place: object, pid: object, mark: object, proc: Path = PROC) -> bool:
    """Whether an engine in a container of this machine has certainly ended, or one from before its name changed.

    From the first namespace the processes of all containers are visible, each with its own id in its container.
    """
    if not (isinstance(place, str) and isinstance(mark, str) and type(pid) is int):
        return False
    boot, _, ticks = mark.partition(" ")
    if not ticks or boot != _boot(proc) or _space(proc) != _FIRST_SPACE:
        return False
    try:
        (proc / "1/stat").read_bytes()  # with hidepid, other users' processes are not shown
        return not any(
            _inner_pid(proc / entry) == pid and _start_ticks(proc / entry) == ticks
            for entry in os.listdir(proc)
            if entry.isdecimal()
        )
    except OSError:
        return False


def _inner_pid(process: Path) -> int | None:
    """Return the id of a process in its own namespace, None if it has ended."""
    try:
        for line in (process / "status").read_text("utf-8", "replace").splitlines():
            if line.startswith("NSpid:"):
                return int(line.split()[-1])
    except (OSError, ValueError):
        pass
    return None


def _start_ticks(process: Path) -> str:
    """Return the start of a process in ticks since boot, "" if it has ended or is a zombie."""
    try:
        fields = (process / "stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in (b"Z", b"X") else fields[19].decode("ascii")


def _boot(proc: Path) -> str:
    try:
        return (proc / "sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""
