"""Servers with one fault each, on real sockets: what they do, what the user reads, what the history stores."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import json
import socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from tests.measure.helpers import CHUNKED
from tests.scripted import CLOSE, FINISH, HALF_CLOSE, HANG, RESET, SSE_HEAD, Step, chunk, scripted, token

KEY = "sk-for-this-server-only"
MODEL = "m"
MEGABYTE = b"x" * 1_000_000
TEXT_BYTES = 10_000_000
CHECK = "check the server, and any proxy in between"
BROKE = "connection lost before the first token"
WAIT_S = 0.3
GOOD: list[Step] = [SSE_HEAD, token("a"), token("b"), FINISH, CLOSE]


def reply(status: int, body: bytes | object = b"", **headers: str) -> list[Step]:
    """A complete answer; a body other than bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = {**headers, "Content-Length": str(len(content))}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in head.items())
    return [f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode() + content]


@dataclass(frozen=True)
class Fault:
    """One fault. `message` is what the user reads, with `{address}` of this server and `{other}` of another one.

    `stored` is what the history has: a failed "iteration", only the backend's "state", or a valid "sample".
    Faults with `short_timeout` are in the run with short timeouts.
    """

    name: str
    serve: Callable[[str], AbstractAsyncContextManager[str]]
    message: str = ""
    stored: str = "iteration"
    short_timeout: bool = False
    refused: int = 0


def _post(
    name: str, *scripts: Sequence[Step], message: str = "", short_timeout: bool = False, refused: int = 0
) -> Fault:
    """A server that sends 404 to untimed requests, and `scripts` to the measured ones."""

    @asynccontextmanager
    async def serve(other: str) -> AsyncIterator[str]:
        def fill_in(step: Step) -> Step:
            return step.replace(b"{other}", other.encode()) if isinstance(step, bytes) and len(step) < 999 else step

        async with scripted(reply(404)) as server:
            server.by_path = {b"POST": [[fill_in(step) for step in script] for script in scripts]}
            yield server.url

    return Fault(name, serve, message, "iteration" if message else "sample", short_timeout, refused)


@asynccontextmanager
async def _bound(listening: bool) -> AsyncIterator[str]:
    """A port without a listener, or with one whose queue of connections is full."""
    with contextlib.ExitStack() as stack:
        sock = stack.enter_context(socket.socket())
        sock.bind(("127.0.0.1", 0))
        if listening:
            sock.listen(0)
            for _ in range(2):
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(sock.getsockname())
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"


@asynccontextmanager
async def _address(url: str) -> AsyncIterator[str]:
    yield url


