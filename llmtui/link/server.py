"""The engine's side of the socket: every client gets all events, any client may command. Private to the owner."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path

import msgspec

from llmtui.link.client import MAX_LINE_BYTES, peer
from llmtui.model import AnyCommand, AnyEvent, Detach, Earlier, Hello, Iteration, Note, Progress, Sampled

#: A client so many lines behind is not told noise (progress, samples) any more; one so many bytes behind is dropped.
NOISE_LIMIT = 256
DROP_BYTES = 64 * 1024 * 1024
#: So many iterations at most in a hello, and in each message with more of them.
HELLO_ITERATIONS = 64

_encode = msgspec.json.Encoder().encode
_decode_command = msgspec.json.Decoder(AnyCommand).decode


class _Viewer:
    """One connected client: a queue and the task that writes it out."""

    def __init__(self, writer: asyncio.StreamWriter, pid: int | None) -> None:
        self.writer = writer
        self.pid = pid
        self.lines: deque[bytes] = deque()
        self.behind_bytes = 0
        self.wake = asyncio.Event()
        self.gone = False
        #: What of the past did not fit the hello: told behind it, ahead of all that is new.
        self.earlier: list[Iteration] = []

    def put(self, line: bytes, noise: bool) -> None:
        if noise and len(self.lines) > NOISE_LIMIT:
            return
        # What it is told first may be longer than that.
        if self.behind_bytes and self.behind_bytes + len(line) > DROP_BYTES:
            self.lines.clear()
            # Who waits for it to read waits no more.
            self.writer.transport.abort()
            return
        self.behind_bytes += len(line)
        self.lines.append(line)
        self.wake.set()

    async def pump(self) -> None:
        """Write queued lines until told that the client is gone and nothing is left."""
        with contextlib.suppress(ConnectionError):
            while True:
                await self.wake.wait()
                self.wake.clear()
                if self.earlier:
                    await self._tell_earlier()
                while self.lines:
                    batch = b"".join(self.lines)
                    self.lines.clear()
                    self.writer.write(batch)
                    await self.writer.drain()
                    self.behind_bytes -= len(batch)
                if self.gone:
                    return

    async def _tell_earlier(self) -> None:
        # The hello is the first line of all. A long past becomes text only as fast as it is read.
        hello = self.lines.popleft()
        self.writer.write(hello)
        self.behind_bytes -= len(hello)
        past, self.earlier = self.earlier, []
        for start in range(0, len(past), HELLO_ITERATIONS):
            self.writer.write(_encode(Earlier(iterations=past[start : start + HELLO_ITERATIONS])) + b"\n")
            await self.writer.drain()


class LinkServer:
    """Serves the clients of one run.

    `hello` returns the first message, `handle_command` gets every command, and `set_watched` is called with True when
    a client connects and with False when the last one has left.
    """

    def __init__(
        self,
        path: Path,
        hello: Callable[[], Hello],
        handle_command: Callable[[AnyCommand], None],
        set_watched: Callable[[bool], None],
    ) -> None:
        self._path = path
        self._hello = hello
        self._handle_command = handle_command
        self._set_watched = set_watched
        self._viewers: set[_Viewer] = set()
        self.had_clients = False
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Listen. The socket is 0600 from its first moment on."""
        before = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._serve, str(self._path), limit=MAX_LINE_BYTES)
        finally:
            os.umask(before)

    def emit(self, event: AnyEvent) -> None:
        """Tell every client. Never blocks and never raises: a client's trouble is not the run's."""
        if not self._viewers:
            return
        line = _encode(event) + b"\n"
        noise = isinstance(event, Progress | Sampled)
        for viewer in self._viewers:
            viewer.put(line, noise)

    @property
    def pids(self) -> list[int]:
        """Processes of the connected clients: their CPU is llmtui's own."""
        return [v.pid for v in self._viewers if v.pid is not None]

    async def close(self) -> None:
        """Write out what is queued, close every connection and remove the socket."""
        if self._server is not None:
            self._server.close()
        for viewer in list(self._viewers):
            viewer.gone = True
            viewer.wake.set()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=1.0)
            for task in late:
                task.cancel()
        with contextlib.suppress(OSError):
            self._path.unlink()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        uid, pid = peer(writer.get_extra_info("socket"))
        if uid is not None and uid != os.getuid():
            writer.close()
            return
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        viewer = _Viewer(writer, pid)
        hello = self._hello()
        first, viewer.earlier = hello.iterations[:HELLO_ITERATIONS], hello.iterations[HELLO_ITERATIONS:]
        viewer.put(_encode(msgspec.structs.replace(hello, iterations=first)) + b"\n", noise=False)
        self._viewers.add(viewer)
        self.had_clients = True
        self._set_watched(True)
        pump = asyncio.create_task(viewer.pump())
        listen = asyncio.create_task(self._listen(reader))
        try:
            await asyncio.wait({pump, listen}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._viewers.discard(viewer)
            self._tasks.discard(task)
            for part in (pump, listen):
                part.cancel()
            await asyncio.gather(pump, listen, return_exceptions=True)
            writer.close()
            if not self._viewers:
                self._set_watched(False)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        while True:
            try:
                line = await reader.readline()
            except (ConnectionError, ValueError):
                return
            if not line.endswith(b"\n"):
                return
            try:
                command = _decode_command(line)
            except msgspec.DecodeError:
                return  # no client of ours: hang up
            try:
                self._handle_command(command)
            except Exception as error:  # a fault of ours: the run goes on, and its clients hear of it
                self.emit(Note(text=f"llmtui failed here: {error!r}; please report this", level="error"))
            if isinstance(command, Detach):
                return  # hanging up tells the client that it was heard
