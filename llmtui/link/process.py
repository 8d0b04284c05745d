"""From a client's side: starting the engine of a run, finding those that run, and seeing one end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from llmtui.interrupts import ignore_interrupts
from llmtui.link import run_folders
from llmtui.link.client import Client
from llmtui.link.run_folders import LOG_NAME, SOCKET_NAME, EngineError, runtime_folder
from llmtui.model import Plan, Struct

__all__ = ["EngineError", "EngineProcess", "Launch", "LiveRun", "live_runs", "runtime_folder"]

#: An engine is given this long between making its folder and listening in it.
STARTING_NS = 60 * 1_000_000_000


class Launch(Struct, frozen=True):
    """What a new engine reads from its standard input: one JSON line."""

    plan: Plan
    store: str = ""
    resume: bool = False


class EngineProcess:
    """A started engine. It lives in its own session: a key or a hang-up meant for a client does not reach it."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path, path: Path) -> None:
        self._process = process
        self._folder = folder
        self.socket = path

    @property
    def pid(self) -> int:
        """The engine's process id."""
        return self._process.pid

    @classmethod
    def start(cls, plan: Plan, store: str = "", *, resume: bool = False) -> EngineProcess:
        """Start an engine for `plan` and return at once; `connect` waits until it listens. Raises EngineError.

        `store` is the file of the history, "" the usual one; with `resume` the engine takes up what it has of this run.
        """
        if resume:
            if _listens(run_folders.folder_of(plan.run) / SOCKET_NAME):
                raise EngineError(f"run {plan.run} is still going; come back to it with: llmtui attach {plan.run}")
            run_folders.remove(plan.run)  # of the engine that was killed
        folder, log = run_folders.make(plan.run)
        path = folder / SOCKET_NAME
        launch = Launch(plan=plan, store=store, resume=resume)
        engine: EngineProcess | None = None
        try:
            live_runs()  # clears away what killed engines left behind
            process = subprocess.Popen(
                # -P: a random.py in the folder where the user stands must not shadow the library's.
                [sys.executable, "-P", "-m", "llmtui.engine"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
            engine = cls(process, folder, path)
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(msgspec.json.encode(launch) + b"\n")
                process.stdin.flush()
            return engine
        except BaseException as error:
            # Nobody would know of the engine.
            if isinstance(error, KeyboardInterrupt):
                ignore_interrupts()
            if engine is not None:
                engine.kill()
            os.close(log)
            log = -1
            run_folders.remove(plan.run)
            raise
        finally:
            # From here on the lock on it is the engine's alone.
            if log >= 0:
                os.close(log)

    async def connect(self, timeout_s: float = 30.0) -> Client:
        """A client of this engine, once it listens. Raises EngineError when it ended instead."""
        out = self._process.stdout
        assert out is not None
        line = out.readline() if await _readable(out.fileno(), timeout_s) else b""
        if line != b"ready\n":
            said = self.log_tail()
            self.kill()
            raise EngineError("the engine did not start" + (f": {said}" if said else ""))
        try:
            return await Client.connect(self.socket)
        except OSError as error:
            raise EngineError(f"the engine does not answer: {error.strerror or error}") from None

    def log_tail(self) -> str:
        """The last line that the engine wrote to its log, "" when there is none."""
        try:
            lines = (self._folder / LOG_NAME).read_text("utf-8", "replace").strip().splitlines()
        except OSError:
            return ""
        return lines[-1][:400] if lines else ""

    async def ended(self, timeout_s: float = 20.0) -> bool:
        """Wait for the engine's end. When it takes longer it is killed, and its servers with it; then False."""
        try:
            await asyncio.to_thread(self._process.wait, timeout_s)
            calm = True
        except subprocess.TimeoutExpired:
            calm = False
        self.kill()
        return calm

    def leave(self) -> None:
        """Let the engine go on without its starter."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def kill(self) -> None:
        """End the engine now; its guards end the servers. Removes the run's folder."""
        self._process.kill()
        self._process.wait()
        self.leave()
        run_folders.remove(self._folder.name)


class LiveRun(Struct, frozen=True):
    """A run whose engine listens."""

    run: str
    socket: str
    started_ns: int


def live_runs() -> list[LiveRun]:
    """Runs of this user that are going on, the newest first. What a killed engine left behind is cleared away."""
    found = []
    for folder, changed_ns in run_folders.existing():
        if _listens(folder / SOCKET_NAME):
            found.append(LiveRun(run=folder.name, socket=str(folder / SOCKET_NAME), started_ns=changed_ns))
        elif time.time_ns() - changed_ns > STARTING_NS:
            run_folders.remove(folder.name)
    return sorted(found, key=lambda run: run.started_ns, reverse=True)


def _listens(path: Path) -> bool:
    """Whether a process has this socket. It hears nothing of the question: a connection would count as a client.

    A datagram cannot be sent to a stream: EPROTOTYPE where there is one, ECONNREFUSED where its process has gone
    (POSIX, connect).
    """
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as knock:
        return knock.connect_ex(str(path)) == errno.EPROTOTYPE
    return False  # a path too long for any socket


async def _readable(fd: int, timeout_s: float) -> bool:
    loop = asyncio.get_running_loop()
    there = asyncio.Event()
    loop.add_reader(fd, there.set)
    try:
        async with asyncio.timeout(timeout_s):
            await there.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(fd)
    return True
