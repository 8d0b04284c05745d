"""Shared by the tests of launched servers: a server to which processes report, and the commands to start them."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest

PROGRAMS = Path(__file__).with_name("programs.py")
#: Much longer than any step here takes; only a failing test reaches it.
PATIENCE_S = 20.0


def program(name: str, *arguments: object) -> list[str]:
    """Return the command line of one of the small programs."""
    return [sys.executable, str(PROGRAMS), name, *map(str, arguments)]


@contextlib.contextmanager
def running(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process without a guard, and kill it at the end."""
    with subprocess.Popen(command) as process:
        try:
            yield process
        finally:
            process.kill()


def logs(folder: Path) -> list[Path]:
    """Return the logs in a folder."""
    return list(folder.glob("*.log"))


class RollCall:
    """Processes that report over TCP. A closed connection means that the process has exited."""

    def __init__(self) -> None:
        self.port = 0
        self.pids: dict[str, int] = {}
        self._here: dict[str, asyncio.Event] = {}
        self._gone: dict[str, asyncio.Event] = {}

    async def report(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Handle one process, from its report to its exit."""
        name, _, pid = (await reader.readline()).decode().strip().rpartition(" ")
        self.pids[name] = int(pid)
        self.event(self._here, name).set()
        try:
            await reader.read()
        except ConnectionError:
            pass
        finally:
            writer.close()
            self.event(self._gone, name).set()

    @staticmethod
    def event(events: dict[str, asyncio.Event], name: str) -> asyncio.Event:
        return events.setdefault(name, asyncio.Event())

    async def here(self, *names: str) -> None:
        """Wait until all of these have reported."""
        for name in names:
            await asyncio.wait_for(self.event(self._here, name).wait(), PATIENCE_S)

    async def gone(self, *names: str) -> None:
        """Wait until all of these have exited."""
        for name in names:
            await asyncio.wait_for(self.event(self._gone, name).wait(), PATIENCE_S)


@pytest.fixture
async def roll() -> AsyncIterator[RollCall]:
    call = RollCall()
    server = await asyncio.start_server(call.report, "127.0.0.1", 0)
    call.port = server.sockets[0].getsockname()[1]
    yield call
    server.close()


def marked(mark: str) -> list[int]:
    """Return the living processes with this text in their environment."""
    pids = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if any(mark in f"{name}={value}" for name, value in process.environ().items()):
                pids.append(process.pid)
    return pids
