"""Invalid requests to `llmtui serve`: no reply and no output contains a traceback."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import logging
import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from aiohttp.http_exceptions import BadHttpMessage

from llmtui.cli.serve.faults import MOST_LINES, Faults
from tests.cli.served import DEADLINE_S, ENDLESS, Served, page_of, serving
from tests.hostile.raw_requests import HANDSHAKE, answer, head, status, with_token

RST = struct.pack("ii", 1, 0)


@pytest.fixture(scope="module")
def going(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A run that goes on, served on this machine's loopback."""
    with serving(tmp_path_factory.mktemp("going"), ENDLESS) as served:
        yield served


def nonsense(served: Served) -> list[bytes]:
    """Return invalid requests, half of them with the token."""
    long = "x" * 20_000
    paths = ["/", "/ws", "/static/js/textual.js", "/nothing", "/static/..%2f..%2fetc/passwd", "/static/%00"]
    paths += [f"/static/{'a' * 5000}", "/static/", "//evil.example/", "/ws?width=1e999&height=\u00ff", "/?a=%ff&&=;"]
    made: list[bytes] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)),
        b"\r\n\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x00" * 5000,
        b"GET http://[::1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: \xff\xfe\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nbad header\r\n\r\n",
    ]
    for make, path in itertools.product((head, with_token), paths):
        made += [
            make(served, path),
            make(served, path, *HANDSHAKE[:2]),
            make(served, path, *HANDSHAKE[:2], "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: \xff"),
            make(served, path, *HANDSHAKE[:2], "Sec-WebSocket-Version: 99", "Sec-WebSocket-Key: x"),
            make(served, path, "Range: bytes=9999999999999999999999-", "If-Modified-Since: Mon, 99 Foo 99999"),
            make(served, path, f"X-Long: {long}"),
            make(served, path, *(f"X-{number}: 1" for number in range(500))),
            make(served, path, "Expect: nonsense"),
            make(served, path, "Content-Encoding: gzip", "Content-Length: 4") + b"junk",
            make(served, path, "Transfer-Encoding: chunked") + b"zz\r\nnot a chunk\r\n",
            make(served, path, "Transfer-Encoding: chunked", "Content-Length: 3") + b"0\r\n\r\n",
            make(served, path, "Content-Length: -1"),
            make(served, path) + b"\x00\xff garbage behind the first request\r\n\r\n",
        ]
        made += [
            make(served, path, "Content-Length: 100000").replace(b"GET", method) + b"x" * 1000
            for method in (b"HEAD", b"POST", b"OPTIONS", b"TRACE", b"CONNECT", b"BREW")
        ]
    frames = [
        b"\xff" * 20,
        b"\x81\xff\x7f" + b"\xff" * 9 + b"a" * 2000,
        b"\x88\x01\x00",
        b"\x89\xfe\xff\xff" + b"p" * 70000,
    ]
    frames += [
        b"\x81\x02hi",
        b"\xc1\x82\x00\x00\x00\x00\xff\xff",
        b"\x83\x80\x00\x00\x00\x00",
        b"\x81\x82\x00\x00\x00\x00\xff\xfe",
    ]
    return made + [with_token(served, "/ws", *HANDSHAKE) + frame for frame in frames]


def sent_and_reset(served: Served, request: bytes, wait: bool) -> None:
    """Send `request` and reset the connection; with `wait`, after the first byte of the reply."""
    with contextlib.suppress(ConnectionError), socket.create_connection(("127.0.0.1", served.port)) as connection:
        connection.settimeout(DEADLINE_S)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)
        connection.sendall(request)
        if wait:
            connection.recv(1)


def begin_of_answer(served: Served, request: bytes) -> bytes:
    """Return the head of the reply, without waiting for the rest of an open websocket."""
    got = b""
    with (
        contextlib.suppress(ConnectionError),
        socket.create_connection(("127.0.0.1", served.port), timeout=DEADLINE_S) as connection,
    ):
        connection.sendall(request)
        while b"\r\n\r\n" not in got and (data := connection.recv(65536)):
            got += data
    return got


@pytest.mark.slow
def test_no_request_causes_output_or_an_error(going: Served) -> None:
    before = going.err
    requests = nonsense(going)
    with ThreadPoolExecutor(16) as senders:
        for request, got in zip(
            requests, senders.map(functools.partial(begin_of_answer, going), requests), strict=True
        ):
            # 500 would be a bug. A request that never ends has no reply.
            assert status(got) in (0, 101, 200, 304, 400, 403, 404, 405, 416, 417, 503), (request[:300], got[:300])
    assert status(answer(going, with_token(going, "/", "Connection: close"))) == 200
    assert going.err[len(before) :] == ""


def test_a_get_request_for_the_websocket_has_a_message(going: Served) -> None:
    got = answer(going, with_token(going, "/ws", "Connection: close"))
    assert status(got) == 400
    assert got.endswith(b"llmtui: this path is the websocket of the page; open / instead\n")


@pytest.mark.slow
@pytest.mark.parametrize("wait", [False, True])
def test_a_reset_connection_prints_nothing(wait: bool, going: Served) -> None:
    before = going.err
    requests = [with_token(going, "/ws", *HANDSHAKE), with_token(going, "/static/js/textual.js"), head(going)]
    for request in requests * 5:
        sent_and_reset(going, request, wait)
    for cut in range(1, len(requests[0]), 15):
        sent_and_reset(going, requests[0][:cut], False)
    assert status(answer(going, with_token(going, "/", "Connection: close"))) == 200
    assert going.err[len(before) :] == ""


@pytest.mark.slow
async def test_monitors_of_reset_connections_exit(going: Served) -> None:
    for _ in range(10):
        await asyncio.to_thread(sent_and_reset, going, with_token(going, "/ws", *HANDSHAKE), True)
    async with page_of(going) as page:
        await page.until(b"alpha")
        monitors = going.children("llmtui.ui.browser")
    _, alive = await asyncio.to_thread(psutil.wait_procs, monitors, DEADLINE_S)
    assert alive == []
    assert going.children("llmtui.ui.browser") == []


def test_errors_are_a_few_lines_without_the_token() -> None:
    said: list[str] = []
    logger = logging.Logger("of a library")
    logger.addHandler(Faults(said.append, ["SECRET"]))
    for number in range(3):
        logger.error("Task %s failed\x1b[31m for SECRET\nTraceback", number)
    for error in (ConnectionResetError("gone"), BadHttpMessage("of the other side")):
        logger.error("Error handling request", exc_info=error)
    logger.warning("slow")
    logger.error("broken arguments %d %d", "x")
    assert said == ["error in serve: Task 0 failed for *** Traceback"]
    for number in range(50):
        # Each of them is a fault of its own, and still there is an end.
        logger.error("x", exc_info=type(f"Fault{number}Error", (Exception,), {})("SECRET"))
    assert len(said) == MOST_LINES - 1, "the one with broken arguments counts too"
    assert said[1] == "error in serve: Fault0Error: ***"
    assert said[-1].endswith("; further errors are not shown")
