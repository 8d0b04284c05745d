"""Runs one command so that nothing of it outlives the process that asked for it. Standard library only.

`python -I -S guard.py FD GRACE_S -- COMMAND...`: FD is the read end of a pipe whose other end only the asking process
holds, so that its end of file means that this process is gone, whatever ended it. What the command writes goes to this
program's standard output, a file that is kept below `LOG_CAP_BYTES`: its first and its last part, and a line between
them that says how much was dropped. The command's exit status becomes this program's.
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

LOG_CAP_BYTES = 4 * 1024 * 1024
#: What stays when the cap is reached: the start, where servers tell of their model, threads and GPU, and the end.
LOG_HEAD_BYTES = 256 * 1024
LOG_TAIL_BYTES = 1024 * 1024
#: Output waiting for a slow disk; when more comes the oldest of it is dropped.
QUEUE_BYTES = 2 * 1024 * 1024
#: How long the end waits for a disk that takes nothing.
LOG_PATIENCE_S = 1.0
CHUNK_BYTES = 64 * 1024

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
    """The command's output on its way from a pipe to the file on descriptor 1.

    A thread writes: neither the command nor the guard ever waits for the disk.
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
        #: Where output is missing in the file, and by how many bytes more than the line that says so has.
        self._gaps: list[tuple[int, int]] = []
        self._writer = threading.Thread(target=self._write_on, daemon=True)

    def start(self) -> None:
        """Begin to write; after the fork, which takes no thread along."""
        os.close(self.write_fd)
        self._writer.start()

    def drain(self) -> bool:
        """Take in what is there, but not for ever; False once every writer is gone."""
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
        """Queue it for the file."""
        with self._changed:
            self._queue.append(data)
            self._queued += len(data)
            while self._queued > QUEUE_BYTES:
                oldest = self._queue.popleft()
                self._queued -= len(oldest)
                self._lost += len(oldest)
            self._changed.notify()

    def close(self) -> None:
        """Take in and write what is left, unless the disk takes too long."""
        self.drain()
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._writer.join(LOG_PATIENCE_S)

    def _write_on(self) -> None:
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
            except OSError:  # A full disk must not stop the server.
                with self._changed:
                    self._lost += lost + len(data)

    def _append(self, data: bytes) -> None:
        while data:
            written = os.write(1, data)
            self._size += written
            data = data[written:]

    def _cut(self) -> None:
        """Drop the middle. The end is written before the file is shortened, so that a reader never finds it missing."""
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
                    self._tell_of_strays()
                self._stop()
                if not LINUX:
                    self._signal(signal.SIGKILL, [])
                if self._childless or not LINUX:
                    # Orphans become children of this process: where it has none, nothing of the tree is left.
                    self._log.close()
                    return self._status
            if self._kill_at is not None and time.monotonic() >= self._kill_at:
                self._kill()

    def _on_signals(self, numbers: bytes) -> None:
        for number in numbers:
            if number != signal.SIGCHLD:
                if self._kill_at is not None:
                    self._kill_at = 0.0  # Asked twice: no more patience.
                self._stop()

    def _stop(self) -> None:
        if self._kill_at is None:
            self._kill_at = time.monotonic() + self._grace_s
            below = descendants(os.getpid())
            self._signal(signal.SIGTERM, below)
            self._signal(signal.SIGCONT, below)  # One that is stopped could not end by itself.

    def _kill(self) -> None:
        """SIGKILL to all, again at once while new ones appear: what forks as it is ended must not outrun us."""
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

    def _tell_of_strays(self) -> None:
        self._log.drain()
        if left := len(descendants(os.getpid())):
            self._log.put(b"[llmtui: the command ended and left %d of its processes; they are ended too]\n" % left)

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
