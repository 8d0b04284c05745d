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
from llmtui.measure.http1 import ResponseReader, request_bytes, request_head
from llmtui.measure.read_first import Sockets
from llmtui.measure.stamped_socket import connect, kernel_stamps
from llmtui.measure.tls import TlsChannel, refused_certificate
from llmtui.model import Failure
from llmtui.wire import common

#: How long after a request the end of a pooled connection may arrive that the server sent before it read the request.
CROSSING_S = 0.05
#: A client sends requests to few addresses.
MAX_HEADS = 16

#: Scheme, host and port.
Origin = tuple[str, str, int]

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
        self._idle: dict[Origin, list[Connection]] = {}
        self._all: set[Connection] = set()
        self._sockets: Sockets | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request and read the head of the answer."""
        await request.aread()
        wire = request_bytes(request_head(request), request.content)
        connect_timeout_s = request.extensions.get("timeout", {}).get("connect")
        reader, body = await self.exchange(origin_of(request.url), wire, request.method, connect_timeout_s)
        return as_response(reader, body)

    async def exchange(
        self, origin: Origin, wire: bytes, method: str, connect_timeout_s: float | None
    ) -> tuple[ResponseReader, StampedBody]:
        """Send a request as bytes, and read the head of the answer. The body must be closed."""
        connection = self._reuse(origin)
        reader = await self._exchange_reused(connection, wire, method) if connection is not None else None
        connect_ns = None
        if connection is None or reader is None:
            connection = await self._connect(origin, connect_timeout_s)
            connect_ns = connection.sock.connect_ns
            reader = await self._exchange(connection, wire, method)
        return reader, StampedBody(connection, connect_ns, lambda connection: self._release(origin, connection))

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

    def _reuse(self, origin: Origin) -> Connection | None:
        idle = self._idle.get(origin, [])
        while idle:
            connection = idle.pop()
            if connection.usable(self._keepalive_s):
                return connection
            self._drop(connection)
        return None

    async def _connect(self, origin: Origin, timeout_s: float | None) -> Connection:
        scheme, host, port = origin
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
        if self._sockets is None:
            self._sockets = Sockets()
        connection = Connection(sock, tls, self._sockets)
        self._all.add(connection)
        return connection

    def _release(self, origin: Origin, connection: Connection) -> None:
        if self._keepalive_s > 0 and connection.release():
            self._idle.setdefault(origin, []).append(connection)
        else:
            self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        connection.close()
        self._all.discard(connection)


def origin_of(url: httpx.URL) -> Origin:
    """Return scheme, host and port of `url`. Raises httpx.UnsupportedProtocol."""
    if url.scheme not in ("http", "https"):
        raise httpx.UnsupportedProtocol("url must begin with http:// or https://")
    return (url.scheme, *common.host_and_port(str(url)))


def as_response(reader: ResponseReader, body: StampedBody) -> httpx.Response:
    """Return an answer whose head has been read as httpx knows it.

    Cookies are left out: with its cookie returned, a server could treat some requests differently, and the standard
    library's parser is slow and warns on malformed cookies. So is the target of a redirect: httpx would raise for a
    malformed one.
    """
    extensions = {
        "http_version": b"HTTP/" + reader.version.encode("ascii"),
        "reason_phrase": reader.reason,
        "llmtui.stream": body,
    }
    headers = [header for header in reader.headers if header[0].lower() not in (b"set-cookie", b"set-cookie2")]
    if 300 <= reader.status < 400:
        for header in [h for h in headers if h[0].lower() == b"location"]:
            headers.remove(header)
            extensions.setdefault("llmtui.location", header[1].decode("utf-8", "replace"))
    return httpx.Response(status_code=reader.status, headers=headers, stream=body, extensions=extensions)


class Client(httpx.AsyncClient):
    """A client of httpx that also sends requests without building httpx's objects for each of them.

    Both ways put the same bytes on the wire, and share their connections.
    """

    def __init__(self, transport: StampedTransport, **more: Any) -> None:
        super().__init__(transport=transport, **more)
        self._stamped = transport
        #: The head of each kind of request that was sent.
        self._heads: dict[object, tuple[Origin, tuple[bytes, bytes]]] = {}

    async def exchange(
        self, method: str, url: str, headers: dict[str, str], body: bytes
    ) -> tuple[ResponseReader, StampedBody]:
        """Send a request, and read the head of its answer. The body must be closed. Raises what `stream` raises."""
        if self.is_closed:
            raise RuntimeError("the client is closed")
        # httpx puts the length elsewhere if the body is empty.
        kind = (method, url, *headers.items(), bool(body))
        known = self._heads.get(kind)
        if known is None:
            if len(self._heads) >= MAX_HEADS:
                self._heads.clear()
            known = self._heads[kind] = self._head(method, url, headers, body)
        origin, head = known
        return await self._stamped.exchange(origin, request_bytes(head, body), method, self.timeout.connect)

    def _head(self, method: str, url: str, headers: dict[str, str], body: bytes) -> tuple[Origin, tuple[bytes, bytes]]:
        """Return where a request goes, and its head as httpx makes it."""
        request = self.build_request(method, url, content=body, headers=headers)
        if request.url.username or request.url.password:
            next(httpx.BasicAuth(request.url.username, request.url.password).sync_auth_flow(request))
        return origin_of(request.url), request_head(request)


def new_client(url: str, *, connect_timeout_s: float, keepalive_s: float = 2.0, admit: Admit | None = None) -> Client:
    """Return the client that measures `url`: no proxies or credentials from the environment, no redirects, no
    compression, no cookies. `admit` checks each new connection.

    Reads have no timeout; an iteration as a whole has one. https is verified with the system's certificates, or those
    in `SSL_CERT_FILE`.
    """
    tls = ssl.create_default_context() if url.startswith("https:") else None
    return Client(
        StampedTransport(keepalive_s=keepalive_s, tls=tls, admit=admit),
        timeout=httpx.Timeout(None, connect=connect_timeout_s),
        trust_env=False,
        follow_redirects=False,
        headers={"Accept-Encoding": "identity", "User-Agent": "llmtui"},
    )
