"""The network under httpx: sockets whose reads carry the kernel's arrival time, so a busy event loop costs nothing.

Linux stamps every segment on receipt (`SO_TIMESTAMPNS`, socket(7)) and hands the stamp up with `recvmsg`. Elsewhere the
stamp is the first instruction after the read, and `StampedStream.stamp` says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import select
import socket
import ssl
import struct
import sys
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any

import httpcore
import httpx

from llmtui.measure.clock import Offset, sample_offset
from llmtui.model import Stamp

#: asm-generic/socket.h; the same number names the option and the control message.
_SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("@ll")
_ANCILLARY_BYTES = socket.CMSG_SPACE(_TIMESPEC.size) if hasattr(socket, "CMSG_SPACE") else 0

_SocketOption = tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]


@functools.cache
def kernel_stamps() -> socket.socket | None:
    """The connection that keeps the kernel's stamps on for the life of this process; None where there are none.

    Linux begins to stamp with the first socket that asks for it, but a moment later than that: what arrives meanwhile
    has no stamp. So they are tried out, over loopback, before anything is measured.
    """
    if sys.platform != "linux":
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


class StampedStream(httpcore.AsyncNetworkStream):
    """A TCP connection that knows when its last bytes arrived and when its last bytes were handed to the kernel.

    `arrived_ns` and `written_ns` are on the monotonic clock; `connect_ns` is what connection set-up took.
    """

    def __init__(self, sock: socket.socket, connect_ns: int) -> None:
        self._sock = sock
        self.connect_ns = connect_ns
        self._connect_told = False
        self._writing = False
        self.arrived_ns = 0
        self.written_ns = 0
        self.offset: Offset = sample_offset()
        self._wants_stamp = kernel_stamps() is not None
        self.stamp: Stamp = "kernel" if self._wants_stamp else "user"
        if self._wants_stamp:
            sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)

    def take_connect_ns(self) -> int | None:
        """What connection set-up took, told once: None when an earlier request opened this connection."""
        if self._connect_told:
            return None
        self._connect_told = True
        return self.connect_ns

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read what is there, waiting at most `timeout` seconds."""
        self._writing = False
        while True:
            try:
                if not self._wants_stamp:
                    data = self._sock.recv(max_bytes)
                    self.arrived_ns = time.monotonic_ns()
                    return data
                data, ancillary, _, _ = self._sock.recvmsg(max_bytes, _ANCILLARY_BYTES)
            except BlockingIOError:
                await self._ready(True, timeout, httpcore.ReadTimeout)
                continue
            except InterruptedError:
                continue
            except OSError as error:
                raise httpcore.ReadError(str(error)) from error
            now = time.monotonic_ns()
            arrived = now
            for level, kind, payload in ancillary:
                if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS and len(payload) >= _TIMESPEC.size:
                    seconds, nanoseconds = _TIMESPEC.unpack_from(payload)
                    arrived = seconds * 1_000_000_000 + nanoseconds + self.offset.offset_ns
                    break
            else:
                if data:
                    self.stamp = "user"
            # A stamp can lie neither in the future nor before what arrived earlier; a stepped wall clock shows
            # here first, and `Offset.moved` then fails the iteration.
            self.arrived_ns = arrived if self.arrived_ns <= arrived <= now else now
            return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Hand all of `buffer` to the kernel; `written_ns` is when the last byte was handed over."""
        if not self._writing:
            # A request begins: the clocks' offset is measured afresh around each one.
            self._writing = True
            self.offset = sample_offset()
        view = memoryview(buffer)
        while view:
            # Noted before the call: on a fast path the server has the bytes, and may have answered, before it returns.
            handing_ns = time.monotonic_ns()
            try:
                sent = self._sock.send(view)
            except BlockingIOError:
                await self._ready(False, timeout, httpcore.WriteTimeout)
                continue
            except InterruptedError:
                continue
            except OSError as error:
                raise httpcore.WriteError(str(error)) from error
            self.written_ns = handing_ns
            view = view[sent:]

    async def aclose(self) -> None:
        """Close the socket."""
        self._sock.close()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        """The same connection under TLS; its handshake counts as connection set-up."""
        stream = TlsStream(self, ssl_context, server_hostname)
        started = time.monotonic_ns()
        try:
            await stream.handshake(timeout)
        except BaseException:
            await self.aclose()
            raise
        self.connect_ns += time.monotonic_ns() - started
        return stream

    def get_extra_info(self, info: str) -> Any:
        """`httpcore`'s questions, and "llmtui.stream": this object."""
        match info:
            case "llmtui.stream":
                return self
            case "client_addr":
                return self._sock.getsockname()
            case "server_addr":
                return self._sock.getpeername()
            case "socket":
                return self._sock
            case "is_readable":
                return self._is_readable()
        return None

    def _is_readable(self) -> bool:
        if self._sock.fileno() < 0:
            return True
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        return bool(poll.poll(0))

    async def _ready(self, reading: bool, timeout: float | None, late: type[Exception]) -> None:
        loop = asyncio.get_running_loop()
        fd = self._sock.fileno()
        if fd < 0:
            raise httpcore.ReadError("the connection is closed")
        future: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not future.done():
                future.set_result(None)

        add, remove = (loop.add_reader, loop.remove_reader) if reading else (loop.add_writer, loop.remove_writer)
        add(fd, wake)
        try:
            async with asyncio.timeout(timeout):
                await future
        except TimeoutError:
            raise late() from None
        finally:
            remove(fd)


