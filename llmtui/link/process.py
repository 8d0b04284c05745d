"""The engine as a process, seen from a client: start one, wait for its exit, list those that run."""

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
from llmtui.link.run_folders import LOG_NAME, SOCKET_NAME, EngineError
from llmtui.model import Plan, Struct

#: How long an engine may take from creating its folder to listening in it.
STARTING_NS = 60 * 1_000_000_000


class EngineLaunch(Struct, frozen=True):
    """What a new engine reads from standard input, as one line of JSON."""

    plan: Plan
    store: str = ""
    resume: bool = False
    label: str = ""
    #: Where the prompts of a file are, as the check before the run found it; b"" if it is not known.
    prompt_index: bytes = b""


class EngineProcess:
    """A started engine. It has its own session: signals of the client's terminal do not reach it."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path, path: Path) -> None:
        self._process = process
        self._folder = folder
        self.socket = path

    @property
    def pid(self) -> int:
        """The engine's process id."""
        return self._process.pid

    @classmethod
    def start(
        cls, plan: Plan, store: str = "", *, resume: bool = False, label: str = "", prompt_index: bytes = b""
    ) -> EngineProcess:
        """Start an engine for `plan` without waiting for it; `connect` waits until it listens. Raises EngineError.

        `store` is the history file, "" the default one. With `resume` the engine continues the run from there, else
        the run gets `label` there. `prompt_index` says where the prompts of a file are, if that is known.
        """
        if resume:
            if _listens(run_folders.folder_of(plan.run) / SOCKET_NAME):
                raise EngineError(f"run {plan.run} is still running; try: llmtui attach {plan.run}")
            run_folders.remove(plan.run)  # left by the killed engine
        folder, log = run_folders.make(plan.run)
        path = folder / SOCKET_NAME
        launch = EngineLaunch(plan=plan, store=store, resume=resume, label=label, prompt_index=prompt_index)
        engine: EngineProcess | None = None
        try:
            live_runs()  # removes folders of killed engines
            process = subprocess.Popen(
                # -P: a random.py in the working directory must not shadow the standard library's.
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
            # No caller could stop this engine.
            if isinstance(error, KeyboardInterrupt):
                ignore_interrupts()
            if engine is not None:
                engine.kill()
            os.close(log)
            log = -1
            run_folders.remove(plan.run)
            raise
        finally:
            # From now on only the engine locks the log.
            if log >= 0:
                os.close(log)

    async def listening(self, timeout_s: float = 30.0) -> None:
        """Wait until the engine listens. Raises EngineError if the engine exited instead."""
        out = self._process.stdout
        assert out is not None
        line = out.readline() if await _readable(out.fileno(), timeout_s) else b""
        if line != b"ready\n":
            reason = self.log_tail()
            self.kill()
            raise EngineError("the engine did not start" + (f": {reason}" if reason else ""))

    async def connect(self, timeout_s: float = 30.0) -> Client:
        """Return a client, once the engine listens. Raises EngineError if the engine exited instead."""
        await self.listening(timeout_s)
        try:
            return await Client.connect(self.socket)
        except OSError as error:
            raise EngineError(f"the engine does not answer: {error.strerror or error}") from None

    def log_tail(self) -> str:
        """Return the last line of the engine's log, "" if there is none."""
        try:
            lines = (self._folder / LOG_NAME).read_text("utf-8", "replace").strip().splitlines()
        except OSError:
            return ""
        return lines[-1][:400] if lines else ""

    async def wait(self, timeout_s: float = 20.0) -> bool:
        """Wait for the engine to exit. After `timeout_s` kill it, with its servers, and return False."""
        try:
            await asyncio.to_thread(self._process.wait, timeout_s)
            exited = True
        except subprocess.TimeoutExpired:
            exited = False
        self.kill()
        return exited

    def detach(self) -> None:
        """Close the pipes to the engine, which goes on running."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def kill(self) -> None:
        """Kill the engine and remove the run's folder. The engine's guards stop the servers."""
        self._process.kill()
        self._process.wait()
        self.detach()
        run_folders.remove(self._folder.name)


class LiveRun(Struct, frozen=True):
    """A run whose engine is listening."""

    run: str
    socket: str
    started_ns: int


def live_runs() -> list[LiveRun]:
    """Return this user's runs in progress, the newest first. Removes the folders of killed engines."""
    runs = []
    for folder, changed_ns in run_folders.existing():
        if _listens(folder / SOCKET_NAME):
            runs.append(LiveRun(run=folder.name, socket=str(folder / SOCKET_NAME), started_ns=changed_ns))
        elif time.time_ns() - changed_ns > STARTING_NS:
            run_folders.remove(folder.name)
    return sorted(runs, key=lambda run: run.started_ns, reverse=True)


def _listens(path: Path) -> bool:
    """Whether a process listens on this socket, without connecting: that would count as a client.

    Connecting a datagram socket to a stream socket fails with EPROTOTYPE if a process listens, and with ECONNREFUSED if
    it has exited (POSIX, connect).
    """
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        return probe.connect_ex(str(path)) == errno.EPROTOTYPE
    return False  # the path is too long for a socket


async def _readable(fd: int, timeout_s: float) -> bool:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(fd, readable.set)
    try:
        async with asyncio.timeout(timeout_s):
            await readable.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(fd)
    return True
