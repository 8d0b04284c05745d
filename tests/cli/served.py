"""A real `llmtui serve` for tests: its process, its address with the token, its output, and its pages."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import psutil
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType

from tests.engine.helpers import assert_gone, process_tree
from tests.leftovers import command_line

#: For events that a busy machine is late with.
DEADLINE_S = 90.0
#: More iterations than end during any test.
ENDLESS = 20_000


class Served:
    """A running `llmtui serve`: its process, address, token, and stderr so far (`err`)."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.err = ""
        self._changed = threading.Condition()
        self._ended = False
        # Read all the time: a process blocks when its pipe is full.
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.until(r"in a browser")
        match = re.search(r"open ((http://\S+):(\d+))/\?token=([\w-]{43}) in a browser", self.err)
        assert match is not None, self.err
        self.url, self.port, self.token = match[1], int(match[3]), match[4]
        #: The address that the user opens.
        self.address = f"{self.url}/?token={self.token}"

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._changed:
                self.err += line
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def until(self, pattern: str) -> None:
        """Wait until stderr matches `pattern`."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or re.search(pattern, self.err), DEADLINE_S)
            assert re.search(pattern, self.err), f"not printed: {self.err}"

    def end(self) -> str:
        """Wait for the process to end, and return its stdout."""
        assert self.process.stdout is not None
        out = self.process.stdout.read()
        self.process.wait(DEADLINE_S)
        self._reader.join(DEADLINE_S)
        return out

    def children(self, name: str) -> list[psutil.Process]:
        """Its descendants with `name` in their command line."""
        return [p for p in process_tree(self.process.pid) if any(name in word for word in command_line(p))]

    def path(self, path: str) -> str:
        """The URL of `path`, with the token."""
        return f"{self.url}{path}{'&' if '?' in path else '?'}token={self.token}"


@contextmanager
def serving(folder: Path, iterations: int, *more: str, prepare: Callable[[], None] | None = None) -> Iterator[Served]:
    """`llmtui serve` of a run of two truth servers, with further arguments. `prepare` is called in its process.

    A run of `ENDLESS` iterations takes hours and little of the processor.
    """
    itl_ms = 150 if iterations == ENDLESS else 1
    server = f"['{sys.executable}', '-m', 'llmtui.accuracy.truth_server', '--port', '{{port}}', '--itl-ms', '{itl_ms}']"
    launch = f"launch = {server}\n"
    config = folder / "race.toml"
    config.write_text(
        f"[run]\niterations = {iterations}\nwarmup = 0\nmax_tokens = 4\non_disconnect = 'stop'\n"
        f"[[backend]]\nname = 'alpha'\n{launch}[[backend]]\nname = 'omega'\n{launch}"
    )
    runtime = folder / "r"
    runtime.mkdir(mode=0o700, exist_ok=True)
    with subprocess.Popen(
        [sys.executable, "-m", "llmtui", "serve", str(config), "--port", "0", *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "XDG_RUNTIME_DIR": str(runtime)},
        preexec_fn=prepare,
    ) as process:
        try:
            served = Served(process)
            tree = process_tree(process.pid)
            try:
                yield served
            finally:
                tree += process_tree(process.pid)
                process.send_signal(signal.SIGINT)
                served.end()
                assert_gone(list(set(tree)))
        finally:
            if process.poll() is None:
                process.kill()


class Page:
    """The websocket of a page, and the data received so far (`seen`)."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self.socket = socket
        self.seen = b""

    async def until(self, what: bytes) -> None:
        """Wait until `what` is drawn."""
        async with asyncio.timeout(DEADLINE_S):
            while what not in self.seen:
                message = await self.socket.receive()
                assert message.type is WSMsgType.BINARY, message
                self.seen += message.data

    async def until_closed(self) -> None:
        """Wait until the server closes the websocket."""
        async with asyncio.timeout(DEADLINE_S):
            while (await self.socket.receive()).type not in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.CLOSING):
                pass


@asynccontextmanager
async def page_of(served: Served, **headers: str) -> AsyncIterator[Page]:
    """An open page, with these headers. `address` replaces the URL of its websocket."""
    origin = headers.pop("origin", served.url)
    address = headers.pop("address", served.path("/ws?width=120&height=40"))
    async with ClientSession() as session, session.ws_connect(address, origin=origin, headers=headers) as websocket:
        yield Page(websocket)
