"""Finds what a held tree left behind, by the mark that all of it carries in its environment, and ends it. Linux only.

Standard library only: whoever lists the runs that are going on sweeps first, and should not wait for it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

#: Marks every process of one held tree, so that strays are found even when guard and engine were killed at once.
MARK = "LLMTUI_HELD"
#: A process that a driver holds cannot be ended; nobody waits longer for it.
PATIENCE_S = 10.0
LINUX = sys.platform.startswith("linux")


def new_mark() -> str:
    """A mark that tells who holds the tree: "NAMESPACE.PID.START.TOKEN", START as the kernel counts it."""
    pid = os.getpid()
    start = (_start(pid) if LINUX else None) or 0
    return f"{_namespace()}.{pid}.{start}.{secrets.token_hex(8)}"


def kill_marked(mark: str) -> list[int]:
    """SIGKILL every process with this mark, until none is left; the ids of those that were ended."""
    return _kill(lambda found: found == mark, own=False)


def sweep_dead() -> list[int]:
    """SIGKILL this user's processes whose engine is dead, killed together with its guards; the ids of those ended.

    Left alone are those of an engine that lives or cannot be judged (in another container), and, for a shell that runs
    below such a process, those that carry the same mark as this process itself.
    """
    spared = os.environ.get(MARK)
    return _kill(lambda mark: mark != spared and holder_is_dead(mark), own=True)


def holder_is_dead(mark: str) -> bool:
    """Whether the engine that made this mark is surely gone; a process that has its number by now is another."""
    namespace, _, rest = mark.partition(".")
    numbers = rest.split(".")[:2]
    if len(numbers) != 2 or not all(number.isdecimal() for number in numbers) or namespace != _namespace():
        return False
    pid, start = map(int, numbers)
    try:
        return bool(start) and _start(pid) != start
    except PermissionError:
        return False


def _start(pid: int) -> int | None:
    """When a process started, in ticks since boot; None when it is gone. Raises PermissionError where it is hidden."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return None if stat[0] in b"ZX" else int(stat[19])
    except OSError:
        try:
            os.kill(pid, 0)
        except (ProcessLookupError, OverflowError):
            return None
        raise PermissionError(f"process {pid} may not be looked at") from None


def _namespace() -> str:
    """The namespace in which process ids count; a container has its own, and its processes may be seen from outside."""
    try:
        return str(os.stat("/proc/self/ns/pid").st_ino)
    except OSError:
        return ""


def mark_of(pid: int) -> str:
    """The mark that a process carries, "" when there is none or it may not be seen."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return ""
    name = f"{MARK}=".encode()
    return next(
        (entry[len(name) :].decode("ascii", "replace") for entry in environment.split(b"\0") if entry.startswith(name)),
        "",
    )


def _kill(matches: Callable[[str], bool], *, own: bool) -> list[int]:
    ended: list[int] = []
    deadline = time.monotonic() + PATIENCE_S
    looks = 2  # One that is becoming another program at that moment has no environment: looked at again.
    while looks and time.monotonic() < deadline:
        if not (found := _find(matches, own)):
            looks -= 1
            continue
        for pid, fd in found.items():
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(fd, signal.SIGKILL)
            if pid not in ended:
                ended.append(pid)
        poll = select.poll()
        for fd in found.values():
            poll.register(fd, select.POLLIN)
        poll.poll(1000)
        for fd in found.values():
            os.close(fd)
    return ended


def _find(matches: Callable[[str], bool], own: bool) -> dict[int, int]:
    """Processes with a mark that matches, each held by a descriptor: its number may be given to another meanwhile."""
    found: dict[int, int] = {}
    for entry in os.listdir("/proc") if LINUX else []:
        if not entry.isdecimal() or int(entry) == os.getpid():
            continue
        pid = int(entry)
        with contextlib.suppress(OSError):
            if own and os.stat(f"/proc/{pid}").st_uid != os.getuid():
                continue
            if not matches(mark_of(pid)):
                continue
            fd = os.pidfd_open(pid)
            if matches(mark_of(pid)):
                found[pid] = fd
            else:
                os.close(fd)
    return found
