"""Sockets whose reads carry the kernel's arrival time, so that a busy event loop does not delay the timestamps.

Linux timestamps every segment on receipt (`SO_TIMESTAMPNS`, socket(7)) and returns the timestamp with `recvmsg`. On
other systems the timestamp is taken right after the read, and `StampedSocket.stamp` is "user". The kernel merges
segments that wait in the queue, a closing FIN included, and keeps the newest timestamp only (seen with Linux 6.18). The
others are lost, so read early.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import select
import socket
import struct
import sys
import time

import httpx

from llmtui.measure import sent_stamps
from llmtui.measure.clock import Offset, sample_offset
from llmtui.model import Stamp

#: The size of one read.
READ_BYTES = 65_536
#: asm-generic/socket.h; the same number names the option and the control message.
_SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("@ll")
_unpack = _TIMESPEC.unpack
_ANCILLARY_BYTES = socket.CMSG_SPACE(_TIMESPEC.size) if hasattr(socket, "CMSG_SPACE") else 0


@functools.cache
def kernel_stamps() -> socket.socket | None:
    """Return a connection that keeps the kernel's timestamps enabled while this process runs; None without support.

    Linux starts to timestamp shortly after the first socket enables it, and data that arrives before has no timestamp.
    So timestamps are tried over loopback before anything is measured.
    """
    if sys.platform not in ("linux", "android"):
        return None
    with socket.create_server(("127.0.0.1", 0)) as listener:
        receiver = socket.create_connection(listener.getsockname(), timeout=1.0)
        sender, _ = listener.accept()
    with sender, contextlib.suppress(OSError):
        receiver.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        for _ in range(200):
            sender.send(b"?")
            if receiver.recvmsg(1, _ANCILLARY_BYTES)[1]:
                return receiver
            time.sleep(0.001)
    receiver.close()
    return None


class StampedSocket:
    """A connected TCP socket that records when its last bytes arrived and when they were sent.

    `arrived_ns` and `written_ns` are on the monotonic clock, `connect_ns` is the duration of connection set-up, and
    `ended` is set at the end of the peer's data. `written_stamp` says whether `written_ns` is when the kernel passed
    the last byte to the network, or when it was handed to the kernel.
    """

    def __init__(self, sock: socket.socket, connect_ns: int) -> None:
        self._sock = sock
        self.fd = sock.fileno()
        self.connect_ns = connect_ns
        self.arrived_ns = 0
        self.written_ns = 0
        self.written_stamp: Stamp = "user"
        self._sent_bytes = 0
        self.ended = False
        self.offset: Offset = sample_offset()
        self._wants_stamp = kernel_stamps() is not None
        self.stamp: Stamp = "kernel" if self._wants_stamp else "user"
        if self._wants_stamp:
            sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._stamps_sent = self._wants_stamp and sent_stamps.enable(sock)

    def ends(self) -> tuple[tuple[str, int], tuple[str, int]]:
        """Return address and port of this end and of the peer. Raises OSError if the connection is gone."""
        local, peer = self._sock.getsockname(), self._sock.getpeername()
        return (local[0], local[1]), (peer[0], peer[1])

    def start_request(self) -> None:
        """Reset the timestamps and measure the offset of the clocks, before each request."""
        self.offset = sample_offset()
        self.written_ns = 0
        self.written_stamp = "user"

    def receive(self) -> bytes | None:
        """Read what is available and set `arrived_ns`. Return None if nothing is, b"" at the end. Raises OSError."""
        try:
            if not self._wants_stamp:
                data = self._sock.recv(READ_BYTES)
                self.arrived_ns = time.monotonic_ns()
                self.ended = not data
                return data
            data, ancillary, _, _ = self._sock.recvmsg(READ_BYTES, _ANCILLARY_BYTES)
        except (BlockingIOError, InterruptedError):
            self.read_sent()  # a stamp wakes the reader as well
            return None
        now = time.monotonic_ns()
        if not data:
            self.ended = True
            self.arrived_ns = now
            return data
        for level, kind, payload in ancillary:
            if kind == _SO_TIMESTAMPNS and level == socket.SOL_SOCKET and len(payload) == 16:
                seconds, nanoseconds = _unpack(payload)
                arrived: int = seconds * 1_000_000_000 + nanoseconds + self.offset.offset_ns
                # A timestamp in the future, or before an earlier arrival, comes from a wall clock that was stepped.
                # `Offset.stepped` then fails the iteration.
                self.arrived_ns = arrived if self.arrived_ns <= arrived <= now else now
                return data
        self.stamp = "user"
        self.arrived_ns = now
        return data

    def send(self, data: memoryview | bytes) -> int:
        """Send what the kernel accepts and return its length, 0 if it accepts nothing now. Raises OSError."""
        # Taken before the call: on a fast path the server may have answered before it returns.
        before_ns = time.monotonic_ns()
        try:
            sent = self._sock.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        self.written_ns = before_ns
        self.written_stamp = "user"
        self._sent_bytes += sent
        return sent

    def read_sent(self) -> None:
        """Set `written_ns` to the kernel's stamp of the last byte that was sent, if it is there."""
        if not self._stamps_sent:
            return
        last = (self._sent_bytes - 1) & 0xFFFFFFFF
        for number, sent_ns in sent_stamps.read(self._sock):
            at_ns = sent_ns + self.offset.offset_ns
            # Another time comes from a wall clock that was stepped, or from a byte that was sent again.
            if number == last and self.written_stamp == "user" and self.written_ns <= at_ns <= time.monotonic_ns():
                self.written_ns, self.written_stamp = at_ns, "kernel"

    def readable(self) -> bool:
        """Whether there is data, or the end of the connection, to read: then an idle connection cannot be reused."""
        if self.fd < 0:
            return True
        self.read_sent()
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        return bool(poll.poll(0))

    async def ready(self, reading: bool) -> None:
        """Wait until the socket is readable, or writable. For set-up only, while nothing else is registered."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        add, remove = (loop.add_reader, loop.remove_reader) if reading else (loop.add_writer, loop.remove_writer)
        add(self.fd, _wake, future)
        try:
            await future
        finally:
            remove(self.fd)

    def close(self) -> None:
        """Close the socket."""
        self.fd = -1
        self._sock.close()


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def connect(host: str, port: int, timeout_s: float | None) -> StampedSocket:
    """Connect to the first address of `host` that accepts. The measured set-up time excludes the name look-up.

    Raises httpx.ConnectTimeout, or httpx.ConnectError from the OSError that caused it.
    """
    loop = asyncio.get_running_loop()
    failure: OSError = socket.gaierror(socket.EAI_NONAME, f"{host} has no address")
    try:
        async with asyncio.timeout(timeout_s):
            addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            for family, kind, proto, _, address in addresses:
                try:
                    sock = socket.socket(family, kind, proto)
                except OSError as error:
                    failure = error
                    continue
                try:
                    sock.setblocking(False)
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    started = time.monotonic_ns()
                    await loop.sock_connect(sock, address)
                    return StampedSocket(sock, time.monotonic_ns() - started)
                except OSError as error:
                    sock.close()
                    # asyncio's text is "Connect call failed" for every reason.
                    failure = OSError(error.errno, os.strerror(error.errno)) if error.errno else error
                except BaseException:
                    sock.close()
                    raise
    except TimeoutError:
        raise httpx.ConnectTimeout(f"no connection to {host}:{port} within {timeout_s:g} s") from None
    except (OSError, UnicodeError) as error:
        raise httpx.ConnectError(str(getattr(error, "strerror", None) or error)) from error
    raise httpx.ConnectError(failure.strerror or str(failure)) from failure
