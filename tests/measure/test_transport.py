"""Connections over real sockets: reused, replaced, and closed after a failure."""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from llmtui.measure import stamped_socket as stamped
from llmtui.measure.connection import MAX_PENDING_BYTES, Connection, StampedBody
from llmtui.measure.request import IterationError, ask
from llmtui.measure.stamped_socket import READ_BYTES, connect
from llmtui.measure.transport import StampedTransport, new_client
from llmtui.model import Backend, RunConfig
from llmtui.wire import dialect_for
from tests.measure.helpers import CHUNKED, failure_text, measured, on_thread, read_request, send_through
from tests.scripted import CLOSE, FINISH, HANG, SSE_HEAD, Step, chunk, scripted, token

TLS = Path(__file__).parents[1] / "fixtures" / "tls"
GOOD = CHUNKED + chunk(token("a") + FINISH) + b"0\r\n\r\n"


@asynccontextmanager
async def served_until_gone() -> AsyncIterator[tuple[str, asyncio.Event]]:
    """A server that sends a head and a token, and sets an event when its client disconnects."""
    disconnected = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")
        writer.write(CHUNKED + chunk(token("a")))
        while await reader.read(65536):
            pass
        disconnected.set()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", disconnected


async def test_connection_is_reused_until_it_is_too_old() -> None:
    async with scripted([GOOD]) as server, new_client(server.url, connect_timeout_s=2.0) as client:
        assert (await send_through(client, server.url)).connect_ns is not None
        assert (await send_through(client, server.url)).connect_ns is None
        transport = client._transport
        assert isinstance(transport, StampedTransport)
        (idle,) = next(iter(transport._idle.values()))
        idle.idle_since_s -= 3.0
        assert (await send_through(client, server.url)).connect_ns is not None
        assert idle.closed


async def test_no_reuse_without_keepalive() -> None:
    async with scripted([GOOD]) as server, new_client(server.url, connect_timeout_s=2.0, keepalive_s=0.0) as client:
        assert (await send_through(client, server.url)).connect_ns is not None
        assert (await send_through(client, server.url)).connect_ns is not None


async def test_concurrent_streams_use_separate_connections() -> None:
    async with scripted([GOOD]) as server, new_client(server.url, connect_timeout_s=2.0) as client:
        answers = await asyncio.gather(*(send_through(client, server.url) for _ in range(8)))
        assert all(answer.connect_ns is not None for answer in answers)
        answers = await asyncio.gather(*(send_through(client, server.url) for _ in range(8)))
        assert all(answer.connect_ns is None for answer in answers)


