"""Runs one command so that none of its processes outlives the parent. Standard library only.

`python -I -S guard.py FD GRACE_S -- COMMAND...`: FD is the read end of a pipe whose write end is open only in the
parent, so that an end of file means that the parent has exited, for whatever reason. The command's output goes to this
program's standard output, a file of at most `LOG_CAP_BYTES` with the beginning and the end of the output and a line
between them that reports how much was dropped. This program exits with the command's exit status.
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
import threading
import time
from collections import deque
from collections.abc import Iterator

LOG_CAP_BYTES = 4 * 1024 * 1024
#: What remains when the cap is reached: the beginning, where servers print model, threads and GPU, and the end.
LOG_HEAD_BYTES = 256 * 1024
LOG_TAIL_BYTES = 1024 * 1024
#: The most output that waits for a slow disk; beyond that the oldest is dropped.
QUEUE_BYTES = 2 * 1024 * 1024
#: How long the exit waits for a blocked disk.
LOG_PATIENCE_S = 1.0
CHUNK_BYTES = 64 * 1024

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

LINUX = sys.platform in ("linux", "android")
PS = ("ps", "-axo", "pid=,ppid=,stat=")


def prctl(option: int, value: int) -> None:
    """Call Linux's prctl(2) with one argument; do nothing on other systems."""
    if LINUX:
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def descendants(root: int) -> list[int]:
    """Return the living descendants of `root`, nearest first. Empty if the system does not show them."""
    children: dict[int, list[int]] = {}
    for pid, parent in _from_proc() if LINUX else _from_ps():
        children.setdefault(parent, []).append(pid)
    pids: list[int] = []
    level = children.get(root, [])
    while level:
        pids += level
        level = [pid for parent in level for pid in children.get(parent, [])]
    return pids


def _from_proc() -> Iterator[tuple[int, int]]:
    """Yield the living processes with their parents."""
    try:
        entries = os.listdir("/proc")
    except OSError:
        return
    for entry in entries:
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", "rb") as stat:
                    state, parent = stat.read().rpartition(b")")[2].split()[:2]
            except OSError:
                continue
            if state not in b"ZX":
                yield int(entry), int(parent)


