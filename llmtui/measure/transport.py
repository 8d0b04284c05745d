"""The transport under httpx, with a connection pool, and the client that measures.

httpx is the client. `Connection` implements HTTP on sockets whose reads carry the kernel's arrival time.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from typing import Any

import httpx

from llmtui.measure.connection import Connection, StampedBody
from llmtui.measure.failures import BadCertificate, IncompleteAnswer, NotAdmitted
from llmtui.measure.http1 import ResponseReader, request_bytes
from llmtui.measure.stamped_socket import connect, kernel_stamps
from llmtui.measure.tls import TlsChannel, refused_certificate
from llmtui.model import Failure
from llmtui.wire import common

#: How long after a request the end of a pooled connection may arrive that the server sent before it read the request.
CROSSING_S = 0.05

_Origin = tuple[str, str, int]

#: Checks a new connection before anything is written to it, given our address and port and the peer's. Returns why it
#: must not be used, or None.
Admit = Callable[[tuple[str, int], tuple[str, int]], Failure | None]


class StampedTransport(httpx.AsyncBaseTransport):
    """HTTP/1.1 with arrival times: the response's extension "llmtui.stream" is its `StampedBody`.

    The Location of a redirect is the extension "llmtui.location" and not a header.

    `keepalive_s` 0 opens a connection for each request. `tls` is for https only. Of httpx's timeouts only "connect"
    applies, to the connection and to the TLS handshake separately. Raises subclasses of httpx.TransportError.
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
        """Send one request and read the head of the answer."""
        url = request.url
        if url.scheme not in ("http", "https"):
            raise httpx.UnsupportedProtocol("url must begin with http:// or https://")
        await request.aread()
        wire = request_bytes(request)
        origin = (url.scheme, *common.host_and_port(str(url)))
        connection = self._reuse(origin)
        reader = await self._exchange_reused(connection, wire, request.method) if connection is not None else None
        connect_ns = None
        if connection is None or reader is None:
            connection = await self._connect(origin, request.extensions.get("timeout", {}))
            connect_ns = connection.sock.connect_ns
            reader = await self._exchange(connection, wire, request.method)
        body = StampedBody(connection, connect_ns, lambda connection: self._release(origin, connection))
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

    async def _exchange_reused(self, connection: Connection, wire: bytes, method: str) -> ResponseReader | None:
        """Exchange on a pooled connection. Return None if it ended without a byte before the server read the request.

        That happens when the server closes the connection after its answer (llama.cpp, some 20 microseconds later) and
        the FIN crosses the request. The request is then sent, and timed, on a new connection. A server that ends the
        connection later has failed on the request: sent again, it would compute twice and hide that.
        """
        try:
            return await self._exchange(connection, wire, method)
        except httpx.TransportError as error:
            if connection.reader is not None and not connection.reader.no_bytes_received:
                raise
            written_ns = connection.sock.written_ns
            after_s = (time.monotonic_ns() - written_ns) / 1e9 if written_ns else 0.0
            if after_s > CROSSING_S:
                raise IncompleteAnswer(f"closed without an answer {after_s:.1f} s after the request") from error
            return None

    def _reuse(self, origin: _Origin) -> Connection | None:
        idle = self._idle.get(origin, [])
        while idle:
            connection = idle.pop()
            if connection.usable(self._keepalive_s):
                return connection
            self._drop(connection)
        return None

    async def _connect(self, origin: _Origin, timeouts: dict[str, float | None]) -> Connection:
        scheme, host, port = origin
        timeout_s = timeouts.get("connect")
        sock = await connect(host, port, timeout_s)
        tls = None
        try:
            # Before the first byte is sent: a request may carry a key.
            if self._admit is not None and (failure := self._admit(*sock.ends())) is not None:
                raise NotAdmitted(failure)
            if scheme == "https":
                context = self._tls or ssl.create_default_context()
                tls = TlsChannel(sock, context, host.partition("%")[0])
                try:
                    await tls.handshake(timeout_s)
                except BadCertificate as error:
                    error.facts = await refused_certificate(host, port, context, error, timeout_s)
                    raise
        except OSError as error:  # the connection was gone before the check
            sock.close()
            raise httpx.ConnectError(str(error)) from error
        except BaseException:
            sock.close()
            raise
        connection = Connection(sock, tls)
        self._all.add(connection)
        return connection

    def _release(self, origin: _Origin, connection: Connection) -> None:
        if self._keepalive_s > 0 and connection.release():
            self._idle.setdefault(origin, []).append(connection)
        else:
            self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        connection.close()
        self._all.discard(connection)


def _drop_cookies(headers: list[tuple[bytes, bytes]]) -> None:
    """Hide cookies from httpx. With its cookie returned, a server could treat some requests differently, and the
    standard library's parser is slow and warns on malformed cookies."""
    headers[:] = [header for header in headers if header[0].lower() not in (b"set-cookie", b"set-cookie2")]


def _take_location(headers: list[tuple[bytes, bytes]], extensions: dict[str, Any]) -> None:
    """Hide the target of a redirect from httpx, which would raise for a malformed one."""
    for header in [h for h in headers if h[0].lower() == b"location"]:
        headers.remove(header)
        extensions.setdefault("llmtui.location", header[1].decode("utf-8", "replace"))


def new_client(
    url: str, *, connect_timeout_s: float, keepalive_s: float = 2.0, admit: Admit | None = None
) -> httpx.AsyncClient:
    """Return the client that measures `url`: no proxies or credentials from the environment, no redirects, no
    compression, no cookies. `admit` checks each new connection.

    Reads have no timeout; an iteration as a whole has one. https is verified with the system's certificates, or those
    in `SSL_CERT_FILE`.
    """
    tls = ssl.create_default_context() if url.startswith("https:") else None
    return httpx.AsyncClient(
        transport=StampedTransport(keepalive_s=keepalive_s, tls=tls, admit=admit),
        timeout=httpx.Timeout(None, connect=connect_timeout_s),
        trust_env=False,
        follow_redirects=False,
        headers={"Accept-Encoding": "identity", "User-Agent": "llmtui"},
    )
