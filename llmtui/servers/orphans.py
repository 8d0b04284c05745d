"""Finds and kills processes that outlived their guard and engine, by the mark in their environment.

On Linux with the standard library only, because `llmtui` runs this before it lists its runs and should not be slow.
Elsewhere psutil shows the environments of this user's processes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

#: Names the variable that marks all processes of one tree, for the case that guard and engine are killed together.
MARK = "LLMTUI_HELD"
#: Give up after this time: a process blocked in a driver cannot be killed.
PATIENCE_S = 10.0
LINUX = sys.platform in ("linux", "android")


def new_mark() -> str:
    """Return a mark that identifies this process: "NAMESPACE.PID.START.TOKEN", START in the kernel's ticks."""
    pid = os.getpid()
    start = 0
    with contextlib.suppress(PermissionError):  # no /proc, as in a bare chroot
        start = _start(pid) or 0
    return f"{_namespace()}.{pid}.{start}.{os.urandom(8).hex()}"


def kill_marked(mark: str) -> list[int]:
    """Send SIGKILL to every process with this mark until none is left. Return their PIDs."""
    return _kill(lambda other: other == mark, own=False)


def sweep_dead() -> list[int]:
    """Send SIGKILL to this user's processes whose engine was killed together with its guards. Return their PIDs.

    Processes of a living engine, or of one in another container, are left alone, and so are those with the mark of this
    process itself, which has one when it runs in a shell below a marked process.
    """
    spared = os.environ.get(MARK)
    return _kill(lambda mark: mark != spared and engine_is_dead(mark), own=True)


def engine_is_dead(mark: str) -> bool:
    """Whether the engine that made this mark has certainly exited. Its PID may belong to another process by now."""
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
    """Return the start of a process in ticks since boot, None after its exit. Raises PermissionError if hidden.

    Without /proc it is in hundredths of a second since 1970.
    """
    if not LINUX:
        return _start_by_psutil(pid)
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return None if stat[0] in b"ZX" else int(stat[19])
    except OSError:
        try:
            os.kill(pid, 0)
        except (ProcessLookupError, OverflowError):
            return None
        raise PermissionError(f"process {pid} is hidden") from None


def _start_by_psutil(pid: int) -> int | None:
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else round(process.create_time() * 100)
    except (psutil.NoSuchProcess, ValueError, OverflowError):
        return None
    except (psutil.Error, OSError):
        raise PermissionError(f"process {pid} is hidden") from None


def _namespace() -> str:
    """Return the id of this PID namespace. A container has its own, and its processes are visible from outside."""
    try:
        return str(os.stat("/proc/self/ns/pid").st_ino)
    except OSError:
        return ""


def mark_of(pid: int) -> str:
    """Return the mark of a process, "" if it has none or its environment is hidden."""
    if not LINUX:
        return _mark_by_psutil(pid)
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return ""
    name = f"{MARK}=".encode()
    return next(
        (entry[len(name) :].decode("ascii", "replace") for entry in environment.split(b"\0") if entry.startswith(name)),
        "",
    )


def _mark_by_psutil(pid: int) -> str:
    import psutil

    try:
        return psutil.Process(pid).environ().get(MARK, "")
    except (psutil.Error, OSError, ValueError):
        return ""


def _pids() -> list[int]:
    if not LINUX:
        import psutil

        return psutil.pids()
    return [int(entry) for entry in os.listdir("/proc") if entry.isdecimal()]


def _is_own(pid: int) -> bool:
    """Whether this user owns the process. Raises OSError if it has ended."""
    if LINUX:
        return os.stat(f"/proc/{pid}").st_uid == os.getuid()
    import psutil

    try:
        return bool(psutil.Process(pid).uids().real == os.getuid())
    except psutil.Error:
        return False


def _kill(matches: Callable[[str], bool], *, own: bool) -> list[int]:
    killed: list[int] = []
    deadline = time.monotonic() + PATIENCE_S
    looks = 2  # A process in the middle of execve has no environment, so look a second time.
    while looks and time.monotonic() < deadline:
        if not (matching := _find(matches, own)):
            looks -= 1
            continue
        for pid, fd in matching.items():
            with contextlib.suppress(OSError):
                if fd is not None:
                    signal.pidfd_send_signal(fd, signal.SIGKILL)
                elif matches(mark_of(pid)):
                    os.kill(pid, signal.SIGKILL)
            if pid not in killed:
                killed.append(pid)
        poll = select.poll()
        fds = [fd for fd in matching.values() if fd is not None]
        for fd in fds:
            poll.register(fd, select.POLLIN)
        poll.poll(1000 if len(fds) == len(matching) else 20)
        for fd in fds:
            os.close(fd)
    return killed


def _open(pid: int) -> int | None:
    """Return a pidfd, which is of this process even if its PID is used again; None where there are none.

    Some builds of Python lack the function, and old kernels and some sandboxes the system call. Raises OSError if the
    process has ended.
    """
    if not (hasattr(os, "pidfd_open") and hasattr(signal, "pidfd_send_signal")):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.EPERM):
            return None
        raise


def _find(matches: Callable[[str], bool], own: bool) -> dict[int, int | None]:
    """Return the processes whose mark matches, each with a pidfd if there are such, because its PID may be reused."""
    matching: dict[int, int | None] = {}
    pids: list[int] = []
    with contextlib.suppress(OSError):
        pids = _pids()
    for pid in pids:
        if pid == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if own and not _is_own(pid):
                continue
            if not matches(mark_of(pid)):
                continue
            fd = _open(pid)
            if matches(mark_of(pid)):
                matching[pid] = fd
            elif fd is not None:
                os.close(fd)
    return matching
