"""One HTTP/1.1 connection: writes a request and delivers the body of the answer with arrival times.

The socket stays registered while an answer arrives, so that a read costs one callback and no task switch.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable

import httpx

from llmtui.measure.clock import Offset
from llmtui.measure.hold import before_write
from llmtui.measure.http1 import ResponseReader
from llmtui.measure.read_first import Sockets
from llmtui.measure.stamped_socket import StampedSocket
from llmtui.measure.tls import TlsChannel
from llmtui.model import Stamp

#: Reading pauses once this much of the body (plus one read) waits for a slow consumer.
MAX_PENDING_BYTES = 256 * 1024

Sink = Callable[[int, bytes], None]


class Connection:
    """Carries one request at a time: `exchange`, then the body (`pieces` or `deliver`), then `release`.

    `close` may be called at any time. `answered_early` is set when the answer began before the request was written.
    """

    def __init__(self, sock: StampedSocket, tls: TlsChannel | None = None, sockets: Sockets | None = None) -> None:
        self.sock = sock
        self._sockets = sockets or Sockets()
        self._taken: bytes | OSError = b""
        self.answered_early = False
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
        self._stopped = False
        self._error: Exception | None = None
        self._sink_error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def exchange(self, wire: bytes, method: str) -> ResponseReader:
        """Write the request and read the head of the answer.

        When the answer begins first, the rest of the request is not sent and `answered_early` is set.
        Raises httpx.ReadError, httpx.WriteError or httpx.RemoteProtocolError.
        """
        self.reader = reader = ResponseReader(method)
        self.answered_early = False
        self.end_ns = 0
        try:
            self.sock.start_request()
            self._watch(True)
            encrypted = self._encrypt(wire)
            if (hold := before_write.get()) is not None:
                await hold()
            await self._write(encrypted, reader)
            self.sock.read_sent()
            while not reader.head_done:
                await self._wait()
        except BaseException:
            self.close()
            raise
        if self.sock.written_stamp == "user":
            self.sock.read_sent()
        self.used = True
        return reader

    async def pieces(self) -> AsyncGenerator[tuple[int, bytes]]:
        """Yield arrival time (monotonic ns) and bytes of each read of the body. Raises what `exchange` raises."""
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
        """Call `sink(arrived_ns, data)` for each read until the body ends or `stop`, directly from the event loop.

        An exception of the sink closes the connection and is raised here. Also raises what `exchange` raises.
        """
        assert self.reader is not None
        self._sink = sink
        for arrived_ns, data in self._pending:
            self._sink(arrived_ns, data)
        self._pending.clear()
        self._pending_bytes = 0
        while not (self.reader.complete or self._stopped):
            await self._wait()
        if self._sink_error is not None:
            raise self._sink_error

    def replace_sink(self, sink: Sink) -> None:
        """Deliver to another sink from the next read on. A sink may call this."""
        self._sink = sink

    def stop(self) -> None:
        """End `deliver` although the body has not ended. The connection cannot be reused then."""
        self._stopped = True
        self._wake()

    def release(self) -> bool:
        """Finish the response. Return whether the connection can be reused; close it if not."""
        reader, self.reader = self.reader, None
        self._sink = None
        self._pending.clear()
        self._pending_bytes = 0
        if reader is not None:
            reader.forget()
        if self.closed or self.answered_early or reader is None or not (reader.complete and reader.reusable):
            self.close()
            return False
        self._watch(True)  # close an idle connection as soon as it sends data or ends
        self.idle_since_s = self._loop.time()
        return True

    def usable(self, keepalive_s: float) -> bool:
        """Whether this idle connection is open, has nothing to read and has been idle for less than `keepalive_s`."""
        return not self.closed and self._loop.time() - self.idle_since_s < keepalive_s and not self.sock.readable()

    def close(self) -> None:
        """Close the socket and wake the waiting task with an error."""
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
                self._sockets.add(self.sock.fd, self)
            else:
                self._sockets.remove(self.sock.fd)

    def take(self) -> bool:
        """Read what has arrived. Return whether there is something to `handle`."""
        try:
            data = self._receive()
        except OSError as error:
            self._taken = error
            return True
        if data is None:
            return False
        self._taken = data
        return True

    def handle(self) -> None:
        """Parse what was read, and deliver it."""
        try:
            self._handle(self._taken)
        except Exception as error:  # an error in llmtui must not stop the others whose data were read as well
            self._fail(error)

    def _handle(self, data: bytes | OSError) -> None:
        reader = self.reader
        if self.closed:
            return
        if isinstance(data, OSError):
            failure = httpx.ReadError(str(data))
            failure.__cause__ = data
            self._fail(failure)
            return
        if reader is None:
            self.close()
            return
        if data:
            body = reader.feed(data)
            if body:
                sink = self._sink
                if sink is None:
                    self._buffer(body)
                else:
                    try:
                        sink(self.sock.arrived_ns, body)
                    except Exception as error:
                        self._sink_error = error
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

    def _buffer(self, body: bytes) -> None:
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
        """Wait for the next event. Raises the error that ended the connection."""
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

    def _encrypt(self, wire: bytes) -> bytes:
        if self._tls is None:
            return wire
        try:
            return self._tls.encrypt(wire)
        except OSError as error:
            raise httpx.WriteError(str(error)) from error

    async def _write(self, wire: bytes, reader: ResponseReader) -> None:
        view = memoryview(wire)
        while view:
            try:
                sent = self.sock.send(view)
            except OSError:
                # The peer accepts no more data. It may have answered already; if not, reading reports the reason.
                self.answered_early = True
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
                self.answered_early = True
                return


class StampedBody(httpx.AsyncByteStream):
    """The body of one answer and its timestamps, in ns on the monotonic clock.

    `connect_ns` is None when the connection was reused. `arrived_ns` is the arrival of the last piece yielded.
    """

    def __init__(self, connection: Connection, connect_ns: int | None, done: Callable[[Connection], None]) -> None:
        self._connection: Connection | None = connection
        self._done = done
        self._sock = connection.sock
        self.connect_ns = connect_ns
        self.written_ns: int = connection.sock.written_ns
        self.written_stamp: Stamp = connection.sock.written_stamp
        self.offset: Offset = connection.sock.offset
        self.answered_early = connection.answered_early
        self.arrived_ns = 0

    @property
    def stamp(self) -> Stamp:
        """The source of the arrival times."""
        return self._sock.stamp

    async def __aiter__(self) -> AsyncIterator[bytes]:
        connection = self._open()
        async with contextlib.aclosing(connection.pieces()) as pieces:
            async for self.arrived_ns, data in pieces:
                yield data
        self.arrived_ns = connection.end_ns

    async def deliver(self, sink: Sink) -> None:
        """Like `Connection.deliver`. Afterwards `arrived_ns` is the arrival of the body's end, 0 without one."""
        connection = self._open()
        await connection.deliver(sink)
        self.arrived_ns = connection.end_ns

    def replace_sink(self, sink: Sink) -> None:
        """Like `Connection.replace_sink`."""
        self._open().replace_sink(sink)

    def stop(self) -> None:
        """Like `Connection.stop`."""
        self._open().stop()

    def _open(self) -> Connection:
        if self._connection is None:
            raise httpx.StreamClosed
        return self._connection

    async def aclose(self) -> None:
        """Release the connection; it is closed when the body was not read to its end."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._done(connection)
