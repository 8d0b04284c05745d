"""A real `llmtui serve` for tests: its process, its address with the token, what it prints, and its pages."""

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

DEADLINE_S = 30.0


class Served:
    """A running `llmtui serve`: its address, its token, its process, and what it says on stderr."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said = ""
        self._news = threading.Condition()
        self._ended = False
        # It reads all along: a program whose words are not read stops at some point.
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.until(r"in a browser")
        found = re.search(r"open ((http://\S+):(\d+))/\?token=([\w-]{43}) in a browser", self.said)
        assert found is not None, self.said
        self.url, self.port, self.token = found[1], int(found[3]), found[4]
        #: What the user opens.
        self.address = f"{self.url}/?token={self.token}"

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._news:
                self.said += line
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def until(self, pattern: str) -> None:
        """Until it has said this on stderr."""
        with self._news:
            self._news.wait_for(lambda: self._ended or re.search(pattern, self.said), DEADLINE_S)
            assert re.search(pattern, self.said), f"not said: {self.said}"

    def end(self) -> str:
        """Wait for its end, which somebody else has caused, and return what it has written on stdout."""
        assert self.process.stdout is not None
        out = self.process.stdout.read()
        self.process.wait(DEADLINE_S)
        self._reader.join(DEADLINE_S)
        return out

    def children(self, name: str) -> list[psutil.Process]:
        """Processes below it whose command line holds `name`."""
        return [p for p in process_tree(self.process.pid) if any(name in word for word in p.cmdline())]

    def path(self, path: str) -> str:
        """The address of `path`, with the token."""
        return f"{self.url}{path}{'&' if '?' in path else '?'}token={self.token}"


@contextmanager
def serving(folder: Path, iterations: int, *more: str, prepare: Callable[[], None] | None = None) -> Iterator[Served]:
    """`llmtui serve` of a run of two truth servers, with further arguments. `prepare` is called in its process."""
    launch = (
        f"launch = ['{sys.executable}', '-m', 'llmtui.accuracy.truth_server', '--port', '{{port}}', '--itl-ms', '1']\n"
    )
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
    """What a page's websocket brought so far."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self.socket = socket
        self.seen = b""

    async def until(self, what: bytes) -> None:
        """Until `what` was drawn."""
        async with asyncio.timeout(DEADLINE_S):
            while what not in self.seen:
                message = await self.socket.receive()
                assert message.type is WSMsgType.BINARY, message
                self.seen += message.data

    async def until_closed(self) -> None:
        """Until the other side has closed."""
        async with asyncio.timeout(DEADLINE_S):
            while (await self.socket.receive()).type not in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.CLOSING):
                pass


@asynccontextmanager
async def page_of(served: Served, **headers: str) -> AsyncIterator[Page]:
    """An open page, with these headers. `address` opens its websocket elsewhere."""
    origin = headers.pop("origin", served.url)
    address = headers.pop("address", served.path("/ws?width=120&height=40"))
    async with ClientSession() as session, session.ws_connect(address, origin=origin, headers=headers) as websocket:
        yield Page(websocket)