@asynccontextmanager
async def _closes_after_the_probes() -> AsyncIterator[str]:
    """Listen until the last untimed request before the iterations is answered."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                request = await reader.readuntil(b"\r\n\r\n")
                last = request.startswith(b"GET /version")
                if last:
                    server.close()
                writer.write(b"HTTP/1.1 404 X\r\nContent-Length: 0\r\n" + b"Connection: close\r\n" * last + b"\r\n")
                if last:
                    break
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@asynccontextmanager
async def _redirects(path: bytes, other: str) -> AsyncIterator[str]:
    """Redirect the requests that begin with `path`."""
    async with scripted(reply(404)) as server:
        server.by_path = {path: [reply(302, Location=f"{other}/v1/models")], b"POST": [GOOD]}
        yield server.url


def _redirect(status: int) -> Fault:
    return _post(
        f"redirect {status}",
        reply(status, Location="{other}/v1/chat/completions?key=1"),
        message=f"HTTP {status}: redirected to {{other}}: redirects are not followed; check url",
    )


def refuse(status: int, **headers: str) -> list[Step]:
    """An answer that asks to retry later."""
    return reply(status, {"error": {"message": "too many"}}, **headers)


PAGE = b"""<!DOCTYPE html><html><head><style>h1 {color: red}</style><script>alert("<b>")</script></head><body>
<!-- nginx --><h1>Out of memory &amp; <b>luck</b></h1><p class="x">It is not us.&nbsp;Really.</p></body></html>"""

FAULTS: list[Fault] = [
    Fault("refused", lambda _: _bound(False), "nothing answers at {address}: start the server", "state"),
    Fault("refused later", lambda _: _closes_after_the_probes(), "nothing answers at {address}: start the server"),
    Fault(
        "unreachable",
        # TCP to a multicast address: Linux fails immediately, without sending a packet.
        lambda _: _address("http://224.0.0.1:9"),
        "{address} is unreachable: Network is unreachable: check url and the network",
        "state",
    ),
    Fault(
        "no such name",
        lambda _: _address("http://no.invalid:9"),
        "cannot resolve the host name of {address}: check url",
        "state",
    ),
    Fault(
        "slow accept",
        lambda _: _bound(True),
        "no connection to {address} within 1 s: check url and any firewall in between",
        "state",
        short_timeout=True,
    ),
    _post(
        "reset before headers",
        [RESET],
        message=f"{BROKE}: the server reset it: check the server, or use https:// in url if it expects TLS",
    ),
    _post(
        "reset mid-stream",
        [SSE_HEAD, token("a"), token("b"), RESET],
        message=f"connection lost after 2 tokens: the server reset it: {CHECK}",
    ),
    _post(
        "hang before headers",
        [HANG],
        message="not finished within 1 s (before the first token): raise timeout_s or lower max_tokens",
        short_timeout=True,
    ),
    _post(
        "hang mid-stream",
        [SSE_HEAD, token("a"), HANG],
        message="not finished within 1 s (after 1 token): raise timeout_s or lower max_tokens",
        short_timeout=True,
    ),
    _post(
        "half-close",
        [SSE_HEAD, token("a"), HALF_CLOSE, HANG],
        message=f"the answer is incomplete: no finish reason after 1 token: {CHECK}",
    ),
    _post(
        "truncated chunk",
        [CHUNKED, chunk(token("a")), b"ff\r\ndat", CLOSE],
        message=f"connection lost after 1 token: closed in the middle of the body: {CHECK}",
    ),
    _post("429 with Retry-After", refuse(429, Retry_After=str(WAIT_S)), GOOD, refused=1),
    _post(
        "503 with a date",
        refuse(503, Retry_After="Sun, 22 Nov 2026 18:00:01 GMT", Date="Sun, 22 Nov 2026 18:00:01 GMT"),
        refuse(503, Retry_After="0"),
        GOOD,
        refused=2,
    ),
    _post(
        "429 for an hour",
        refuse(429, Retry_After="3600"),
        message="HTTP 429: too many: the server asks to wait 3600 s, longer than timeout_s (20 s) allows",
        refused=1,
    ),
    _post(
        "429 without end",
        refuse(429, Retry_After="0.6"),
        message="HTTP 429: too many: the server asks to wait 0.6 s, longer than timeout_s (1 s) allows "
        "(refused 2 times)",
        short_timeout=True,
        refused=2,
    ),
    _post(
        "503 alone",
        reply(503, b"busy"),
        message="HTTP 503: busy: the server is overloaded or still loading; try again later",
    ),
    _post("401", refuse(401), message="HTTP 401: too many: check api_key of this backend"),
    _post(
        "404",
        reply(404, {"error": 'model "m" not found'}),
        message='HTTP 404: model "m" not found: check model',
    ),
    _post(
        "500 with HTML",
        reply(500, PAGE, Content_Type="text/html"),
        message="HTTP 500: Out of memory & luck: take a smaller model or a shorter context, or close other programs",
    ),
    _post(
        "500 without end",
        [b"HTTP/1.1 500 X\r\n\r\n<p>Out of luck</p>\n", *([b" " * 1_000_000] * 60), HANG],
        message="HTTP 500: Out of luck: the server failed on this request; check the server",
    ),
    _post(
        "empty 200",
        reply(200, Content_Type="text/event-stream"),
        message="the answer is empty: it has no body: check url, model and protocol",
    ),
    _post(
        "endless headers",
        [b"HTTP/1.1 200 OK\r\n", b"X-More: yes\r\n" * 50_000, HANG],
        message=f"{BROKE}: invalid HTTP (more than 200 headers): check url and the server",
    ),
    _post(
        "endless header",
        [b"HTTP/1.1 200 OK\r\nX: ", MEGABYTE, HANG],
        message=f"{BROKE}: invalid HTTP (more than 65536 bytes of headers): check url and the server",
    ),
    _post(
        "endless line",
        [SSE_HEAD, token("a"), b"data: ", *([MEGABYTE] * 20), HANG],
        message="a line of the answer is longer than 2097152 bytes: check the server, and any proxy in between",
    ),
    _post(
        "endless body",
        [SSE_HEAD, token("a"), *([b": " + MEGABYTE + b"\n\n"] * 70), HANG],
        message="the answer is longer than 64 MB: lower max_tokens, or check that the server obeys it",
    ),
    _post("10 MB of one character", [SSE_HEAD, *([token("x" * 1_000_000)] * (TEXT_BYTES // 1_000_000)), FINISH, CLOSE]),
    *(_redirect(status) for status in (301, 302, 307, 308)),
    Fault(
        "redirect of the models",
        functools.partial(_redirects, b"GET /v1/models"),
        stored="sample",
    ),
    Fault("redirect of health", functools.partial(_redirects, b"GET /health"), stored="sample"),
    _post("good", GOOD),
    _post("good and short_timeout", GOOD, short_timeout=True),
]


async def skip_reason(fault: Fault, url: str) -> str:
    """Return why this machine cannot provoke the fault, "" if it can."""
    if fault.name == "unreachable":
        with socket.socket() as sock:
            sock.setblocking(False)
            code = sock.connect_ex(("224.0.0.1", 9)) if sys.platform == "linux" else 0
        return "" if code == errno.ENETUNREACH else "only Linux immediately refuses to connect to a multicast address"
    if fault.name == "slow accept":
        return "" if sys.platform == "linux" else "only Linux is known to have a full queue"
    if fault.name == "no such name":
        loop = asyncio.get_running_loop()
        try:
            await asyncio.wait_for(loop.getaddrinfo("no.invalid", 9), 3)
        except socket.gaierror:
            return ""
        except TimeoutError:
            return "the resolver of this machine does not respond"
        return "the resolver of this machine resolves every name"
    return ""
