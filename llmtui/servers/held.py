"""A child process held firmly: started through the guard, its output in a capped file, its whole tree ended with it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from llmtui.servers.listener import Tree

GUARD = Path(__file__).with_name("guard.py")
#: Marks every process of one held tree in its environment, so that strays are found even when the guard was killed.
MARK = "LLMTUI_HELD"
TAIL_BYTES = 64 * 1024

_ANSI = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|[@-Z\\-_])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Held:
    """One command and its tree. Start it once; `stop` may be called at any time, any number of times."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.exited = asyncio.Event()
        self.returncode: int | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._watchdog: int | None = None
        self._mark = secrets.token_hex(8)
        self._tree: Tree | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._stopper: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The root of the tree (the guard), None before the start."""
        return self._process.pid if self._process else None

    @property
    def stopping(self) -> bool:
        """Whether its end was asked for."""
        return self._stopper is not None

    async def start(
        self, argv: Sequence[str], env: Mapping[str, str] | None = None, cwd: Path | None = None, grace_s: float = 5.0
    ) -> None:
        """Start the command. `env` comes on top of this process's environment. Raises OSError."""
        read_fd, write_fd = os.pipe()
        self._watchdog = write_fd
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        try:
            log_fd = os.open(self.log, flags, 0o600)
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-I", "-S", str(GUARD), str(read_fd), str(grace_s), "--", *argv),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log_fd,
                    stderr=log_fd,
                    cwd=cwd,
                    env={**os.environ, **(env or {}), MARK: self._mark},
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
        """The exit code once the whole tree is gone; negative for a signal."""
        await self.exited.wait()
        return self.returncode or 0

    def sample(self) -> tuple[int, float]:
        """Resident bytes and CPU seconds so far, summed over the command and all below it (not the guard)."""
        return self._tree.sample() if self._tree else (0, 0.0)

    def tail(self, lines: int = 8) -> list[str]:
        """The last non-empty lines of its output as plain text."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
                raw = file.read().decode("utf-8", "replace")
        except OSError:
            return []
        return plain_lines(raw)[-lines:]

    async def stop(self, grace_s: float | None = None) -> None:
        """End the whole tree: SIGTERM, then SIGKILL after the grace given here or at the start."""
        if self._process is None:
            return
        if self._stopper is None:
            self._stopper = asyncio.create_task(self._stop(self._process, grace_s))
        await asyncio.shield(self._stopper)

    async def _stop(self, process: asyncio.subprocess.Process, grace_s: float | None) -> None:
        members = list(self._tree.members()) if self._tree else []
        for patience_s in (grace_s, 3.0) if grace_s is not None else (8.0, 3.0):
            if not self.exited.is_set():
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.exited.wait(), patience_s)
            if self.exited.is_set():
                break
        else:
            for member in members:
                with contextlib.suppress(psutil.Error):
                    member.kill()
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await self.exited.wait()

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        self.returncode = await process.wait()
        self._release()
        if self.returncode < 0:
            # The guard itself may have been killed, and then nobody has ended what it held.
            await asyncio.to_thread(kill_marked, self._mark)
        self.exited.set()

    def _release(self) -> None:
        if self._watchdog is not None:
            os.close(self._watchdog)
            self._watchdog = None


def kill_marked(mark: str) -> None:
    """SIGKILL every process whose environment carries this mark, until none is left. Needs /proc."""
    entry = f"{MARK}={mark}".encode()
    while found := [pid for pid in psutil.pids() if entry in _environment(pid)]:
        for pid in found:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        psutil.wait_procs([process for pid in found if (process := _process(pid))], timeout=1)


def _process(pid: int) -> psutil.Process | None:
    try:
        return psutil.Process(pid)
    except psutil.Error:
        return None


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def plain_lines(raw: str) -> list[str]:
    """Lines of terminal output without colours and control characters, empty ones dropped.

    Of a line that was overwritten (a progress bar) only its last state is kept.
    """
    lines = []
    for line in _ANSI.sub("", raw).split("\n"):
        last = line.rstrip("\r").rpartition("\r")[2]
        if text := _CONTROL.sub("", last.expandtabs()).rstrip():
            lines.append(text)
    return lines


def exit_words(code: int | None) -> str:
    """An exit code in words: "killed by signal 9 (out of memory?)", "exit code 1"."""
    if code is None:
        return "still running"
    if code >= 0:
        return f"exit code {code}"
    if -code == signal.SIGKILL:
        return "killed by signal 9 (out of memory?)"
    try:
        return f"killed by signal {-code} ({signal.Signals(-code).name})"
    except ValueError:
        return f"killed by signal {-code}"