def _from_ps() -> Iterator[tuple[int, int]]:
    """Yield the living processes with their parents, on a system without /proc (macOS)."""
    import subprocess

    try:
        with subprocess.Popen(PS, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as ps:
            listed = ps.communicate()[0]
    except OSError:
        return
    for line in listed.splitlines():
        fields = line.split()
        if (
            len(fields) == 3
            and fields[0] != b"%d" % ps.pid
            and fields[0].isdigit()
            and fields[1].isdigit()
            and not fields[2].startswith(b"Z")
        ):
            yield int(fields[0]), int(fields[1])


class Log:
    """Copies the command's output from a pipe to the file on descriptor 1.

    A thread writes, so that neither the command nor the guard ever waits for the disk.
    """

    def __init__(self) -> None:
        self.read_fd, self.write_fd = os.pipe()
        os.set_blocking(self.read_fd, False)
        self._changed = threading.Condition()
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._lost = 0
        self._closed = False
        self._size = 0
        self._body = LOG_HEAD_BYTES
        self._dropped = 0
        #: Positions in the file where output is missing, and how many bytes more than the notice there has.
        self._gaps: list[tuple[int, int]] = []
        self._writer = threading.Thread(target=self._write_queue, daemon=True)

    def start(self) -> None:
        """Start the writer. Call it after the fork, which does not copy threads."""
        os.close(self.write_fd)
        self._writer.start()

    def drain(self) -> bool:
        """Read what is available, with a limit. Return False when all writers have closed the pipe."""
        for _ in range(QUEUE_BYTES // CHUNK_BYTES):
            try:
                data = os.read(self.read_fd, CHUNK_BYTES)
            except BlockingIOError:
                return True
            if not data:
                return False
            self.put(data)
        return True

    def put(self, data: bytes) -> None:
        """Queue data for the file."""
        with self._changed:
            self._queue.append(data)
            self._queued += len(data)
            while self._queued > QUEUE_BYTES:
                oldest = self._queue.popleft()
                self._queued -= len(oldest)
                self._lost += len(oldest)
            self._changed.notify()

    def close(self) -> None:
        """Read and write the rest, unless the disk takes too long."""
        self.drain()
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._writer.join(LOG_PATIENCE_S)

    def _write_queue(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._queue) or self._closed)
                if not self._queue:
                    return
                data = self._queue.popleft()
                self._queued -= len(data)
                lost, self._lost = self._lost, 0
            try:
                if self._size + len(data) + 100 > LOG_CAP_BYTES:
                    self._cut()
                if lost:
                    notice = _notice(lost)
                    self._append(notice)
                    self._gaps.append((self._size, lost - len(notice)))
                    lost = 0
                self._append(data)
            except OSError:  # a full disk must not stop the server
                with self._changed:
                    self._lost += lost + len(data)

    def _append(self, data: bytes) -> None:
        while data:
            written = os.write(1, data)
            self._size += written
            data = data[written:]

    def _cut(self) -> None:
        """Drop the middle. The end is written before the file is truncated, so that readers always see it."""
        tail = os.pread(1, LOG_TAIL_BYTES, self._size - LOG_TAIL_BYTES)
        tail = tail[tail.find(b"\n") + 1 :]
        at = self._size - len(tail)
        self._dropped += at - self._body + sum(lost for place, lost in self._gaps if place <= at)
        notice = _notice(self._dropped)
        self._body = LOG_HEAD_BYTES + len(notice)
        self._gaps = [(place - at + self._body, lost) for place, lost in self._gaps if place > at]
        self._size = LOG_HEAD_BYTES + os.pwrite(1, notice + tail, LOG_HEAD_BYTES)
        os.ftruncate(1, self._size)
        os.lseek(1, self._size, os.SEEK_SET)


def _notice(dropped: int) -> bytes:
    return b"\n[llmtui: %d bytes of output dropped here]\n" % dropped


def execute(command: list[str], log: Log, guard: int) -> None:
    """Run the command in the forked child. If that fails, print the cause and exit with 127."""
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
            # The kernel does not know the format: a script without #!, or a portable executable (llamafile).
            os.execv("/bin/sh", ["/bin/sh", command[0], *command[1:]])
    except OSError as error:
        os.write(2, f"cannot run {command[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(status)


class Guard:
    """One command, from its start to the exit of its last descendant."""

    def __init__(self, watchdog: int, grace_s: float) -> None:
        self._watchdog = watchdog
        self._grace_s = grace_s
        self._log = Log()
        self._child = 0
        self._status: int | None = None
        self._kill_at: float | None = None
        self._killed: set[int] = set()
        self._childless = False
        self._wake_read, wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(wake_write, False)
        os.set_inheritable(watchdog, False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        prctl(PR_SET_CHILD_SUBREAPER, 1)

    def run(self, command: list[str]) -> int:
        """Run the command. Return its wait status after it and all its descendants have exited."""
        poll = select.poll()
        for fd in (self._watchdog, self._wake_read, self._log.read_fd):
            poll.register(fd, select.POLLIN)
        if any(fd == self._watchdog for fd, _ in poll.poll(0)):
            return 0
        guard = os.getpid()
        self._child = os.fork()
        if self._child == 0:
            execute(command, self._log, guard)
        self._log.start()
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
                if self._kill_at is None:
                    self._report_strays()
                self._stop()
                if not LINUX:
                    self._signal(signal.SIGKILL, [])
                if self._childless or not LINUX:
                    # Orphans become children of this process: without children, the whole tree has exited.
                    self._log.close()
                    return self._status
            if self._kill_at is not None and time.monotonic() >= self._kill_at:
                self._kill()

    def _on_signals(self, numbers: bytes) -> None:
        for number in numbers:
            if number != signal.SIGCHLD:
                if self._kill_at is not None:
                    self._kill_at = 0.0  # the second signal: do not wait any longer
                self._stop()

    def _stop(self) -> None:
        if self._kill_at is None:
            self._kill_at = time.monotonic() + self._grace_s
            below = descendants(os.getpid())
            self._signal(signal.SIGTERM, below)
            self._signal(signal.SIGCONT, below)  # a stopped process could not exit

    def _kill(self) -> None:
        """Send SIGKILL to all, repeatedly while new ones appear, so that a forking process cannot escape."""
        fresh = True
        while fresh:
            below = descendants(os.getpid())
            self._signal(signal.SIGKILL, below)
            fresh = not self._killed.issuperset(below)
            self._killed = set(below)
            self._reap()

    def _signal(self, number: signal.Signals, pids: list[int]) -> None:
        whole = not LINUX
        for pid in pids:
            with contextlib.suppress(OSError):
                if os.getpgid(pid) == self._child:
                    whole = True
                else:
                    os.kill(pid, number)
        if whole:
            with contextlib.suppress(OSError):
                os.killpg(self._child, number)

    def _report_strays(self) -> None:
        self._log.drain()
        if left := len(descendants(os.getpid())):
            self._log.put(b"[llmtui: the command exited and left %d processes behind; they are killed]\n" % left)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self._childless = True
                return
            if pid == 0:
                self._childless = False
                return
            if pid == self._child:
                self._status = status


def main(argv: list[str]) -> None:
    """Run the command and exit as it did."""
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