class TlsStream(httpcore.AsyncNetworkStream):
    """TLS over a `StampedStream`: plain bytes are stamped with the arrival of their record's last segment."""

    def __init__(self, raw: StampedStream, context: ssl.SSLContext, server_hostname: str | None) -> None:
        self._raw = raw
        self._in = ssl.MemoryBIO()
        self._out = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=server_hostname)

    async def handshake(self, timeout: float | None) -> None:
        """Raises httpcore.ConnectError when the certificate does not verify or the peer breaks off."""
        try:
            await self._drive(self._tls.do_handshake, timeout)
        except (httpcore.ReadTimeout, httpcore.WriteTimeout):
            raise httpcore.ConnectTimeout("it connects, but no TLS handshake came in time") from None
        except (ssl.SSLError, httpcore.ReadError, httpcore.WriteError) as error:
            raise httpcore.ConnectError(str(error)) from error

    async def _drive(self, step: Any, timeout: float | None) -> Any:
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                await self._flush(timeout)
                data = await self._raw.read(65536, timeout)
                if data:
                    self._in.write(data)
                else:
                    self._in.write_eof()
                continue
            except ssl.SSLWantWriteError:
                await self._flush(timeout)
                continue
            await self._flush(timeout)
            return result

    async def _flush(self, timeout: float | None) -> None:
        if data := self._out.read():
            await self._raw.write(data, timeout)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Decrypted bytes, b"" at the end."""
        try:
            data: bytes = await self._drive(lambda: self._tls.read(max_bytes), timeout)
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""
        except ssl.SSLError as error:
            raise httpcore.ReadError(str(error)) from error
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Encrypt and hand to the kernel."""
        view = memoryview(buffer)
        while view:
            try:
                sent = await self._drive(lambda part=view: self._tls.write(part), timeout)
            except ssl.SSLError as error:
                raise httpcore.WriteError(str(error)) from error
            view = view[sent:]

    async def aclose(self) -> None:
        """Close without waiting for the peer's farewell."""
        await self._raw.aclose()

    def get_extra_info(self, info: str) -> Any:
        """As the stream below, plus "ssl_object"."""
        if info == "ssl_object":
            return self._tls
        if info == "is_readable" and self._tls.pending():
            return True
        return self._raw.get_extra_info(info)


class StampedBackend(httpcore.AsyncNetworkBackend):
    """Opens `StampedStream`s."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[_SocketOption] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address of `host` that answers. Name look-up is not part of the measured set-up."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout):
                addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                failure: OSError | None = None
                for family, kind, proto, _, address in addresses:
                    sock = socket.socket(family, kind, proto)
                    sock.setblocking(False)
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    for option in socket_options or ():
                        sock.setsockopt(*option)
                    started = time.monotonic_ns()
                    try:
                        await loop.sock_connect(sock, address)
                    except OSError as error:
                        sock.close()
                        failure = error
                        continue
                    except BaseException:
                        sock.close()
                        raise
                    return StampedStream(sock, time.monotonic_ns() - started)
        except TimeoutError:
            raise httpcore.ConnectTimeout(f"no connection to {host}:{port} within {timeout:g} s") from None
        except OSError as error:
            raise httpcore.ConnectError(str(error.strerror or error)) from error
        raise httpcore.ConnectError(str(failure.strerror or failure) if failure else f"{host} has no address")

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[_SocketOption] | None = None
    ) -> httpcore.AsyncNetworkStream:
        """Not offered: servers under test are reached over TCP."""
        raise httpcore.UnsupportedProtocol("Unix sockets are not measured")

    async def sleep(self, seconds: float) -> None:
        """Sleep (httpcore asks for it between retries)."""
        await asyncio.sleep(seconds)


class _Body(httpx.AsyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._stream:
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


class StampedTransport(httpx.AsyncBaseTransport):
    """httpx over `StampedBackend`. Raises httpcore's exceptions as they are.

    `keepalive_s` 0 opens a connection for each request. `tls` is needed for https addresses only.
    """

    def __init__(self, *, keepalive_s: float = 2.0, tls: ssl.SSLContext | None = None) -> None:
        kernel_stamps()
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=None,
            max_keepalive_connections=None if keepalive_s > 0 else 0,
            keepalive_expiry=keepalive_s,
            http1=True,
            http2=False,
            network_backend=StampedBackend(),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; the response's "network_stream" extension leads to the stamps."""
        assert isinstance(request.stream, httpx.AsyncByteStream)
        response = await self._pool.handle_async_request(
            httpcore.Request(
                method=request.method,
                url=httpcore.URL(
                    scheme=request.url.raw_scheme,
                    host=request.url.raw_host,
                    port=request.url.port,
                    target=request.url.raw_path,
                ),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        return httpx.Response(
            status_code=response.status,
            headers=response.headers,
            stream=_Body(response.stream),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pool.aclose()


def new_client(url: str, *, connect_timeout_s: float, keepalive_s: float = 2.0) -> httpx.AsyncClient:
    """The client that measures `url`: no proxies or credentials of the environment, no redirects, no compression.

    Reading has no timeout of its own: an iteration as a whole has one. The system's certificates verify https, or those
    that `SSL_CERT_FILE` names.
    """
    tls = ssl.create_default_context() if url.startswith("https:") else None
    return httpx.AsyncClient(
        transport=StampedTransport(keepalive_s=keepalive_s, tls=tls),
        timeout=httpx.Timeout(None, connect=connect_timeout_s),
        trust_env=False,
        follow_redirects=False,
        headers={"Accept-Encoding": "identity", "User-Agent": "llmtui"},
    )
