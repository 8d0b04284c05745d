"""The engine's end of the socket: every client gets all events, any client may send commands.

Only processes of the engine's own user may connect.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path

import msgspec

from llmtui.link.client import MAX_LINE_BYTES, peer
from llmtui.link.requests import Read, batches
from llmtui.link.since import pieces, rest_of
from llmtui.model import (
    AnyCommand,
    AnyEvent,
    Detach,
    Earlier,
    Hello,
    Note,
    Progress,
    Requests,
    Sampled,
    Since,
    Tick,
)

#: A client with more lines queued than this gets no progress and no samples.
MAX_QUEUED_LINES = 256
#: A client with more bytes queued than this is disconnected.
MAX_QUEUED_BYTES = 64 * 1024 * 1024
#: Requests of a turn are read from the history only while a client has fewer bytes queued than this.
MAX_ANSWER_BYTES = 1024 * 1024

_encode = msgspec.json.Encoder().encode
_decode_command = msgspec.json.Decoder(AnyCommand).decode


class _Connection:
    """One connected client: its queue of lines."""

    def __init__(self, writer: asyncio.StreamWriter, pid: int | None) -> None:
        self.writer = writer
        self.pid = pid
        self.lines: deque[bytes] = deque()
        self.queued_bytes = 0
        self.wake = asyncio.Event()
        self.closing = False
        #: The hello, and what did not fit it: they are sent before all other lines, as fast as the client reads.
        self._first: deque[Hello | Earlier] = deque()
        #: Set while the client has read most of what was queued.
        self.room = asyncio.Event()
        #: The answers to commands for requests that are under way: to one for a single request, and to another.
        self.answering: dict[bool, asyncio.Task[None]] = {}

    def greet(self, hello: Hello) -> None:
        """Queue a hello in place of everything that is queued, which it contains."""
        self._first = deque(pieces(hello))
        self.queued_bytes -= sum(map(len, self.lines))
        self.lines.clear()
        self.wake.set()

    def put(self, line: bytes, *, droppable: bool = False) -> None:
        """Queue a line; a `droppable` one is skipped if the client is slow."""
        if droppable and len(self.lines) > MAX_QUEUED_LINES:
            return
        # The first line may be longer than the limit.
        if self.queued_bytes and self.queued_bytes + len(line) > MAX_QUEUED_BYTES:
            self.lines.clear()
            # Also wakes the writer, which waits for this client to read.
            self.writer.transport.abort()
            return
        self.queued_bytes += len(line)
        self.lines.append(line)
        if self.queued_bytes > MAX_ANSWER_BYTES:
            self.room.clear()
        self.wake.set()

    async def write_lines(self) -> None:
        """Write queued lines until the connection is closing and the queue is empty."""
        with contextlib.suppress(ConnectionError):
            while True:
                await self.wake.wait()
                self.wake.clear()
                late = False
                while self._first or self.lines:
                    if self._first:
                        event = self._first.popleft()
                        late = isinstance(event, Earlier)
                        self.writer.write(_encode(event) + b"\n")
                        await self.writer.drain()
                        continue
                    batch = b"".join(self.lines)
                    self.lines.clear()
                    self.writer.write(batch)
                    await self.writer.drain()
                    self.queued_bytes -= len(batch)
                self.room.set()
                if late:
                    self.writer.write(_encode(Earlier(iterations=[], last=True)) + b"\n")
                if self.closing:
                    return

    def answer(self, read: Read, command: Requests) -> None:
        """Send requests of a turn, as fast as the client reads, in place of the answer of this kind under way."""
        single = command.place is not None
        if single in self.answering:
            self.answering[single].cancel()
        self.answering[single] = asyncio.create_task(self._answer(read, command))

    async def _answer(self, read: Read, command: Requests) -> None:
        async for event in batches(read, command):
            await self.room.wait()
            self.put(_encode(event) + b"\n")


class LinkServer:
    """Serves the clients of one run.

    `hello` returns the first message, with all results. `handle_command` gets every command but `Since`, and
    `Requests`, which `requests` answers. `set_watched` is called with True when a client connects and with False when
    the last one has left.
    """

    def __init__(
        self,
        path: Path,
        hello: Callable[[], Hello],
        handle_command: Callable[[AnyCommand], None],
        set_watched: Callable[[bool], None],
        requests: Read = lambda _: iter(()),
    ) -> None:
        self._path = path
        self._hello = hello
        self._handle_command = handle_command
        self._set_watched = set_watched
        self._requests = requests
        self._connections: set[_Connection] = set()
        #: Whether any client has connected so far.
        self.had_clients = False
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Listen. The socket has mode 0600 from the start."""
        umask = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._serve, str(self._path), limit=MAX_LINE_BYTES)
        finally:
            os.umask(umask)

    def emit(self, event: AnyEvent) -> None:
        """Queue an event for every client. Never blocks or raises."""
        if not self._connections:
            return
        line = _encode(event) + b"\n"
        droppable = isinstance(event, Progress | Sampled | Tick)
        for connection in self._connections:
            connection.put(line, droppable=droppable)

    @property
    def pids(self) -> list[int]:
        """Processes of the connected clients: their CPU time counts as llmtui's own."""
        return [connection.pid for connection in self._connections if connection.pid is not None]

    async def close(self) -> None:
        """Write what is queued, close every connection and remove the socket."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.closing = True
            connection.wake.set()
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
        connection = _Connection(writer, pid)
        connection.greet(rest_of(self._hello(), None))
        self._connections.add(connection)
        self.had_clients = True
        self._set_watched(True)
        writing = asyncio.create_task(connection.write_lines())
        reading = asyncio.create_task(self._read_commands(reader, connection))
        try:
            await asyncio.wait({writing, reading}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._connections.discard(connection)
            self._tasks.discard(task)
            tasks = [writing, reading, *connection.answering.values()]
            for each in tasks:
                each.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            writer.close()
            if not self._connections:
                self._set_watched(False)

    async def _read_commands(self, reader: asyncio.StreamReader, connection: _Connection) -> None:
        """Handle commands until the client hangs up, sends something else, or detaches."""
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
                return  # not a client of llmtui
            if isinstance(command, Requests):
                connection.answer(self._requests, command)
                continue
            if isinstance(command, Since):
                connection.greet(rest_of(self._hello(), command))
                continue
            try:
                self._handle_command(command)
            except Exception as error:  # an error in llmtui must not end the run
                self.emit(Note(text=f"llmtui failed here: {error!r}; please report this", level="error"))
            if isinstance(command, Detach):
                return  # hanging up confirms it to the client
