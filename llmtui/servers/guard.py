"""Runs one command so that nothing of it outlives the process that asked for it. Standard library only.

`python -I -S guard.py FD GRACE_S -- COMMAND...`: FD is the read end of a pipe whose other end only the asking process
holds, so that its end of file means that this process is gone, whatever ended it. What the command writes goes to this
program's standard output, a file that is kept below `LOG_CAP_BYTES`. The command's exit status becomes this program's.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import resource
import select
import signal
import sys
import time

LOG_CAP_BYTES = 8 * 1024 * 1024
LOG_KEEP_BYTES = 1024 * 1024

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

LINUX = sys.platform.startswith("linux")


def prctl(option: int, value: int) -> None:
    """Linux's prctl(2) with one argument; elsewhere nothing."""
    if LINUX:
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def descendants(root: int) -> list[int]:
    """Living processes below `root`, nearest first. Empty where there is no /proc."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc") if LINUX else []:
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", "rb") as stat:
                    state, parent = stat.read().rpartition(b")")[2].split()[:2]
            except OSError:
                continue
            if state not in b"ZX":
                children.setdefault(int(parent), []).append(int(entry))
    found: list[int] = []
    level = children.get(root, [])
    while level:
        found += level
        level = [pid for parent in level for pid in children.get(parent, [])]
    return found


class Log:
    """The command's output on its way from a pipe to the file on descriptor 1, which never grows past its cap."""

    def __init__(self) -> None:
        self.read_fd, self.write_fd = os.pipe()
        os.set_blocking(self.read_fd, False)
        self._bytes = 0

    def drain(self) -> bool:
        """Copy what is there; False once every writer is gone."""
        while True:
            try:
                data = os.read(self.read_fd, 65536)
            except BlockingIOError:
                return True
            if not data:
                return False
            self._write(data)

    def _write(self, data: bytes) -> None:
        try:
            if self._bytes + len(data) > LOG_CAP_BYTES:
                kept = os.pread(1, LOG_KEEP_BYTES, max(0, self._bytes - LOG_KEEP_BYTES))
                os.ftruncate(1, 0)
                kept = b"[earlier output dropped]\n" + kept
                os.write(1, kept)
                self._bytes = len(kept)
            self._bytes += os.write(1, data)
        except OSError:
            pass  # A full disk must not stop the server.


def execute(command: list[str], log: Log, guard: int) -> None:
    """In the forked child: become the command, or say why not and exit with 127."""
    status = 127
    try:
        os.setpgid(0, 0)
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guard:
            os._exit(status)
        os.dup2(log.write_fd, 1)
        os.dup2(log.write_fd, 2)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        try:
            os.execvp(command[0], command)
        except OSError as error:
            if error.errno != errno.ENOEXEC:
                raise
            # No header that the kernel knows: a shell script without one, or a portable executable (llamafile).
            os.execv("/bin/sh", ["/bin/sh", command[0], *command[1:]])
    except OSError as error:
        os.write(2, f"cannot run {command[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(status)


class Guard:
    """One command from its start to the end of its last descendant."""

    def __init__(self, watchdog: int, grace_s: float) -> None:
        self._watchdog = watchdog
        self._grace_s = grace_s
        self._log = Log()
        self._child = 0
        self._status: int | None = None
        self._kill_at: float | None = None
        self._wake_read, wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(wake_write, False)
        os.set_inheritable(watchdog, False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        prctl(PR_SET_CHILD_SUBREAPER, 1)

    def run(self, command: list[str]) -> int:
        """The command's wait status, once it and all that it started are gone."""
        poll = select.poll()
        for fd in (self._watchdog, self._wake_read, self._log.read_fd):
            poll.register(fd, select.POLLIN)
        if any(fd == self._watchdog for fd, _ in poll.poll(0)):
            return 0
        guard = os.getpid()
        self._child = os.fork()
        if self._child == 0:
            execute(command, self._log, guard)
        os.close(self._log.write_fd)
        while True:
            stopping = self._kill_at is not None
            ready = {fd for fd, _ in poll.poll(20 if stopping else None)}
            if self._log.read_fd in ready and not self._log.drain():
                poll.unregister(self._log.read_fd)
            if self._watchdog in ready:
                poll.unregister(self._watchdog)
                self._stop()
            if self._wake_read in ready:
                self._on_signals(os.read(self._wake_read, 4096))
            self._reap()
            if self._status is not None:
                self._stop()
            if self._kill_at is not None:
                left = descendants(guard)
                if self._status is not None and not left:
                    self._log.drain()
                    return self._status
                if time.monotonic() >= self._kill_at:
                    self._signal(signal.SIGKILL, left)

    def _on_signals(self, numbers: bytes) -> None:
        for number in numbers:
            if number != signal.SIGCHLD:
                if self._kill_at is not None:
                    self._kill_at = 0.0  # Asked twice: no more patience.
                self._stop()

    def _stop(self) -> None:
        if self._kill_at is None:
            self._kill_at = time.monotonic() + self._grace_s
            self._signal(signal.SIGTERM, descendants(os.getpid()))

    def _signal(self, number: signal.Signals, pids: list[int]) -> None:
        with contextlib.suppress(OSError):
            os.killpg(self._child, number)
        for pid in pids:
            with contextlib.suppress(OSError):
                if os.getpgid(pid) != self._child:
                    os.kill(pid, number)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._child:
                self._status = status


def main(argv: list[str]) -> None:
    """Run, then end exactly as the command ended."""
    if len(argv) < 5 or argv[3] != "--":
        sys.exit("usage: guard.py FD GRACE_S -- COMMAND...")
    status = Guard(int(argv[1]), float(argv[2])).run(argv[4:])
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


if __name__ == "__main__":
    main(sys.argv)