@pytest.mark.parametrize("unasked", [b"", b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"])
async def test_idle_connection_that_ended_or_sent_data_is_not_reused(unasked: bytes) -> None:
    ended = threading.Event()

    def serve(listener: socket.socket) -> None:
        first, _ = listener.accept()
        read_request(first)
        first.sendall(GOOD)
        read_request(first)
        first.sendall(GOOD + unasked)
        if not unasked:
            first.close()
        ended.set()
        second, _ = listener.accept()
        read_request(second)
        second.sendall(GOOD)
        second.close()
        first.close()

    with on_thread(serve) as url:
        async with new_client(url, connect_timeout_s=2.0) as client:
            await send_through(client, url)
            assert (await send_through(client, url)).connect_ns is None
            await asyncio.to_thread(ended.wait)
            assert (await send_through(client, url)).connect_ns is not None


async def test_connection_close_is_honoured() -> None:
    closing = GOOD.replace(b"Transfer-Encoding", b"Connection: close\r\nTransfer-Encoding")
    async with scripted([closing]) as server, new_client(server.url, connect_timeout_s=2.0) as client:
        for _ in range(2):
            assert (await send_through(client, server.url)).connect_ns is not None


async def test_cancelled_request_closes_its_connection() -> None:
    async with served_until_gone() as (url, gone), new_client(url, connect_timeout_s=2.0) as client:
        asking = asyncio.ensure_future(send_through(client, url))
        async with new_client(url, connect_timeout_s=2.0) as other, other.stream("POST", url, content=b"{}"):
            asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await asyncio.wait_for(gone.wait(), 5)


async def test_timeout_closes_the_connection() -> None:
    async with served_until_gone() as (url, gone), new_client(url, connect_timeout_s=2.0) as client:
        with pytest.raises(IterationError):
            await send_through(client, url, timeout_s=0.1)
        await asyncio.wait_for(gone.wait(), 5)


async def test_incompletely_read_response_closes_its_connection() -> None:
    async with served_until_gone() as (url, gone), new_client(url, connect_timeout_s=2.0) as client:
        async with client.stream("POST", url, content=b"{}") as response:
            assert await anext(response.aiter_bytes()) == token("a")
        await asyncio.wait_for(gone.wait(), 5)


async def test_closing_the_client_ends_a_running_request() -> None:
    async with served_until_gone() as (url, gone):
        client = new_client(url, connect_timeout_s=2.0)
        async with client.stream("POST", url, content=b"{}") as response:
            await client.aclose()
            with pytest.raises(httpx.ReadError):
                await response.aread()
        await asyncio.wait_for(gone.wait(), 5)


async def test_httpx_can_read_the_body() -> None:
    async with scripted([GOOD]) as server, new_client(server.url, connect_timeout_s=2.0) as client:
        response = await client.post(server.url, content=b"{}")
        assert response.content == token("a") + FINISH
        assert (response.http_version, response.reason_phrase) == ("HTTP/1.1", "OK")


async def test_slow_reader_applies_backpressure() -> None:
    block = b"x" * 1_000_000
    async with (
        scripted([SSE_HEAD, *([block] * 20), CLOSE]) as server,
        new_client(server.url, connect_timeout_s=2.0) as client,
        client.stream("POST", server.url, content=b"{}") as response,
    ):
        stream = response.extensions["llmtui.stream"]
        assert isinstance(stream, StampedBody) and stream._connection is not None
        held = size = 0
        async for part in response.aiter_raw():
            size += len(part)
            for _ in range(8):
                await asyncio.sleep(0)
            held = max(held, stream._connection._pending_bytes)
    assert size == 20_000_000
    assert READ_BYTES < held <= MAX_PENDING_BYTES + READ_BYTES


@pytest.mark.parametrize("script", [[CHUNKED, chunk(b"x"), HANG], [CHUNKED, chunk(b"x") + b"0\r\n\r\n"]])
async def test_exception_of_the_sink_is_raised_and_closes_the_connection(script: list[Step]) -> None:
    def sink(arrived_ns: int, data: bytes) -> None:
        raise KeyError(data)

    async with (
        scripted(script) as server,
        new_client(server.url, connect_timeout_s=2.0) as client,
        client.stream("POST", server.url, content=b"{}") as response,
    ):
        with pytest.raises(KeyError):
            await response.extensions["llmtui.stream"].deliver(sink)


async def test_large_request_is_written_completely() -> None:
    async with scripted([GOOD]) as server:
        prompt = "p" * 8_000_000
        assert (await measured(server.url, prompt)).text == "a"
        assert server.requests[0].count(b"p") > 8_000_000


async def test_early_refusal_is_read() -> None:
    """A server that refuses after reading the headers: its answer is reported, not the broken pipe."""
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        connection.recv(1000)
        connection.sendall(refusal)
        answered.wait(10)
        connection.close()

    answered = threading.Event()
    with on_thread(serve) as url:
        message = await failure_text(url, "p" * 32_000_000)
        answered.set()
    assert message == "http: HTTP 413"


async def test_arrival_is_the_read_without_kernel_timestamps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stamped, "kernel_stamps", lambda: None)
    async with scripted([SSE_HEAD, token("a"), FINISH, CLOSE]) as server:
        answer = await measured(server.url)
    assert (answer.stamp, answer.text) == ("user", "a")
    assert 0 < answer.arrivals_ns[0] <= answer.end_ns


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("schlüssel", "connect: a header has non-ASCII characters"),
        ("key\r\nX: y", "protocol: illegal characters in the header"),
    ],
)
async def test_invalid_header_is_an_error_and_not_sent(key: str, message: str) -> None:
    async with scripted([GOOD]) as server, new_client(server.url, connect_timeout_s=2.0) as client:
        backend = Backend(name="a", url=server.url, model="m", api_key=key)
        dialect = dialect_for(backend)
        with pytest.raises(IterationError) as caught:
            await ask(client, dialect.request(backend, RunConfig(), "hi", "m"), dialect, timeout_s=5)
        failure = caught.value.failure
        assert f"{failure.kind}: {failure.message}".startswith(message) and "ssel" not in failure.message
        assert not server.requests


async def test_ipv6() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"no IPv6 loopback here: {error}")
    async with scripted([GOOD], host="::1") as server:
        assert "[::1]" in server.url
        assert (await measured(server.url)).text == "a"


