"""The transport under httpx: connections kept and found again, and the client that measures.

httpx stays the client; HTTP is spoken by `Connection` on sockets whose reads carry the kernel's arrival time.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

import httpx

from llmtui.measure.connection import Connection, StampedBody
from llmtui.measure.failures import NotAdmitted
from llmtui.measure.http1 import ResponseReader, request_bytes
from llmtui.measure.stamped_socket import connect, kernel_stamps
from llmtui.measure.tls import TlsChannel
from llmtui.model import Failure
from llmtui.wire import common

_Origin = tuple[str, str, int]

#: Looks at a new connection before anything is written to it: our address and port, the peer's. Returns why it must
#: not be used, or None.
Admit = Callable[[tuple[str, int], tuple[str, int]], Failure | None]


class StampedTransport(httpx.AsyncBaseTransport):
    """HTTP/1.1 with arrival times: the response's extension "llmtui.stream" is its `StampedBody`.

    A redirect's Location is the extension "llmtui.location" and no header.

    `keepalive_s` 0 opens a connection for each request. `tls` is needed for https addresses only. Of httpx's timeouts
    only "connect" is kept, for connection and TLS handshake each. Raises httpx.TransportError of the kind that fits.
    """

    def __init__(
        self, *, keepalive_s: float = 2.0, tls: ssl.SSLContext | None = None, admit: Admit | None = None
    ) -> None:
        kernel_stamps()
        self._admit = admit
        self._keepalive_s = keepalive_s
        self._tls = tls
        self._idle: dict[_Origin, list[Connection]] = {}
        self._all: set[Connection] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request and read the head of its answer."""
        url = request.url
        if url.scheme not in ("http", "https"):
            raise httpx.UnsupportedProtocol("the address must begin with http:// or https://")
        await request.aread()
        wire = request_bytes(request)
        origin = (url.scheme, *common.host_and_port(str(url)))
        connection = self._reuse(origin)
        reader = await self._exchange_again(connection, wire, request.method) if connection is not None else None
        connect_ns = None
        if connection is None or reader is None:
            connection = await self._connect(origin, request.extensions.get("timeout", {}))
            connect_ns = connection.sock.connect_ns
            reader = await self._exchange(connection, wire, request.method)
        body = StampedBody(connection, connect_ns, lambda done: self._done(origin, done))
        extensions = {
            "http_version": b"HTTP/" + reader.version.encode("ascii"),
            "reason_phrase": reader.reason,
            "llmtui.stream": body,
        }
        _drop_cookies(reader.headers)
        if 300 <= reader.status < 400:
            _take_location(reader.headers, extensions)
        return httpx.Response(status_code=reader.status, headers=reader.headers, stream=body, extensions=extensions)

    async def aclose(self) -> None:
        """Close every connection."""
        for connection in self._all:
            connection.close()
        self._all.clear()
        self._idle.clear()

    async def _exchange(self, connection: Connection, wire: bytes, method: str) -> ResponseReader:
        try:
            return await connection.exchange(wire, method)
        except BaseException:
            self._all.discard(connection)
            raise

    async def _exchange_again(self, connection: Connection, wire: bytes, method: str) -> ResponseReader | None:
        """On a connection that was kept; None when it ended without a byte, as it does where the server closes it
        after the answer and its farewell crosses our request (llama.cpp, some 20 microseconds later): asked anew, the
        request is written, and timed, on a connection of its own."""
        try:
            return await self._exchange(connection, wire, method)
        except httpx.TransportError:
            if connection.reader is not None and not connection.reader.silent:
                raise
            return None

    def _reuse(self, origin: _Origin) -> Connection | None:
        found: Connection | None = None
        idle = self._idle.get(origin, [])
        while idle and found is None:
            connection = idle.pop()
            if connection.usable(self._keepalive_s):
                found = connection
            else:
                self._drop(connection)
        return found

    async def _connect(self, origin: _Origin, timeouts: dict[str, float | None]) -> Connection:
        scheme, host, port = origin
        timeout_s = timeouts.get("connect")
        sock = await connect(host, port, timeout_s)
        tls = None
        try:
            # Before the first byte: a request may hold a key, and an answer becomes a figure.
            if self._admit is not None and (failure := self._admit(*sock.ends())) is not None:
                raise NotAdmitted(failure)
            if scheme == "https":
                tls = TlsChannel(sock, self._tls or ssl.create_default_context(), host.partition("%")[0])
                await tls.handshake(timeout_s)
        except OSError as error:  # it went before it could be looked at
            sock.close()
            raise httpx.ConnectError(str(error)) from error
        except BaseException:
            sock.close()
            raise
        connection = Connection(sock, tls)
        self._all.add(connection)
        return connection

    def _done(self, origin: _Origin, connection: Connection) -> None:
        if self._keepalive_s > 0 and connection.release():
            self._idle.setdefault(origin, []).append(connection)
        else:
            self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        connection.close()
        self._all.discard(connection)


def _drop_cookies(headers: list[tuple[bytes, bytes]]) -> None:
    """Take cookies out of httpx's sight. A server that gets its own cookie back could answer some requests in another
    way than others, and the standard library's reader of cookies warns and takes long where they are odd."""
    headers[:] = [header for header in headers if header[0].lower() not in (b"set-cookie", b"set-cookie2")]


def _take_location(headers: list[tuple[bytes, bytes]], extensions: dict[str, Any]) -> None:
    """Move where a redirect leads out of httpx's sight: so nothing goes there, and an odd address raises nothing."""
    for header in [h for h in headers if h[0].lower() == b"location"]:
        headers.remove(header)
        extensions.setdefault("llmtui.location", header[1].decode("utf-8", "replace"))


def new_client(
    url: str, *, connect_timeout_s: float, keepalive_s: float = 2.0, admit: Admit | None = None
) -> httpx.AsyncClient:
    """The client that measures `url`: no proxies or credentials of the environment, no redirects, no compression, no
    cookies. `admit` looks at each new connection.

    Reading has no timeout of its own: an iteration as a whole has one. The system's certificates verify https, or those
    that `SSL_CERT_FILE` names.
    """
    tls = ssl.create_default_context() if url.startswith("https:") else None
    return httpx.AsyncClient(
        transport=StampedTransport(keepalive_s=keepalive_s, tls=tls, admit=admit),
        timeout=httpx.Timeout(None, connect=connect_timeout_s),
        trust_env=False,
        follow_redirects=False,
        headers={"Accept-Encoding": "identity", "User-Agent": "llmtui"},
    )
