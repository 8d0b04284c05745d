"""One HTTP connection: a request written, the answer's pieces handed on with their arrival times.

While an answer comes the socket stays registered with the event loop: an arrival is one callback and no task switch.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable

import httpx

from llmtui.measure.clock import Offset
from llmtui.measure.http1 import ResponseReader
from llmtui.measure.stamped_socket import StampedSocket
from llmtui.measure.tls import TlsChannel
from llmtui.model import Stamp

#: What waits for a slow consumer at most (and one read more) before the server has to wait.
MAX_PENDING_BYTES = 256 * 1024

Sink = Callable[[int, bytes], None]


class Connection:
    """One request at a time: `exchange`, then its body (`pieces` or `deliver`), then `release`. `close` at any time."""

    def __init__(self, sock: StampedSocket, tls: TlsChannel | None = None) -> None:
        self.sock = sock
        self.early = False
        self.end_ns = 0
        self.used = False
        self.idle_since_s = 0.0
        self.closed = False
        self.reader: ResponseReader | None = None
        self._tls = tls
        self._channel: StampedSocket | TlsChannel = tls or sock
        self._receive = self._channel.receive
        self._loop = asyncio.get_running_loop()
        self._watching = False
        self._pending: list[tuple[int, bytes]] = []
        self._pending_bytes = 0
        self._sink: Sink | None = None
        self._error: Exception | None = None
        self._refused: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def exchange(self, wire: bytes, method: str) -> ResponseReader:
        """Write the request and read the head of its answer.

        An answer may come before the request is written: then the rest is not sent, and `early` says so.
        Raises httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError.
        """
        self.reader = reader = ResponseReader(method)
        self.early = False
        self.end_ns = 0
        try:
            self.sock.begin()
            self._watch(True)
            await self._write(self._sealed(wire), reader)
            while not reader.head_done:
                await self._wait()
        except BaseException:
            self.close()
            raise
        self.used = True
        return reader

    async def pieces(self) -> AsyncGenerator[tuple[int, bytes]]:
        """The body as it arrived: monotonic ns and bytes, one for each read. Raises what `exchange` raises."""
        assert self.reader is not None
        while True:
            while self._pending:
                piece = self._pending.pop(0)
                self._pending_bytes -= len(piece[1])
                yield piece
            if self.reader.complete:
                return
            await self._wait()

    async def deliver(self, sink: Sink) -> None:
        """Call `sink(arrived_ns, data)` for each read until the body ends, from the event loop itself.

        What the sink raises ends the connection and is raised here, as is what `exchange` raises.
        """
        assert self.reader is not None
        for arrived_ns, data in self._pending:
            sink(arrived_ns, data)
        self._pending.clear()
        self._pending_bytes = 0
        self._sink = sink
        while not self.reader.complete:
            await self._wait()
        if self._refused is not None:
            raise self._refused

    def release(self) -> bool:
        """The response is done with. Whether another request may follow; if not, this closed the connection."""
        reader, self.reader = self.reader, None
        self._sink = None
        self._pending.clear()
        self._pending_bytes = 0
        if self.closed or self.early or reader is None or not (reader.complete and reader.reusable):
            self.close()
            return False
        self._watch(True)  # an idle connection that speaks, or ends, is closed at once
        self.idle_since_s = self._loop.time()
        return True

    def usable(self, keepalive_s: float) -> bool:
        """Whether this idle connection is young enough, open, and silent."""
        return not self.closed and self._loop.time() - self.idle_since_s < keepalive_s and not self.sock.readable()

    def close(self) -> None:
        """Close at once; whoever waits is told."""
        if self.closed:
            return
        self.closed = True
        self._watch(False)
        self._loop.remove_writer(self.sock.fd)
        self.sock.close()
        if self._error is None:
            self._error = httpx.ReadError("the connection is closed")
        self._wake()

    def _watch(self, on: bool) -> None:
        if on != self._watching and self.sock.fd >= 0:
            self._watching = on
            if on:
                self._loop.add_reader(self.sock.fd, self._on_readable)
            else:
                self._loop.remove_reader(self.sock.fd)

    def _on_readable(self) -> None:
        reader = self.reader
        try:
            data = self._receive()
        except OSError as error:
            self._fail(httpx.ReadError(str(error)))
            return
        if data is None:
            return
        if reader is None:
            self.close()
            return
        if data:
            body = reader.feed(data)
            if body:
                sink = self._sink
                if sink is None:
                    self._hold(body)
                else:
                    try:
                        sink(self.sock.arrived_ns, body)
                    except Exception as error:
                        self._refused = error
                        self._fail(error)
                        return
                    if not (reader.complete or reader.error or self._channel.ended):
                        return
        if self._channel.ended:
            reader.eof()
        if reader.error is not None:
            self._fail(reader.error)
        elif reader.complete:
            if not self.end_ns:
                self.end_ns = self.sock.arrived_ns
            if self._channel.ended:
                self._watch(False)
            self._wake()
        elif reader.head_done:
            self._wake()

    def _hold(self, body: bytes) -> None:
        self._pending.append((self.sock.arrived_ns, body))
        self._pending_bytes += len(body)
        if self._pending_bytes > MAX_PENDING_BYTES:
            self._watch(False)

    def _fail(self, error: Exception) -> None:
        self._error = error
        self.close()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def _wait(self) -> None:
        """Wait for news. Raises the error that ended the connection."""
        if self._error is not None:
            raise self._error
        self._watch(True)
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
        complete = self.reader is not None and self.reader.complete
        if self._error is not None and not self._pending and not complete:
            raise self._error

    def _sealed(self, wire: bytes) -> bytes:
        if self._tls is None:
            return wire
        try:
            return self._tls.seal(wire)
        except OSError as error:
            raise httpx.WriteError(str(error)) from error

    async def _write(self, wire: bytes, reader: ResponseReader) -> None:
        view = memoryview(wire)
        while view:
            try:
                sent = self.sock.send(view)
            except OSError:
                # The peer takes no more; its answer may be there all the same, and else reading tells the reason.
                self.early = True
                return
            view = view[sent:]
            if sent:
                continue
            self._loop.add_writer(self.sock.fd, self._wake)
            try:
                await self._wait()
            finally:
                if not self.closed:
                    self._loop.remove_writer(self.sock.fd)
            if reader.head_done:
                self.early = True
                return


class StampedBody(httpx.AsyncByteStream):
    """The body of one answer, and the times around it, in ns on the monotonic clock.

    `connect_ns` is None where an earlier request opened the connection; `arrived_ns` belongs to the piece yielded last.
    """

    def __init__(self, connection: Connection, connect_ns: int | None, done: Callable[[Connection], None]) -> None:
        self._connection: Connection | None = connection
        self._done = done
        self._sock = connection.sock
        self.connect_ns = connect_ns
        self.written_ns: int = connection.sock.written_ns
        self.offset: Offset = connection.sock.offset
        self.early = connection.early
        self.arrived_ns = 0

    @property
    def stamp(self) -> Stamp:
        """Where the arrival times come from."""
        return self._sock.stamp

    async def __aiter__(self) -> AsyncIterator[bytes]:
        connection = self._open()
        async with contextlib.aclosing(connection.pieces()) as pieces:
            async for self.arrived_ns, data in pieces:
                yield data
        self.arrived_ns = connection.end_ns

    async def deliver(self, sink: Sink) -> None:
        """As `Connection.deliver`; afterwards `arrived_ns` is when the body's end arrived."""
        connection = self._open()
        await connection.deliver(sink)
        self.arrived_ns = connection.end_ns

    def _open(self) -> Connection:
        if self._connection is None:
            raise httpx.StreamClosed
        return self._connection

    async def aclose(self) -> None:
        """Done with, or given up half-way: then the connection closes."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._done(connection)