def server_tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "cert.pem", TLS / "key.pem")
    return context


async def test_tls_with_ssl_cert_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "cert.pem"))
    many = b"".join(chunk(token(f"{n} ")) for n in range(2000))
    async with (
        scripted([CHUNKED + many, chunk(FINISH) + b"0\r\n\r\n"], tls=server_tls()) as server,
        new_client(server.url, connect_timeout_s=5.0) as client,
    ):
        first = await send_through(client, server.url, "p" * 1_000_000)
        second = await send_through(client, server.url)
    assert first.text == "".join(f"{n} " for n in range(2000))
    assert first.connect_ns is not None and second.connect_ns is None
    assert first.stamp == ("kernel" if sys.platform == "linux" else "user")
    assert second.arrivals_ns[0] > 0


async def test_tls_body_delimited_by_the_end_of_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "cert.pem"))
    async with scripted([SSE_HEAD, token("a"), FINISH, CLOSE], tls=server_tls()) as server:
        assert (await measured(server.url)).text == "a"


async def test_untrusted_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    async with scripted([GOOD], tls=server_tls()) as server:
        message = await failure_text(server.url)
        assert message == f"connect: the certificate of {server.url.removeprefix('https://')} is self-signed"
        assert not server.requests


async def test_certificate_for_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "cert.pem"))
    async with scripted([GOOD], host="127.0.0.2", tls=server_tls()) as server:
        assert " is for localhost, 127.0.0.1" in await failure_text(server.url)


async def test_tls_to_a_server_without_tls() -> None:
    async with scripted([GOOD]) as server:

        async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(100)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()

        async with await asyncio.start_server(plain, "127.0.0.1", 0) as other:
            port = other.sockets[0].getsockname()[1]
            assert await failure_text(f"https://127.0.0.1:{port}") == f"connect: 127.0.0.1:{port} does not use TLS"
        assert not server.requests


async def test_unknown_host_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert await failure_text("http://nobody.invalid:1") == "connect: cannot resolve the host name of nobody.invalid:1"


async def test_connect_timeout() -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux lets a full backlog wait")
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        try:
            for each in waiting:
                each.setblocking(False)
                each.connect_ex(("127.0.0.1", port))
            message = await failure_text(f"http://127.0.0.1:{port}", connect_timeout_s=0.2)
        finally:
            for each in waiting:
                each.close()
    assert message == f"connect: no connection to 127.0.0.1:{port} within 0.2 s"


@pytest.mark.parametrize("url", ["127.0.0.1:1/v1", "ftp://127.0.0.1", "http://"])
async def test_invalid_url(url: str) -> None:
    assert (await failure_text(url)).startswith("connect: ")


async def test_receive_without_data_and_close_of_an_idle_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sock = await connect("127.0.0.1", listener.getsockname()[1], 2.0)
        peer, _ = listener.accept()
        assert sock.receive() is None and not sock.ended and not sock.readable()
        connection = Connection(sock)
        peer.close()
        assert sock.readable() and not connection.usable(2.0)
        assert sock.receive() == b"" and sock.ended
        connection.close()
        connection.close()
        assert sock.readable()


async def test_reused_connection_that_closes_during_the_write_is_replaced_once() -> None:
    """The server closes the connection after its answer, and the FIN crosses the next request."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    requests: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    loop = asyncio.get_running_loop()

    async def serve() -> None:
        for reply in (answer, answer):
            connection, _ = await loop.sock_accept(listener)
            requests.append(await loop.sock_recv(connection, 65536))
            await loop.sock_sendall(connection, reply)
            connections.append(connection)

    connections: list[socket.socket] = []
    serving = asyncio.create_task(serve())
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    async with new_client(url, connect_timeout_s=2) as client:
        assert (await client.get(url)).text == "ok"
        transport = client._transport
        assert isinstance(transport, StampedTransport)
        (connection,) = transport._idle.popitem()[1]
        # The connection closes between the check and the write.
        connection.usable = lambda keepalive_s: True  # type: ignore[method-assign]
        connection._watch(False)
        transport._idle[("http", "127.0.0.1", listener.getsockname()[1])] = [connection]
        connections[0].close()
        again = await client.get(url)
        assert again.text == "ok"
        assert again.extensions["llmtui.stream"].connect_ns is not None
    await serving
    listener.close()
    connections[1].close()
    assert len(requests) == 2
