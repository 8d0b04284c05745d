"""A child process that runs under the guard: its output goes to a capped file, and its whole tree ends with it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import psutil

from llmtui.servers import exit_reasons
from llmtui.servers.exit_reasons import MemoryWatch
from llmtui.servers.listener import Tree
from llmtui.servers.log_reasons import mentions_memory
from llmtui.servers.orphans import LINUX, MARK, kill_marked, new_mark
from llmtui.text import sanitize_lines

GUARD = Path(__file__).with_name("guard.py")
TAIL_BYTES = 64 * 1024
#: Longer lines of a log are cut.
LINE_CHARS = 2000


class GuardedProcess:
    """One command and its descendants. Start it once; `stop` can be called at any time, any number of times."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.exited = asyncio.Event()
        self.returncode: int | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._watchdog: int | None = None
        self.mark = new_mark()
        self._tree: Tree | None = None
        self._memory: MemoryWatch | None = None
        self._reason = ""
        self._watcher: asyncio.Task[None] | None = None
        self._stopper: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The root of the tree (the guard), None before the start."""
        return self._process.pid if self._process else None

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopper is not None

    async def start(
        self,
        argv: Sequence[str],
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        grace_s: float = 5.0,
        withheld: Collection[str] = (),
    ) -> None:
        """Start the command with this process's environment, without `withheld` and with `env`. Raises OSError."""
        read_fd, write_fd = os.pipe()
        self._watchdog = write_fd
        self._memory = MemoryWatch()
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        try:
            log_fd = os.open(self.log, flags, 0o600)
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-I", "-S", str(GUARD), str(read_fd), str(grace_s), "--", *argv),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log_fd,
                    stderr=log_fd,
                    cwd=cwd,
                    env={
                        **{name: value for name, value in os.environ.items() if name not in withheld},
                        **(env or {}),
                        MARK: self.mark,
                    },
                    pass_fds=(read_fd,),
                    start_new_session=True,
                )
            finally:
                os.close(log_fd)
        except BaseException:
            self._release()
            raise
        finally:
            os.close(read_fd)
        self._tree = Tree(self._process.pid, root=False)
        self._watcher = asyncio.create_task(self._watch(self._process))

    async def wait(self) -> int:
        """Wait until the whole tree has exited and return the exit code, negative for a signal."""
        await self.exited.wait()
        return self.returncode or 0

    def sample(self) -> tuple[int, float]:
        """Return resident bytes and CPU seconds so far, summed over the command and its descendants, not the guard."""
        if self._tree is None or self._memory is None:
            return 0, 0.0
        rss, cpu_s = self._tree.sample()
        self._memory.update(rss)
        return rss, cpu_s

    def exit_reason(self) -> str:
        """Return how it exited: "exit code 1", "killed by the kernel: out of memory (it used 3.1 GB)"."""
        return self._reason or exit_reasons.exit_reason(self.returncode)

    def tail(self, lines: int = 8) -> list[str]:
        """Return the last non-empty lines of its output, sanitized."""
        try:
            with self.log.open("rb") as file:
                while True:
                    end = file.seek(0, os.SEEK_END)
                    file.seek(max(0, end - TAIL_BYTES))
                    raw = file.read(TAIL_BYTES)
                    if file.seek(0, os.SEEK_END) >= end:  # otherwise the guard has shortened the file meanwhile
                        break
        except OSError:
            return []
        return output_lines(raw.decode("utf-8", "replace"))[-lines:]

    async def stop(self, grace_s: float | None = None) -> None:
        """Stop the whole tree: SIGTERM, then SIGKILL after the grace period given here or at the start."""
        if self._process is None:
            return
        if self._stopper is None:
            self._stopper = asyncio.create_task(self._stop(self._process, grace_s))
        await asyncio.shield(self._stopper)

    async def _stop(self, process: asyncio.subprocess.Process, grace_s: float | None) -> None:
        members = list(self._tree.members()) if self._tree else []
        for patience_s in (grace_s, 3.0) if grace_s is not None else (8.0, 3.0):
            if not self.exited.is_set():
                send_signal(process, signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    await self.exited.wait()
            if self.exited.is_set():
                break
        else:
            for member in members:
                with contextlib.suppress(psutil.Error):
                    member.kill()
            send_signal(process, signal.SIGKILL)
            await self.exited.wait()

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        self.returncode = await process.wait()
        try:
            self._release()
            if self.returncode < 0 or not LINUX:
                # If the guard itself was killed, its processes are still running. Only on Linux do those that made a
                # session of their own become its children when their parent ends.
                await asyncio.to_thread(kill_marked, self.mark)
            self._reason = self._describe_exit(self.returncode)
        finally:
            # Whatever failed above, waiting tasks must continue.
            self.exited.set()

    def _describe_exit(self, code: int) -> str:
        memory = self._memory
        return exit_reasons.exit_reason(
            code,
            stopping=self.stopping,
            out_of_memory=memory.out_of_memory(code) if memory else None,
            used_bytes=memory.used_bytes if memory else 0,
            reported=mentions_memory(self.tail(20)),
        )

    def _release(self) -> None:
        if self._watchdog is not None:
            os.close(self._watchdog)
            self._watchdog = None


def send_signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Send a signal. `process.send_signal` can lose the exit code for a waiting task before Python 3.12."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)


def output_lines(raw: str) -> list[str]:
    """Return the non-empty lines of terminal output, sanitized.

    Of a line that was overwritten (a progress bar), return only the last state.
    """
    lines = []
    for line in raw.split("\n"):
        states = [text for state in line.split("\r") if (text := " ".join(sanitize_lines(state, LINE_CHARS)))]
        if states and (text := states[-1].rstrip()):
            lines.append(text)
    return lines
